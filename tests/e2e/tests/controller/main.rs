//! The controller on an API server where nothing else acts: the tests play everybody else.

mod creation;
mod metrics;
mod ownership;
mod partition;
mod placement;
mod quiet;
mod refusals;
mod restart;
mod revisions;
mod rollout;
mod scaling;
mod scaling_rollout;
mod services;
mod startup;
mod status;
mod surge;

use std::sync::LazyLock;

use lws_e2e::{Environment, Fixture, Namespace, TestSet};
use lws_harness::ClusterOptions;
use lws_harness::system::{Certificates, SystemOptions};

static ENVIRONMENT: LazyLock<anyhow::Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "controller",
        ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() },
        SystemOptions {
            webhook: false,
            certificates: Certificates::OfController,
            ..SystemOptions::default()
        },
    )
});

fn environment() -> anyhow::Result<&'static Environment> {
    ENVIRONMENT.as_ref().map_err(|error| anyhow::anyhow!("no environment: {error:#}"))
}

/// A namespace for one test.
async fn namespace() -> anyhow::Result<Namespace> {
    environment()?.namespace().await
}

/// A set in a namespace of its own, of which nothing else exists yet.
async fn create(fixture: Fixture) -> anyhow::Result<TestSet> {
    namespace().await?.create_set(&fixture).await
}

/// A set in a namespace of its own, all of whose groups are ready.
async fn settle(fixture: Fixture) -> anyhow::Result<TestSet> {
    let set = create(fixture).await?;
    set.all_ready().await?;
    set.expect_conditions("available").await?;
    Ok(set)
}

//! Gang scheduling: the `PodGroup`s of groups. Volcano itself does not run.

mod arrival;
mod groups;
mod life;
mod obstacles;

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Result, bail};
use lws_api_types::keys::annotations;
use lws_e2e::{Environment, Fixture, TestSet};
use lws_harness::ClusterOptions;
use lws_harness::system::{SystemOptions, Volcano};

/// An API server where nothing else acts: the tests play everybody else. Volcano arrives after the controller has
/// started.
static ALONE: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "gang-alone",
        ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() },
        SystemOptions { webhook: false, volcano: Volcano::Configured, ..SystemOptions::default() },
    )
});

/// A whole control plane with simulated nodes.
static WHOLE: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "gang-whole",
        ClusterOptions {
            nodes: 4,
            ready_delay: Duration::from_millis(300),
            ..ClusterOptions::default()
        },
        SystemOptions { volcano: Volcano::Installed, ..SystemOptions::default() },
    )
});

fn environment(which: &'static LazyLock<Result<Environment>>) -> Result<&'static Environment> {
    match &**which {
        Ok(environment) => Ok(environment),
        Err(error) => bail!("no environment: {error:#}"),
    }
}

/// A set whose pods are in gangs where no webhook says so.
fn fixture() -> Fixture {
    // The name that admission would give; the controller must not take it from here.
    Fixture::default().pod_annotation(annotations::POD_GROUP_NAME, "named by admission")
}

/// A set in a namespace of its own, in a cluster where Volcano has arrived and nothing else acts.
async fn create(fixture: Fixture) -> Result<TestSet> {
    arrival::arrived().await?;
    environment(&ALONE)?.namespace().await?.create_set(&fixture).await
}

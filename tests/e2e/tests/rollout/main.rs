//! The whole system on a real control plane with simulated nodes.

mod backoff;
mod budget;
mod interruption;
mod life;
mod placement;
mod recreation;
mod requests;
mod shortage;
mod stages;
mod termination;

use std::sync::LazyLock;
use std::time::Duration;

use lws_e2e::{Environment, Fixture, Namespace, TestSet};
use lws_harness::ClusterOptions;
use lws_harness::system::SystemOptions;
use serde_json::json;

/// Where the `StatefulSet` controller may replace several leaders at once.
static ENVIRONMENT: LazyLock<anyhow::Result<Environment>> = LazyLock::new(|| start(true));

/// Where it replaces them one by one.
static ONE_BY_ONE: LazyLock<anyhow::Result<Environment>> = LazyLock::new(|| start(false));

fn start(max_unavailable: bool) -> anyhow::Result<Environment> {
    let group_restart = json!({
        "initialDelay": "3s",
        "maxDelay": "6s",
        "resetAfter": "30s",
    });
    let gate = ("MaxUnavailableStatefulSet".to_owned(), max_unavailable);
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        &format!("rollout-{max_unavailable}"),
        ClusterOptions {
            nodes: 8,
            feature_gates: [gate].into(),
            ready_delay: Duration::from_millis(300),
            ..ClusterOptions::default()
        },
        SystemOptions { group_restart, ..SystemOptions::default() },
    )
}

fn environment(
    which: &'static LazyLock<anyhow::Result<Environment>>,
) -> anyhow::Result<&'static Environment> {
    match &**which {
        Ok(environment) => Ok(environment),
        Err(error) => anyhow::bail!("no environment: {error:#}"),
    }
}

/// A namespace for one test.
async fn namespace() -> anyhow::Result<Namespace> {
    environment(&ENVIRONMENT)?.namespace().await
}

/// A set in a namespace of its own, all of whose groups are ready.
async fn settle(fixture: Fixture) -> anyhow::Result<TestSet> {
    settle_in(&namespace().await?, fixture).await
}

async fn settle_in(namespace: &Namespace, fixture: Fixture) -> anyhow::Result<TestSet> {
    let set = namespace.create_set(&fixture).await?;
    set.created_leader_set().await?;
    set.expect_conditions("available").await?;
    Ok(set)
}

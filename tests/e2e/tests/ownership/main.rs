//! Sets that are deleted and created again under their name, again and again, on a real control plane.

mod recreation;

use std::sync::LazyLock;
use std::time::Duration;

use lws_e2e::{Environment, Namespace};
use lws_harness::ClusterOptions;
use lws_harness::system::SystemOptions;

static ENVIRONMENT: LazyLock<anyhow::Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "ownership",
        ClusterOptions {
            nodes: 8,
            ready_delay: Duration::from_millis(100),
            ..ClusterOptions::default()
        },
        SystemOptions::default(),
    )
});

/// A namespace for one test.
async fn namespace() -> anyhow::Result<Namespace> {
    match &*ENVIRONMENT {
        Ok(environment) => environment.namespace().await,
        Err(error) => anyhow::bail!("no environment: {error:#}"),
    }
}

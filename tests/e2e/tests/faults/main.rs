//! The controller on a real control plane, with a proxy in between that spoils its requests and watches.

mod life;
mod moments;
mod numbers;
mod requests;
mod telling;
mod watches;

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context as _;
use lws_e2e::{Environment, Namespace};
use lws_harness::ClusterOptions;
use lws_harness::proxy::{InForce, Proxy, Rule};
use lws_harness::system::SystemOptions;
use serde_json::json;

static ENVIRONMENT: LazyLock<anyhow::Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "faults",
        ClusterOptions {
            nodes: 8,
            ready_delay: Duration::from_millis(200),
            ..ClusterOptions::default()
        },
        SystemOptions {
            proxied: true,
            // A controller that cannot renew its lease in time ends, and here nobody starts it again: its lease
            // outlasts every fault, on a slow machine too.
            controller_args: [
                ("lease-duration", 120),
                ("renew-deadline", 100),
                ("retry-period", 2),
            ]
            .map(|(name, seconds)| format!("--leader-elect-{name}={seconds}s"))
            .into(),
            group_restart: json!({"metricSeries": 0}),
            ..SystemOptions::default()
        },
    )
});

fn environment() -> anyhow::Result<&'static Environment> {
    match &*ENVIRONMENT {
        Ok(environment) => Ok(environment),
        Err(error) => anyhow::bail!("no environment: {error:#}"),
    }
}

/// A namespace for one test.
async fn namespace() -> anyhow::Result<Namespace> {
    environment()?.namespace().await
}

/// Does something with the proxy of the controller, which all tests share.
async fn with_proxy<T>(work: impl FnOnce(&Proxy) -> T) -> anyhow::Result<T> {
    let mut system = environment()?.system().await;
    let controller = system.controllers().first().context("no controller")?;
    Ok(work(controller.proxy()?))
}

async fn add(rule: Rule) -> anyhow::Result<InForce> {
    with_proxy(|proxy| proxy.add(rule)).await
}

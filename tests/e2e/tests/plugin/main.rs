//! The plugin of kubectl as people run it: the program as a process, on a real control plane.

mod diagnose;
mod events;
mod plan;
mod rollout;
mod status;
mod tree;

use std::process::Output;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lws_e2e::{DEADLINE, Environment, Namespace, TestSet};
use lws_harness::system::SystemOptions;
use lws_harness::{ClusterOptions, wait};
use serde_json::Value;
use tokio::process::Command;

static ENVIRONMENT: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "plugin",
        ClusterOptions {
            nodes: 4,
            ready_delay: Duration::from_millis(200),
            ..ClusterOptions::default()
        },
        SystemOptions::default(),
    )
});

fn environment() -> Result<&'static Environment> {
    match &*ENVIRONMENT {
        Ok(environment) => Ok(environment),
        Err(error) => anyhow::bail!("no environment: {error:#}"),
    }
}

/// A namespace for one test.
async fn namespace() -> Result<Namespace> {
    environment()?.namespace().await
}

/// The program with `arguments`, about `namespace`.
fn plugin(namespace: &Namespace, arguments: &[&str]) -> Result<Command> {
    lws_e2e::plugin::plugin(environment()?.cluster(), namespace, arguments)
}

/// What the program writes, and how it ends.
async fn run(namespace: &Namespace, arguments: &[&str]) -> Result<Output> {
    Ok(plugin(namespace, arguments)?.output().await?)
}

/// What the program writes when it succeeds.
async fn text(namespace: &Namespace, arguments: &[&str]) -> Result<String> {
    let Output { status, stdout, stderr } = run(namespace, arguments).await?;
    let stderr = String::from_utf8(stderr)?;
    anyhow::ensure!(status.success() && stderr.is_empty(), "{arguments:?}: {status}: {stderr}");
    Ok(String::from_utf8(stdout)?)
}

/// What the program complains of, and its exit code, which is not 0.
async fn complaint(namespace: &Namespace, arguments: &[&str]) -> Result<(String, i32)> {
    let Output { status, stdout, stderr } = run(namespace, arguments).await?;
    let stdout = String::from_utf8(stdout)?;
    anyhow::ensure!(!status.success(), "{arguments:?} succeeds: {stdout}");
    Ok((String::from_utf8(stderr)?, status.code().context("it was killed")?))
}

/// The report as JSON.
async fn report(namespace: &Namespace, arguments: &[&str]) -> Result<Value> {
    let arguments = [arguments, &["--output", "json"]].concat();
    Ok(serde_json::from_str(&text(namespace, &arguments).await?)?)
}

/// Waits until the report as JSON is as described.
async fn expect(
    namespace: &Namespace,
    arguments: &[&str],
    description: &str,
    is: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let look = async || report(namespace, arguments).await;
    Ok(wait::until(DEADLINE, description, look, |seen| is(seen)).await?)
}

/// A set of two groups of two pods, all of them ready.
async fn settled(fixture: &lws_e2e::Fixture) -> Result<TestSet> {
    let set = namespace().await?.create_set(fixture).await?;
    set.created_leader_set().await?;
    set.expect_conditions("available").await?;
    Ok(set)
}

/// A cell of the report.
fn at<'a>(report: &'a Value, pointer: &str) -> &'a Value {
    report.pointer(pointer).unwrap_or(&Value::Null)
}

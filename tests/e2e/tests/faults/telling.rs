//! Which failures the status of a set tells of, and for how long.

use std::pin::pin;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use lws_api_types::conditions::REPLICA_FAILURE;
use lws_e2e::policy::Refused;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet, set};
use lws_harness::proxy::{Effect, Failure, Rule};
use lws_harness::wait;

use crate::{add, namespace};

/// Requests for worker `StatefulSet`s in a namespace.
fn creations(namespace: &Namespace, failure: Failure) -> Rule {
    let rule = Rule::new(Effect::Instead(failure)).verbs(&["create"]).resource("statefulsets");
    rule.namespace(namespace.name())
}

#[tokio::test]
async fn a_refusal_is_told_until_it_heals_whatever_else_fails_meanwhile() -> Result<()> {
    let namespace = namespace().await?;
    let refused = Refused::group(&namespace).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.expect_failure(&["True FailedCreate: ", "test-sample-1", "groups=1"]).await?;

    let busy = add(creations(&namespace, Failure::Status(429))).await?;
    let tried = async || Ok::<_, anyhow::Error>(busy.struck());
    wait::until(DEADLINE, "two attempts", tried, |it| *it >= 2).await?;
    set::stays(async || {
        anyhow::ensure!(set.failure().await?.is_some(), "a busy server has healed it");
        Ok(())
    })
    .await?;
    drop(busy);
    refused.stop().await?;
    set.done(2).await?;
    set.expect_no_failure().await
}

/// Every state of the set since `version`.
async fn states(set: &TestSet, version: &str) -> Result<Vec<DynamicObject>> {
    let last = set.namespace().sets().get(set.name()).await?.metadata.resource_version;
    let params = WatchParams::default();
    let mut changes = pin!(set.namespace().sets().watch(&params, version).await?);
    let mut states = Vec::new();
    loop {
        let change = tokio::time::timeout(DEADLINE, changes.next()).await?;
        match change.context("the watch ended")?? {
            WatchEvent::Added(it) | WatchEvent::Modified(it) => states.push(it),
            other => anyhow::bail!("{other:?}"),
        }
        if states.last().is_some_and(|it| it.metadata.resource_version == last) {
            return Ok(states);
        }
    }
}

#[tokio::test]
async fn a_single_fault_of_the_server_is_never_told() -> Result<()> {
    for failure in [500, 503, 429] {
        let namespace = namespace().await?;
        let version = namespace.sets().list(&ListParams::default()).await?.metadata;
        let version = version.resource_version.context("no version")?;
        let fault = add(creations(&namespace, Failure::Status(failure)).first(1)).await?;
        let set = namespace.create_set(&Fixture::default()).await?;
        set.created_leader_set().await?;
        set.done(2).await?;
        anyhow::ensure!(fault.struck() == 1, "{} were struck", fault.struck());
        for state in states(&set, &version).await? {
            let text = state.data.to_string();
            anyhow::ensure!(!text.contains(REPLICA_FAILURE), "{failure}: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_fault_of_the_server_that_lasts_is_told_until_it_is_over() -> Result<()> {
    let namespace = namespace().await?;
    let fault = add(creations(&namespace, Failure::Status(500))).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.expect_failure(&["True FailedCreate: Failed to create worker statefulset"]).await?;
    drop(fault);
    set.done(2).await?;
    set.expect_no_failure().await
}

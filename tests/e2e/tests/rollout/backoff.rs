//! A group that keeps failing is recreated later and later, until it has been ready for a while.

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use lws_api_types::keys::annotations;
use lws_e2e::metrics::Scrape;
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::wait;
use serde_json::Value;

use crate::{ENVIRONMENT, environment, settle};

/// The history of group 0, as its leader `StatefulSet` carries it.
async fn history(set: &TestSet) -> Result<Option<Value>> {
    let leader_set = set.leader_set().await?;
    let text = leader_set.annotations().get(annotations::GROUP_RESTARTS);
    let history: Option<Value> = text.map(|it| serde_json::from_str(it)).transpose()?;
    Ok(history.and_then(|it| it.get("0").cloned()))
}

/// A container of group 0 restarts, and the group is recreated; gives when its new leader was made.
async fn fail_once(set: &TestSet) -> Result<Timestamp> {
    let pods = set.namespace().pods();
    let leader = uid(&pods.get(&set.group(0)).await?);
    let simulator = environment(&ENVIRONMENT)?.cluster().simulator()?;
    simulator.restart_container(set.namespace().name(), &set.worker(0, 1), "worker").await?;
    let look = async || pods.get_opt(&set.group(0)).await;
    let is_new = |it: &Option<_>| it.as_ref().is_some_and(|it| uid(it) != leader);
    let new = wait::until(DEADLINE, "a new leader", look, is_new).await?.context("a leader")?;
    set.done(1).await?;
    Ok(new.creation_timestamp().context("it was created")?.0)
}

/// The value of a metric of the controller.
async fn metric(name: &str) -> Result<Option<f64>> {
    let mut system = environment(&ENVIRONMENT)?.system().await;
    Ok(Scrape::of_controller(&mut system).await?.value(name))
}

#[tokio::test]
async fn the_third_failure_in_a_row_waits_and_a_while_of_readiness_forgets_it() -> Result<()> {
    let recreations = "lws_group_recreations_total{cause=\"container_restart\"}";
    let before = metric(recreations).await?.context("it begins at 0")?;
    let set = settle(Fixture::default().replicas(1).size(3)).await?;
    let failures = format!(
        "lws_group_failures{{cause=\"container_restart\",group=\"0\",name=\"test-sample\",\
         namespace=\"{}\"}}",
        set.namespace().name()
    );
    anyhow::ensure!(metric(&failures).await?.is_none());
    fail_once(&set).await?;
    fail_once(&set).await?;
    let namespace = set.namespace();
    let is_backoff = |it: &String| it.starts_with("Warning RecreateGroupBackoff: ");
    anyhow::ensure!(!namespace.events().await?.iter().any(is_backoff), "the first two do not wait");

    let created = fail_once(&set).await?;
    let last = history(&set).await?.context("three failures are on record")?;
    anyhow::ensure!(last["count"] == 3 && last["cause"] == "container_restart", "{last}");
    let failed: Timestamp = last["time"].as_str().context("a time")?.parse()?;
    // It waits 3 s; creation times are whole seconds.
    anyhow::ensure!(created.duration_since(failed) > SignedDuration::from_secs(2), "{last}");
    let note = "Group 0 failed 3 times in a row, now because a container of pod test-sample-0-1 \
                restarted: it is recreated in 3 s";
    namespace.expect_event(&format!("Warning RecreateGroupBackoff: {note}")).await?;
    set::stays(async || {
        let count = namespace.events().await?.iter().filter(|it| is_backoff(it)).count();
        anyhow::ensure!(count == 1, "told {count} times");
        Ok(())
    })
    .await?;
    anyhow::ensure!(namespace.recreations().await?.len() == 3);
    anyhow::ensure!(metric(recreations).await? >= Some(before + 3.0));
    anyhow::ensure!(metric(&failures).await? == Some(3.0));

    wait::until(
        DEADLINE,
        "the failures are forgotten",
        async || history(&set).await,
        Option::is_none,
    )
    .await?;
    wait::until(DEADLINE, "the series ends", async || metric(&failures).await, Option::is_none)
        .await?;
    fail_once(&set).await?;
    let last = history(&set).await?.context("a failure is on record")?;
    anyhow::ensure!(last["count"] == 1, "{last}");
    Ok(())
}

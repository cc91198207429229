//! What the controller measures of failures, where no group has a series of its own.

use anyhow::Result;
use kube::api::DeleteParams;
use lws_e2e::metrics::Scrape;
use lws_e2e::{DEADLINE, Fixture};
use lws_harness::proxy::{Effect, Failure, Rule};
use lws_harness::wait;

use crate::{add, environment, namespace};

async fn scrape() -> Result<Scrape> {
    Scrape::of_controller(&mut *environment()?.system().await).await
}

/// The sum of the series that begin so.
async fn sum(series: &str) -> Result<f64> {
    Ok(scrape().await?.sum(series))
}

#[tokio::test]
async fn failed_groups_are_counted_by_cause_without_series_of_their_own() -> Result<()> {
    let namespace = namespace().await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.done(2).await?;
    let recreations = "lws_group_recreations_total{cause=\"pod_";
    let before = sum(recreations).await?;
    let at_once = DeleteParams::default().grace_period(0);
    namespace.pods().delete(&set.worker(0, 1), &at_once).await?;
    let count = async || sum(recreations).await;
    wait::until(DEADLINE, "a recreation", count, |it| *it > before).await?;
    set.done(2).await?;
    let seen = scrape().await?;
    anyhow::ensure!(seen.value("lws_groups_failing") >= Some(1.0), "{seen:?}");
    let series: Vec<_> = seen.starting_with("lws_group_failures").collect();
    anyhow::ensure!(series.is_empty(), "{series:?}");
    Ok(())
}

#[tokio::test]
async fn requests_that_fail_are_counted_by_code_and_fail_their_reconcile() -> Result<()> {
    let namespace = namespace().await?;
    let errors = "controller_runtime_reconcile_errors_total";
    let refused = "rest_client_requests_total{code=\"503\"";
    let before = [sum(errors).await?, sum(refused).await?];
    let rule = Rule::new(Effect::Instead(Failure::Status(503))).verbs(&["create"]);
    let fault = rule.resource("statefulsets").namespace(namespace.name()).first(2);
    let fault = add(fault).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.done(2).await?;
    anyhow::ensure!(fault.struck() == 2, "{} were struck", fault.struck());
    let after = [sum(errors).await?, sum(refused).await?];
    anyhow::ensure!(after[0] > before[0] && after[1] >= before[1] + 2.0, "{before:?} {after:?}");
    Ok(())
}

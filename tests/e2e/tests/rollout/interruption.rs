//! The controller ends and comes back.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, PostParams};
use lws_e2e::groups::leaders;
use lws_e2e::recording::Recording;
use lws_e2e::{DEADLINE, Environment, Fixture, set};
use lws_harness::wait;
use serde_json::json;

use crate::recreation::recreated_once;
use crate::{ONE_BY_ONE, environment, settle_in};

const STOP: Duration = Duration::from_secs(30);

/// Stops the controller, does `meanwhile`, and starts it again.
async fn interrupt(
    environment: &Environment,
    meanwhile: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let mut system = environment.system().await;
    let controller = system.controllers().first_mut().context("no controller")?;
    controller.process().stop(STOP).await?;
    let outcome = meanwhile().await;
    controller.restart().await?;
    outcome
}

#[tokio::test]
async fn a_group_that_is_still_being_created_survives_a_restart_of_the_controller() -> Result<()> {
    let environment = environment(&ONE_BY_ONE)?;
    let namespace = environment.namespace().await?;
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": "two-pods"}, "spec": {"hard": {"pods": "2"}},
    }))?;
    let quotas = namespace.api::<ResourceQuota>();
    quotas.create(&PostParams::default(), &quota).await?;
    let is_counted = async || quotas.get("two-pods").await;
    wait::until(DEADLINE, "the quota is in effect", is_counted, |it| {
        it.status.as_ref().is_some_and(|it| it.hard.is_some())
    })
    .await?;
    let recording = Recording::start(&namespace).await?;
    let set = namespace.create_set(&Fixture::default().replicas(1).size(4)).await?;
    let two_pods = async || namespace.all::<Pod>().await;
    wait::until(DEADLINE, "two pods", two_pods, |it| it.len() == 2).await?;

    interrupt(environment, async || Ok(())).await?;
    set::stays(async || only_one_leader(&recording)).await?;
    quotas.delete("two-pods", &DeleteParams::default()).await?;
    set.done(1).await?;
    only_one_leader(&recording)
}

fn only_one_leader(recording: &Recording<Pod>) -> Result<()> {
    let leaders = leaders(recording)?;
    anyhow::ensure!(leaders.values().all(|uids| uids.len() == 1), "{leaders:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_was_replaced_while_no_controller_ran_takes_its_group_with_it() -> Result<()>
{
    let environment = environment(&ONE_BY_ONE)?;
    let namespace = environment.namespace().await?;
    let set = settle_in(&namespace, Fixture::default().size(3)).await?;
    let recording = Recording::start(&namespace).await?;
    interrupt(environment, async || {
        let pods = namespace.pods();
        let worker = set.worker(0, 1);
        let former = pods.get(&worker).await?.metadata.uid;
        pods.delete(&worker, &DeleteParams::default().grace_period(0)).await?;
        let is_back = async || pods.get_opt(&worker).await;
        wait::until(DEADLINE, "the worker is back", is_back, |it| {
            it.as_ref().is_some_and(|it| it.metadata.uid != former)
        })
        .await?;
        Ok(())
    })
    .await?;
    recreated_once(&set, &recording).await
}

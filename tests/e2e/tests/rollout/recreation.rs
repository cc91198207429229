//! Groups that are recreated because one of their pods failed: once, and no other.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use lws_e2e::groups::leaders;
use lws_e2e::recording::Recording;
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::wait;

use crate::{ENVIRONMENT, environment, settle};

/// Waits until group 0 has its second leader and the set is available again, and makes sure that it stays so.
pub(crate) async fn recreated_once(set: &TestSet, recording: &Recording<Pod>) -> Result<()> {
    let is_new = async || Ok::<_, anyhow::Error>(leaders(recording)?.remove("0"));
    let description = "group 0 has a new leader";
    wait::until(DEADLINE, description, is_new, |it| it.as_ref().is_some_and(|it| it.len() > 1))
        .await?;
    let replicas = set.live().await?.spec.replicas();
    set.done(replicas).await?;
    set::stays(async || {
        for (group, uids) in leaders(recording)? {
            let expected = if group == "0" { 2 } else { 1 };
            anyhow::ensure!(uids.len() == expected, "group {group} had the leaders {uids:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_worker_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    set.namespace().pods().delete(&set.worker(0, 2), &DeleteParams::default()).await?;
    recreated_once(&set, &recording).await
}

#[tokio::test]
async fn a_worker_that_is_gone_at_once_and_comes_back_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    let at_once = DeleteParams::default().grace_period(0);
    set.namespace().pods().delete(&set.worker(0, 1), &at_once).await?;
    recreated_once(&set, &recording).await
}

#[tokio::test]
async fn all_workers_that_are_gone_at_once_are_one_incident() -> Result<()> {
    let set = settle(Fixture::default().size(4)).await?;
    let recording = Recording::start(set.namespace()).await?;
    let at_once = DeleteParams::default().grace_period(0);
    for worker in 1..4 {
        set.namespace().pods().delete(&set.worker(0, worker), &at_once).await?;
    }
    recreated_once(&set, &recording).await
}

#[tokio::test]
async fn a_deleted_leader_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    set.namespace().pods().delete(&set.group(0), &DeleteParams::default()).await?;
    recreated_once(&set, &recording).await
}

#[tokio::test]
async fn a_restarted_container_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    let simulator = environment(&ENVIRONMENT)?.cluster().simulator()?;
    let namespace = set.namespace().name();
    simulator.restart_container(namespace, &set.worker(0, 1), "worker").await?;
    recreated_once(&set, &recording).await?;
    let note = "Worker pod test-sample-0-1 failed, \
                deleted leader pod test-sample-0 to recreate group 0";
    set.namespace().expect_event(&format!("Normal RecreateGroup: {note}")).await
}

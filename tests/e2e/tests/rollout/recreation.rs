//! Groups that are recreated because one of their pods failed: once, and no other.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams};
use lws_e2e::groups::leaders;
use lws_e2e::recording::Recording;
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::simulator::READY_AFTER;
use lws_harness::wait;
use serde_json::json;

use crate::{ENVIRONMENT, environment, namespace, settle};

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

/// Makes sure that one recreation has been told.
pub(crate) async fn told_once(set: &TestSet) -> Result<()> {
    let told = set.namespace().recreations().await?;
    anyhow::ensure!(told.len() == 1, "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_worker_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    set.namespace().pods().delete(&set.worker(0, 2), &DeleteParams::default()).await?;
    recreated_once(&set, &recording).await?;
    told_once(&set).await
}

#[tokio::test]
async fn a_worker_that_is_gone_at_once_and_comes_back_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    let at_once = DeleteParams::default().grace_period(0);
    set.namespace().pods().delete(&set.worker(0, 1), &at_once).await?;
    recreated_once(&set, &recording).await?;
    told_once(&set).await
}

#[tokio::test]
async fn all_workers_that_are_gone_at_once_are_one_incident() -> Result<()> {
    let set = settle(Fixture::default().size(4)).await?;
    let recording = Recording::start(set.namespace()).await?;
    let at_once = DeleteParams::default().grace_period(0);
    for worker in 1..4 {
        set.namespace().pods().delete(&set.worker(0, worker), &at_once).await?;
    }
    recreated_once(&set, &recording).await?;
    told_once(&set).await
}

#[tokio::test]
async fn a_deleted_worker_stateful_set_takes_its_group_with_it() -> Result<()> {
    for params in [DeleteParams::background(), DeleteParams::foreground()] {
        let set = settle(Fixture::default().size(3)).await?;
        let recording = Recording::start(set.namespace()).await?;
        set.namespace().stateful_sets().delete(&set.group(0), &params).await?;
        recreated_once(&set, &recording).await?;
        told_once(&set).await?;
    }
    Ok(())
}

#[tokio::test]
async fn workers_that_outlive_their_stateful_set_get_another_one() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::<Pod>::start(set.namespace()).await?;
    let stateful_sets = set.namespace().stateful_sets();
    let former = uid(&stateful_sets.get(&set.group(0)).await?);
    stateful_sets.delete(&set.group(0), &DeleteParams::orphan()).await?;
    let look = async || stateful_sets.get_opt(&set.group(0)).await;
    wait::until(DEADLINE, "another StatefulSet", look, |it| {
        it.as_ref().is_some_and(|it| uid(it) != former)
    })
    .await?;
    set.done(2).await?;
    set::stays(async || {
        let leaders = leaders(&recording)?;
        anyhow::ensure!(leaders.values().all(|uids| uids.len() == 1), "{leaders:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_leader_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    set.namespace().pods().delete(&set.group(0), &DeleteParams::default()).await?;
    recreated_once(&set, &recording).await?;
    let mut failed = set.namespace().events().await?;
    failed.retain(|it| it.starts_with("Warning"));
    anyhow::ensure!(failed.is_empty(), "it went without a fault: {failed:?}");
    Ok(())
}

/// Its `StatefulSet` could not make the pod of that name, and would make none of the others either.
#[tokio::test]
async fn workers_wait_until_the_last_of_the_former_group_has_ended_and_tell_which() -> Result<()> {
    let set = settle(Fixture::default().size(3).short_lived()).await?;
    let recording = Recording::start(set.namespace()).await?;
    let (pods, stateful_sets) = (set.namespace().pods(), set.namespace().stateful_sets());
    let finalizers = async |all: &[&str]| {
        let change = Patch::Merge(json!({"metadata": {"finalizers": all}}));
        pods.patch(&set.worker(0, 1), &PatchParams::default(), &change).await
    };
    finalizers(&["example.org/held"]).await?;
    pods.delete(&set.group(0), &DeleteParams::default()).await?;
    let parts = ["PodNotEnding", &set.worker(0, 1), "it waits for finalizers example.org/held"];
    set.expect_failure(&parts).await?;
    anyhow::ensure!(
        stateful_sets.get_opt(&set.group(0)).await?.is_none(),
        "they were not to be made"
    );
    finalizers(&[]).await?;
    recreated_once(&set, &recording).await?;
    set.expect_no_failure().await
}

#[tokio::test]
async fn a_restarted_container_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    let simulator = environment(&ENVIRONMENT)?.cluster().simulator()?;
    let namespace = set.namespace().name();
    simulator.restart_container(namespace, &set.worker(0, 1), "worker").await?;
    recreated_once(&set, &recording).await?;
    told_once(&set).await?;
    let note = "Worker pod test-sample-0-1 failed, \
                deleted leader pod test-sample-0 to recreate group 0";
    set.namespace().expect_event(&format!("Normal RecreateGroup: {note}")).await
}

#[tokio::test]
async fn an_evicted_worker_takes_its_group_with_it() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    let recording = Recording::start(set.namespace()).await?;
    set.namespace().pods().evict(&set.worker(0, 1), &EvictParams::default()).await?;
    recreated_once(&set, &recording).await?;
    told_once(&set).await
}

#[tokio::test]
async fn every_group_that_loses_a_worker_the_moment_it_is_ready_is_recreated_once() -> Result<()> {
    let fixture = Fixture::default().replicas(10).pod_annotation(READY_AFTER, "0s");
    let set = settle(fixture).await?;
    let recording = Recording::start(set.namespace()).await?;
    let pods = set.namespace().pods();
    let at_once = DeleteParams::default().grace_period(0);
    for group in 0..10 {
        pods.delete(&set.worker(group, 1), &at_once).await?;
    }
    let had_two = async || {
        let leaders = leaders(&recording)?;
        Ok::<_, anyhow::Error>(leaders.values().filter(|uids| uids.len() == 2).count())
    };
    wait::until(DEADLINE, "ten new leaders", had_two, |it| *it == 10).await?;
    set.done(10).await?;
    set::stays(async || {
        anyhow::ensure!(had_two().await? == 10, "{:?}", leaders(&recording)?);
        Ok(())
    })
    .await?;
    let told = set.namespace().recreations().await?;
    anyhow::ensure!(told.len() == 10, "{told:?}");
    Ok(())
}

#[tokio::test]
async fn the_members_of_groups_are_recorded_with_the_leader_set() -> Result<()> {
    let mark = namespace().await?.mark()?;
    let set = settle(Fixture::default().size(4)).await?;
    set.recorded(2, 4).await?;
    let wanted = set.record().await?;
    set::stays(async || {
        anyhow::ensure!(set.record().await? == wanted, "the record has changed");
        let mut patches = set.namespace().controller_requests(mark)?;
        patches.retain(|it| it.key.verb == "patch" && it.key.resource == "statefulsets");
        let is_of_leaders = patches.iter().all(|it| it.name == set.name());
        // The apply that creates it, and one for the groups, unless one was much slower than the other.
        anyhow::ensure!(is_of_leaders && patches.len() <= 3, "{patches:?}");
        Ok(())
    })
    .await?;
    for group in [0, 1] {
        let worker_set = set.namespace().stateful_sets().get(&set.group(group)).await?;
        anyhow::ensure!(worker_set.metadata.generation == Some(1), "{:?}", worker_set.metadata);
    }
    Ok(())
}

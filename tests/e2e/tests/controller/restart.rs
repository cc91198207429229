//! Failing pods and what becomes of their group.

use std::fmt::Debug;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Resource};
use lws_api_types::keys::annotations;
use lws_api_types::set::RestartPolicy::{self, RecreateGroupAfterStart, RecreateGroupOnPodRestart};
use lws_e2e::policy::{Refusal, Refused};
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::wait;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{create, settle};

/// One group of four pods, none of which has started.
fn one_group(policy: RestartPolicy) -> Fixture {
    Fixture::default().replicas(1).size(4).restart_policy(policy)
}

pub(crate) async fn with_all_pods(fixture: Fixture) -> Result<TestSet> {
    let set = create(fixture).await?;
    set.create_leaders().await?;
    set.create_workers(0).await?;
    set.valid_worker_sets().await?;
    Ok(set)
}

async fn run_all(set: &TestSet) -> Result<()> {
    set.run_pod(&set.group(0)).await?;
    for worker in 1..4 {
        set.run_pod(&set.worker(0, worker)).await?;
    }
    Ok(())
}

/// A container of a running worker restarts.
async fn restart_container(set: &TestSet, worker: &str) -> Result<()> {
    let status = Patch::Strategic(json!({"status": {"phase": "Running", "containerStatuses": [{
        "name": "worker", "image": "", "imageID": "", "ready": true, "restartCount": 1,
    }]}}));
    set.namespace().pods().patch_status(worker, &PatchParams::default(), &status).await?;
    Ok(())
}

/// Whether the leader of a group is being deleted.
async fn leader_ends(set: &TestSet, group: i32) -> Result<bool> {
    let leader = set.namespace().pods().get(&set.group(group)).await?;
    Ok(leader.metadata.deletion_timestamp.is_some())
}

async fn expect_leader_to_end(set: &TestSet, group: i32) -> Result<()> {
    let description = format!("the leader of group {group} is deleted");
    wait::until(DEADLINE, &description, async || leader_ends(set, group).await, |it| *it).await?;
    Ok(())
}

async fn expect_leader_to_stay(set: &TestSet, group: i32) -> Result<()> {
    set::stays(async || {
        anyhow::ensure!(!leader_ends(set, group).await?, "the leader of group {group} is deleted");
        Ok(())
    })
    .await
}

async fn expect_recreation(set: &TestSet, group: i32, failed: &str) -> Result<()> {
    expect_leader_to_end(set, group).await?;
    let leader = set.group(group);
    let note = format!(
        "Worker pod {failed} failed, deleted leader pod {leader} to recreate group {group}"
    );
    set.namespace().expect_event(&format!("Normal RecreateGroup: {note}")).await
}

#[tokio::test]
async fn a_lost_worker_is_the_only_one_replaced_without_a_restart_policy() -> Result<()> {
    let set = with_all_pods(one_group(RestartPolicy::None)).await?;
    set.delete_pod(&set.worker(0, 1)).await?;
    expect_leader_to_stay(&set, 0).await?;
    let pods: Vec<Pod> = set.namespace().all().await?;
    anyhow::ensure!(pods.len() == 3, "the leader and two workers remain");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_vanishes_at_once_recreates_its_group() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupOnPodRestart)).await?;
    set.delete_pod(&set.worker(0, 1)).await?;
    expect_recreation(&set, 0, "test-sample-0-1").await
}

#[tokio::test]
async fn a_worker_that_is_being_deleted_recreates_its_group() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupOnPodRestart)).await?;
    set.begin_to_delete_pod(&set.worker(0, 1)).await?;
    expect_recreation(&set, 0, "test-sample-0-1").await
}

#[tokio::test]
async fn a_worker_that_is_back_before_anyone_looks_recreates_its_group() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupOnPodRestart)).await?;
    set.delete_pod(&set.worker(0, 2)).await?;
    set.create_worker(0, 2).await?;
    expect_recreation(&set, 0, "test-sample-0-2").await
}

#[tokio::test]
async fn a_restarted_container_recreates_its_group_and_no_other() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupOnPodRestart).replicas(2)).await?;
    restart_container(&set, &set.worker(0, 3)).await?;
    expect_recreation(&set, 0, "test-sample-0-3").await?;
    expect_leader_to_stay(&set, 1).await
}

#[tokio::test]
async fn a_group_that_has_not_started_is_left_alone_when_the_annotation_asks_for_it() -> Result<()>
{
    let fixture =
        one_group(RecreateGroupOnPodRestart).annotation(annotations::RECREATE_AFTER_START, "true");
    let set = with_all_pods(fixture).await?;
    for worker in [1, 3] {
        set.run_pod(&set.worker(0, worker)).await?;
    }
    set.begin_to_delete_pod(&set.worker(0, 1)).await?;
    expect_leader_to_stay(&set, 0).await
}

#[tokio::test]
async fn a_group_that_has_not_started_is_left_alone_when_the_policy_asks_for_it() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupAfterStart)).await?;
    for worker in [1, 3] {
        set.run_pod(&set.worker(0, worker)).await?;
    }
    set.begin_to_delete_pod(&set.worker(0, 1)).await?;
    expect_leader_to_stay(&set, 0).await
}

#[tokio::test]
async fn a_group_that_has_started_is_recreated_after_start() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupAfterStart)).await?;
    run_all(&set).await?;
    set.begin_to_delete_pod(&set.worker(0, 1)).await?;
    expect_recreation(&set, 0, "test-sample-0-1").await
}

#[tokio::test]
async fn a_restart_is_not_forgotten_while_a_sibling_is_pending() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupAfterStart)).await?;
    for pod in [set.group(0), set.worker(0, 1), set.worker(0, 2)] {
        set.run_pod(&pod).await?;
    }
    set.begin_to_delete_pod(&set.worker(0, 1)).await?;
    expect_leader_to_stay(&set, 0).await?;
    set.run_pod(&set.worker(0, 3)).await?;
    expect_recreation(&set, 0, "test-sample-0-1").await
}

#[tokio::test]
async fn workers_of_the_former_revision_take_no_updated_leader_with_them() -> Result<()> {
    let set = settle(Fixture::default().replicas(4)).await?;
    set.create_workers(3).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p3 r4 (4/0)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r4 (4/1)").await?;
    set.delete_pod(&set.worker(3, 1)).await?;
    expect_leader_to_stay(&set, 3).await?;
    set.all_ready().await?;
    set.done(4).await?;
    set.create_workers(3).await?;
    // A member that goes before it is on record is not missed.
    let wanted = set.wanted_record(3, 2).await?;
    let record = async || set.record().await;
    wait::until(DEADLINE, "group 3 is on record", record, |it| it.contains(&wanted)).await?;
    set.delete_pod(&set.worker(3, 1)).await?;
    expect_recreation(&set, 3, "test-sample-3-1").await
}

/// Refuses deletions of a kind that do not name the UID of the object.
async fn refuse_without_uid<K>(set: &TestSet, api: &Api<K>) -> Result<Refused>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let refusal = Refusal {
        group: &K::group(&()),
        resource: &K::plural(&()),
        operation: "DELETE",
        allowed: "has(request.options.preconditions) && \
                  has(request.options.preconditions.uid) && \
                  request.options.preconditions.uid == oldObject.metadata.uid",
        message: "'no precondition'",
    };
    let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
    let probe = async || api.delete(&set.group(0), &dry_run).await.map(drop);
    Refused::start(set.namespace(), refusal, probe).await
}

#[tokio::test]
async fn a_leader_is_deleted_by_its_uid() -> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupOnPodRestart)).await?;
    let pods = set.namespace().pods();
    let _refused = refuse_without_uid(&set, &pods).await?;
    set.delete_pod(&set.worker(0, 1)).await?;
    expect_recreation(&set, 0, "test-sample-0-1").await
}

#[tokio::test]
async fn a_container_that_restarts_while_a_sibling_is_pending_recreates_its_group_later()
-> Result<()> {
    let set = with_all_pods(one_group(RecreateGroupAfterStart)).await?;
    for pod in [set.group(0), set.worker(0, 2)] {
        set.run_pod(&pod).await?;
    }
    restart_container(&set, &set.worker(0, 1)).await?;
    expect_leader_to_stay(&set, 0).await?;
    set.run_pod(&set.worker(0, 3)).await?;
    expect_recreation(&set, 0, "test-sample-0-1").await
}

#[tokio::test]
async fn a_worker_set_is_deleted_by_its_uid_when_somebody_else_deletes_its_leader() -> Result<()> {
    let set = with_all_pods(one_group(RestartPolicy::None)).await?;
    let stateful_sets = set.namespace().stateful_sets();
    let _refused = refuse_without_uid(&set, &stateful_sets).await?;
    let pods = set.namespace().pods();
    let held = Patch::Merge(json!({"metadata": {"finalizers": ["example.org/held"]}}));
    pods.patch(&set.group(0), &PatchParams::default(), &held).await?;
    pods.delete(&set.group(0), &DeleteParams::background()).await?;
    let found = async || stateful_sets.get_opt(&set.group(0)).await;
    wait::until(DEADLINE, "the worker StatefulSet is deleted", found, Option::is_none).await?;
    let leader = pods.get(&set.group(0)).await?;
    assert!(leader.metadata.deletion_timestamp.is_some(), "its leader still is there");
    Ok(())
}

#[tokio::test]
async fn a_group_is_recorded_once_and_costs_nothing_after_that() -> Result<()> {
    let mark = crate::namespace().await?.mark()?;
    let set = with_all_pods(one_group(RecreateGroupOnPodRestart)).await?;
    let patches = async || {
        let mut requests = set.namespace().controller_requests(mark)?;
        requests.retain(|it| it.key.verb == "patch" && it.key.resource == "statefulsets");
        Ok::<_, anyhow::Error>(requests.len())
    };
    set.recorded(1, 4).await?;
    set::stays(async || {
        // The apply that creates the leader StatefulSet, and the record.
        anyhow::ensure!(patches().await? == 2, "it is written again");
        Ok(())
    })
    .await
}

//! What a new set gets, and what becomes of objects that are deleted.

use anyhow::Result;
use kube::api::DeleteParams;
use lws_api_types::keys::annotations;
use lws_e2e::{Fixture, set};

use crate::create;

#[tokio::test]
async fn a_new_set_gets_its_objects_and_tells_of_them() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.valid_leader_set(2).await?;
    set.valid_worker_sets().await?;
    set.expect_conditions("progressing").await?;
    for note in [
        "Created leader statefulset test-sample",
        "Created worker statefulset for leader pod test-sample-0",
        "Created worker statefulset for leader pod test-sample-1",
        "Replicas are progressing, with 0 groups ready of total 2 groups",
    ] {
        set.namespace().expect_event(&format!("Normal GroupsProgressing: {note}")).await?;
    }
    let key = set.key().await?;
    let note = format!("Creating revision with key {key} for a newly created LeaderWorkerSet");
    set.namespace().expect_event(&format!("Normal CreatingRevision: {note}")).await
}

#[tokio::test]
async fn groups_of_one_pod_need_no_worker_set() -> Result<()> {
    let set = create(Fixture::default().size(1)).await?;
    set.create_leaders().await?;
    set.valid_leader_set(2).await?;
    set.valid_worker_sets().await?;
    set.all_ready().await?;
    set.done(2).await
}

#[tokio::test]
async fn a_set_without_groups_is_available() -> Result<()> {
    let set = create(Fixture::default().replicas(0)).await?;
    set.valid_leader_set(0).await.and(set.valid_worker_sets().await)?;
    set.expect("available p0 r0 (0/0)").await
}

#[tokio::test]
async fn a_deleted_worker_set_is_created_again() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.valid_worker_sets().await?;
    set.delete_worker_set(0).await?;
    set.valid_worker_sets().await
}

#[tokio::test]
async fn a_deleted_leader_set_is_created_again() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.valid_leader_set(2).await?;
    let stateful_sets = set.namespace().stateful_sets();
    stateful_sets.delete(set.name(), &DeleteParams::default()).await?;
    set.valid_leader_set(2).await
}

#[tokio::test]
async fn exclusively_placed_workers_wait_until_their_leader_is_scheduled() -> Result<()> {
    let fixture =
        Fixture::default().annotation(annotations::EXCLUSIVE_TOPOLOGY, "example.org/rack");
    let set = create(fixture).await?;
    set.create_leaders().await?;
    set.valid_leader_set(2).await?;
    set::stays(async || {
        let seen = set.worker_set_names().await?;
        anyhow::ensure!(seen.is_empty(), "{seen:?}");
        Ok(())
    })
    .await
}

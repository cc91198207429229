//! Conditions and the events that tell of them.

use anyhow::Result;
use k8s_openapi::jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use lws_e2e::{Fixture, TestSet, set};
use serde_json::json;

use crate::{create, settle};

const STARTED: &str =
    "Normal GroupsProgressing: Replicas are progressing, with 0 groups ready of total 2 groups";
const ALL_READY: &str =
    "Normal AllGroupsReady: All replicas are ready, with 2 groups ready of total 2 groups";

/// The message of a condition, whatever its status.
async fn message(set: &TestSet, condition: &str) -> Result<Option<(String, String)>> {
    let conditions = set.live().await?.status.unwrap_or_default().conditions;
    let found = conditions.into_iter().find(|it| it.type_ == condition);
    Ok(found.map(|it| (it.status, it.message)))
}

#[tokio::test]
async fn a_set_is_available_once_all_groups_are_ready() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.expect_conditions("progressing").await?;
    set.namespace().expect_event(STARTED).await?;
    set.all_ready().await?;
    set.done(2).await?;
    set.namespace().expect_event(ALL_READY).await
}

#[tokio::test]
async fn a_set_that_is_scaled_up_progresses_again() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    set.scale(3).await?;
    set.expect_conditions("progressing").await?;
    let available = message(&set, "Available").await?;
    let expected = ("False".to_owned(), "All replicas are ready".to_owned());
    anyhow::ensure!(available == Some(expected), "{available:?}");
    let note = "Replicas are progressing, with 2 groups ready of total 3 groups";
    set.namespace().expect_event(&format!("Normal GroupsProgressing: {note}")).await
}

#[tokio::test]
async fn a_set_that_is_created_with_surge_is_never_updating() -> Result<()> {
    let set = create(Fixture::default().replicas(4).max_surge(2)).await?;
    set.create_leaders().await?;
    set.expect("progressing p0 r4 (0/4)").await?;
    set.all_ready().await?;
    set.done(4).await?;
    let updating = message(&set, "UpdateInProgress").await?;
    anyhow::ensure!(updating.is_none(), "{updating:?}");
    Ok(())
}

#[tokio::test]
async fn conditions_that_are_removed_come_back() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.expect_conditions("progressing").await?;
    let none = Patch::Merge(json!({"status": {"conditions": []}}));
    let sets = set.namespace().sets();
    sets.patch_status(set.name(), &PatchParams::default(), &none).await?;
    set.expect_conditions("progressing").await
}

#[tokio::test]
async fn conditions_keep_their_transition_time_while_only_the_generation_changes() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    let before = set.live().await?.status.unwrap_or_default();
    // Transition times have seconds.
    tokio::time::sleep(SignedDuration::from_millis(1100).try_into()?).await;
    set.set_partition(1).await?;
    set.expect("available p1 r2 (2/2)").await?;
    let seen = set.live().await?.status.unwrap_or_default();
    let times = |status: &lws_api_types::LeaderWorkerSetStatus| {
        let time = |it: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            (it.type_.clone(), it.last_transition_time.clone())
        };
        status.conditions.iter().map(time).collect::<Vec<_>>()
    };
    anyhow::ensure!(times(&seen) == times(&before), "{before:?} → {seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_leader_without_a_readable_index_hinders_no_other_group() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    let relabel = Patch::Merge(json!({"metadata": {"labels": {
        "leaderworkerset.sigs.k8s.io/group-index": "first",
    }}}));
    let pods = set.namespace().pods();
    pods.patch(&set.group(0), &PatchParams::default(), &relabel).await?;
    set.ready(&[1]).await?;
    set.expect("progressing p0 r2 (1/1)").await?;
    set.namespace().expect_event_of(&["Warning", "test-sample-0", "first"]).await?;
    set::stays(async || {
        let events = set.namespace().events().await?;
        let warnings = events.iter().filter(|it| it.starts_with("Warning")).count();
        anyhow::ensure!(warnings == 1, "{events:?}");
        Ok(())
    })
    .await
}

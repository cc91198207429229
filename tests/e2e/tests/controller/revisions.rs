//! Revisions: what is recorded, what groups are built from, and what is forgotten.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use kube::api::{Patch, PatchParams};
use lws_api_types::keys::{annotations, labels};
use lws_api_types::revision;
use lws_e2e::set::{set_in_container, set_worker_image};
use lws_e2e::stand_in::label;
use lws_e2e::{Fixture, TestSet};
use serde_json::{Value, json};

use crate::{create, settle};

/// The revision that the worker `StatefulSet` of a group was built from, and its pod template.
async fn workers(set: &TestSet, group: i32) -> Result<(String, Value)> {
    let worker_set = set.created_worker_set(group).await?;
    let key = label(&worker_set, labels::REVISION)?;
    Ok((key, serde_json::to_value(worker_set.spec.context("no spec")?.template)?))
}

fn container<'a>(template: &'a Value, field: &str) -> Option<&'a str> {
    template.pointer(&format!("/spec/containers/0/{field}"))?.as_str()
}

#[tokio::test]
async fn another_change_during_an_update_starts_again_from_the_top() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_surge(2)).await?;
    set.expect_revisions(1).await?;
    set.change_workers("example.org/second").await?;
    set.expect("rolling p3 r6 (4/0)").await?;
    set.expect_revisions(2).await?;
    set.ready(&[5, 4]).await?;
    set.expect("rolling p1 r6 (6/2)").await?;
    set.expect_revisions(2).await?;
    set.change_workers("example.org/third").await?;
    set.expect("rolling p3 r6 (6/0)").await?;
    set.expect_revisions(3).await?;
    set.all_ready().await?;
    set.expect_conditions("available").await?;
    set.done(4).await?;
    set.expect_revisions(1).await?;
    let revisions: Vec<ControllerRevision> = set.namespace().all().await?;
    let recorded = revisions.first().and_then(|it| it.data.as_ref()).map(|it| it.0.clone());
    let expected: Value = serde_json::from_str(&revision::encode(&set.live().await?.spec))?;
    anyhow::ensure!(recorded.as_ref() == Some(&expected), "{recorded:?}, expected {expected}");
    Ok(())
}

#[tokio::test]
async fn returning_to_the_former_content_restarts_no_group_that_still_has_it() -> Result<()> {
    let set = settle(Fixture::default().replicas(4)).await?;
    let before = set.live().await?.spec;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p3 r4 (4/0)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r4 (4/1)").await?;
    set.update(|it| it.spec.leader_worker_template = before.leader_worker_template.clone()).await?;
    set.expect("rolling p3 r4 (4/3)").await?;
    set.ready(&[3]).await?;
    set.done(4).await?;
    set.expect_revisions(1).await
}

#[tokio::test]
async fn a_group_that_comes_back_during_an_update_is_built_from_the_revision_of_its_leader()
-> Result<()> {
    let set = settle(Fixture::default().replicas(4)).await?;
    let (old_key, old_template) = workers(&set, 0).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p3 r4 (4/0)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r4 (4/1)").await?;
    set.expect_revisions(2).await?;
    let (new_key, new_template) = workers(&set, 3).await?;
    anyhow::ensure!(new_key == set.key().await? && new_key != old_key);
    anyhow::ensure!(container(&new_template, "image") == Some("example.org/new"));
    for group in 0..3 {
        anyhow::ensure!(workers(&set, group).await?.0 == old_key, "group {group} is old");
    }

    set.delete_group(0).await?;
    set.create_leader_at(0, &old_key).await?;
    let (key, template) = workers(&set, 0).await?;
    anyhow::ensure!(key == old_key && template == old_template, "{key} {template}");
    set.all_ready().await?;
    set.done(4).await?;
    set.expect_revisions(1).await
}

#[tokio::test]
async fn a_group_that_comes_back_during_a_change_of_size_has_the_size_of_its_revision() -> Result<()>
{
    let set = settle(Fixture::default().replicas(4).size(4)).await?;
    let (old_key, old_template) = workers(&set, 0).await?;
    set.update(|it| {
        let template = &mut it.spec.leader_worker_template;
        template.size = Some(2);
        set_in_container(&mut template.worker_template, "name", "renamed");
    })
    .await?;
    set.expect("rolling p3 r4 (4/0)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r4 (4/1)").await?;
    anyhow::ensure!(container(&workers(&set, 3).await?.1, "name") == Some("renamed"));
    set.delete_group(0).await?;
    set.create_leader_at(0, &old_key).await?;
    let worker_set: StatefulSet = set.created_worker_set(0).await?;
    anyhow::ensure!(lws_e2e::set::replicas(&worker_set) == 3);
    let (key, template) = workers(&set, 0).await?;
    anyhow::ensure!(key == old_key && template == old_template, "{key} {template}");
    let size = template.pointer("/metadata/annotations").and_then(|it| it.get(annotations::SIZE));
    anyhow::ensure!(size == Some(&json!("4")), "{size:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_without_a_revision_gets_one_with_the_live_content() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    set.expect_revisions(1).await?;
    let relabel =
        Patch::Merge(json!({"metadata": {"labels": {labels::REVISION: "template-hash"}}}));
    let stateful_sets = set.namespace().stateful_sets();
    stateful_sets.patch(set.name(), &PatchParams::default(), &relabel).await?;
    let note = "Creating missing revision with key template-hash for existing LeaderWorkerSet";
    set.namespace().expect_event(&format!("Normal CreatingRevision: {note}")).await?;
    set.expect_conditions("rolling").await?;
    set.all_ready().await?;
    set.expect("available p0 r2 (2/2)").await?;
    set.expect_revisions(1).await?;
    let keys = set.revision_keys().await?;
    anyhow::ensure!(keys == ["template-hash"], "{keys:?}");
    Ok(())
}

#[tokio::test]
async fn revisions_that_no_group_has_are_forgotten_below_a_partition_too() -> Result<()> {
    let set = settle(Fixture::default().partition(1)).await?;
    for image in ["example.org/second", "example.org/third", "example.org/fourth"] {
        set.update(|it| set_worker_image(it, image)).await?;
        set.expect("rolling p1 r2 (2/0)").await?;
        set.ready(&[1]).await?;
        set.expect("available p1 r2 (2/1)").await?;
    }
    set.expect_revisions(2).await
}

#[tokio::test]
async fn keys_are_those_that_other_implementations_compute() -> Result<()> {
    let set = create(Fixture::default()).await?;
    let leader_set = set.created_leader_set().await?;
    let seen = label(&leader_set, labels::REVISION)?;
    anyhow::ensure!(seen == "7bdcf6cbd6", "{seen}");
    set.namespace().revisions().get("test-sample-7bdcf6cbd6-1").await?;
    Ok(())
}

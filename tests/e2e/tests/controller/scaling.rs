//! Changing the number of groups while nothing is being updated.

use anyhow::{Context as _, Result};
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::api::{Patch, PatchParams, PostParams};
use lws_e2e::{DEADLINE, Fixture};
use lws_harness::wait;
use serde_json::json;

use crate::create;

#[tokio::test]
async fn scaling_up_adds_groups() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.scale(3).await?;
    set.valid_leader_set(3).await?;
    set.create_leaders().await?;
    set.valid_worker_sets().await
}

#[tokio::test]
async fn scaling_down_leaves_valid_groups() -> Result<()> {
    let set = create(Fixture::default().replicas(4)).await?;
    set.create_leaders().await?;
    set.valid_worker_sets().await?;
    set.scale(3).await?;
    set.valid_leader_set(3).await?;
    set.delete_surplus().await?;
    set.valid_worker_sets().await
}

#[tokio::test]
async fn scaling_to_zero_leaves_no_group() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.valid_worker_sets().await?;
    set.scale(0).await?;
    set.valid_leader_set(0).await?;
    set.delete_surplus().await?;
    set.valid_worker_sets().await?;
    set.expect("available p0 r0 (0/0)").await
}

#[tokio::test]
async fn scaling_up_from_zero_adds_groups() -> Result<()> {
    let set = create(Fixture::default().replicas(0)).await?;
    set.valid_leader_set(0).await?;
    set.scale(3).await?;
    set.valid_leader_set(3).await?;
    set.create_leaders().await?;
    set.valid_worker_sets().await
}

#[tokio::test]
async fn the_scale_subresource_tells_wanted_and_existing_groups() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    let status = Patch::Merge(json!({"status": {"replicas": 2}}));
    let stateful_sets = set.namespace().stateful_sets();
    stateful_sets.patch_status(set.name(), &PatchParams::default(), &status).await?;
    let selector = "leaderworkerset.sigs.k8s.io/name=test-sample,\
                    leaderworkerset.sigs.k8s.io/worker-index=0";
    let look = async || {
        let scale = set.namespace().sets().get_scale(set.name()).await?;
        let wanted = scale.spec.and_then(|it| it.replicas);
        let status = scale.status.context("no status")?;
        Ok::<_, anyhow::Error>((wanted, status.replicas, status.selector))
    };
    let expected = (Some(2), 2, Some(selector.to_owned()));
    wait::until(DEADLINE, "the scale subresource", look, |seen| *seen == expected).await?;
    Ok(())
}

#[tokio::test]
async fn the_scale_subresource_changes_the_number_of_groups() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.valid_leader_set(2).await?;
    let sets = set.namespace().sets();
    let mut scale: Scale = sets.get_scale(set.name()).await?;
    scale.metadata.resource_version = None;
    scale.spec.get_or_insert_default().replicas = Some(3);
    sets.replace_scale(set.name(), &PostParams::default(), &scale).await?;
    anyhow::ensure!(set.live().await?.spec.replicas() == 3);
    set.valid_leader_set(3).await
}

//! `PodGroup`s that cannot be created: a group gets no workers without, and people are told why.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{ObjectMeta, PostParams};
use lws_api_types::names;
use lws_e2e::pod_group::{PodGroup, PodGroupSpec};
use lws_e2e::policy::{Refusal, Refused};
use lws_e2e::{TestSet, set};

use crate::groups::delete;
use crate::{create, fixture};

/// A `PodGroup` of somebody else.
fn pod_group(name: &str) -> PodGroup {
    let spec = PodGroupSpec { min_member: 7, min_resources: [].into(), queue: None };
    PodGroup { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec }
}

async fn stays_without_workers(set: &TestSet, others: &[String]) -> Result<()> {
    set::stays(async || {
        let seen = set.worker_set_names().await?;
        anyhow::ensure!(seen == others, "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_foreign_pod_group_is_left_alone_and_told_of() -> Result<()> {
    let set = create(fixture()).await?;
    let name = names::pod_group(set.name(), "1", &set.key().await?);
    let api = set.namespace().api::<PodGroup>();
    let before = api.create(&PostParams::default(), &pod_group(&name)).await?;
    set.create_leaders().await?;
    let failed = format!(
        "Warning FailedCreate: Failed to create pod group {name} for leader pod test-sample-1: "
    );
    set.namespace().expect_event_of(&[&failed, "exists and is controlled by "]).await?;
    set.ready(&[0]).await?;
    set.expect("progressing p0 r2 (1/1)").await?;
    stays_without_workers(&set, &[set.group(0)]).await?;
    let after = api.get(&name).await?;
    anyhow::ensure!(after == before, "{after:?}");

    delete(&set, &name).await?;
    set.valid_pod_groups().await?;
    set.all_ready().await?;
    set.done(2).await
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_server_and_tried_again() -> Result<()> {
    let set = create(fixture().replicas(1)).await?;
    let refusal = Refusal {
        group: "scheduling.volcano.sh",
        resource: "podgroups",
        operation: "CREATE",
        allowed: "false",
        message: "'the queue is closed'",
    };
    let api = set.namespace().api::<PodGroup>();
    let probe = async || {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        api.create(&dry_run, &pod_group("probe")).await.map(drop)
    };
    let refused = Refused::start(set.namespace(), refusal, probe).await?;
    set.create_leaders().await?;
    let leader: Pod = set.namespace().pods().get(&set.group(0)).await?;
    let failed = format!(
        "Warning FailedCreate: Failed to create pod group {} for leader pod {}: ",
        set.pod_group_name(&leader)?,
        leader.name_any(),
    );
    set.namespace().expect_event_of(&[&failed, "the queue is closed"]).await?;
    stays_without_workers(&set, &[]).await?;
    refused.stop().await.context("stop refusing")?;
    set.valid_pod_groups().await?;
    set.all_ready().await?;
    set.done(1).await
}

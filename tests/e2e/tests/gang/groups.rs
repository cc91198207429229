//! Which `PodGroup`s there are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use lws_api_types::keys::annotations;
use lws_api_types::set::StartupPolicy;
use lws_e2e::pod_group::PodGroup;
use lws_e2e::stand_in::uid;
use lws_e2e::{Fixture, TestSet, set};
use serde_json::json;

use crate::{create, fixture};

/// Deletes a `PodGroup`, as the garbage collector does when its leader is gone.
pub(crate) async fn delete(set: &TestSet, name: &str) -> Result<()> {
    set.namespace().api::<PodGroup>().delete(name, &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test]
async fn each_group_has_a_pod_group_that_tells_what_it_needs() -> Result<()> {
    let fixture = fixture()
        .size(4)
        .annotation(annotations::VOLCANO_QUEUE, "research")
        .annotation("volcano.sh/preemptable", "true")
        .annotation("example.org/other", "x")
        .resources(
            &json!({"requests": {"cpu": "1", "memory": "2Gi"}}),
            &json!({"requests": {"cpu": "250m"}, "limits": {"cpu": "1", "example.org/gpu": "8"}}),
        );
    let set = create(fixture).await?;
    set.create_leaders().await?;
    let pod_groups = set.valid_pod_groups().await?;
    anyhow::ensure!(pod_groups.len() == 2, "{pod_groups:?}");
    let needed = [("cpu", "1750m"), ("example.org/gpu", "24"), ("memory", "2Gi")];
    let needed: BTreeMap<_, _> = needed.map(|(key, it)| (key.to_owned(), it.to_owned())).into();
    let passed_on = [("volcano.sh/preemptable".to_owned(), "true".to_owned())];
    for pod_group in pod_groups.values() {
        anyhow::ensure!(pod_group.spec.min_member == 4, "{pod_group:?}");
        anyhow::ensure!(pod_group.spec.min_resources == needed, "{pod_group:?}");
        anyhow::ensure!(pod_group.spec.queue.as_deref() == Some("research"), "{pod_group:?}");
        let annotations = pod_group.metadata.annotations.clone();
        anyhow::ensure!(annotations == Some(passed_on.clone().into()), "{pod_group:?}");
    }
    set.valid_worker_sets().await
}

#[tokio::test]
async fn a_leader_that_its_workers_wait_for_starts_alone() -> Result<()> {
    let set = create(fixture().startup_policy(StartupPolicy::LeaderReady)).await?;
    set.create_leaders().await?;
    for pod_group in set.valid_pod_groups().await?.values() {
        anyhow::ensure!(pod_group.spec.min_member == 1, "{pod_group:?}");
        anyhow::ensure!(pod_group.spec.queue.is_none(), "{pod_group:?}");
    }
    let seen = set.worker_set_names().await?;
    anyhow::ensure!(seen.is_empty(), "{seen:?}");
    set.all_ready().await?;
    set.done(2).await
}

#[tokio::test]
async fn a_rollout_gives_each_group_a_new_pod_group() -> Result<()> {
    let set = create(fixture().replicas(3)).await?;
    set.all_ready().await?;
    set.done(3).await?;
    let former = set.valid_pod_groups().await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p2 r3 (3/0)").await?;
    let key = set.key().await?;
    for (group, stage) in
        [(2, "rolling p1 r3 (3/1)"), (1, "rolling p0 r3 (3/2)"), (0, "available p0 r3 (3/3)")]
    {
        let name = set.group(group);
        set.delete_group(group).await?;
        delete(&set, &former.get(&name).context("no former PodGroup")?.name_any()).await?;
        set.create_leader(group).await?;
        let pod_groups = set.valid_pod_groups().await?;
        let now = pod_groups.get(&name).context("no PodGroup")?.name_any();
        anyhow::ensure!(now == format!("{name}-{key}"), "{now}");
        set.ready(&[group]).await?;
        set.expect(stage).await?;
    }
    set.done(3).await
}

#[tokio::test]
async fn a_leader_that_is_created_again_gets_a_pod_group_of_its_own() -> Result<()> {
    let set = create(fixture()).await?;
    set.all_ready().await?;
    set.done(2).await?;
    let former = set.valid_pod_groups().await?.remove(&set.group(1)).context("no PodGroup")?;
    set.delete_group(1).await?;
    set.create_leader(1).await?;
    // The garbage collector does not run here, so the one of the former leader is still there.
    set::stays(async || {
        let now = set.namespace().api::<PodGroup>().get(&former.name_any()).await?;
        anyhow::ensure!(now == former, "{now:?}");
        let worker_sets = set.worker_set_names().await?;
        anyhow::ensure!(worker_sets == [set.group(0)], "{worker_sets:?}");
        Ok(())
    })
    .await?;

    delete(&set, &former.name_any()).await?;
    let now = set.valid_pod_groups().await?.remove(&set.group(1)).context("no PodGroup")?;
    anyhow::ensure!(now.name_any() == former.name_any() && uid(&now) != uid(&former));
    set.all_ready().await?;
    set.done(2).await?;
    let events = set.namespace().events().await?;
    let warnings: Vec<_> = events.iter().filter(|it| it.starts_with("Warning")).collect();
    anyhow::ensure!(warnings.is_empty(), "{warnings:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_pod_group_is_created_again() -> Result<()> {
    let set = create(fixture()).await?;
    set.all_ready().await?;
    set.done(2).await?;
    let former = set.valid_pod_groups().await?.remove(&set.group(0)).context("no PodGroup")?;
    delete(&set, &former.name_any()).await?;
    let now = set.valid_pod_groups().await?.remove(&set.group(0)).context("no PodGroup")?;
    anyhow::ensure!(uid(&now) != uid(&former), "{now:?}");
    // Its pods run on.
    set.done(2).await
}

#[tokio::test]
async fn leaders_that_name_no_pod_group_run_without() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.all_ready().await?;
    set.done(2).await?;
    set::stays(async || {
        let seen = set.pod_groups().await?;
        anyhow::ensure!(seen.is_empty(), "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_settled_set_causes_no_request_whatever_volcano_writes() -> Result<()> {
    let set = create(fixture()).await?;
    set.all_ready().await?;
    set.done(2).await?;
    let ready = "All replicas are ready, with 2 groups ready of total 2 groups";
    set.namespace().expect_event(&format!("Normal AllGroupsReady: {ready}")).await?;
    let mark = set.namespace().mark()?;
    let (api, params) = (set.namespace().api::<PodGroup>(), PatchParams::default());
    for name in set.pod_groups().await?.keys() {
        for phase in ["Inqueue", "Running"] {
            let status = Patch::Merge(json!({"status": {"phase": phase}}));
            api.patch_status(name, &params, &status).await?;
        }
        // Settings of ours that somebody changes are theirs.
        let spec = Patch::Merge(json!({"spec": {"queue": "other"}}));
        api.patch(name, &params, &spec).await?;
    }
    set::stays(async || {
        let requests = set.namespace().controller_requests(mark)?;
        anyhow::ensure!(requests.is_empty(), "{requests:#?}");
        Ok(())
    })
    .await
}

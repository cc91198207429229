//! Objects that have the name of ours: those of others are left alone, those of a former set go or are taken over.

use anyhow::Result;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lws_api_types::keys::labels;
use lws_api_types::set::SubdomainPolicy;
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet, set};
use lws_harness::wait;
use serde_json::{Value, json};

use crate::{namespace, settle};

async fn create_service(namespace: &Namespace, name: &str) -> Result<Service> {
    let service = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]},
    }))?;
    Ok(namespace.services().create(&PostParams::default(), &service).await?)
}

/// With the selector that ours would have, which is the most tempting to take over.
async fn create_stateful_set(
    namespace: &Namespace,
    name: &str,
    metadata_labels: &Value,
) -> Result<StatefulSet> {
    let selector = json!({labels::NAME: "test-sample", labels::WORKER_INDEX: "0"});
    let stateful_set = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": metadata_labels},
        "spec": {
            "serviceName": name,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": selector},
                "spec": {"containers": [{"name": "other", "image": "example.org/other"}]},
            },
        },
    }))?;
    Ok(namespace.stateful_sets().create(&PostParams::default(), &stateful_set).await?)
}

#[tokio::test]
async fn a_foreign_service_is_left_alone_and_told_of() -> Result<()> {
    let namespace = namespace().await?;
    let before = create_service(&namespace, "test-sample").await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    let parts = ["Warning FailedCreate: Failed to create headless service for error: ", "exists"];
    namespace.expect_event_of(&parts).await?;
    // What can be done is done nevertheless.
    set.create_leaders().await?;
    set.valid_leader_set(2).await?;
    set.valid_worker_sets().await?;
    let after = namespace.services().get("test-sample").await?;
    anyhow::ensure!(after == before, "{after:?}");
    // It is told as long as it is so.
    set.expect_failure(&["True FailedCreate: Failed to create headless service", "exists"]).await?;
    namespace.services().delete("test-sample", &DeleteParams::default()).await?;
    set.valid_services(1).await?;
    set.expect_no_failure().await
}

#[tokio::test]
async fn an_object_that_has_lost_its_label_is_told_of_until_it_has_it_again() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    let services = set.namespace().services();
    let label = async |name: Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {labels::NAME: name}}}));
        services.patch(set.name(), &PatchParams::default(), &patch).await
    };
    for other in [json!("other"), Value::Null] {
        label(other).await?;
        let text =
            "exists without label leaderworkerset.sigs.k8s.io/name=test-sample: put the label back";
        set.expect_failure(&["True FailedCreate: Failed to create headless service", text]).await?;
        label(json!(set.name())).await?;
        set.expect_no_failure().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_stateful_set_is_left_alone_and_told_of() -> Result<()> {
    let namespace = namespace().await?;
    let before = create_stateful_set(&namespace, "test-sample", &json!({})).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    let parts = ["Warning FailedCreate: Failed to create leader statefulset test-sample", "exists"];
    namespace.expect_event_of(&parts).await?;
    let after = namespace.stateful_sets().get("test-sample").await?;
    anyhow::ensure!(after == before, "{after:?}");
    let told = ["True FailedCreate: Failed to create leader statefulset test-sample", "exists"];
    set.expect_failure(&told).await?;
    namespace.stateful_sets().delete("test-sample", &DeleteParams::default()).await?;
    set.valid_leader_set(2).await?;
    set.expect_no_failure().await
}

#[tokio::test]
async fn a_foreign_stateful_set_in_place_of_workers_is_left_alone_and_told_of() -> Result<()> {
    let namespace = namespace().await?;
    let before = create_stateful_set(&namespace, "test-sample-1", &json!({})).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.create_leaders().await?;
    let note = "Failed to create worker statefulset for leader pod test-sample-1";
    namespace.expect_event_of(&["Warning FailedCreate: ", note, "exists"]).await?;
    let after = namespace.stateful_sets().get("test-sample-1").await?;
    anyhow::ensure!(after == before, "{after:?}");
    set.ready(&[0]).await?;
    set.expect("progressing p0 r2 (1/1)").await
}

#[tokio::test]
async fn a_foreign_service_in_place_of_that_of_a_group_is_left_alone_and_told_of() -> Result<()> {
    let namespace = namespace().await?;
    let before = create_service(&namespace, "test-sample-1").await?;
    let fixture = Fixture::default().subdomain_policy(SubdomainPolicy::UniquePerReplica);
    let set = namespace.create_set(&fixture).await?;
    set.create_leaders().await?;
    let parts = ["Warning FailedCreate: Failed to create headless service for error: ", "exists"];
    namespace.expect_event_of(&parts).await?;
    // The groups get their workers nevertheless.
    set.valid_worker_sets().await?;
    let after = namespace.services().get("test-sample-1").await?;
    anyhow::ensure!(after == before, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn a_foreign_revision_is_left_alone_and_passed_over() -> Result<()> {
    let namespace = namespace().await?;
    // Of the name, the label and the key that ours would have, but somebody else's.
    let foreign: ControllerRevision = serde_json::from_value(json!({
        "metadata": {
            "name": "test-sample-7bdcf6cbd6-1",
            "labels": {labels::NAME: "test-sample", labels::REVISION: "7bdcf6cbd6"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other",
                "controller": true,
            }],
        },
        "revision": 1,
        "data": {"other": true},
    }))?;
    let before = namespace.revisions().create(&PostParams::default(), &foreign).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.valid_leader_set(2).await?;
    let ours = namespace.revisions().get("test-sample-7bdcf6cbd6-2").await?;
    anyhow::ensure!(ours.owner_references().iter().any(|it| it.name == "test-sample"), "{ours:?}");
    set.all_ready().await?;
    set.done(2).await?;
    let after = namespace.revisions().get("test-sample-7bdcf6cbd6-1").await?;
    anyhow::ensure!(after == before, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn a_foreign_revision_of_our_name_is_left_alone_and_the_next_number_taken() -> Result<()> {
    let namespace = namespace().await?;
    let name = "test-sample-7bdcf6cbd6-1";
    let foreign: ControllerRevision = serde_json::from_value(
        json!({"metadata": {"name": name}, "revision": 1, "data": {"other": true}}),
    )?;
    let before = namespace.revisions().create(&PostParams::default(), &foreign).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.valid_leader_set(2).await?;
    let instead = "Warning FailedCreate: Failed to create revision test-sample-7bdcf6cbd6-1, \
                   test-sample-7bdcf6cbd6-2 is created instead: ";
    let holder = "controllerrevision test-sample-7bdcf6cbd6-1 exists and is controlled by nobody";
    namespace.expect_event_of(&[instead, holder]).await?;
    let after = namespace.revisions().get(name).await?;
    anyhow::ensure!(after == before, "{after:?}");
    set.all_ready().await?;
    set.done(2).await?;
    set.expect_no_failure().await
}

#[tokio::test]
async fn a_set_that_is_named_like_a_group_of_another_one_takes_nothing_from_it() -> Result<()> {
    let namespace = namespace().await?;
    let first = namespace.create_set(&Fixture::named("x").replicas(1)).await?;
    first.create_leaders().await?;
    first.valid_worker_sets().await?;
    let before = namespace.stateful_sets().get("x-0").await?;
    namespace.create_set(&Fixture::named("x-0").replicas(1)).await?;
    let note = "Failed to create leader statefulset x-0: statefulset x-0 exists and is controlled by \
                Pod x-0 of set x: it is left as it is; create this set under another name";
    namespace.expect_event_of(&["Warning FailedCreate: ", note]).await?;
    let after = namespace.stateful_sets().get("x-0").await?;
    anyhow::ensure!(after == before, "{after:?}");
    first.valid_worker_sets().await
}

#[tokio::test]
async fn a_service_that_somebody_has_edited_is_left_as_it_is() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    set.valid_services(1).await?;
    let (namespace, services) = (set.namespace(), set.namespace().services());
    let mark = namespace.silence().await?;
    let selector = Patch::Merge(json!({"spec": {"selector": {"app": "other"}}}));
    let edited = services.patch(set.name(), &PatchParams::default(), &selector).await?;
    set::stays(async || namespace.ensure_silent_since(mark)).await?;
    let after = services.get(set.name()).await?;
    anyhow::ensure!(after == edited, "{after:?}");
    Ok(())
}

/// What must stay the same when a set is taken over: UIDs and generations of its `StatefulSet`s, UIDs and versions of
/// its pods.
async fn fingerprint(set: &TestSet) -> Result<Vec<String>> {
    let stateful_sets: Vec<StatefulSet> = set.namespace().all().await?;
    let pods: Vec<Pod> = set.namespace().all().await?;
    let stateful_set =
        |it: &StatefulSet| format!("{} {} {:?}", it.name_any(), uid(it), it.metadata.generation);
    let pod = |it: &Pod| format!("{} {} {:?}", it.name_any(), uid(it), it.resource_version());
    Ok(stateful_sets.iter().map(stateful_set).chain(pods.iter().map(pod)).collect())
}

async fn delete_set(set: &TestSet) -> Result<()> {
    set.namespace().sets().delete(set.name(), &DeleteParams::background()).await?;
    Ok(())
}

#[tokio::test]
async fn a_set_that_is_created_again_waits_until_its_predecessor_is_gone() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    let before = fingerprint(&set).await?;
    let former = uid(&set.leader_set().await?);
    delete_set(&set).await?;
    set.create(&Fixture::default()).await?;
    // The garbage collector does not run here, so the objects of the former set are still there.
    set::stays(async || {
        let now = fingerprint(&set).await?;
        anyhow::ensure!(now == before, "{now:?}");
        Ok(())
    })
    .await?;

    for group in 0..2 {
        set.delete_group(group).await?;
    }
    set.namespace().services().delete(set.name(), &DeleteParams::default()).await?;
    set.namespace().stateful_sets().delete(set.name(), &DeleteParams::default()).await?;
    set.valid_leader_set(2).await?;
    anyhow::ensure!(uid(&set.leader_set().await?) != former);
    set.all_ready().await?;
    set.done(2).await?;
    set.valid_services(1).await
}

#[tokio::test]
async fn a_set_that_is_created_again_after_an_orphaning_deletion_takes_over_without_a_restart()
-> Result<()> {
    let set = settle(Fixture::default()).await?;
    let before = fingerprint(&set).await?;
    let keys = set.revision_keys().await?;
    // What the garbage collector does for an orphaning deletion.
    let orphan = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    delete_set(&set).await?;
    let (namespace, params) = (set.namespace(), PatchParams::default());
    namespace.stateful_sets().patch(set.name(), &params, &orphan).await?;
    namespace.services().patch(set.name(), &params, &orphan).await?;
    for revision in set.namespace().all::<ControllerRevision>().await? {
        namespace.revisions().patch(&revision.name_any(), &params, &orphan).await?;
    }

    set.create(&Fixture::default()).await?;
    set.expect("available p0 r2 (2/2)").await?;
    let description = "the leader StatefulSet is owned by the new set";
    let owner = set.live().await?.uid().to_owned();
    let look = async || set.leader_set().await.map(|it| it.owner_references().to_vec());
    wait::until(DEADLINE, description, look, |seen| {
        seen.iter().any(|it| it.uid == owner && it.controller == Some(true))
    })
    .await?;
    anyhow::ensure!(fingerprint(&set).await? == before);
    anyhow::ensure!(set.revision_keys().await? == keys);
    // The Service and the revision have become its own, too, so that they go with it.
    let is_own = |owners: &[OwnerReference]| owners.iter().any(|it| it.uid == owner);
    let service = namespace.services().get(set.name()).await?;
    anyhow::ensure!(is_own(service.owner_references()), "{service:?}");
    let revisions: Vec<ControllerRevision> = namespace.all().await?;
    anyhow::ensure!(revisions.iter().all(|it| is_own(it.owner_references())), "{revisions:?}");

    // And it goes on as usual.
    set.change_workers("example.org/new").await?;
    set.expect("rolling p1 r2 (2/0)").await?;
    set.all_ready().await?;
    set.done(2).await
}

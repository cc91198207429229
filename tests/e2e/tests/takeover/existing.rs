//! Clusters that the existing implementation has run, taken over with the shipped manifests.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use lws_api_types::keys::annotations;
use lws_e2e::fixture::IMAGE;
use lws_e2e::set::set_in_container;
use lws_e2e::{DEADLINE, set};
use lws_harness::wait;
use serde_json::{Value, json};

use crate::hand_back;
use crate::manager::{Installed, Manager};
use crate::snapshot::{Snapshot, without_history};
use crate::world::World;

/// The set that is rolling out. Its new pods are never ready.
const HALF_WAY: &str = "half-way";

/// The pods of its groups that are ready.
const HALF_WAY_READY: [&str; 6] =
    ["half-way-0", "half-way-0-1", "half-way-1", "half-way-1-1", "half-way-2", "half-way-2-1"];

/// What is different from release to release.
struct Release {
    name: &'static str,
    /// How it was installed.
    installed: Installed,
    /// Whether its configuration is the one that ours has.
    is_configured_alike: bool,
    /// Whether the status says which generation it is about.
    observes: bool,
    /// The sets with labels or annotations of their own that the release did not hand on to the leader `StatefulSet`.
    bare: &'static [&'static str],
    /// The partition that `canary` rests at, and how many of its groups are updated.
    canary: (i64, i64),
}

#[tokio::test]
async fn v0_6_0() -> Result<()> {
    take_over(&Release {
        name: "v0.6.0",
        installed: Installed::Chart,
        is_configured_alike: false,
        observes: false,
        bare: &["after-start", "exclusive", "multi", "tpu-sub"],
        canary: (0, 4),
    })
    .await
}

#[tokio::test]
async fn v0_10_0() -> Result<()> {
    take_over(&Release {
        name: "v0.10.0",
        installed: Installed::Manifests,
        is_configured_alike: true,
        observes: true,
        bare: &[],
        canary: (2, 2),
    })
    .await
}

async fn take_over(release: &Release) -> Result<()> {
    let world = World::recorded("existing", release.name).await?;
    world.hosting(in_this_world(&world, release)).await
}

async fn in_this_world(world: &World, release: &Release) -> Result<()> {
    let manager = Manager::run(world, release.installed).await?;
    let before = world.at_rest().await?;
    let (former, mark) = (world.leader().await?, world.namespace.mark()?);
    let told = world.looking_changes_nothing(release.installed, &before).await?;
    let is_told = told.contains("install: the ConfigMap gets another content");
    ensure!(is_told != release.is_configured_alike, "{told}");
    world.is_installed_without_a_gap(release.installed).await?;
    only_our_webhooks(world, release).await?;
    world.looked_at(&former, "fresh").await?;
    manager.certificate_is_kept(world).await?;

    let after = Snapshot::of(&world.namespace).await?;
    let mut writes = world.writes(mark, &before)?;
    settled_sets_are_left_alone(release, &before, &after, &mut writes)?;
    the_rollout_has_gone_on_within_its_budget(&before, &after, &mut writes)?;
    // What is left is for the set that was created now.
    ensure!(writes.keys().all(String::is_empty), "{writes:#?}");
    hand_back::is_possible(&after)?;

    another_process_writes_nothing(world).await?;
    the_rollout_finishes(world).await?;
    a_group_is_recreated(world).await?;
    an_update_is_rolled_out(world).await?;
    let end = world.at_rest().await?;
    for set in before.sets() {
        if ![HALF_WAY, "multi", "quickstart"].contains(&set) {
            // Nor has anything happened to the others since.
            after.same(&end, set, |_, _, _| {})?;
        }
    }
    hand_back::is_possible(&end)?;
    manager.certificate_is_kept(world).await
}

/// The entries of the webhooks that are gone are gone too, unless another tool has applied them.
async fn only_our_webhooks(world: &World, release: &Release) -> Result<()> {
    let client = world.cluster.client();
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone())
        .get("lws-mutating-webhook-configuration")
        .await?;
    let validating = Api::<ValidatingWebhookConfiguration>::all(client)
        .get("lws-validating-webhook-configuration")
        .await?;
    let mutating = mutating.webhooks.into_iter().flatten().map(|it| it.name);
    let validating = validating.webhooks.into_iter().flatten().map(|it| it.name);
    let names: Vec<_> = mutating.chain(validating).collect();
    let mut expected = vec!["mleaderworkerset.kb.io", "mpod.kb.io", "vleaderworkerset.kb.io"];
    if release.installed == Installed::Chart {
        expected.push("vpod.kb.io");
    }
    ensure!(names == expected, "{names:?}");
    Ok(())
}

/// Of the sets that were settled nothing has changed but what this release did not write, and what is noted of groups.
fn settled_sets_are_left_alone(
    release: &Release,
    before: &Snapshot,
    after: &Snapshot,
    writes: &mut BTreeMap<String, Vec<String>>,
) -> Result<()> {
    for set in before.sets().into_iter().filter(|it| *it != HALF_WAY) {
        let is_bare = release.bare.contains(&set);
        let is_noted = is_noted(after.get("statefulset", set)?);
        before.same(after, set, |kind, name, object| match kind {
            "set" if !release.observes => {
                without_history(object);
                without_observed_generation(object);
                without_partition(object);
            }
            "statefulset" if name == set && (is_bare || is_noted) => {
                without_history(object);
                without_note_of_members(object);
                if is_bare {
                    // Labels and annotations of the set; the selector, the template and the generation are compared.
                    without_metadata_of(object, before, set);
                }
            }
            _ => {}
        })?;
        let mut expected = Vec::new();
        if is_bare {
            // The labels and annotations that this release did not hand on.
            expected.push(format!("patch statefulsets {set}"));
        }
        if !release.observes {
            // The observed generation, which this release did not know.
            expected.push(format!("update leaderworkersets/status {set}"));
        }
        if is_noted {
            // Who belongs to its groups, once for all of them.
            expected.insert(0, format!("patch statefulsets {set}"));
        }
        let seen = writes.remove(set).unwrap_or_default();
        ensure!(seen == expected, "{set}: expected {expected:?}, seen {seen:?}");
        let live = after.get("set", set)?;
        let (observed, generation) =
            (&live["status"]["observedGeneration"], &live["metadata"]["generation"]);
        ensure!(observed == generation, "{set} is at {generation}, observed {observed}");
    }
    let canary = after.get("statefulset", "canary")?;
    let partition = &canary["spec"]["updateStrategy"]["rollingUpdate"]["partition"];
    let updated = &after.get("set", "canary")?["status"]["updatedReplicas"];
    let seen = (partition.as_i64(), updated.as_i64());
    ensure!(seen == (Some(release.canary.0), Some(release.canary.1)), "{seen:?}");
    Ok(())
}

/// Whether it is noted at a leader `StatefulSet` who belongs to its groups.
fn is_noted(leader_set: &Value) -> bool {
    leader_set["metadata"]["annotations"][annotations::MEMBERS].is_string()
}

fn without_observed_generation(set: &mut Value) {
    let Some(status) = set["status"].as_object_mut() else { return };
    status.remove("observedGeneration");
    for condition in
        status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("observedGeneration");
        }
    }
}

/// Takes out the partition, if it is the default: this definition of sets has it, so that it is read without being stored.
fn without_partition(set: &mut Value) {
    let rollout = set.pointer_mut("/spec/rolloutStrategy/rollingUpdateConfiguration");
    if let Some(rollout) = rollout.and_then(Value::as_object_mut)
        && rollout.get("partition").is_some_and(|it| *it == 0)
    {
        rollout.remove("partition");
    }
}

/// Takes out who belongs to the groups of a leader `StatefulSet`.
fn without_note_of_members(leader_set: &mut Value) {
    let Some(metadata) = leader_set["metadata"].as_object_mut() else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else {
        return;
    };
    annotations.remove(annotations::MEMBERS);
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// Takes out the labels and annotations that are those of the set.
fn without_metadata_of(object: &mut Value, before: &Snapshot, set: &str) {
    for kind in ["labels", "annotations"] {
        let own = before.get("set", set).map(|it| it["metadata"][kind].clone()).unwrap_or_default();
        let Some(map) = object["metadata"][kind].as_object_mut() else { continue };
        map.retain(|key, value| own.get(key) != Some(value));
    }
}

/// The set that was rolling out has replaced the group that its partition allows, and no other.
fn the_rollout_has_gone_on_within_its_budget(
    before: &Snapshot,
    after: &Snapshot,
    writes: &mut BTreeMap<String, Vec<String>>,
) -> Result<()> {
    for pod in HALF_WAY_READY.into_iter().chain(["half-way-4", "half-way-4-1"]) {
        ensure!(before.get("pod", pod)? == after.get("pod", pod)?, "{pod} has changed");
    }
    let revisions = |it: &Snapshot| -> BTreeMap<String, Value> {
        let own = it.of_set("revision", HALF_WAY).filter(|(_, it)| !of_stateful_set(it));
        own.map(|(name, it)| (name.to_owned(), it.clone())).collect()
    };
    ensure!(revisions(before) == revisions(after), "the revisions have changed");
    let (mut old, mut new) =
        (before.get("set", HALF_WAY)?.clone(), after.get("set", HALF_WAY)?.clone());
    [&mut old, &mut new].into_iter().for_each(without_partition);
    let generation = |it: &Value| it["metadata"]["generation"].clone();
    ensure!(old["spec"] == new["spec"] && generation(&old) == generation(&new), "{new}");
    let conditions = new["status"]["conditions"].as_array().context("no conditions")?;
    let holds =
        |kind: &str| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
    ensure!(
        holds("UpdateInProgress") && holds("Progressing") && !holds("Available"),
        "{conditions:?}"
    );
    let counts =
        ["replicas", "readyReplicas", "updatedReplicas"].map(|it| new["status"][it].as_i64());
    ensure!(counts == [Some(5), Some(3), Some(2)], "{counts:?}");

    let (old, new) = (before.get("statefulset", HALF_WAY)?, after.get("statefulset", HALF_WAY)?);
    ensure!(old["spec"]["template"] == new["spec"]["template"], "the template has changed");
    // Kubernetes 1.36 drops `maxUnavailable`, so it comes to the default there; this version keeps it.
    let mut strategy = old["spec"]["updateStrategy"].clone();
    strategy["rollingUpdate"]["maxUnavailable"] = json!(2);
    ensure!(new["spec"]["updateStrategy"] == strategy, "{}", new["spec"]["updateStrategy"]);

    let seen = writes.remove(HALF_WAY).unwrap_or_default();
    let is_event = |it: &&String| it.starts_with("create events ");
    // Where the StatefulSet controller deletes the leader, its workers end with it, unless they are gone already.
    let is_deletion = |it: &&str| *it == "delete statefulsets half-way-3";
    let lines = seen.iter().filter(|it| !is_event(it)).map(String::as_str);
    let lines: Vec<&str> = lines.filter(|it| !is_deletion(it)).collect();
    let expected = BTreeSet::from([
        "patch statefulsets half-way",
        "create statefulsets half-way-3",
        "update leaderworkersets/status half-way",
    ]);
    ensure!(lines.iter().copied().collect::<BTreeSet<_>>() == expected, "{seen:#?}");
    ensure!(lines.iter().filter(|it| it.starts_with("create ")).count() == 1, "{seen:#?}");
    // Its own, and who belongs to its groups: those that there were, and the one that is new.
    ensure!(lines.iter().filter(|it| it.starts_with("patch ")).count() <= 3, "{seen:#?}");
    // About the worker StatefulSet.
    ensure!(seen.iter().filter(is_event).count() == 1, "{seen:#?}");
    Ok(())
}

/// `StatefulSet`s have revisions too, with the labels of their pods.
fn of_stateful_set(revision: &Value) -> bool {
    revision["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
}

/// An upgrade of ours to its next build, in the middle of a rollout.
async fn another_process_writes_nothing(world: &World) -> Result<()> {
    let before = world.at_rest().await?;
    let (former, mark) = (world.leader().await?, world.namespace.mark()?);
    world.roll().await?;
    world.looked_at(&former, "next").await?;
    let after = Snapshot::of(&world.namespace).await?;
    for set in before.sets() {
        before.same(&after, set, |_, _, _| {})?;
    }
    let writes = world.writes(mark, &before)?;
    ensure!(writes.keys().all(String::is_empty), "{writes:#?}");
    Ok(())
}

/// With a template whose pods become ready, and another process of ours in between.
async fn the_rollout_finishes(world: &World) -> Result<()> {
    let set = world.set(HALF_WAY);
    set.update(|it| {
        let template = &mut it.spec.leader_worker_template;
        for template in template.leader_template.iter_mut().chain([&mut template.worker_template]) {
            template.0.remove("metadata");
            set_in_container(template, "image", "example.org/good");
        }
    })
    .await?;
    let look = async || set.live().await;
    let has_begun = |it: &lws_api_types::LeaderWorkerSet| {
        it.status.as_ref().is_some_and(|it| (1..4).contains(&it.updated_replicas))
    };
    wait::until(DEADLINE, "the first group is updated", look, has_begun).await?;
    world.roll().await?;
    set.done(4).await
}

async fn a_group_is_recreated(world: &World) -> Result<()> {
    let set = world.set("multi");
    let before = Snapshot::of(&world.namespace).await?;
    world.namespace.pods().delete("multi-0-1", &DeleteParams::default()).await?;
    let names = ["multi-0", "multi-0-1", "multi-0-2"];
    let renewed = async || {
        let mut renewed = Vec::new();
        for name in names {
            let pod = world.namespace.pods().get_opt(name).await?;
            let former = before.get("pod", name)?["metadata"]["uid"].as_str();
            let is_new = pod.as_ref().is_some_and(|it| it.uid().as_deref() != former);
            renewed.push(is_new && pod.is_some_and(|it| is_ready(&it)));
        }
        anyhow::Ok(renewed)
    };
    wait::until(DEADLINE, "group 0 of multi is new", renewed, |it| *it == [true; 3]).await?;
    set.expect_conditions("available").await?;
    set::stays(async || {
        let now = Snapshot::of(&world.namespace).await?;
        for name in ["multi-1", "multi-1-1", "multi-1-2"] {
            ensure!(now.get("pod", name)? == before.get("pod", name)?, "{name} has changed");
        }
        Ok(())
    })
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|it| it.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

async fn an_update_is_rolled_out(world: &World) -> Result<()> {
    let set = world.set("quickstart");
    set.change_workers(IMAGE).await?;
    set.done(3).await?;
    let look = async || Snapshot::of(&world.namespace).await;
    let is_one = |it: &Snapshot| {
        it.of_set("revision", "quickstart").filter(|(_, it)| !of_stateful_set(it)).count() == 1
    };
    wait::until(DEADLINE, "quickstart has one revision", look, is_one).await?;
    Ok(())
}

//! What the existing implementation finds when it takes over again: everything by which it knows its own objects.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use lws_api_types::keys::{FIELD_MANAGER, annotations, labels};
use lws_api_types::{LeaderWorkerSetSpec, revision};
use serde_json::{Value, json};

use crate::snapshot::Snapshot;

/// The fields of a leader `StatefulSet` that the existing implementation applies. It would remove any other field of the same
/// field manager, and one of another field manager would hinder it.
const METADATA: [&str; 3] = ["annotations", "labels", "ownerReferences"];
const SPEC: [&str; 8] = [
    "persistentVolumeClaimRetentionPolicy",
    "podManagementPolicy",
    "replicas",
    "selector",
    "serviceName",
    "template",
    "updateStrategy",
    "volumeClaimTemplates",
];

/// Fails unless the existing implementation would go on with every set as it stands.
pub(crate) fn is_possible(snapshot: &Snapshot) -> Result<()> {
    for set in snapshot.sets() {
        check(snapshot, set).with_context(|| format!("hand back {set}"))?;
    }
    Ok(())
}

fn check(snapshot: &Snapshot, name: &str) -> Result<()> {
    let set = snapshot.get("set", name)?;
    ensure!(set["metadata"]["finalizers"].is_null(), "the set has finalizers");
    let leader_set = snapshot.get("statefulset", name)?;
    let key = leader_set["metadata"]["labels"][labels::REVISION].as_str();
    let key = key.context("the leader StatefulSet has no revision label")?;
    current_revision(snapshot, set, name, key)?;
    let replicas = leader_set["metadata"]["annotations"][annotations::REPLICAS].as_str();
    let wanted = set["spec"]["replicas"].to_string();
    ensure!(replicas == Some(&*wanted), "annotation replicas is {replicas:?}");
    ensure!(is_owned_by(leader_set, set), "the leader StatefulSet has another owner");
    applied_fields(leader_set)?;
    groups(snapshot, name, leader_set)
}

/// It takes the content of the set for the one that the leader `StatefulSet` is at.
fn current_revision(snapshot: &Snapshot, set: &Value, name: &str, key: &str) -> Result<()> {
    let own = snapshot.of_set("revision", name).filter(|(_, it)| is_owned_by(it, set));
    let current: Vec<_> =
        own.filter(|(_, it)| it["metadata"]["labels"][labels::REVISION] == key).collect();
    let [(revision, object)] = current[..] else {
        anyhow::bail!("{} revisions have the key {key}", current.len());
    };
    let spec: LeaderWorkerSetSpec = serde_json::from_value(set["spec"].clone())?;
    let proposed = revision::encode(&spec);
    ensure!(
        revision::same_content(&object["data"], &proposed, &spec),
        "revision {revision} has another content"
    );
    Ok(())
}

/// What is applied is what it applies, by the same field manager. Whoever else has a part in it has annotations only, which
/// it leaves alone.
fn applied_fields(leader_set: &Value) -> Result<()> {
    let managers = leader_set["metadata"]["managedFields"].as_array();
    let mut is_applied = false;
    for entry in managers.context("the fields have no managers")? {
        if entry["subresource"] == "status" {
            continue;
        }
        let fields = &entry["fieldsV1"];
        if entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply" {
            is_applied = true;
            within(&fields["f:metadata"], &METADATA)?;
            within(&fields["f:spec"], &SPEC)?;
        } else {
            within(fields, &["metadata"])?;
            within(&fields["f:metadata"], &["annotations"])?;
            let annotations = &fields["f:metadata"]["f:annotations"];
            ensure!(annotations[format!("f:{}", annotations::REPLICAS)].is_null(), "{entry}");
        }
    }
    ensure!(is_applied, "{FIELD_MANAGER} applies nothing");
    Ok(())
}

/// Fails unless only these fields are named.
fn within(fields: &Value, known: &[&str]) -> Result<()> {
    for field in fields.as_object().into_iter().flat_map(|it| it.keys()).filter(|it| *it != ".") {
        let name = field.trim_start_matches("f:");
        ensure!(known.contains(&name), "field {name} of the leader StatefulSet has a manager");
    }
    Ok(())
}

/// It finds the leader of every group, its workers, and the revision that they are at.
fn groups(snapshot: &Snapshot, name: &str, leader_set: &Value) -> Result<()> {
    let keys: BTreeSet<_> = snapshot
        .of_set("revision", name)
        .filter_map(|(_, it)| it["metadata"]["labels"][labels::REVISION].as_str())
        .collect();
    for (pod, object) in snapshot.of_set("pod", name) {
        ensure!(object["metadata"]["finalizers"].is_null(), "pod {pod} has finalizers");
        if object["metadata"]["labels"][labels::WORKER_INDEX] != "0" {
            continue;
        }
        ensure!(is_owned_by(object, leader_set), "leader {pod} has another owner");
        let key = object["metadata"]["labels"][labels::REVISION].as_str().unwrap_or_default();
        ensure!(keys.contains(key), "no revision has the key {key} of leader {pod}");
        let Ok(worker_set) = snapshot.get("statefulset", pod) else { continue };
        ensure!(is_owned_by(worker_set, object), "worker StatefulSet {pod} has another owner");
        ensure!(worker_set["metadata"]["finalizers"].is_null(), "{pod} has finalizers");
        for label in [labels::NAME, labels::GROUP_INDEX, labels::GROUP_KEY, labels::REVISION] {
            let (seen, wanted) =
                (&worker_set["metadata"]["labels"][label], &object["metadata"]["labels"][label]);
            ensure!(
                seen == wanted && !seen.is_null(),
                "{label} of worker StatefulSet {pod} is {seen}"
            );
        }
    }
    Ok(())
}

fn is_owned_by(object: &Value, owner: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners
        .into_iter()
        .flatten()
        .any(|it| it["uid"] == owner["metadata"]["uid"] && it["controller"] == json!(true))
}

//! The objects that a set wants, as JSON, from the set and (for workers) the leader they follow.
//!
//! Templates are the user's JSON plus our keys: fields newer than this program reach the cluster.

mod claims;
mod leader;
mod pod_group;
mod requests;
mod revision;
mod service;
mod worker;

pub use leader::{LeaderRollout, leader_stateful_set};
pub use pod_group::{pod_group, pod_group_name};
pub use requests::Unusable;
pub use revision::revision;
pub use service::{group_service, shared_service};
pub use worker::{Topology, worker_stateful_set};

use std::collections::BTreeMap;

use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::{self, annotations};
use lws_api_types::pod_template::PodTemplate;
use lws_api_types::set::LeaderWorkerTemplate;
use serde_json::{Value, json};

use crate::observe::views::{Placement, PodView};

/// The annotation in which `kubectl apply` keeps what it applied to the set. It describes the set
/// and would mislead `kubectl` on any other object.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The owner reference of objects that a set controls.
pub(super) fn owned_by_set(set: &LeaderWorkerSet) -> Value {
    json!([{
        "apiVersion": keys::API_VERSION,
        "kind": keys::KIND,
        "name": set.name(),
        "uid": set.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// The owner reference of objects that a leader pod controls.
fn owned_by_leader(leader: &PodView) -> Value {
    json!([{
        "apiVersion": "v1",
        "kind": "Pod",
        "name": leader.identity.name(),
        "uid": leader.identity.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// The set's own labels, which its `StatefulSet`s carry too.
fn propagated_labels(set: &LeaderWorkerSet) -> BTreeMap<String, String> {
    set.metadata.labels.clone().unwrap_or_default()
}

/// The set's own annotations, which its `StatefulSet`s carry too.
fn propagated_annotations(set: &LeaderWorkerSet) -> BTreeMap<String, String> {
    let mut all = set.metadata.annotations.clone().unwrap_or_default();
    // What is written about groups is ours to say.
    for key in [LAST_APPLIED, annotations::MEMBERS, annotations::GROUP_RESTARTS] {
        all.remove(key);
    }
    all
}

/// How the set's user wants its groups placed. Without subgroups none are placed.
#[must_use]
pub fn placement(set: &LeaderWorkerSet) -> Placement {
    let subgroup = set.annotation(annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY);
    let has_subgroups = set.spec.leader_worker_template.sub_group_policy.is_some();
    Placement::new(
        set.annotation(annotations::EXCLUSIVE_TOPOLOGY),
        subgroup.filter(|_| has_subgroups),
    )
}

/// Adds the annotations that leader and worker pods share. `content` and `placement` are the
/// group's own.
fn annotate(template: &mut PodTemplate, content: &LeaderWorkerTemplate, placement: &Placement) {
    template.set_annotation(annotations::SIZE, content.size().to_string());
    for (annotation, topology) in placement.topologies() {
        template.set_annotation(annotation, topology);
    }
    let Some(policy) = &content.sub_group_policy else { return };
    template.set_annotation(annotations::SUBGROUP_POLICY_TYPE, policy.policy_type().as_str());
    if let Some(size) = policy.sub_group_size {
        template.set_annotation(annotations::SUBGROUP_SIZE, size.to_string());
    }
}

/// Adds the volume claim fields of a `StatefulSet` spec.
fn add_claims(
    spec: &mut Value,
    set: &LeaderWorkerSet,
    content: &LeaderWorkerTemplate,
    live: Option<&Value>,
) {
    let templates = content.volume_claim_templates.as_deref().unwrap_or_default();
    if !templates.is_empty() {
        spec["volumeClaimTemplates"] = claims::templates(templates, set.namespace(), live);
    }
    if let Some(policy) = &content.persistent_volume_claim_retention_policy {
        spec["persistentVolumeClaimRetentionPolicy"] = json!(policy);
    }
}

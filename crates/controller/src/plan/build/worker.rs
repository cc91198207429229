//! A worker `StatefulSet`: the workers of one group. It is created once and never changed; it goes
//! with its leader pod.

use lws_api_types::keys::{annotations, labels};
use lws_api_types::names;
use lws_api_types::set::SubdomainPolicy;
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetSpec};
use serde_json::{Value, json};

use super::{add_claims, annotate, owned_by_leader, propagated_annotations, propagated_labels};
use crate::observe::views::{Placement, PodView};

/// The topology domain that a group is bound to: a node label and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Node label key.
    pub key: String,
    /// Value on the leader's node.
    pub value: String,
}

/// The worker `StatefulSet` of the group that `leader` leads, built from `spec`, the spec at the
/// leader's revision, and `placement`, the one of that revision. Propagated metadata come from the
/// live `set`.
#[must_use]
pub fn worker_stateful_set(
    set: &LeaderWorkerSet,
    spec: &LeaderWorkerSetSpec,
    leader: &PodView,
    placement: &Placement,
    topology: Option<&Topology>,
) -> Value {
    let content = &spec.leader_worker_template;
    let name = leader.identity.name();
    let index = leader.group_index.as_deref().unwrap_or_default();
    let key = leader.revision.as_deref().unwrap_or_default();
    let group_key =
        leader.group_key.clone().unwrap_or_else(|| names::group_key(set.namespace(), name));
    let selector = json!({
        labels::GROUP_INDEX: index,
        labels::NAME: set.name(),
        labels::GROUP_KEY: group_key,
    });

    let mut object_labels = propagated_labels(set);
    let mut template = content.worker_template.clone();
    template.remove_reserved();
    for (label, value) in [
        (labels::GROUP_INDEX, index),
        (labels::NAME, set.name()),
        (labels::GROUP_KEY, &group_key),
        (labels::REVISION, key),
    ] {
        object_labels.insert(label.to_owned(), value.to_owned());
        template.set_label(label, value);
    }
    annotate(&mut template, content, placement);
    template.set_annotation(annotations::LEADER_NAME, name);
    if leader.requests_tpus {
        template.set_annotation(annotations::LEADER_REQUESTS_TPUS, "true");
    }
    if let Some(topology) = topology {
        template.set_node_selector(&topology.key, &topology.value);
    }

    let service = match spec.subdomain_policy() {
        SubdomainPolicy::Shared => set.name(),
        SubdomainPolicy::UniquePerReplica => name,
    };
    let mut worker_spec = json!({
        "serviceName": service,
        "replicas": content.size() - 1,
        "podManagementPolicy": "Parallel",
        "ordinals": {"start": 1},
        "selector": {"matchLabels": selector},
        "template": template,
    });
    add_claims(&mut worker_spec, set, content, None);
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": name,
            "namespace": set.namespace(),
            "labels": object_labels,
            "annotations": propagated_annotations(set),
            "ownerReferences": owned_by_leader(leader),
        },
        "spec": worker_spec,
    })
}

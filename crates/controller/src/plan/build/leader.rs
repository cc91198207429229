//! The leader `StatefulSet`: one pod a group.

use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::{annotations, labels};
use lws_api_types::set::SubdomainPolicy;
use serde_json::{Value, json};

use super::{
    add_claims, annotate, owned_by_set, placement, propagated_annotations, propagated_labels,
};

/// What the rollout decides about the leader `StatefulSet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderRollout {
    /// Groups that shall exist.
    pub replicas: i64,
    /// Groups with a lower index keep their revision.
    pub partition: i64,
    /// `updateStrategy.rollingUpdate.maxUnavailable`, for clusters that honour it.
    pub max_unavailable: i64,
}

/// The fields of the leader `StatefulSet` that this system owns, as it is applied on the server
/// side. `key` is the current revision key; `live` the existing object.
#[must_use]
pub fn leader_stateful_set(
    set: &LeaderWorkerSet,
    key: &str,
    rollout: LeaderRollout,
    live: Option<&Value>,
) -> Value {
    let content = &set.spec.leader_worker_template;
    let mut object_labels = propagated_labels(set);
    object_labels.insert(labels::NAME.to_owned(), set.name().to_owned());
    object_labels.insert(labels::REVISION.to_owned(), key.to_owned());
    let mut object_annotations = propagated_annotations(set);
    object_annotations.insert(annotations::REPLICAS.to_owned(), set.spec.replicas().to_string());

    let mut template = content.leader_template().clone();
    template.remove_reserved();
    template.set_label(labels::NAME, set.name());
    template.set_label(labels::WORKER_INDEX, "0");
    template.set_label(labels::REVISION, key);
    annotate(&mut template, content, &placement(set));
    if set.spec.subdomain_policy() == SubdomainPolicy::UniquePerReplica {
        let policy = SubdomainPolicy::UniquePerReplica.as_str();
        template.set_annotation(annotations::SUBDOMAIN_POLICY, policy);
    }

    let mut spec = json!({
        "serviceName": set.name(),
        "replicas": rollout.replicas,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {labels::NAME: set.name(), labels::WORKER_INDEX: "0"}},
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {
                "partition": rollout.partition,
                "maxUnavailable": rollout.max_unavailable,
            },
        },
        "template": template,
    });
    add_claims(
        &mut spec,
        set,
        content,
        live.and_then(|it| it.pointer("/spec/volumeClaimTemplates")),
    );
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": set.name(),
            "namespace": set.namespace(),
            "labels": object_labels,
            "annotations": object_annotations,
            "ownerReferences": owned_by_set(set),
        },
        "spec": spec,
    })
}

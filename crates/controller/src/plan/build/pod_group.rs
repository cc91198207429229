//! `PodGroup`s: they tell Volcano which pods start together or not at all. One is created for each
//! leader pod and never changed; it goes with its leader.

use std::collections::BTreeMap;

use lws_api_types::keys::{annotations, labels};
use lws_api_types::set::StartupPolicy;
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetSpec, names};
use serde_json::{Map, Value, json};

use super::owned_by_leader;
use super::requests::{self, Unusable};
use crate::observe::views::PodView;

/// Name of the `PodGroup` of the group that `leader` leads.
#[must_use]
pub fn pod_group_name(set: &LeaderWorkerSet, leader: &PodView) -> String {
    names::pod_group(set.name(), group_index(leader), key(leader))
}

/// The `PodGroup` of the group that `leader` leads, built from `spec`, the spec at the leader's
/// revision. The queue and what else Volcano is told by annotations come from the live `set`.
///
/// # Errors
/// When the resources that the group needs cannot be computed.
pub fn pod_group(
    set: &LeaderWorkerSet,
    spec: &LeaderWorkerSetSpec,
    leader: &PodView,
) -> Result<Value, Unusable> {
    let content = &spec.leader_worker_template;
    let size = content.size();
    let needed = requests::of_group(
        content.leader_template(),
        &content.worker_template,
        i64::from(size) - 1,
    )?;
    let needed: BTreeMap<_, _> =
        needed.into_iter().map(|(resource, amount)| (resource, amount.to_string())).collect();
    // Workers that wait for a ready leader cannot be waited for by it.
    let members = match spec.startup_policy() {
        StartupPolicy::LeaderCreated => size,
        StartupPolicy::LeaderReady => 1,
    };
    let mut pod_group_spec = Map::new();
    pod_group_spec.insert("minMember".to_owned(), json!(members));
    pod_group_spec.insert("minResources".to_owned(), json!(needed));
    if let Some(queue) = set.annotation(annotations::VOLCANO_QUEUE) {
        pod_group_spec.insert("queue".to_owned(), json!(queue));
    }
    Ok(json!({
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "PodGroup",
        "metadata": {
            "name": pod_group_name(set, leader),
            "namespace": set.namespace(),
            "labels": {
                labels::NAME: set.name(),
                labels::GROUP_INDEX: group_index(leader),
                labels::REVISION: key(leader),
            },
            "annotations": volcano_annotations(set),
            "ownerReferences": owned_by_leader(leader),
        },
        "spec": pod_group_spec,
    }))
}

fn group_index(leader: &PodView) -> &str {
    leader.group_index.as_deref().unwrap_or_default()
}

fn key(leader: &PodView) -> &str {
    leader.revision.as_deref().unwrap_or_default()
}

/// The annotations of the set that are meant for Volcano.
fn volcano_annotations(set: &LeaderWorkerSet) -> BTreeMap<&str, &str> {
    let all = set.metadata.annotations.iter().flatten();
    all.filter(|(key, _)| key.starts_with(annotations::VOLCANO_PREFIX))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

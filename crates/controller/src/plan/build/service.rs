//! Headless Services: they give pods their DNS names, before the pods are ready too.

use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::labels;
use serde_json::{Value, json};

use super::{owned_by_leader, owned_by_set};
use crate::observe::views::PodView;

/// The Service that all groups of a set share.
#[must_use]
pub fn shared_service(set: &LeaderWorkerSet) -> Value {
    let selector = json!({labels::NAME: set.name()});
    headless(set, set.name(), &owned_by_set(set), &selector)
}

/// The Service of the group that `leader` leads.
#[must_use]
pub fn group_service(set: &LeaderWorkerSet, leader: &PodView) -> Value {
    let selector = json!({
        labels::NAME: set.name(),
        labels::GROUP_INDEX: leader.group_index.as_deref().unwrap_or_default(),
    });
    headless(set, leader.identity.name(), &owned_by_leader(leader), &selector)
}

fn headless(set: &LeaderWorkerSet, name: &str, owners: &Value, selector: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": set.namespace(),
            "labels": {labels::NAME: set.name()},
            "ownerReferences": owners,
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": selector,
        },
    })
}

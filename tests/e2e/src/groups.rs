//! Groups of pods as they were last heard of.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use lws_api_types::keys::{annotations, labels};

use crate::recording::{Change, Recording};

/// The pods of a namespace, by name.
#[derive(Debug, Default)]
pub struct Pods(BTreeMap<String, Pod>);

impl Pods {
    /// Takes note of what happened to a pod.
    pub fn apply(&mut self, change: Change<Pod>) {
        match change {
            Change::Now(pod) => drop(self.0.insert(pod.name_any(), pod)),
            Change::Gone(pod) => drop(self.0.remove(&pod.name_any())),
        }
    }

    /// The groups all of whose pods are ready and none is being deleted.
    #[must_use]
    pub fn ready_groups(&self) -> BTreeSet<String> {
        let mut ready: BTreeMap<String, usize> = BTreeMap::new();
        for pod in self.0.values().filter(|pod| is_ready(pod)) {
            *ready.entry(group(pod)).or_default() += 1;
        }
        let is_complete = |group: &str| {
            let leader = self.0.values().find(|pod| group == self::group(pod) && is_leader(pod));
            let size = leader.and_then(|it| it.annotations().get(annotations::SIZE)?.parse().ok());
            size == ready.get(group).copied()
        };
        ready.keys().filter(|group| is_complete(group)).cloned().collect()
    }

    /// All groups that have a leader pod.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<String> {
        self.0.values().filter(|pod| is_leader(pod)).map(group).collect()
    }
}

/// The UIDs that the leader pod of each group has had, in this order.
pub fn leaders(recording: &Recording<Pod>) -> Result<BTreeMap<String, Vec<String>>> {
    let mut leaders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for change in recording.so_far()? {
        let (Change::Now(pod) | Change::Gone(pod)) = change;
        let uid = pod.uid().unwrap_or_default();
        let uids = leaders.entry(group(&pod)).or_default();
        if is_leader(&pod) && !uids.contains(&uid) {
            uids.push(uid);
        }
    }
    Ok(leaders)
}

fn group(pod: &Pod) -> String {
    pod.labels().get(labels::GROUP_INDEX).cloned().unwrap_or_default()
}

fn is_leader(pod: &Pod) -> bool {
    pod.labels().get(labels::WORKER_INDEX).is_some_and(|it| it == "0")
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let mut conditions = status.and_then(|it| it.conditions.as_ref()).into_iter().flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|it| it.type_ == "Ready" && it.status == "True")
}

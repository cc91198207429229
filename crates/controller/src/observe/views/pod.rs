//! Pods of groups.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use lws_api_types::keys::{annotations, labels};
use lws_api_types::{names, tpu};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::meta::WireMeta;
use super::trouble::{self, Trouble, WireContainerStatus};
use super::{Footprint, Identity, Placement, View, resource};

/// A pod of a group, or one that carries the set's name label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Wire")]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct PodView {
    /// Who it is.
    pub identity: Identity,
    /// Label `name`.
    pub set: Option<String>,
    /// Label `group-index`; of a leader that was admitted without it, the ordinal in its name.
    pub group_index: Option<String>,
    /// Label `group-key`.
    pub group_key: Option<String>,
    /// Label `worker-index`.
    pub worker_index: Option<String>,
    /// Label `template-revision-hash`: the revision key it was built from.
    pub revision: Option<String>,
    /// Label `controller-revision-hash`: the `StatefulSet` revision it was built from.
    pub stateful_set_revision: Option<String>,
    /// Annotation `leader-name`, which only worker pods may carry.
    pub leader_name: Option<String>,
    /// How its group is placed, on leaders.
    pub placement: Placement,
    /// Whether it carries annotation `group-name`: a gang scheduler places it with its `PodGroup`.
    pub is_in_gang: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether condition `Ready` is true.
    pub ready_condition: bool,
    /// When condition `Ready` last changed.
    pub ready_changed: Option<Timestamp>,
    /// Who is about to end the pod, or has, when it was not its owner or a user.
    pub disruption: Option<Disruption>,
    /// Whether any container or init container has been restarted.
    pub restarted: bool,
    /// Whether the scheduler has found no node for it.
    pub is_unschedulable: bool,
    /// What keeps it from coming up, if its status tells: [`PodView::trouble_at`] says until when.
    pub trouble: Option<Box<Trouble>>,
    /// Node it is bound to.
    pub node: Option<String>,
    /// Whether any container or init container asks for TPUs.
    pub requests_tpus: bool,
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Phase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// All containers have started.
    Running,
    /// All containers have ended well.
    Succeeded,
    /// All containers have ended, one of them badly, or the pod was evicted.
    Failed,
    /// The node has not been heard of, or a phase newer than this program.
    #[serde(other)]
    Unknown,
}

/// Why the system ends a pod: condition `DisruptionTarget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disruption {
    /// It was evicted or preempted.
    Evicted,
    /// Its node does not answer any more, or is gone.
    NodeLost,
}

impl PodView {
    /// Whether the pod serves: Running, Ready, and not on its way out. A terminating pod whose
    /// condition still says Ready does not count.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.ready_condition && !self.identity.is_terminating()
    }

    /// What keeps it from coming up at `now`. Nothing is in the way of a pod that is ready or about
    /// to go.
    #[must_use]
    pub fn trouble_at(&self, now: Timestamp) -> Option<&Trouble> {
        let trouble = self.trouble.as_deref().filter(|it| it.is_present(now))?;
        (!self.ready_condition && !self.identity.is_terminating()).then_some(trouble)
    }

    /// Whether the control plane has given its node up.
    #[must_use]
    pub fn has_lost_node(&self) -> bool {
        self.disruption == Some(Disruption::NodeLost) || self.phase == Phase::Unknown
    }

    /// The index of its group by its labels; `None` when they do not tell one.
    #[must_use]
    pub fn group(&self) -> Option<u32> {
        self.group_index.as_deref()?.parse().ok()
    }

    /// Whether the pod is a leader by its labels.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.worker_index.as_deref() == Some("0")
    }
}

impl View for PodView {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn set_name(&self) -> Option<&str> {
        self.set.as_deref()
    }
    /// A worker that comes into being, finds a node, starts and becomes ready is one of many; mostly
    /// its `StatefulSet` tells later that all are ready.
    fn may_wait(&self, before: Option<&Self>) -> bool {
        let is_starting = matches!(self.phase, Phase::Pending | Phase::Running)
            && !self.restarted
            && self.disruption.is_none()
            && !self.identity.is_terminating();
        let is_same = before.is_none_or(|it| it.identity.uid() == self.identity.uid());
        !self.is_leader() && is_starting && is_same
    }
    fn is_of_worker_set(&self) -> bool {
        !self.is_leader() && self.identity.owner.as_ref().is_some_and(|it| it.kind == "StatefulSet")
    }
}

impl Footprint for PodView {
    fn heap(&self) -> usize {
        self.identity.heap()
            + self.set.heap()
            + self.group_index.heap()
            + self.group_key.heap()
            + self.worker_index.heap()
            + self.revision.heap()
            + self.stateful_set_revision.heap()
            + self.leader_name.heap()
            + self.placement.heap()
            + self.trouble.heap()
            + self.node.heap()
    }
}

resource!(PodView, "Pod", "", "v1", "pods");

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: Option<String>,
    containers: Vec<WireContainer>,
    init_containers: Vec<WireContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireContainer {
    resources: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    phase: Phase,
    conditions: Vec<WireCondition>,
    container_statuses: Vec<WireContainerStatus>,
    init_container_statuses: Vec<WireContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[serde(rename_all = "camelCase")]
struct WireCondition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    last_transition_time: Option<Time>,
}

impl From<Wire> for PodView {
    fn from(wire: Wire) -> Self {
        let Wire { mut metadata, spec, status } = wire;
        let containers = || status.init_container_statuses.iter().chain(&status.container_statuses);
        let restarted = containers().any(|container| container.restart_count > 0);
        let requests_tpus = spec
            .containers
            .into_iter()
            .chain(spec.init_containers)
            .any(|it| tpu::resources_request_tpus(&it.resources));
        let condition = |name| status.conditions.iter().find(|it| it.r#type == name);
        let ready = condition("Ready");
        let unscheduled = condition("PodScheduled")
            .filter(|it| it.status == "False" && it.reason == "Unschedulable");
        let trouble = containers()
            .filter_map(WireContainerStatus::trouble)
            .min_by_key(Trouble::kind)
            .or_else(|| unscheduled.map(|it| trouble::unscheduled(&it.message)));
        let worker_index = metadata.take_label(labels::WORKER_INDEX);
        let group_index = metadata.take_label(labels::GROUP_INDEX).or_else(|| {
            let (_, ordinal) = names::parent_and_ordinal(metadata.name.as_deref()?)?;
            (worker_index.as_deref() == Some("0")).then(|| ordinal.to_string())
        });
        let annotation = |key: &str| metadata.annotations.get(key).map(String::as_str);
        let placement = match worker_index.as_deref() {
            Some("0") => Placement::new(
                annotation(annotations::EXCLUSIVE_TOPOLOGY),
                annotation(annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY),
            ),
            _ => Placement::default(),
        };
        Self {
            set: metadata.take_label(labels::NAME),
            group_index,
            group_key: metadata.take_label(labels::GROUP_KEY),
            worker_index,
            revision: metadata.take_label(labels::REVISION),
            stateful_set_revision: metadata.take_label("controller-revision-hash"),
            leader_name: metadata.annotations.remove(annotations::LEADER_NAME),
            placement,
            is_in_gang: is_in_gang(&metadata.annotations),
            phase: status.phase,
            ready_condition: ready.is_some_and(|it| it.status == "True"),
            ready_changed: ready.and_then(|it| it.last_transition_time.as_ref()).map(|it| it.0),
            disruption: condition("DisruptionTarget").and_then(disruption),
            restarted,
            is_unschedulable: unscheduled.is_some(),
            trouble: trouble.map(Box::new),
            node: spec.node_name.filter(|node| !node.is_empty()),
            requests_tpus,
            identity: metadata.into_identity(),
        }
    }
}

/// Whether a pod with these annotations waits for others to be scheduled with it.
#[must_use]
pub fn is_in_gang(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(annotations::POD_GROUP_NAME).is_some_and(|name| !name.is_empty())
}

fn disruption(condition: &WireCondition) -> Option<Disruption> {
    let disruption = match condition.reason.as_str() {
        "DeletionByTaintManager" | "DeletionByPodGC" => Disruption::NodeLost,
        _ => Disruption::Evicted,
    };
    (condition.status == "True").then_some(disruption)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_reduced_to_what_decides() {
        let pod: PodView = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "s-0", "namespace": "n", "uid": "u", "resourceVersion": "12",
                "labels": {labels::NAME: "s", labels::WORKER_INDEX: "0", labels::GROUP_INDEX: "0", "other": "x"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "X", "name": "not", "uid": "the controller"},
                    {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "o", "controller": true},
                ],
                "managedFields": [{"manager": "m"}],
            },
            "spec": {"nodeName": "node-1", "containers": [{"name": "c", "resources": {"limits": {"google.com/tpu": "4"}}}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "c", "restartCount": 0}],
                "initContainerStatuses": [{"name": "i", "restartCount": 2}],
            },
        }))
        .unwrap();
        assert_eq!(pod.set_name(), Some("s"));
        assert_eq!(pod.identity.version(), 12);
        assert!(pod.identity.is_controlled_by("o"));
        assert!(pod.is_leader() && pod.is_ready() && pod.restarted && pod.requests_tpus);
        assert_eq!(pod.identity.meta.managed_fields, None);
        assert_eq!(pod.node.as_deref(), Some("node-1"));
        assert!(!pod.is_in_gang);
    }

    #[test]
    fn a_pod_is_in_a_gang_when_it_names_a_pod_group() {
        for (annotations, expected) in [
            (json!({annotations::POD_GROUP_NAME: "s-0-key"}), true),
            (json!({annotations::POD_GROUP_NAME: ""}), false),
            (json!({"other": "s-0-key"}), false),
        ] {
            let pod = json!({"metadata": {"name": "s-0", "annotations": annotations}});
            let pod: PodView = serde_json::from_value(pod).unwrap();
            assert_eq!(pod.is_in_gang, expected, "{annotations}");
        }
    }

    #[test]
    fn a_terminating_pod_is_not_ready_and_an_unknown_phase_is_read() {
        let mut pod: PodView = serde_json::from_value(json!({
            "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        assert!(!pod.is_ready());
        pod.identity.meta.deletion_timestamp = None;
        assert!(pod.is_ready());
        let odd: PodView =
            serde_json::from_value(json!({"metadata": {}, "status": {"phase": "FromTheFuture"}}))
                .unwrap();
        assert_eq!(odd.phase, Phase::Unknown);
    }
}

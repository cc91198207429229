//! What keeps a pod from being ready, from its status.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use lws_controller::observe::views::{Phase, PodView, Trouble, TroubleKind};

use crate::lost;
use crate::snapshot::Snapshot;

/// How old a pod is until it counts as overlooked that no scheduler has said anything of it.
const PATIENCE_WITH_SCHEDULER: Duration = Duration::from_secs(10);

/// What keeps a pod from being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// What kind of obstacle it is.
    pub(crate) kind: Kind,
    /// It in words, with the name of the pod.
    pub(crate) told: String,
}

/// What kind of obstacle there is. Of several the first of these is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Its node does not answer.
    NodeLost,
    /// The pod has ended, or was evicted.
    Failed,
    /// What the controller tells of, too.
    Trouble(TroubleKind),
    /// It has no node, and no scheduler says why.
    Overlooked,
    /// It has no node, and no scheduler looks for one before somebody lets it.
    Gated,
    /// Its containers run, and are not ready.
    NotReady,
    /// It is being started.
    Starting,
}

impl Kind {
    /// Whether the pod had what it needs to run and fails nevertheless.
    pub(crate) fn is_fault(self) -> bool {
        matches!(self, Self::NodeLost | Self::Failed)
            || matches!(self, Self::Trouble(it) if it != TroubleKind::Unscheduled)
    }

    /// Whether the pod lacks a node, and will not get one by itself.
    pub(crate) fn lacks_node(self) -> bool {
        matches!(self, Self::Trouble(TroubleKind::Unscheduled) | Self::Overlooked | Self::Gated)
    }
}

impl Snapshot {
    /// What keeps a pod of the set from being ready, or from ending; `None` when it is ready, or about
    /// to go.
    pub(crate) fn obstacle(&self, pod: &PodView) -> Option<Obstacle> {
        let obstacle = obstacle(pod, self.pods.get(pod.identity.name())?, self.now);
        lost::explain(&self.lost, pod, obstacle)
    }
}

/// What keeps a pod from being ready: `view` says what kind of obstacle it is, as the controller
/// judges, `pod` the details.
fn obstacle(view: &PodView, pod: &Pod, now: Timestamp) -> Option<Obstacle> {
    if view.identity.is_terminating() || view.ready_condition {
        return None;
    }
    let name = view.identity.name();
    let status = pod.status.clone().unwrap_or_default();
    let why = because(status.reason.as_deref(), status.message.as_deref());
    let found = |kind, told| Some(Obstacle { kind, told });
    if let Some(node) = view.node.as_deref().filter(|_| view.has_lost_node()) {
        return found(Kind::NodeLost, format!("pod {name}: its node {node} does not answer{why}"));
    }
    if view.phase == Phase::Failed {
        return found(Kind::Failed, format!("pod {name} has failed{why}"));
    }
    if view.phase == Phase::Succeeded {
        return found(Kind::Failed, format!("pod {name} has ended, without an error{why}"));
    }
    if let Some(trouble) = view.trouble_at(now) {
        return found(Kind::Trouble(trouble.kind()), in_trouble(name, pod, trouble));
    }
    if view.node.is_none() {
        return Some(without_node(view, pod, now));
    }
    if view.phase == Phase::Running {
        let unready = containers(pod).filter(|it| !it.ready && is_running(it));
        let names: Vec<_> = unready.map(|it| it.name.as_str()).collect();
        let told = match names.as_slice() {
            [] => format!("pod {name} runs and is not ready"),
            names => format!("pod {name} runs, container {} is not ready", names.join(", ")),
        };
        return found(Kind::NotReady, told);
    }
    found(Kind::Starting, format!("pod {name} is starting{why}"))
}

/// What a pod without a node waits for, of which the scheduler has not said that it finds none.
fn without_node(view: &PodView, pod: &Pod, now: Timestamp) -> Obstacle {
    let name = view.identity.name();
    let gates = gates(pod);
    if !gates.is_empty() {
        let plural = if gates.len() == 1 { "" } else { "s" };
        let told = format!("pod {name} waits behind scheduling gate{plural} {}", gates.join(", "));
        return Obstacle { kind: Kind::Gated, told };
    }
    let told = scheduled(pod).filter(|it| !it.is_empty());
    if let Some(message) = told {
        let told = format!("pod {name} finds no node: {message}");
        return Obstacle { kind: Kind::Trouble(TroubleKind::Unscheduled), told };
    }
    let created = view.identity.created();
    let age = created.and_then(|it| Duration::try_from(now.duration_since(it)).ok());
    if scheduled(pod).is_none() && age.is_some_and(|it| it >= PATIENCE_WITH_SCHEDULER) {
        let scheduler = pod.spec.as_ref().and_then(|it| it.scheduler_name.as_deref());
        let scheduler = scheduler.unwrap_or("default-scheduler");
        let told = format!("pod {name} has no node, and scheduler {scheduler} does not say why");
        return Obstacle { kind: Kind::Overlooked, told };
    }
    Obstacle { kind: Kind::Starting, told: format!("pod {name} waits for a node") }
}

/// A trouble in words, with what its kubelet and the scheduler say.
fn in_trouble(name: &str, pod: &Pod, trouble: &Trouble) -> String {
    let container = |wanted: &str| containers(pod).find(|it| it.name == wanted);
    let why = |wanted: &str| {
        let state = container(wanted).and_then(|it| it.state.as_ref()?.waiting.as_ref());
        state.map(|it| because(it.reason.as_deref(), it.message.as_deref())).unwrap_or_default()
    };
    match trouble {
        Trouble::Image { container: it, image } => {
            format!("pod {name}: the image {image} of container {it} cannot be pulled{}", why(it))
        }
        Trouble::Container { container: it, .. } => {
            format!("pod {name}: container {it} cannot be started{}", why(it))
        }
        Trouble::Crash { container: it, .. } => {
            let how = container(it).map(ends).unwrap_or_default();
            format!("pod {name}: container {it} ends again and again{how}")
        }
        Trouble::Unscheduled(_) => {
            let message = scheduled(pod).unwrap_or_default();
            format!("pod {name} finds no node{}", because(None, Some(message)))
        }
    }
}

/// How often a container was restarted, and how it ended last.
fn ends(container: &ContainerStatus) -> String {
    let ended = |state: &Option<ContainerState>| state.as_ref()?.terminated.clone();
    let last = ended(&container.state).or_else(|| ended(&container.last_state));
    let how = last.map(|it| {
        let reason = it.reason.filter(|it| !["", "Error", "Completed"].contains(&it.as_str()));
        let reason = reason.map(|it| format!(", {it}")).unwrap_or_default();
        format!(", exit code {}{reason}", it.exit_code)
    });
    let restarts = match container.restart_count {
        1 => "1 restart".to_owned(),
        count => format!("{count} restarts"),
    };
    format!(" ({restarts}{})", how.unwrap_or_default())
}

/// What the scheduler says of a pod that it has not bound; `None` when it has said nothing. What is
/// said of gates is over with the gates.
fn scheduled(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|it| it.type_ == "PodScheduled")?;
    let is_about_gates = found.reason.as_deref() == Some("SchedulingGated");
    let message = found.message.as_deref().filter(|_| !is_about_gates);
    Some(message.unwrap_or_default())
}

/// The scheduling gates of a pod: it is not scheduled before those who set them have removed them.
fn gates(pod: &Pod) -> Vec<&str> {
    let gates = pod.spec.iter().flat_map(|it| it.scheduling_gates.iter().flatten());
    gates.map(|it| it.name.as_str()).collect()
}

/// How often containers of `pod` were restarted.
pub(crate) fn restarts(pod: &Pod) -> i32 {
    containers(pod).map(|it| it.restart_count).sum()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|it| {
        let main = it.container_statuses.iter().flatten();
        it.init_container_statuses.iter().flatten().chain(main)
    })
}

fn is_running(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|it| it.running.is_some())
}

fn because(reason: Option<&str>, message: Option<&str>) -> String {
    let known = |it: Option<&str>| it.filter(|it| !it.is_empty()).map(str::to_owned);
    match (known(reason), known(message)) {
        (Some(reason), Some(message)) => format!(": {reason}: {message}"),
        (Some(it), None) | (None, Some(it)) => format!(": {it}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_objects::{CREATED, NOW};

    /// What is in the way of pod `p`.
    fn found(node: Option<&str>, status: &Value, now: &str) -> Option<Obstacle> {
        let pod = json!({
            "metadata": {"name": "p", "creationTimestamp": CREATED},
            "spec": {"containers": [], "nodeName": node, "schedulerName": "own"},
            "status": status,
        });
        let view = serde_json::from_value(pod.clone()).unwrap();
        obstacle(&view, &serde_json::from_value(pod).unwrap(), now.parse().unwrap())
    }

    fn container(name: &str, state: &Value, last: &Value) -> Value {
        json!({
            "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 3,
            "state": state, "lastState": last,
        })
    }

    fn waits(reason: &str, message: &str) -> Value {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        let last = json!({"terminated": {"exitCode": 2, "reason": "Error"}});
        json!({"phase": "Pending", "containerStatuses": [container("c", &state, &last)]})
    }

    #[test]
    fn what_is_in_the_way_of_a_pod() {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let runs = |last: Value| {
            json!({"phase": "Running", "containerStatuses": [
                container("c", &json!({"running": {}}), &last),
            ]})
        };
        let killed = json!({"terminated": {
            "exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T12:04:00Z",
        }});
        for (status, expected) in [
            (ready, ""),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
                "pod p has failed: Evicted: low on memory",
            ),
            (
                waits("ImagePullBackOff", "Back-off"),
                "pod p: the image i of container c cannot be pulled: ImagePullBackOff: Back-off",
            ),
            (
                waits("CrashLoopBackOff", "back-off"),
                "pod p: container c ends again and again (3 restarts, exit code 2)",
            ),
            (
                waits("CreateContainerConfigError", "secret \"s\" not found"),
                "pod p: container c cannot be started: CreateContainerConfigError: secret \"s\" not found",
            ),
            (waits("ContainerCreating", ""), "pod p is starting"),
            (runs(json!({})), "pod p runs, container c is not ready"),
            (
                runs(killed),
                "pod p: container c ends again and again (3 restarts, exit code 137, OOMKilled)",
            ),
            (json!({"phase": "Running"}), "pod p runs and is not ready"),
            (json!({"phase": "Succeeded"}), "pod p has ended, without an error"),
            (
                json!({"phase": "Unknown", "reason": "NodeLost"}),
                "pod p: its node n does not answer: NodeLost",
            ),
            (
                json!({"phase": "Running", "conditions": [{
                    "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
                }]}),
                "pod p: its node n does not answer",
            ),
            (json!({}), "pod p is starting"),
        ] {
            let found = found(Some("n"), &status, NOW);
            assert_eq!(found.map(|it| it.told).unwrap_or_default(), expected, "{status}");
        }
    }

    #[test]
    fn a_pod_without_a_node_tells_what_the_scheduler_says_or_that_it_is_silent() {
        let scheduled = |reason: &str, message: &str| {
            json!({"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": reason, "message": message},
            ]})
        };
        let silent = json!({"phase": "Pending"});
        let (soon, late) = ("2026-01-01T12:00:09Z", "2026-01-01T12:00:10Z");
        let unscheduled = Kind::Trouble(TroubleKind::Unscheduled);
        for (status, now, kind, told) in [
            (
                scheduled("Unschedulable", "0/3 nodes are available"),
                soon,
                unscheduled,
                "pod p finds no node: 0/3 nodes are available",
            ),
            (
                scheduled("SchedulingGated", "there were gates"),
                late,
                Kind::Starting,
                "pod p waits for a node",
            ),
            (silent.clone(), soon, Kind::Starting, "pod p waits for a node"),
            (
                silent,
                late,
                Kind::Overlooked,
                "pod p has no node, and scheduler own does not say why",
            ),
        ] {
            let expected = Obstacle { kind, told: told.to_owned() };
            assert_eq!(found(None, &status, now), Some(expected), "{status} at {now}");
        }
    }

    #[test]
    fn a_pod_behind_scheduling_gates_does_not_lack_nodes() {
        let gated = |gates: &[&str], status: &Value| {
            let gates: Vec<_> = gates.iter().map(|it| json!({"name": it})).collect();
            let pod = json!({
                "metadata": {"name": "p", "creationTimestamp": CREATED},
                "spec": {"containers": [], "schedulingGates": gates},
                "status": status,
            });
            let view = serde_json::from_value(pod.clone()).unwrap();
            obstacle(&view, &serde_json::from_value(pod).unwrap(), NOW.parse().unwrap()).unwrap()
        };
        let told = json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]});
        let one = "pod p waits behind scheduling gate kueue.x-k8s.io/admission";
        let two = "pod p waits behind scheduling gates kueue.x-k8s.io/admission, other";
        for (gates, status, expected) in [
            (&["kueue.x-k8s.io/admission"][..], &told, one),
            (&["kueue.x-k8s.io/admission"], &json!({"phase": "Pending"}), one),
            (&["kueue.x-k8s.io/admission", "other"], &told, two),
        ] {
            let expected = Obstacle { kind: Kind::Gated, told: expected.to_owned() };
            assert_eq!(gated(gates, status), expected);
        }
        assert!(Kind::Gated.lacks_node() && !Kind::Gated.is_fault());
    }

    #[test]
    fn of_several_troubles_the_controller_and_the_plugin_tell_the_same() {
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let none = json!({});
        let all = [
            container("crashes", &waiting("CrashLoopBackOff"), &none),
            container("lacks", &waiting("CreateContainerConfigError"), &none),
            container("pulls", &waiting("ErrImagePull"), &none),
        ];
        for (present, expected) in [(0..3, "pulls"), (0..2, "lacks"), (0..1, "crashes")] {
            let status = json!({"phase": "Pending", "containerStatuses": all[present]});
            let view: PodView =
                serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
            assert_eq!(view.trouble.unwrap().container(), Some(expected));
            let told = found(Some("n"), &status, NOW).unwrap().told;
            assert!(told.contains(&format!("container {expected} ")), "{told}");
        }
        let mut kinds = [
            Kind::Starting,
            Kind::Trouble(TroubleKind::Unscheduled),
            Kind::Trouble(TroubleKind::Image),
            Kind::Failed,
        ];
        kinds.sort_unstable();
        let [first, .., last] = kinds;
        assert_eq!((first, last), (Kind::Failed, Kind::Starting));
        assert!(kinds[1] < kinds[2] && kinds[1].is_fault() && kinds[2].lacks_node(), "{kinds:?}");
    }
}

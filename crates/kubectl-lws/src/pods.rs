//! What keeps a pod from being ready, from its status.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use lws_controller::observe::views::Wait;

/// What keeps a pod from being ready, the most telling first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It has ended, or was evicted.
    Failed(String),
    /// An image cannot be pulled.
    Image(String),
    /// A container ends again and again.
    Crash(String),
    /// A container cannot be started.
    Container(String),
    /// The scheduler finds no node.
    Unscheduled(String),
    /// Its containers run, and are not ready.
    NotReady(String),
    /// It is being started.
    Starting(String),
}

impl Obstacle {
    /// The words for it.
    pub(crate) fn told(&self) -> &str {
        match self {
            Self::Failed(text)
            | Self::Image(text)
            | Self::Crash(text)
            | Self::Container(text)
            | Self::Unscheduled(text)
            | Self::NotReady(text)
            | Self::Starting(text) => text,
        }
    }

    /// Whether it does not go away by itself.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Image(_) | Self::Crash(_) | Self::Container(_))
    }
}

/// What keeps `pod` from being ready; `None` when it is ready, or about to go.
pub(crate) fn obstacle(pod: &Pod) -> Option<Obstacle> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() || condition(pod, "Ready").is_some_and(|it| it.0) {
        return None;
    }
    let status = pod.status.clone().unwrap_or_default();
    if status.phase.as_deref() == Some("Failed") {
        let why = because(status.reason.as_deref(), status.message.as_deref());
        return Some(Obstacle::Failed(format!("pod {name} has failed{why}")));
    }
    let waiting = containers(pod).filter_map(|it| waiting(name, it));
    if let Some(found) = waiting.min_by_key(rank) {
        return Some(found);
    }
    let is_bound = pod.spec.as_ref().is_some_and(|it| it.node_name.is_some());
    if !is_bound {
        let told = condition(pod, "PodScheduled").map(|it| it.1).filter(|it| !it.is_empty());
        return Some(match told {
            None => Obstacle::Starting(format!("pod {name} waits for a node")),
            Some(message) => Obstacle::Unscheduled(format!("pod {name} finds no node: {message}")),
        });
    }
    if status.phase.as_deref() == Some("Running") {
        let unready = containers(pod).filter(|it| !it.ready && is_running(it));
        let names: Vec<_> = unready.map(|it| it.name.as_str()).collect();
        return Some(Obstacle::NotReady(match names.as_slice() {
            [] => format!("pod {name} runs and is not ready"),
            names => format!("pod {name} runs, container {} is not ready", names.join(", ")),
        }));
    }
    let why = because(status.reason.as_deref(), status.message.as_deref());
    Some(Obstacle::Starting(format!("pod {name} is starting{why}")))
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

/// Whether a condition is true, and its message.
fn condition(pod: &Pod, kind: &str) -> Option<(bool, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|it| it.type_ == kind)?;
    Some((found.status == "True", found.message.clone().unwrap_or_default()))
}

/// What a waiting container waits for; `None` when that is nothing out of the ordinary.
fn waiting(pod: &str, container: &ContainerStatus) -> Option<Obstacle> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let ContainerStatus { name, image, restart_count, .. } = container;
    let why = because(Some(reason), Some(message));
    Some(match Wait::of(reason)? {
        Wait::Image => Obstacle::Image(format!(
            "pod {pod}: the image {image} of container {name} cannot be pulled{why}"
        )),
        Wait::Crash => {
            let ended = container.last_state.as_ref().and_then(|it| it.terminated.as_ref());
            let code = ended.map(|it| format!(", exit code {}", it.exit_code)).unwrap_or_default();
            Obstacle::Crash(format!(
                "pod {pod}: container {name} ends again and again ({restart_count} restarts{code})"
            ))
        }
        Wait::Start => {
            Obstacle::Container(format!("pod {pod}: container {name} cannot be started{why}"))
        }
    })
}

/// Which of several obstacles is told.
fn rank(obstacle: &Obstacle) -> u8 {
    match obstacle {
        Obstacle::Failed(_) => 0,
        Obstacle::Image(_) => 1,
        Obstacle::Crash(_) => 2,
        Obstacle::Container(_) => 3,
        Obstacle::Unscheduled(_) => 4,
        Obstacle::NotReady(_) => 5,
        Obstacle::Starting(_) => 6,
    }
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

    fn pod(status: &Value) -> Pod {
        let spec = json!({"containers": [], "nodeName": "n"});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec, "status": status}))
            .unwrap()
    }

    fn waits(reason: &str, message: &str) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 2}},
        }]})
    }

    #[test]
    fn what_is_in_the_way_of_a_pod() {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let runs = json!({"phase": "Running", "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {}},
        }]});
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
            (runs, "pod p runs, container c is not ready"),
            (json!({"phase": "Running"}), "pod p runs and is not ready"),
            (json!({}), "pod p is starting"),
        ] {
            let found = obstacle(&pod(&status));
            assert_eq!(found.as_ref().map_or("", Obstacle::told), expected, "{status}");
        }
    }

    #[test]
    fn a_pod_without_a_node_tells_what_the_scheduler_says() {
        let mut pod = pod(&json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"},
        ]}));
        pod.spec.as_mut().unwrap().node_name = None;
        let expected = "pod p finds no node: 0/3 nodes are available";
        assert_eq!(obstacle(&pod), Some(Obstacle::Unscheduled(expected.to_owned())));
    }
}

//! What keeps a pod from coming up, as its status tells: what its kubelet and the scheduler say,
//! without what changes from one attempt to the next.

use std::collections::BTreeSet;

use serde::Deserialize;

/// What keeps a pod from coming up. It may go by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An image cannot be pulled.
    Image {
        /// Name of the container.
        container: String,
        /// Its image.
        image: String,
    },
    /// A container ends again and again; its name.
    Crash(String),
    /// A container cannot be started.
    Container {
        /// Its name.
        container: String,
        /// The reason, in one `CamelCase` word.
        reason: String,
    },
    /// The scheduler finds no node; what nodes lack, without their numbers.
    Unscheduled(String),
}

/// A container as its kubelet sees it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireContainerStatus {
    name: String,
    image: String,
    pub(super) restart_count: i32,
    state: WireState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireState {
    waiting: Option<WireWaiting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireWaiting {
    reason: String,
}

impl WireContainerStatus {
    /// What it waits for, if that is something out of the ordinary.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let container = self.name.clone();
        match self.state.waiting.as_ref()?.reason.as_str() {
            "" | "ContainerCreating" | "PodInitializing" => None,
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable"
            | "ImageInspectError" => Some(Trouble::Image { container, image: self.image.clone() }),
            "CrashLoopBackOff" => Some(Trouble::Crash(container)),
            reason => Some(Trouble::Container { container, reason: reason.to_owned() }),
        }
    }
}

/// What the scheduler says nodes lack: `0/4 nodes are available: 1 Insufficient cpu, 3 node(s) …`
/// without the numbers, which change with every pod that comes or goes.
pub(super) fn unscheduled(message: &str) -> Trouble {
    let reasons = message.split_once("nodes are available: ").map_or(message, |(_, it)| it);
    let reasons = reasons.split_once(". preemption: ").map_or(reasons, |(it, _)| it);
    let unnumbered = |reason: &str| {
        let reason = reason.trim().trim_end_matches('.');
        reason.trim_start_matches(|it: char| it.is_ascii_digit()).trim_start().to_owned()
    };
    let reasons: BTreeSet<_> = reasons.split(", ").map(unnumbered).collect();
    Trouble::Unscheduled(reasons.into_iter().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_container_waits_for() {
        let image = Trouble::Image { container: "c".to_owned(), image: "i".to_owned() };
        let refused = Trouble::Container {
            container: "c".to_owned(),
            reason: "CreateContainerConfigError".to_owned(),
        };
        for (state, expected) in [
            (json!({"running": {}}), None),
            (json!({"waiting": {}}), None),
            (json!({"waiting": {"reason": "ContainerCreating"}}), None),
            (json!({"waiting": {"reason": "ErrImagePull"}}), Some(image.clone())),
            (json!({"waiting": {"reason": "ImagePullBackOff"}}), Some(image)),
            (
                json!({"waiting": {"reason": "CrashLoopBackOff"}}),
                Some(Trouble::Crash("c".to_owned())),
            ),
            (json!({"waiting": {"reason": "CreateContainerConfigError"}}), Some(refused)),
        ] {
            let status = json!({"name": "c", "image": "i", "state": state});
            let status: WireContainerStatus = serde_json::from_value(status).unwrap();
            assert_eq!(status.trouble(), expected, "{state}");
        }
    }

    #[test]
    fn what_the_scheduler_says_is_the_same_however_many_nodes_there_are() {
        for (message, expected) in [
            (
                "0/4 nodes are available: 1 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint(s). \
                 preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
                "Insufficient nvidia.com/gpu, node(s) had untolerated taint(s)",
            ),
            (
                "0/97 nodes are available: 90 node(s) had untolerated taint(s), 7 Insufficient nvidia.com/gpu.",
                "Insufficient nvidia.com/gpu, node(s) had untolerated taint(s)",
            ),
            ("no nodes available to schedule pods", "no nodes available to schedule pods"),
            ("", ""),
        ] {
            assert_eq!(unscheduled(message), Trouble::Unscheduled(expected.to_owned()));
        }
    }
}

//! What keeps a pod from coming up, as its status tells: what its kubelet and the scheduler say,
//! without what changes from one attempt to the next.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::Footprint;

/// A container that has run for so long since it last ended does not crash any more: the longest
/// pause of a kubelet between two attempts is five minutes.
const RECOVERED: Duration = Duration::from_mins(6);

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
    /// A container ends again and again.
    Crash {
        /// Its name.
        container: String,
        /// When it last ended, if it does not wait for the next attempt.
        ended: Option<Timestamp>,
    },
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

/// What kind of trouble a pod has: of several, the first of these is told, which lasts surest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// An image cannot be pulled.
    Image,
    /// A container cannot be started.
    Container,
    /// A container ends again and again.
    Crash,
    /// The scheduler finds no node.
    Unscheduled,
}

impl Trouble {
    /// What kind of trouble it is.
    #[must_use]
    pub fn kind(&self) -> TroubleKind {
        match self {
            Self::Image { .. } => TroubleKind::Image,
            Self::Container { .. } => TroubleKind::Container,
            Self::Crash { .. } => TroubleKind::Crash,
            Self::Unscheduled(_) => TroubleKind::Unscheduled,
        }
    }

    /// The container that it is about.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Image { container, .. }
            | Self::Container { container, .. }
            | Self::Crash { container, .. } => Some(container),
            Self::Unscheduled(_) => None,
        }
    }

    /// How long it still is one, if nothing happens; `None` when that is for ever, and zero when it
    /// is over.
    #[must_use]
    pub fn lasts(&self, now: Timestamp) -> Option<Duration> {
        let Self::Crash { ended: Some(ended), .. } = self else { return None };
        let ago = Duration::try_from(now.duration_since(*ended)).unwrap_or_default();
        Some(RECOVERED.saturating_sub(ago))
    }

    /// Whether it is not over.
    #[must_use]
    pub(super) fn is_present(&self, now: Timestamp) -> bool {
        self.lasts(now).is_none_or(|rest| !rest.is_zero())
    }
}

impl Footprint for Trouble {
    fn heap(&self) -> usize {
        match self {
            Self::Image { container, image: what }
            | Self::Container { container, reason: what } => container.heap() + what.heap(),
            Self::Crash { container, .. } => container.heap(),
            Self::Unscheduled(lacking) => lacking.heap(),
        }
    }
}

/// A container as its kubelet sees it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireContainerStatus {
    name: String,
    image: String,
    pub(super) restart_count: i32,
    ready: bool,
    state: WireState,
    last_state: WireState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireState {
    waiting: Option<WireWaiting>,
    terminated: Option<WireTerminated>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireTerminated {
    finished_at: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireWaiting {
    reason: String,
}

impl WireContainerStatus {
    /// What is in its way: what it waits for, if that is something out of the ordinary, and between
    /// two waits that it ends again and again.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let container = self.name.clone();
        let Some(waiting) = &self.state.waiting else { return self.crash() };
        match waiting.reason.as_str() {
            "" | "ContainerCreating" | "PodInitializing" => None,
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable"
            | "ImageInspectError" => Some(Trouble::Image { container, image: self.image.clone() }),
            "CrashLoopBackOff" => Some(Trouble::Crash { container, ended: None }),
            reason => Some(Trouble::Container { container, reason: reason.to_owned() }),
        }
    }

    fn crash(&self) -> Option<Trouble> {
        let last = self.state.terminated.as_ref().or(self.last_state.terminated.as_ref())?;
        let ended = last.finished_at.as_ref().filter(|_| !self.ready && self.restart_count > 1)?;
        Some(Trouble::Crash { container: self.name.clone(), ended: Some(ended.0) })
    }
}

/// What the scheduler says nodes lack: `0/4 nodes are available: 1 Insufficient cpu, 3 node(s) …`
/// without the numbers, which change with every pod that comes or goes.
pub(super) fn unscheduled(message: &str) -> Trouble {
    let reasons = match message.split_once("nodes are available: ") {
        // Behind the first sentence it tells, node by node, what preemption would not help.
        Some((_, said)) => said.split_once(". ").map_or(said, |(reasons, _)| reasons),
        None => message,
    };
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
                Some(Trouble::Crash { container: "c".to_owned(), ended: None }),
            ),
            (json!({"waiting": {"reason": "CreateContainerConfigError"}}), Some(refused)),
        ] {
            let status = json!({"name": "c", "image": "i", "state": state});
            let status: WireContainerStatus = serde_json::from_value(status).unwrap();
            assert_eq!(status.trouble(), expected, "{state}");
        }
    }

    #[test]
    fn a_container_that_has_ended_often_crashes_until_it_is_ready_or_has_run_for_a_while() {
        let ended: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let crash = Trouble::Crash { container: "c".to_owned(), ended: Some(ended) };
        let terminated = json!({"terminated": {"exitCode": 1, "finishedAt": ended}});
        let running = json!({"running": {}});
        for (restarts, ready, state, last, expected) in [
            (2, false, &running, &terminated, Some(crash.clone())),
            (2, false, &terminated, &json!({}), Some(crash.clone())),
            (1, false, &running, &terminated, None),
            (2, true, &running, &terminated, None),
            (2, false, &running, &json!({}), None),
        ] {
            let status = json!({
                "name": "c", "restartCount": restarts, "ready": ready, "state": state, "lastState": last,
            });
            let found: WireContainerStatus = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(found.trouble(), expected, "{status}");
        }
        assert_eq!(crash.lasts(ended + Duration::from_mins(2)), Some(Duration::from_mins(4)));
        assert_eq!(crash.lasts(ended + Duration::from_mins(7)), Some(Duration::ZERO));
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
                "0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient cpu. no new \
                 claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for \
                 scheduling, 2 No preemption victims found for incoming pod.",
                "Insufficient cpu, node(s) had untolerated taint {a: b}",
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

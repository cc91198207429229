//! What a group waits for until its workers are created.

use lws_api_types::set::StartupPolicy;
use lws_controller::plan::group::Group;

use crate::snapshot::Snapshot;

/// What the workers of a group wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// That the leader is ready: start-up policy `LeaderReady`.
    Leader,
    /// The node of the leader, whose topology domain they share.
    Node,
    /// A pod of the former group, of this name.
    Predecessor(String),
}

impl Wait {
    /// It in words; `leader` is the name of the leader pod.
    pub(crate) fn told(&self, leader: &str) -> String {
        match self {
            Self::Leader => {
                format!("its workers wait until pod {leader} is ready (startupPolicy LeaderReady)")
            }
            Self::Node => format!(
                "its workers wait for the node of pod {leader}, whose topology domain they share"
            ),
            Self::Predecessor(pod) => {
                format!("its workers wait until pod {pod} of the former group is gone")
            }
        }
    }
}

impl Snapshot {
    /// What the workers of `group` wait for; `None` when they exist, or nothing holds them back.
    pub(crate) fn wait(&self, group: &Group<'_>) -> Option<Wait> {
        let leader = group.leader.as_ref();
        let has_workers =
            group.spec.as_ref().is_some_and(|it| it.leader_worker_template.size() > 1);
        if leader.identity.is_terminating() || !has_workers || group.worker_set.is_some() {
            return None;
        }
        let waits_for_leader = self.set.spec.startup_policy() == StartupPolicy::LeaderReady;
        if waits_for_leader && !leader.ready_condition {
            return Some(Wait::Leader);
        }
        if group.placement.group.is_some() && leader.node.is_none() {
            return Some(Wait::Node);
        }
        let predecessor = group.predecessor(&self.entry)?;
        Some(Wait::Predecessor(predecessor.identity.name().to_owned()))
    }
}

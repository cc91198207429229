//! Restart policies: which failing pods take their whole group with them.

use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::annotations;
use lws_api_types::set::RestartPolicy;

use super::group::{Group, Groups, reference, workers};
use super::task::{EventDraft, Task};
use crate::observe::index::Entry;
use crate::observe::views::{Phase, PodView};

/// The leaders to delete because a pod of their group failed: one task a group, whatever the
/// number of its failing pods.
pub(super) fn recreations(set: &LeaderWorkerSet, groups: &Groups<'_>, entry: &Entry) -> Vec<Task> {
    let policy = set.spec.leader_worker_template.restart_policy();
    if policy == RestartPolicy::None {
        return Vec::new();
    }
    let waits_for_start = policy == RestartPolicy::RecreateGroupAfterStart
        || set.has_annotation(annotations::RECREATE_AFTER_START);
    groups
        .all
        .iter()
        .filter(|group| !group.leader.identity.is_terminating())
        .filter_map(|group| {
            let members = Members::of(group, entry, waits_for_start);
            let failed = members.failed()?;
            (!waits_for_start || members.have_started(group)).then(|| recreate(group, failed))
        })
        .collect()
}

/// The pods of one group: those that this very leader owns through its worker `StatefulSet`.
struct Members<'a> {
    leader: &'a PodView,
    workers: Vec<&'a PodView>,
    /// Workers that vanished.
    lost: Vec<&'a PodView>,
}

impl<'a> Members<'a> {
    fn of(group: &Group<'a>, entry: &'a Entry, waits_for_start: bool) -> Self {
        let leader: &PodView = group.leader;
        // A worker at another revision is about to be replaced anyway.
        let is_current = |pod: &&PodView| pod.revision == leader.revision;
        let is_owned = |pod: &&PodView| {
            entry.leader_of(pod).is_some_and(|it| it.identity.uid() == leader.identity.uid())
        };
        // A policy that waits for the start does not mind pods that had not started.
        let lost = entry
            .losses
            .iter()
            .map(|loss| loss.pod.as_ref())
            .filter(|pod| !waits_for_start || pod.phase != Phase::Pending);
        Self {
            leader,
            workers: workers(entry, leader).filter(is_current).collect(),
            lost: lost.filter(is_owned).filter(is_current).collect(),
        }
    }

    /// The first pod that failed: one that vanished, is being deleted, or was restarted.
    fn failed(&self) -> Option<&'a PodView> {
        let alive = std::iter::once(self.leader).chain(self.workers.iter().copied());
        self.lost.first().copied().or_else(|| {
            alive.into_iter().find(|pod| {
                pod.identity.is_terminating()
                    || pod.restarted && matches!(pod.phase, Phase::Running | Phase::Pending)
            })
        })
    }

    /// Whether every pod of the group exists and has left phase Pending.
    fn have_started(&self, group: &Group<'_>) -> bool {
        let size = group.spec.as_ref().map_or(1, |spec| spec.leader_worker_template.size());
        let count = 1 + self.workers.len();
        i64::try_from(count).is_ok_and(|count| count == i64::from(size))
            && self.leader.phase != Phase::Pending
            && self.workers.iter().all(|pod| pod.phase != Phase::Pending)
    }
}

/// Deletes the leader; the workers go with it, and its `StatefulSet` makes a new one.
fn recreate(group: &Group<'_>, failed: &PodView) -> Task {
    let leader = group.leader;
    // Clients match this text, also when the failing pod is the leader itself.
    let note = format!(
        "Worker pod {} failed, deleted leader pod {} to recreate group {}",
        failed.identity.name(),
        leader.identity.name(),
        group.index,
    );
    Task::delete_leader(group.target())
        .told(EventDraft::normal("RecreateGroup", "Delete", note).about(reference(leader)))
}

//! Groups on their way out: all their pods end at the same time, and none is waited for that a lost
//! node will never end.

use std::time::Duration;

use super::Scope;
use super::group::{Groups, reference};
use super::history::since;
use super::members::is_of_set;
use super::task::{Action, EventDraft, Plan, Target, Task};
use crate::observe::views::{PodView, StatefulSetView};

/// Finalizers of an object whose dependents the garbage collector sees to: it deletes them first,
/// or lets them live.
const SEEN_TO: [&str; 2] = ["foregroundDeletion", "orphan"];
/// How often the node of a pod that should have ended long ago is looked at.
const NODE_AGAIN: Duration = Duration::from_secs(15);

/// Adds the deletion of worker `StatefulSet`s whose leader is on its way out. Whoever deleted the
/// leader in the background would else have its workers end only after it: two grace periods
/// instead of one.
///
/// It goes at once, which spares the cluster most of the work that it would make while its pods end:
/// its successor waits for these. Claims that go with it have no such guard, and it stays for them.
pub(super) fn of_workers(plan: &mut Plan, groups: &Groups<'_>) {
    for group in groups.all.iter().filter(|group| ends_alone(group.leader)) {
        let running = group.worker_set.filter(|it| !it.identity.is_terminating());
        if let Some(worker_set) = running {
            let target = Target::of(worker_set.as_ref());
            let failed = format!("Failed to delete worker statefulset {}", target.name);
            let failed = EventDraft::warning("FailedDelete", "Delete", failed);
            let stays = group.loses_claims();
            let deletion = Action::DeleteWorkerSet { target, stays };
            plan.tasks.push(Task::new(deletion).or_warned(failed));
        }
    }
}

/// Whether a leader is on its way out and nobody sees to its workers before it is gone.
fn ends_alone(leader: &PodView) -> bool {
    let identity = &leader.identity;
    // One that was deleted by force is shown as terminating a moment before it is gone.
    let is_gone = identity.meta.deletion_grace_period_seconds == Some(0)
        && identity.meta.finalizers.as_ref().is_none_or(Vec::is_empty);
    identity.is_terminating() && !is_gone && !SEEN_TO.iter().any(|it| identity.has_finalizer(it))
}

/// Adds the final deletion of pods that should have ended long ago and whose node is lost, so that
/// their group can be recreated elsewhere.
pub(super) fn of_lost_pods(
    plan: &mut Plan,
    scope: &Scope<'_>,
    leader_set: &StatefulSetView,
    groups: &Groups<'_>,
) {
    let Some(margin) = scope.context.restarts.node_lost_after else { return };
    for pod in scope.entry.pods.values() {
        // Without a grace period its node has confirmed the end, or nobody waits for that.
        let has_grace = pod.identity.meta.deletion_grace_period_seconds != Some(0);
        let Some(end) = pod.identity.ends().filter(|_| has_grace) else { continue };
        if scope.keeps_failed_pod(pod, groups) || !is_of_set(pod, leader_set, scope.entry) {
            continue;
        }
        let Some(node) = &pod.node else { continue };
        let rest =
            (margin + since(scope.context.now, end)).saturating_sub(since(end, scope.context.now));
        if !rest.is_zero() {
            plan.recheck_after(rest);
            continue;
        }
        match scope.context.nodes.get(node).map(|it| it.health.fault()) {
            None => plan.needs_node(node, "FailedDelete", "Delete"),
            Some(None) => plan.recheck_after(NODE_AGAIN),
            Some(Some(fault)) => plan.tasks.push(release(pod, node, fault)),
        }
    }
}

fn release(pod: &PodView, node: &str, fault: &str) -> Task {
    let name = pod.identity.name();
    let done = format!(
        "Node {node} {fault} and has not ended pod {name} in time: the pod is deleted for good, \
         its containers may go on where the node does",
    );
    let failed = format!("Failed to delete pod {name} of lost node {node}");
    Task::new(Action::ReleasePod(Target::of(pod)))
        .told(EventDraft::warning("NodeLost", "Delete", done).about(reference(pod)))
        .or_warned(EventDraft::warning("FailedDelete", "Delete", failed).about(reference(pod)))
}

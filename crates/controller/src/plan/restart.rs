//! Restart policies: which failing pods take their whole group with them, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use lws_api_types::keys::annotations;

use super::Scope;
use super::group::{Group, Groups, reference};
use super::history::{Cause, History, Incident};
use super::members::Members;
use super::record::{Missing, Record};
use super::task::{Action, EventDraft, Plan, Target, Task};
use crate::observe::views::{Disruption, Phase, PodView, StatefulSetView};

/// Adds the deletion of the leaders whose group failed: one task a group, whatever the number of
/// its failing pods. A group that keeps failing waits.
///
/// The history is written at the same time. A server that refuses that holds back no group, and what
/// is not written is kept until it is.
pub(super) fn recreate(
    plan: &mut Plan,
    scope: &Scope<'_>,
    leader_set: &StatefulSetView,
    groups: &Groups<'_>,
    record: &Record<'_>,
) -> Failed {
    let stored = History::of(leader_set);
    let history = stored.with(scope.context.unwritten);
    let mut recreations = Recreations { stored, history, ..Default::default() };
    for group in groups.all.iter().filter(|group| !group.leader.identity.is_terminating()) {
        if scope.keeps_failing_pods(group) {
            recreations.history.forget_group(group.index);
        } else {
            recreations.consider(plan, scope, group, record);
        }
    }
    let settings = scope.context.restarts;
    let (replicas, now) = (leader_set.replicas, scope.context.now);
    let forgets = recreations.history.forget(&groups.all, replicas, settings, now);
    if let Some(delay) = forgets {
        plan.recheck_after(delay);
    }
    plan.failing.groups = recreations.history.failures();
    plan.unwritten = recreations.history.beyond(&recreations.stored);
    plan.tasks.extend(recreations.record(leader_set));
    plan.tasks.append(&mut recreations.tasks);
    recreations.failed
}

/// Groups with a failed pod, by index.
#[derive(Default)]
pub(super) struct Failed {
    /// Those that are recreated, at once or once they have waited.
    pub(super) certain: BTreeSet<i64>,
    /// Those of which a pod has to be looked for.
    pub(super) doubted: BTreeSet<i64>,
}

#[derive(Default)]
struct Recreations {
    /// The history as it is stored.
    stored: History,
    history: History,
    tasks: Vec<Task>,
    /// What is told once the history is written.
    told: Vec<EventDraft>,
    failed: Failed,
}

impl Recreations {
    fn consider(
        &mut self,
        plan: &mut Plan,
        scope: &Scope<'_>,
        group: &Group<'_>,
        record: &Record<'_>,
    ) {
        let waits_for_start = scope.waits_for_start(group);
        let members = Members::of(group, scope.entry, waits_for_start);
        let uid = group.leader.identity.uid();
        let is_counted = self.history.has(group.index, uid);
        let recorded = record.of_group(group);
        let missing = || recorded.and_then(|it| it.missing(group, scope.entry));
        let failure = failure(&members).or_else(|| match missing()? {
            Missing::Gone(pod) => Some((pod, Cause::PodLost)),
            Missing::Doubted(pod) => {
                self.failed.doubted.insert(group.index);
                plan.doubt(pod);
                None
            }
        });
        let lost = recorded.and_then(|it| it.lost_with_worker_set(group, scope.entry));
        // It is on record, so it had started.
        let waits_for_start = waits_for_start && lost.is_none();
        // What is listed of pods may be older than what is listed of `StatefulSet`s.
        let is_unsure = lost.is_some() && !is_counted && !scope.entry.is_confirmed(uid);
        let failure = failure.or(lost.map(|pod| (pod, Cause::PodLost)));
        if failure.is_some() && (is_unsure || scope.entry.is_doubted(uid)) {
            // It may have gone with its workers.
            self.failed.doubted.insert(group.index);
            plan.doubt(group.target());
            return;
        }
        if failure.is_none() && !is_counted || waits_for_start && !have_started(group, &members) {
            return;
        }
        if let Some((pod, cause)) = failure.filter(|_| !is_counted) {
            self.history.count(group, cause, &pod, scope.context.now);
        }
        self.history.bring_to_present(group.index, scope.context.now);
        let Some(incident) = self.history.of_leader(group.index, uid) else { return };
        self.failed.certain.insert(group.index);
        let wait = incident.wait(scope.context.restarts, scope.context.now);
        if wait.is_zero() {
            self.tasks.push(recreation(group, incident));
            return;
        }
        plan.failing.waiting += 1;
        plan.recheck_after(wait);
        if !self.stored.has(group.index, uid) {
            self.told.push(waits(group, incident, wait));
        }
    }

    /// The task that writes the history, when it has changed.
    fn record(&mut self, leader_set: &StatefulSetView) -> Option<Task> {
        let value = self.history.text();
        (value != leader_set.group_restarts).then(|| {
            let name = leader_set.identity.name();
            let failed = format!("Failed to record which groups failed on statefulset {name}");
            let mut task = Task::new(Action::Annotate {
                stateful_set: Target::of(leader_set),
                key: annotations::GROUP_RESTARTS,
                value,
            });
            task.done = std::mem::take(&mut self.told);
            task.or_warned(EventDraft::warning("FailedUpdate", "Update", failed))
        })
    }
}

/// The first pod that failed, and why: one that vanished, is being deleted, or was restarted.
fn failure(members: &Members<'_, '_>) -> Option<(String, Cause)> {
    let vanished = members.lost().map(|pod| (pod, Cause::PodLost));
    let failing = members.all().filter_map(|pod| Some((pod, visible_failure(pod)?)));
    let (pod, cause) = vanished.chain(failing).next()?;
    let cause = match (cause, pod.disruption) {
        (Cause::ContainerRestart, _) | (_, None) => cause,
        (_, Some(Disruption::Evicted)) => Cause::PodEvicted,
        (_, Some(Disruption::NodeLost)) => Cause::NodeLost,
    };
    Some((pod.identity.name().to_owned(), cause))
}

fn visible_failure(pod: &PodView) -> Option<Cause> {
    if pod.identity.is_terminating() {
        return Some(Cause::PodDeleted);
    }
    let is_active = matches!(pod.phase, Phase::Running | Phase::Pending);
    (pod.restarted && is_active).then_some(Cause::ContainerRestart)
}

/// Whether every pod of the group exists and has left phase Pending.
fn have_started(group: &Group<'_>, members: &Members<'_, '_>) -> bool {
    let size = group.spec.as_ref().map_or(1, |spec| spec.leader_worker_template.size());
    i64::try_from(members.all().count()).is_ok_and(|count| count == i64::from(size))
        && members.all().all(|pod| pod.phase != Phase::Pending)
}

/// Deletes the leader; the workers go with it, and its `StatefulSet` makes a new one.
fn recreation(group: &Group<'_>, incident: &Incident) -> Task {
    let leader = group.leader;
    // Clients match this text, also when the failing pod is the leader itself.
    let note = format!(
        "Worker pod {} failed, deleted leader pod {} to recreate group {}",
        incident.pod,
        leader.identity.name(),
        group.index,
    );
    Task::delete_leader(group.target())
        .told(EventDraft::normal("RecreateGroup", "Delete", note).about(reference(leader)))
        .counted(incident.cause)
}

fn waits(group: &Group<'_>, incident: &Incident, wait: Duration) -> EventDraft {
    let note = format!(
        "Group {} failed {} times in a row, now because {}: it is recreated in {} s",
        group.index,
        incident.count,
        incident.cause.told(&incident.pod),
        wait.as_secs_f64().ceil(),
    );
    EventDraft::warning("RecreateGroupBackoff", "Delete", note).about(reference(group.leader))
}

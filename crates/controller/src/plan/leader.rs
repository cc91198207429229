//! The leader `StatefulSet`: finding it, applying what the rollout says, and replacing the leaders
//! that it releases.

use std::collections::BTreeSet;
use std::time::Duration;

use lws_api_types::LeaderWorkerSet;
use serde_json::Value;

use super::build::{self, LeaderRollout};
use super::group::{Group, Groups, reference};
use super::history::since;
use super::ownership::{self, Controller, Holder};
use super::task::{Action, EventDraft, Orphaned, Plan, Target, Task};
use super::{Scope, applied, revision, rollout};
use crate::observe::entry::Entry;
use crate::observe::views::{PodView, StatefulSetView};

/// How old a pod is that has found no node until that is told. Pods that make way for others end
/// before that.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name is held by an object that is not, or not yet, ours; the plan says what follows.
pub(super) struct Taken;

/// The leader `StatefulSet` that `set` controls. One that nobody controls and that carries the
/// set's label, as an orphaning deletion of the former set leaves it, is adopted before anything
/// else.
pub(super) fn find<'a>(
    plan: &mut Plan,
    set: &LeaderWorkerSet,
    entry: &'a Entry,
) -> Result<Option<&'a StatefulSetView>, Taken> {
    let found = entry.stateful_sets.get(set.name());
    let controller = Controller::Set(set.uid());
    match (ownership::holder(found, controller), found) {
        (Holder::Us, _) => return Ok(found.map(AsRef::as_ref)),
        (Holder::Orphan, Some(orphan)) => {
            plan.tasks.push(ownership::adoption(set, Orphaned::LeaderSet, &orphan.identity));
        }
        _ if !ownership::is_held(plan, found, controller, "leader statefulset") => {
            return Ok(None);
        }
        _ => {}
    }
    Err(Taken)
}

/// What [`apply`] found.
pub(super) struct Wanted {
    /// Groups that shall exist.
    pub(super) replicas: i64,
    /// Whether the leader `StatefulSet` has to be applied first.
    pub(super) applies: bool,
}

/// Adds the apply of the leader `StatefulSet` when it would change anything. `live` is the existing
/// one with its groups.
pub(super) fn apply(
    plan: &mut Plan,
    scope: &Scope<'_>,
    live: Option<(&StatefulSetView, &Groups<'_>)>,
) -> Wanted {
    let set = scope.set;
    let strategy = set.spec.rolling_update();
    let before = live.map(|(live, _)| rollout_view(live));
    let states = live.map(|(live, groups)| groups.states(live.replicas)).unwrap_or_default();
    let step = rollout::step(
        &states,
        &strategy,
        i64::from(set.spec.replicas()),
        before.as_ref(),
        scope.changed,
    );
    let wanted = LeaderRollout {
        replicas: step.replicas,
        partition: step.partition,
        max_unavailable: rollout::statefulset_max_unavailable(&strategy),
    };
    let live = live.map(|(live, _)| live);
    let Some(desired) = unapplied(scope, wanted, live) else {
        return Wanted { replicas: step.replicas, applies: false };
    };
    let existing = live.map(|it| it.identity.uid().to_owned());
    let task = Task::new(Action::ApplyLeaderSet { object: desired, existing });
    plan.tasks.push(match before {
        None => created(task, scope),
        Some(before) => stepped(task, scope, &before, step),
    });
    Wanted { replicas: step.replicas, applies: true }
}

/// The leader `StatefulSet` as it is `wanted`; `None` when the `live` one is like that.
fn unapplied(
    scope: &Scope<'_>,
    wanted: LeaderRollout,
    live: Option<&StatefulSetView>,
) -> Option<Value> {
    let Scope { set, current, entry, .. } = scope;
    let build = |object| build::leader_stateful_set(set, &current.key, wanted, object);
    let Some((live, object)) = live.and_then(|it| Some((it, it.object.as_deref()?))) else {
        return Some(build(None));
    };
    // This is all that the desired object is made from.
    let source = set.metadata.resource_version.as_ref();
    let source = source.map(|it| format!("{} {it} {} {wanted:?}", set.uid(), current.key));
    if source.as_ref().is_some_and(|it| live.compared.agrees(it)) {
        return None;
    }
    let desired = build(Some(object));
    let is_applied = applied::is_applied(&applied::known(&desired, object), object)
        || entry.was_applied(&desired, live);
    if !is_applied {
        return Some(desired);
    }
    if let Some(source) = source {
        live.compared.note(source);
    }
    None
}

/// What people are told of the first apply.
fn created(task: Task, scope: &Scope<'_>) -> Task {
    let name = scope.set.name();
    let created = format!("Created leader statefulset {name}");
    let failed = format!("Failed to create leader statefulset {name}");
    let about = revision::reference(scope.current);
    task.told(EventDraft::normal("GroupsProgressing", "Create", created).about(about))
        .or_warned(EventDraft::warning("FailedCreate", "Create", failed))
}

/// What people are told of a step of the rollout.
fn stepped(
    mut task: Task,
    scope: &Scope<'_>,
    before: &rollout::LeaderSet,
    step: rollout::Step,
) -> Task {
    let name = scope.set.name();
    if let Some(note) = rollout::release_note(before.partition, step).filter(|_| !scope.changed) {
        let about = revision::reference(scope.current);
        task = task.told(EventDraft::normal("GroupsUpdating", "Update", note).about(about));
    }
    if let Some(note) = rollout::surge_deletion_note(name, before, step) {
        task = task.told(EventDraft::normal("GroupsProgressing", "Delete", note));
    }
    let failed = format!("Failed to update leader statefulset {name}");
    task.or_warned(EventDraft::warning("FailedUpdate", "Update", failed))
}

/// Adds the deletion of released leaders that are still at an old `StatefulSet` revision. Nothing
/// may be about to be applied.
pub(super) fn replace(
    plan: &mut Plan,
    set: &LeaderWorkerSet,
    leader_set: &StatefulSetView,
    groups: &Groups<'_>,
) {
    // As long as it has had one template only, all leaders that it made have that. Its status may be
    // that of the former one of its name, see `readiness`.
    let has_had_others = leader_set.identity.meta.generation != Some(1);
    let may_be_outdated = |leader: &PodView| {
        has_had_others || leader.identity.created() < leader_set.identity.created()
    };
    let leaders: Vec<_> = groups
        .all
        .iter()
        .map(|group| rollout::Leader {
            index: group.index,
            ready: group.ready,
            terminating: group.leader.identity.is_terminating(),
            revision: (group.leader.stateful_set_revision.as_deref())
                .filter(|_| may_be_outdated(group.leader)),
        })
        .collect();
    let reported = rollout::Reported {
        generation: leader_set.identity.meta.generation.unwrap_or(0),
        observed_generation: leader_set.observed_generation,
        update_revision: &leader_set.update_revision,
    };
    let replaced: BTreeSet<_> = rollout::leaders_to_replace(
        &leaders,
        &reported,
        &rollout_view(leader_set),
        &set.spec.rolling_update(),
        i64::from(set.spec.replicas()),
    )
    .into_iter()
    .collect();
    let going = going(plan);
    let released = groups.all.iter().filter(|group| replaced.contains(&group.index));
    let targets = released.map(Group::target).filter(|it| !going.contains(it));
    plan.tasks.extend(targets.map(Task::delete_leader));
}

/// The leaders that are deleted already, as a pod of their group failed or the rollout has come to
/// them.
fn going(plan: &Plan) -> BTreeSet<Target> {
    let leader = |task: &Task| match &task.action {
        Action::DeleteLeader(leader) => Some(leader.clone()),
        _ => None,
    };
    plan.tasks.iter().filter_map(leader).collect()
}

/// Adds the deletion of leaders that found no node because of pods of the former group of their
/// name, which are gone. To keep them company is the only place where they may not be, and the
/// scheduler looks again when pods go that keep a pod away, not when those go that attract it: it
/// would take five minutes. Each is deleted once: the next one has met none of them.
pub(super) fn revive(plan: &mut Plan, scope: &Scope<'_>, groups: &Groups<'_>) {
    let going = going(plan);
    for group in &groups.all {
        let leader: &PodView = group.leader;
        let is_stuck = leader.is_unschedulable
            && leader.node.is_none()
            && group.placement.group.is_some()
            && !leader.identity.is_terminating()
            && scope.entry.has_outlasted(leader.identity.uid())
            && scope.entry.named_like_workers(leader.identity.name()).next().is_none();
        if !is_stuck || going.contains(&group.target()) {
            continue;
        }
        let note = format!(
            "Leader pod {} may have found no node because of pods of its predecessor, which are gone: \
             deleted it, so that the next one is scheduled at once",
            leader.identity.name(),
        );
        let event = EventDraft::normal("LeaderRescheduled", "Delete", note);
        let event = event.about(reference(leader));
        plan.tasks.push(Task::delete_leader(group.target()).told(event));
    }
}

/// Tells what a rollout waits for when that has found no node for a while: a group that is new and
/// uses up the budget. On a full cluster it would wait for ever, and nothing else says so.
pub(super) fn tell_standstill(
    plan: &mut Plan,
    scope: &Scope<'_>,
    leader_set: &StatefulSetView,
    groups: &Groups<'_>,
) {
    let released = leader_set.partition;
    let may_be_replaced = scope.set.spec.rolling_update().partition..released;
    if groups.all.iter().all(|it| it.updated || !may_be_replaced.contains(&it.index)) {
        return;
    }
    let new = groups.all.iter().filter(|it| it.index >= released && it.updated && !it.ready);
    let homeless =
        new.filter_map(|group| Some((group.index, group.pods().find(|it| it.is_unschedulable)?)));
    let Some((index, pod)) = homeless.max_by_key(|(index, _)| *index) else { return };
    let waited = pod.identity.created().map_or(PATIENCE, |it| since(it, scope.context.now));
    if plan.waits(PATIENCE.saturating_sub(waited)) {
        return;
    }
    let note = format!(
        "The rollout waits for group {index}: pod {} finds no node, and maxUnavailable permits to \
         replace no other group meanwhile. Add nodes, raise maxUnavailable or set replicas back",
        pod.identity.name(),
    );
    plan.events.push(EventDraft::warning("RolloutWaits", "Update", note).about(reference(pod)));
}

fn rollout_view(live: &StatefulSetView) -> rollout::LeaderSet {
    rollout::LeaderSet {
        replicas: live.replicas,
        partition: live.partition,
        annotated_replicas: live.annotated_replicas,
    }
}

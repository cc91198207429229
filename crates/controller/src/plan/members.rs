//! Who belongs to a group: its pods by UID, and the record of them on its worker `StatefulSet`.
//!
//! The record is what makes a vanished worker a fact that outlives this process: a recorded UID
//! that no worker has any more is a worker that is gone, even when a new one of its name is there.
//! It goes with the worker `StatefulSet`, so every group begins with none. It is written once,
//! when the group is complete; a group that stays incomplete is recorded as it is.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::keys::annotations;
use lws_api_types::{LeaderWorkerSet, names};

use super::Scope;
use super::group::{Group, Groups};
use super::history::since;
use super::status;
use super::task::{Action, EventDraft, Plan, Target, Task};
use crate::observe::entry::Entry;
use crate::observe::views::{Phase, PodView, StatefulSetView};

/// How old the youngest member of an incomplete group is when the group is recorded. Creation
/// times are whole seconds, so this is one to two seconds.
const SETTLED: Duration = Duration::from_secs(2);
/// Workers of the largest group that is recorded: with 43 bytes each they fill a third of the room
/// that Kubernetes gives to the annotations of an object.
const MOST: i64 = 2000;

/// The pods of one group: those that this very leader owns through its worker `StatefulSet`, at its
/// revision. A worker at another revision is about to be replaced anyway.
pub(super) struct Members<'a> {
    leader: &'a PodView,
    pub(super) workers: Vec<&'a PodView>,
    /// Workers that vanished before our eyes.
    pub(super) lost: Vec<&'a PodView>,
}

impl<'a> Members<'a> {
    pub(super) fn of(group: &Group<'a>, entry: &'a Entry, waits_for_start: bool) -> Self {
        let leader: &PodView = group.leader;
        let is_current = |pod: &&PodView| pod.revision == leader.revision;
        let is_owned = |pod: &&PodView| is_worker_of(leader, pod, entry);
        // A policy that waits for the start does not mind pods that had not started.
        let lost = entry
            .losses(leader.identity.uid())
            .filter(|pod| !waits_for_start || pod.phase != Phase::Pending);
        Self {
            leader,
            workers: workers(entry, leader).filter(is_current).collect(),
            lost: lost.filter(is_owned).filter(is_current).collect(),
        }
    }

    /// Leader and workers.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a PodView> {
        std::iter::once(self.leader).chain(self.workers.iter().copied())
    }
}

/// Whether `leader` owns `pod`, through its worker `StatefulSet` or directly.
fn is_worker_of(leader: &PodView, pod: &PodView, entry: &Entry) -> bool {
    entry.leader_of(pod).is_some_and(|it| it.identity.uid() == leader.identity.uid())
}

/// The workers that `leader` owns. A `StatefulSet` counts a pod on its way out as available, so
/// they are looked at too.
pub(super) fn workers<'a>(
    entry: &'a Entry,
    leader: &'a PodView,
) -> impl Iterator<Item = &'a PodView> {
    named_like_workers(entry, leader).filter(move |pod| is_worker_of(leader, pod, entry))
}

/// The pods that have names of workers of `leader`, whosever they are.
pub(super) fn named_like_workers<'a>(
    entry: &'a Entry,
    leader: &PodView,
) -> impl Iterator<Item = &'a PodView> + use<'a> {
    let prefix = format!("{}-", leader.identity.name());
    let pods = entry.pods.range(prefix.clone()..);
    pods.take_while(move |(name, _)| name.starts_with(&prefix)).map(|(_, pod)| pod.as_ref())
}

/// Whether a pod is a leader of the set, or a worker of one of its leaders, who may be gone.
pub(super) fn is_of_set(pod: &PodView, leader_set: &StatefulSetView, entry: &Entry) -> bool {
    let Some(owner) = &pod.identity.owner else { return false };
    if pod.is_leader() {
        return owner.uid == leader_set.identity.uid();
    }
    let worker_set = entry.stateful_sets.get(&owner.name);
    worker_set.filter(|it| it.identity.uid() == owner.uid).is_some_and(|worker_set| {
        let leader = worker_set.identity.owner.as_ref();
        leader.is_some_and(|it| it.kind == "Pod" && it.name == worker_set.identity.name())
    })
}

/// A recorded worker that is not there.
pub(super) enum Missing<'a> {
    /// It is gone.
    Gone(Recorded<'a>),
    /// It may be younger than what we know of pods: it has to be looked for.
    Doubted(Recorded<'a>),
}

/// A worker as it is recorded: what its name adds to that of its leader, and its UID.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded<'a> {
    suffix: &'a str,
    uid: &'a str,
}

impl<'a> Recorded<'a> {
    fn of(pod: &'a PodView, leader: &PodView) -> Self {
        let suffix = pod.identity.name().get(leader.identity.name().len() + 1..);
        Self { suffix: suffix.unwrap_or_default(), uid: pod.identity.uid() }
    }

    /// The pod that is meant.
    pub(super) fn target(&self, leader: &PodView) -> Target {
        let name = format!("{}-{}", leader.identity.name(), self.suffix);
        Target { name, uid: self.uid.to_owned() }
    }
}

/// The first recorded worker that is missing; one that is known to be gone before any other.
pub(super) fn missing<'a>(
    group: &Group<'a>,
    members: &Members<'a>,
    entry: &Entry,
) -> Option<Missing<'a>> {
    let record = holder(group)?.members.as_deref()?;
    if recorded(record).eq(members.workers.iter().map(|pod| Recorded::of(pod, group.leader))) {
        return None;
    }
    let is_there = |it: &Recorded<'_>| {
        let Target { name, uid } = it.target(group.leader);
        entry.pods.get(&name).is_some_and(|pod| pod.identity.uid() == uid)
    };
    let mut doubted = None;
    for member in recorded(record).filter(|it| !is_there(it)) {
        let Target { name, uid } = member.target(group.leader);
        if entry.is_gone(group.leader.identity.uid(), &name, &uid) {
            return Some(Missing::Gone(member));
        }
        doubted = doubted.or(Some(member));
    }
    doubted.map(Missing::Doubted)
}

/// The worker that was lost first when the group has lost its worker `StatefulSet`, and its record
/// with that, while nobody looked. What is seen to go is a loss of its own.
///
/// That the group had one follows from the stored status: the set was available when the leader was
/// there already. Workers that an orphaning deletion has left live on: the next `StatefulSet` takes
/// them over.
pub(super) fn lost_with_record(scope: &Scope<'_>, group: &Group<'_>) -> Option<String> {
    let Scope { set, entry, .. } = scope;
    let leader = group.leader;
    if group.worker_set.is_some()
        || entry.has_lost_worker_set(leader.identity.uid())
        || !was_complete(set, group)
    {
        return None;
    }
    let lives_on = |name: &String| {
        entry.pods.get(name).is_some_and(|pod| {
            let owner = pod.identity.owner.as_ref();
            let is_ours = owner.is_none_or(|it| it.uid == leader.identity.uid());
            is_ours && !pod.identity.is_terminating()
        })
    };
    let workers = 1..group.size().unsigned_abs();
    workers.map(|it| names::worker_pod(leader.identity.name(), it)).find(|it| !lives_on(it))
}

/// Whether the stored status says that a group has been complete: its set has been available, all
/// groups and this leader among them.
fn was_complete(set: &LeaderWorkerSet, group: &Group<'_>) -> bool {
    let Some(status) = &set.status else { return false };
    let created = group.leader.identity.created();
    let was_there = created
        .zip(status::available(status))
        .is_some_and(|(it, since)| it < since.last_transition_time.0);
    // One that has not started took the place of another a moment ago, by whatever clock.
    was_there
        && group.index < i64::from(status.ready_replicas)
        && group.leader.phase != Phase::Pending
}

/// Adds the records that are due. `failed` are the groups that are about to be recreated, and those
/// from index `existing` on are about to go.
pub(super) fn record(
    plan: &mut Plan,
    scope: &Scope<'_>,
    groups: &Groups<'_>,
    failed: &[i64],
    existing: i64,
) {
    let living = groups.all.iter().filter(|group| {
        group.index < existing
            && !failed.contains(&group.index)
            && !group.leader.identity.is_terminating()
    });
    for group in living {
        let Some(worker_set) = recordable(group) else { continue };
        match due(scope, group, worker_set) {
            Due::Never => {}
            Due::In(delay) => plan.recheck_after(delay),
            Due::Now(record) => plan.tasks.push(record_task(group, worker_set, record)),
        }
    }
}

enum Due {
    /// Nothing has changed.
    Never,
    /// More members may follow.
    In(Duration),
    Now(String),
}

fn due(scope: &Scope<'_>, group: &Group<'_>, worker_set: &StatefulSetView) -> Due {
    let before = worker_set.members.as_deref();
    let keeps_failing_pods = scope.keeps_failing_pods(group);
    if keeps_failing_pods && before.is_none() {
        return Due::Never;
    }
    let waits_for_start = scope.waits_for_start(group);
    let members = Members::of(group, scope.entry, waits_for_start);
    let counts = |pod: &&PodView| !waits_for_start || pod.phase != Phase::Pending;
    let workers: Vec<_> = members.workers.iter().copied().filter(counts).collect();
    let lost = members.lost.first().filter(|_| !keeps_failing_pods);
    let wanted: Vec<_> =
        lost.into_iter().chain(&workers).map(|pod| Recorded::of(pod, group.leader)).collect();
    if wanted.is_empty() || before.is_some_and(|it| recorded(it).eq(wanted.iter().copied())) {
        return Due::Never;
    }
    // One that is missing is evidence enough, and stays on record until the group is recreated.
    if !keeps_failing_pods && missing(group, &members, scope.entry).is_some() {
        return Due::Never;
    }
    let is_complete = i64::try_from(workers.len()).is_ok_and(|it| it >= worker_set.replicas);
    let now = scope.context.now;
    let news = workers.iter().filter_map(|pod| latest_news(pod)).max().filter(|it| *it <= now);
    let rest = news.map_or(Duration::ZERO, |news| SETTLED.saturating_sub(since(news, now)));
    if !is_complete && !rest.is_zero() {
        return Due::In(rest);
    }
    Due::Now(text(&wanted))
}

/// When a pod came into being or became ready.
fn latest_news(pod: &PodView) -> Option<Timestamp> {
    pod.identity.created().max(pod.ready_changed)
}

/// The worker `StatefulSet` of a group whose members can be recorded.
fn recordable<'a>(group: &Group<'a>) -> Option<&'a StatefulSetView> {
    holder(group).filter(|it| !it.identity.is_terminating())
}

/// The worker `StatefulSet` of a group that may hold its record.
fn holder<'a>(group: &Group<'a>) -> Option<&'a StatefulSetView> {
    let worker_set: &StatefulSetView = group.worker_set?;
    let is_current = worker_set.revision == group.leader.revision;
    (is_current && worker_set.replicas <= MOST).then_some(worker_set)
}

fn recorded(record: &str) -> impl Iterator<Item = Recorded<'_>> {
    let pairs = record.split(',').filter_map(|it| it.split_once(':'));
    pairs.map(|(suffix, uid)| Recorded { suffix, uid })
}

fn text(members: &[Recorded<'_>]) -> String {
    let pairs: Vec<_> =
        members.iter().map(|Recorded { suffix, uid }| format!("{suffix}:{uid}")).collect();
    pairs.join(",")
}

fn record_task(group: &Group<'_>, worker_set: &StatefulSetView, record: String) -> Task {
    let failed = format!("Failed to record the members of group {}", group.index);
    Task::new(Action::Annotate {
        stateful_set: Target::of(worker_set),
        key: annotations::MEMBERS,
        value: Some(record),
    })
    .or_warned(EventDraft::warning("FailedUpdate", "Update", failed))
}

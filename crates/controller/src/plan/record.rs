//! The record of who belongs to each group, an annotation of the leader `StatefulSet`.
//!
//! It is what makes a vanished worker a fact that outlives this process: a recorded worker that is
//! not there any more is gone, even when a new one of its name is there. Of each group it has the
//! beginning of the UID of its leader, and of its workers by their index: another leader of that
//! index begins with none. A group is recorded when it is complete; one that stays incomplete is
//! recorded as it is.
//!
//! One annotation for all groups is one request for all that become complete at about the same time,
//! and what it says of a group outlives the worker `StatefulSet` of that group.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::keys::annotations;
use lws_api_types::names;

use super::Scope;
use super::group::{Group, Groups};
use super::history::since;
use super::members::Members;
use super::task::{Action, EventDraft, Plan, Target, Task};
use crate::observe::entry::Entry;
use crate::observe::views::{PodView, StatefulSetView};

/// How old the youngest member of an incomplete group is when the group is recorded. Creation
/// times are whole seconds, so this is one to two seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// The longest record, in bytes: a third of the room that Kubernetes gives to the annotations of an
/// object, for about 10 000 pods. Groups of higher indexes are not on record.
const LONGEST: usize = 96 * 1024;

/// Characters of a UID that are recorded: 32 random bits.
const UID: usize = 8;
/// Characters of a revision key that are recorded: 19 bits, to tell two revisions of one leader apart.
const REVISION: usize = 4;

/// The record of a set: what it says of each group, by index.
pub(super) struct Record<'a>(BTreeMap<i64, &'a str>);

/// What is recorded of a group whose leader is there.
#[derive(Clone, Copy)]
pub(super) struct Recorded<'a>(&'a str);

/// A recorded worker that is not there.
pub(super) enum Missing {
    /// It is gone: its name.
    Gone(String),
    /// It may be younger than what we know of pods: it has to be looked for.
    Doubted(Target),
}

impl<'a> Record<'a> {
    /// The record that `leader_set` carries.
    pub(super) fn of(leader_set: &'a StatefulSetView) -> Self {
        let text = leader_set.members.as_deref().unwrap_or_default();
        let groups = text.split(';').filter_map(|it| it.split_once(':'));
        Self(groups.filter_map(|(index, marks)| Some((index.parse().ok()?, marks))).collect())
    }

    /// What it says of a group, if it is about this very leader.
    pub(super) fn of_group(&self, group: &Group<'_>) -> Option<Recorded<'a>> {
        let marks = self.0.get(&group.index).copied()?;
        let (uid, revision) = marks.split(',').next()?.split_once('/')?;
        let is_it = uid == mark(group.leader) && revision == revision_mark(group.leader);
        is_it.then_some(Recorded(marks))
    }

    /// Plans the change that is due. `failed` are the groups that are about to be recreated, and
    /// those from index `existing` on are about to go.
    pub(super) fn update(
        &self,
        plan: &mut Plan,
        scope: &Scope<'_>,
        leader_set: &StatefulSetView,
        groups: &Groups<'_>,
        failed: &BTreeSet<i64>,
        existing: i64,
    ) {
        let kept = groups.all.iter().filter(|it| it.index < existing);
        let changes: Vec<_> = kept
            .map(|group| {
                let is_ending =
                    failed.contains(&group.index) || group.leader.identity.is_terminating();
                let recorded = self.of_group(group);
                let change = if is_ending { Change::None } else { change(scope, group, recorded) };
                (group.index, recorded, change)
            })
            .collect();
        for (_, _, change) in &changes {
            if let Change::In(delay) = change {
                plan.recheck_after(*delay);
            }
        }
        // Groups for which there is no room are always due.
        if changes.iter().any(|(_, _, it)| matches!(it, Change::Removal | Change::Now(_))) {
            let value = text(&changes.into_iter().filter_map(wanted).collect());
            if value != leader_set.members {
                plan.record = Some(task(leader_set, value));
            }
        }
    }
}

/// What is to be recorded of the group with this index.
fn wanted(
    (index, recorded, change): (i64, Option<Recorded<'_>>, Change),
) -> Option<(i64, Cow<'_, str>)> {
    let marks = match change {
        Change::None | Change::In(_) => recorded?.0.into(),
        Change::Removal => return None,
        Change::Now(marks) => marks.into(),
    };
    Some((index, marks))
}

impl<'a> Recorded<'a> {
    /// The first recorded worker of `group` that is missing; one that is known to be gone before any
    /// other. Without its worker `StatefulSet`, nothing is said.
    pub(super) fn missing(self, group: &Group<'_>, entry: &Entry) -> Option<Missing> {
        group.worker_set?;
        let mut doubted = None;
        for (position, (index, mark)) in self.marks().enumerate() {
            let is_it = |pod: &PodView| pod.identity.uid().starts_with(mark);
            // Mostly it is in its place.
            if group.workers.get(position).is_some_and(|it| is_it(it)) {
                continue;
            }
            let target = target(group.leader, index, mark);
            if group.worker(&target.name).is_some_and(is_it)
                || entry.pods.get(&target.name).is_some_and(|it| is_it(it))
            {
                continue;
            }
            if entry.is_gone(group.leader.identity.uid(), mark) {
                return Some(Missing::Gone(target.name));
            }
            doubted = doubted.or(Some(target));
        }
        doubted.map(Missing::Doubted)
    }

    /// The first worker that `group` has lost with its worker `StatefulSet`, while nobody looked.
    /// What is seen to go is a loss of its own.
    ///
    /// Workers that an orphaning deletion has left live on: the next `StatefulSet` takes them over.
    pub(super) fn lost_with_worker_set(self, group: &Group<'_>, entry: &Entry) -> Option<String> {
        let leader: &PodView = group.leader;
        if group.worker_set.is_some() || entry.has_lost_worker_set(leader.identity.uid()) {
            return None;
        }
        let lives_on = |worker: &Target| {
            entry.pods.get(&worker.name).is_some_and(|pod| {
                let owner = pod.identity.owner.as_ref();
                pod.identity.uid().starts_with(&worker.uid)
                    && owner.is_none_or(|it| it.uid == leader.identity.uid())
                    && !pod.identity.is_terminating()
            })
        };
        let mut workers = self.marks().map(|(index, mark)| target(leader, index, mark));
        workers.find(|it| !lives_on(it)).map(|it| it.name)
    }

    /// Whether these are the recorded workers, in the same order.
    fn is_of<'p>(self, workers: impl Iterator<Item = &'p PodView>) -> bool {
        self.marks().map(|(_, mark)| mark).eq(workers.map(mark))
    }

    /// What is recorded of each worker, with its index.
    fn marks(self) -> impl Iterator<Item = (u32, &'a str)> {
        (0..).zip(self.0.split(',')).skip(1).filter(|(_, mark)| !mark.is_empty())
    }
}

/// The worker at this index, whose UID begins with `mark`.
fn target(leader: &PodView, index: u32, mark: &str) -> Target {
    Target { name: names::worker_pod(leader.identity.name(), index), uid: mark.to_owned() }
}

/// What becomes of the record of a group.
enum Change {
    None,
    /// More members may follow.
    In(Duration),
    /// It matters no longer.
    Removal,
    Now(String),
}

fn change(scope: &Scope<'_>, group: &Group<'_>, before: Option<Recorded<'_>>) -> Change {
    if scope.keeps_failing_pods(group) {
        return if before.is_some() { Change::Removal } else { Change::None };
    }
    let worker_set = group
        .worker_set
        .filter(|it| it.revision == group.leader.revision && !it.identity.is_terminating());
    let Some(worker_set) = worker_set else { return Change::None };
    let waits_for_start = scope.waits_for_start(group);
    let members = Members::of(group, scope.entry, waits_for_start);
    let workers = || members.counted_workers();
    if before.is_some_and(|it| it.is_of(workers().chain(members.lost()))) {
        return Change::None;
    }
    let Some(marks) = marks(group.leader, workers().chain(members.lost())) else {
        return Change::None;
    };
    let is_recorded = before.is_some_and(|it| it.0 == marks);
    // One that is missing is evidence enough, and stays on record until the group is recreated.
    if is_recorded || before.is_some_and(|it| it.missing(group, scope.entry).is_some()) {
        return Change::None;
    }
    let is_complete = i64::try_from(workers().count()).is_ok_and(|it| it >= worker_set.replicas);
    let now = scope.context.now;
    let news = workers().filter_map(latest_news).max().filter(|it| *it <= now);
    let rest = news.map_or(Duration::ZERO, |news| SETTLED.saturating_sub(since(news, now)));
    if !is_complete && !rest.is_zero() {
        return Change::In(rest);
    }
    Change::Now(marks)
}

/// What is to be recorded of a leader and its workers; `None` when there are none. Of workers with
/// the same index, the last counts.
fn marks<'a>(leader: &PodView, workers: impl Iterator<Item = &'a PodView>) -> Option<String> {
    let by_index: BTreeMap<u32, &str> = workers
        .filter_map(|it| Some((names::parent_and_ordinal(it.identity.name())?.1, mark(it))))
        .collect();
    let mut text = format!("{}/{}", mark(leader), revision_mark(leader));
    let mut last = 0;
    for (index, mark) in &by_index {
        let gap = usize::try_from(index - last).unwrap_or(usize::MAX);
        text.extend(std::iter::repeat_n(',', gap.min(LONGEST)));
        text.push_str(mark);
        last = *index;
    }
    (!by_index.is_empty()).then_some(text)
}

/// The beginning of the UID of a pod.
fn mark(pod: &PodView) -> &str {
    let uid = pod.identity.uid();
    uid.get(..UID).unwrap_or(uid)
}

/// The beginning of the revision key of a leader.
fn revision_mark(leader: &PodView) -> &str {
    let revision = leader.revision.as_deref().unwrap_or_default();
    revision.get(..REVISION).unwrap_or(revision)
}

/// When a pod came into being or became ready.
fn latest_news(pod: &PodView) -> Option<Timestamp> {
    pod.identity.created().max(pod.ready_changed)
}

/// The text of a record with as many groups as there is room for; `None` when there is none.
fn text(groups: &BTreeMap<i64, Cow<'_, str>>) -> Option<String> {
    let mut text = String::new();
    for (index, marks) in groups {
        let group = format!("{index}:{marks}");
        if text.len() + 1 + group.len() > LONGEST {
            break;
        }
        if !text.is_empty() {
            text.push(';');
        }
        text.push_str(&group);
    }
    (!text.is_empty()).then_some(text)
}

fn task(leader_set: &StatefulSetView, value: Option<String>) -> Task {
    let name = leader_set.identity.name();
    let failed = format!("Failed to record the members of groups on statefulset {name}");
    Task::new(Action::Annotate {
        stateful_set: Target::of(leader_set),
        key: annotations::MEMBERS,
        value,
    })
    .or_warned(EventDraft::warning("FailedUpdate", "Update", failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(text: &str) -> StatefulSetView {
        StatefulSetView { members: Some(text.to_owned()), ..Default::default() }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_what_is_unreadable_is_left_out() {
        for (stored, read) in [
            ("", None),
            ("0:leader,one,,three", Some("0:leader,one,,three")),
            ("2:a,b;10:c,d", Some("2:a,b;10:c,d")),
            ("10:c,d;2:a,b", Some("2:a,b;10:c,d")),
            ("x:a,b;3:c;;no", Some("3:c")),
        ] {
            let carried = carried(stored);
            let record = Record::of(&carried);
            let groups = record.0.iter().map(|(index, marks)| (*index, Cow::from(*marks)));
            assert_eq!(text(&groups.collect()).as_deref(), read, "{stored}");
        }
    }

    #[test]
    fn a_record_has_the_first_groups_that_there_is_room_for() {
        let marks = ["12345678"; 100].join(",");
        let groups: BTreeMap<_, _> = (0..1000).map(|it| (it, Cow::from(marks.as_str()))).collect();
        let text = text(&groups).unwrap();
        assert!(text.len() <= LONGEST && text.len() > LONGEST - 1000, "{}", text.len());
        let carried = carried(&text);
        let record = Record::of(&carried);
        assert!(record.0.keys().copied().eq(0..i64::try_from(record.0.len()).unwrap()));
    }
}

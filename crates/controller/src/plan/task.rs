//! What a plan consists of: requests to make, events to tell, and what to look at again later.

mod action;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lws_api_types::LeaderWorkerSetStatus;

use super::history::{Cause, Failing, Incidents};
use super::obstacle;
use super::shortage::Shortages;
use super::standing::Standing;
use super::status;
use crate::observe::views::View;

pub use action::{Action, Orphaned};

/// Everything that is to be done about one set now.
#[derive(Debug, Default)]
pub struct Plan {
    /// Key of the revision that the set is at; empty while that is not known.
    pub revision: String,
    /// Requests, independent of each other.
    pub tasks: Vec<Task>,
    /// The request that brings the record of members up to date. Nobody is kept waiting when it is
    /// made a moment later, with more to record.
    pub record: Option<Task>,
    /// The new status, when it differs from the stored one. Written once no task is left.
    pub status: Option<StatusChange>,
    /// Events about what was found, not about a request.
    pub events: Vec<EventDraft>,
    /// Nodes that have to be read before the plan can be completed, and what is told of each that
    /// cannot be.
    pub unknown_nodes: BTreeMap<String, EventDraft>,
    /// Labels of which it has to be read whether any node carries them before the plan can be
    /// completed.
    pub unknown_topologies: BTreeSet<String>,
    /// Whether the set has to be read anew before anything is created for it.
    pub doubts_set: bool,
    /// Pods that have to be read anew before the plan can be completed, each by its name and its UID
    /// or the beginning of that.
    pub doubted_pods: BTreeSet<Target>,
    /// The `StatefulSet`s that are short of pods, and what is known of that.
    pub shortages: Shortages,
    /// One of these, which has to be asked for the reason before the plan can be completed.
    pub unexplained: Option<Target>,
    /// Groups that have failed lately.
    pub failing: Failing,
    /// How its groups stand; `None` when something comes before they are looked at.
    pub standing: Option<Standing>,
    /// Failures that have been counted and are not in the stored history.
    pub unwritten: Incidents,
    /// When to look again although nothing may have been observed.
    pub recheck: Option<Duration>,
}

/// A status to write, and the event that tells of it.
#[derive(Debug, PartialEq)]
pub struct StatusChange {
    /// The whole new status.
    pub status: LeaderWorkerSetStatus,
    /// Told once the status is written.
    pub event: Option<EventDraft>,
    /// Whether nobody is kept waiting when it is written a moment later, with more to say: nothing
    /// but numbers of groups has changed.
    pub may_wait: bool,
}

impl StatusChange {
    /// Why it is written, in words: what its event and condition `ReplicaFailure` tell, or else how
    /// many groups there are.
    pub(crate) fn why(&self) -> String {
        let LeaderWorkerSetStatus { replicas, ready_replicas, updated_replicas, .. } = self.status;
        let failure = status::failure(&self.status).filter(|_| !self.may_wait);
        let failure = failure.map(|it| format!("{}: {}", it.reason, it.message));
        let told: Vec<_> = self.event.iter().map(EventDraft::text).chain(failure).collect();
        if told.is_empty() {
            return format!(
                "{ready_replicas} of {replicas} groups are ready, {updated_replicas} updated"
            );
        }
        told.join("; ")
    }
}

/// Why an object of the set is not what it should be, as condition `ReplicaFailure` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `FailedCreate`, `FailedUpdate`, `FailedDelete`, or what keeps a pod from coming up.
    pub reason: &'static str,
    /// What failed, and why in the words of the server.
    pub message: String,
}

/// What the last requests have shown of a set.
#[derive(Clone, Copy, Debug, Default)]
pub enum Verdict<'a> {
    /// None failed.
    #[default]
    Fine,
    /// One was refused.
    Refused(&'a Failure),
    /// Nothing: what failed passes by itself, or not everything has been tried. A failure that the
    /// status tells of has not healed by that.
    Open,
}

/// The longest text of an event, and of a failure, in bytes. The API server takes no longer one.
const LONGEST_TEXT: usize = 1024;

/// One request and what to tell of its outcome.
#[derive(Debug, PartialEq)]
pub struct Task {
    /// The request.
    pub action: Action,
    /// Events to tell once it has succeeded.
    pub done: Vec<EventDraft>,
    /// Event to tell when it fails; the server's message is appended to the note.
    pub failed: Option<EventDraft>,
    /// Why its success recreates a group, to be counted.
    pub cause: Option<Cause>,
}

/// An object by name and UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its UID. A request is refused when the name has passed to another object.
    pub uid: String,
}

impl Target {
    /// This very object.
    pub(super) fn of<V: View>(object: &V) -> Self {
        let identity = object.identity();
        Self { name: identity.name().to_owned(), uid: identity.uid().to_owned() }
    }
}

/// An event about a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// Whether something is wrong.
    pub is_warning: bool,
    /// Why, in one `CamelCase` word.
    pub reason: &'static str,
    /// What was done, or tried: `Create`, `Update` or `Delete`.
    pub action: &'static str,
    /// The text for people, told verbatim.
    pub note: String,
    /// The other object it is about.
    pub related: Related,
    /// How many others like it there are that it speaks for.
    pub others: usize,
}

/// The object besides the set that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Related {
    /// None.
    #[default]
    None,
    /// The object that the server answered the request with.
    Answer,
    /// This one.
    Object(ObjectRef),
}

/// A reference to an object in the namespace of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Plan {
    /// Whether there is nothing to do before the status is written.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tasks.is_empty() && self.knows_enough()
    }

    /// Whether more may be asked for as soon as this is carried out; if not, nothing follows from its
    /// requests themselves but a status.
    #[must_use]
    pub fn leads_on(&self) -> bool {
        !self.knows_enough() || self.tasks.iter().any(|it| it.action.leads_on())
    }

    /// Whether nothing has to be read before the plan can be completed.
    fn knows_enough(&self) -> bool {
        self.unknown_nodes.is_empty()
            && self.unknown_topologies.is_empty()
            && !self.doubts_set
            && self.doubted_pods.is_empty()
            && self.unexplained.is_none()
    }

    /// Whether pods are missing and nobody has been asked why so far.
    pub(super) fn awaits_reason(&self) -> bool {
        !self.shortages.is_empty() && self.shortages.values().all(|it| it.asked.is_none())
    }

    /// Has a node read; `reason` and `action` are those of what needs it.
    pub(crate) fn needs_node(&mut self, node: &str, reason: &'static str, action: &'static str) {
        let event = EventDraft::warning(reason, action, format!("getting node {node:?}"));
        self.unknown_nodes.entry(node.to_owned()).or_insert(event);
    }

    /// Has a pod read anew.
    pub(super) fn doubt(&mut self, pod: Target) {
        self.doubted_pods.insert(pod);
    }

    /// Looks again after `delay`, or earlier when that is wanted already.
    pub(super) fn recheck_after(&mut self, delay: Duration) {
        self.recheck = Some(self.recheck.map_or(delay, |earlier| earlier.min(delay)));
    }

    /// Looks again after `rest`, if there is any; gives whether there is.
    pub(super) fn waits(&mut self, rest: Duration) -> bool {
        let waits = !rest.is_zero();
        if waits {
            self.recheck_after(rest);
        }
        waits
    }
}

impl Task {
    pub(super) fn new(action: Action) -> Self {
        Self { action, done: Vec::new(), failed: None, cause: None }
    }

    /// The deletion of a leader pod.
    pub(super) fn delete_leader(leader: Target) -> Self {
        let failed = format!("Failed to delete leader pod {}", leader.name);
        Self::new(Action::DeleteLeader(leader)).or_warned(EventDraft::warning(
            "FailedDelete",
            "Delete",
            failed,
        ))
    }

    pub(super) fn told(mut self, event: EventDraft) -> Self {
        self.done.push(event);
        self
    }

    /// Why it is done, in words: what is told of it afterwards, or else what it is for.
    pub(crate) fn why(&self) -> &str {
        self.done.first().map_or_else(|| self.action.purpose(), |it| &it.note)
    }

    pub(super) fn counted(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    pub(super) fn or_warned(mut self, event: EventDraft) -> Self {
        self.failed = Some(event);
        self
    }
}

impl EventDraft {
    pub(crate) fn normal(reason: &'static str, action: &'static str, note: String) -> Self {
        Self { is_warning: false, reason, action, note, related: Related::None, others: 0 }
    }

    pub(crate) fn warning(reason: &'static str, action: &'static str, note: String) -> Self {
        Self { is_warning: true, ..Self::normal(reason, action, note) }
    }

    pub(super) fn about(mut self, related: Related) -> Self {
        self.related = related;
        self
    }

    /// The same event with the reason why its request failed.
    pub(crate) fn because(mut self, reason: &str) -> Self {
        self.note = format!("{}: {reason}", self.note);
        self
    }

    /// The text, cut to the length that the API server takes.
    pub(crate) fn text(&self) -> String {
        let others = match self.others {
            0 => String::new(),
            others => format!(" (and {others} more like this)"),
        };
        let end = self.note.floor_char_boundary(LONGEST_TEXT.saturating_sub(others.len()));
        format!("{}{others}", self.note.get(..end).unwrap_or_default())
    }

    /// Whether it is a warning that differs from `other` in numbers at most, such as that of a
    /// group or what is left of a quota: they are one fault.
    fn is_like(&self, other: &Self) -> bool {
        let is_no_digit = |it: &char| !it.is_ascii_digit();
        self.is_warning
            && (self.reason, self.action) == (other.reason, other.action)
            && self.note.chars().filter(is_no_digit).eq(other.note.chars().filter(is_no_digit))
    }

    /// The failure that the event tells of, if it is about one.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let is_refused = matches!(self.reason, "FailedCreate" | "FailedUpdate" | "FailedDelete");
        (self.is_warning && (is_refused || obstacle::is_told(self.reason)))
            .then(|| Failure { reason: self.reason, message: self.text() })
    }
}

/// The events without those that an earlier one can speak for.
pub(super) fn merged(events: Vec<EventDraft>) -> Vec<EventDraft> {
    let mut kept: Vec<EventDraft> = Vec::new();
    for event in events {
        let event = unspoken(&mut kept, event);
        kept.extend(event);
    }
    kept
}

/// An event that none of the `earlier` ones can speak for; one that can counts it.
pub(crate) fn unspoken<'a>(
    earlier: impl IntoIterator<Item = &'a mut EventDraft>,
    event: EventDraft,
) -> Option<EventDraft> {
    match earlier.into_iter().find(|it| it.is_like(&event)) {
        Some(alike) => {
            alike.others += 1;
            None
        }
        None => Some(event),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use lws_api_types::conditions::set_failure;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_task_is_done_for_what_is_told_of_it_or_else_for_what_it_is_for() {
        let leader = Target { name: "s-0".to_owned(), uid: "u".to_owned() };
        let replaced = Task::delete_leader(leader.clone());
        assert_eq!(replaced.why(), "the group is replaced by one of the current revision");
        let event = EventDraft::normal("RecreateGroup", "Delete", "pod s-0-1 failed".to_owned());
        assert_eq!(Task::delete_leader(leader).told(event).why(), "pod s-0-1 failed");
    }

    #[test]
    fn a_plan_leads_on_when_something_is_unknown_or_a_request_may_be_followed_by_another() {
        let leader = Target { name: "s-0".to_owned(), uid: "u".to_owned() };
        let plan = |tasks| Plan { tasks, ..Plan::default() };
        let creates = || Task::new(Action::CreateWorkerSet(Value::Null));
        assert!(!plan(vec![creates(), Task::delete_leader(leader.clone())]).leads_on());
        let applies = Action::ApplyLeaderSet { object: Value::Null, existing: None };
        assert!(plan(vec![creates(), Task::new(applies)]).leads_on());
        let doubts = Plan { doubted_pods: [leader].into(), ..plan(vec![creates()]) };
        assert!(doubts.leads_on());
    }

    #[test]
    fn a_status_is_written_for_what_it_tells_or_else_for_its_numbers() {
        let event = EventDraft::normal("GroupsProgressing", "Update", "progress".to_owned());
        let written = |event, failure, may_wait| {
            let mut status = LeaderWorkerSetStatus {
                replicas: 3,
                ready_replicas: 2,
                updated_replicas: 1,
                ..LeaderWorkerSetStatus::default()
            };
            set_failure(&mut status.conditions, failure, None, Timestamp::UNIX_EPOCH);
            StatusChange { status, event, may_wait }.why()
        };
        let failure = Some(("FailedCreate", "exceeded quota"));
        let numbers = "2 of 3 groups are ready, 1 updated";
        assert_eq!(written(Some(event.clone()), None, false), "progress");
        assert_eq!(written(None, failure, false), "FailedCreate: exceeded quota");
        let both = "progress; FailedCreate: exceeded quota";
        assert_eq!(written(Some(event), failure, false), both);
        assert_eq!(written(None, failure, true), numbers, "the failure is no news");
        assert_eq!(written(None, None, false), numbers);
    }
}

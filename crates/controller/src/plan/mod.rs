//! Every decision of the controller, as one pure function over what is known of a set.
//!
//! | module | decides |
//! |---|---|
//! | [`revision`] | which content the set is at, and whether it changed |
//! | [`rollout`] | partition, surge, and which leaders are replaced |
//! | [`applied`] | whether an apply would change anything |
//! | [`group`] | how each group stands and what it lacks |
//! | `restart` | which groups are recreated because a pod failed |
//! | [`status`] | counts, conditions and their event |
//! | `ownership` | whose an object is that has the name we need |
//! | [`build`] | the objects themselves |
//! | [`task`] | what a plan consists of |

pub mod applied;
pub mod build;
pub mod group;
mod ownership;
mod restart;
pub mod revision;
pub mod rollout;
pub mod status;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use lws_api_types::set::SubdomainPolicy;
use lws_api_types::{LeaderWorkerSet, names};
use serde_json::Value;

use crate::observe::index::Entry;
use crate::observe::views::{RevisionView, StatefulSetView};
use build::LeaderRollout;
use group::Groups;
use ownership::Holder;
use task::{Action, EventDraft, ObjectRef, Plan, Related, StatusChange, Target, Task};

/// Labels of the nodes that have been read, by node name.
pub type Nodes = BTreeMap<String, BTreeMap<String, String>>;

/// What is to be done about `set` now, given all that is known of its objects. Never fails: what
/// cannot be done is told as an event.
///
/// The plan is computed anew after its tasks have been carried out and their answers are in
/// `entry`, until there is none left.
#[must_use]
pub fn plan(set: &LeaderWorkerSet, entry: &Entry, nodes: &Nodes, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    // The garbage collector does the rest.
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let leader_set = match leader_set(set, entry) {
        Ok(found) => found,
        Err(Obstacle::Going) => {
            plan.recheck_after(ownership::PATIENCE);
            return plan;
        }
        Err(Obstacle::Foreign(owner)) => {
            plan.events.push(ownership::foreign("leader statefulset", set.name(), &owner));
            return plan;
        }
    };
    let revisions: Vec<_> = entry.revisions.values().map(AsRef::as_ref).collect();
    let (current, changed) = match revision::decide(set, leader_set, &revisions) {
        revision::Decision::Current { revision, changed } => (revision, changed),
        revision::Decision::Raise { revision, number } => {
            let target = target(revision);
            plan.tasks.push(Task::new(Action::RaiseRevision { target, number }));
            return plan;
        }
        revision::Decision::Create { key, hash, number, data, cause } => {
            match build::revision(set, &key, &hash, number, &data) {
                Ok(object) => plan.tasks.push(revision_task(object, &key, cause)),
                Err(error) => tracing::error!(%error, "encoded revision data is no JSON"),
            }
            return plan;
        }
    };
    let scope = Scope { set, entry, nodes, revisions: &revisions, current, changed };
    scope.shared_service(&mut plan);
    match leader_set {
        None => scope.apply_leader_set(&mut plan, None, None),
        Some(leader_set) => scope.existing(&mut plan, leader_set, now),
    }
    plan
}

/// Why there is no leader `StatefulSet` to work with.
enum Obstacle {
    /// It is being deleted, or it is the former set's and will be.
    Going,
    /// It is somebody else's.
    Foreign(String),
}

/// The leader `StatefulSet` of `set`: the one it controls, or one that nobody controls and that
/// carries the set's label, as an orphaning deletion of the former set leaves it.
fn leader_set<'a>(
    set: &LeaderWorkerSet,
    entry: &'a Entry,
) -> Result<Option<&'a StatefulSetView>, Obstacle> {
    let found = entry.stateful_sets.get(set.name());
    match ownership::holder(found, set.uid()) {
        Holder::Nobody => Ok(None),
        Holder::Going => Err(Obstacle::Going),
        Holder::Us | Holder::Orphan => Ok(found.map(AsRef::as_ref)),
        Holder::Other(owner) => Err(Obstacle::Foreign(owner)),
    }
}

/// A set whose current content is recorded.
struct Scope<'a> {
    set: &'a LeaderWorkerSet,
    entry: &'a Entry,
    nodes: &'a Nodes,
    revisions: &'a [&'a RevisionView],
    /// Revision of the live content.
    current: &'a RevisionView,
    /// Whether the leader `StatefulSet` is still at another revision.
    changed: bool,
}

impl Scope<'_> {
    /// Plans for a set whose leader `StatefulSet` exists.
    fn existing(&self, plan: &mut Plan, leader_set: &StatefulSetView, now: Timestamp) {
        let key = self.current.key.as_str();
        let groups = Groups::of(self.set, leader_set, key, self.entry, self.revisions);
        plan.events.extend(groups.unreadable.iter().map(|leader| group::unreadable(leader)));
        self.apply_leader_set(plan, Some(leader_set), Some(&groups));
        let applies =
            plan.tasks.iter().any(|it| matches!(it.action, Action::ApplyLeaderSet { .. }));
        let recreated = restart::recreations(self.set, &groups, self.entry);
        if !applies {
            self.replace_leaders(plan, leader_set, &groups, &recreated);
        }
        plan.tasks.extend(recreated);
        for group in &groups.all {
            group::complete(plan, self.set, group, self.entry, self.nodes);
        }
        let strategy = self.set.spec.rolling_update();
        let replicas = i64::from(self.set.spec.replicas());
        let counts = status::Counts::of(&groups.observations(), replicas, strategy.partition);
        plan.status = self.status(leader_set, &counts, now);
        if !applies {
            self.truncate(plan, leader_set, counts.update_complete());
        }
    }

    /// Adds the apply of the leader `StatefulSet` when it would change anything.
    fn apply_leader_set(
        &self,
        plan: &mut Plan,
        live: Option<&StatefulSetView>,
        groups: Option<&Groups<'_>>,
    ) {
        let strategy = self.set.spec.rolling_update();
        let replicas = i64::from(self.set.spec.replicas());
        let before = live.map(rollout_view);
        let states = groups
            .zip(live)
            .map(|(groups, live)| groups.states(self.set, live.replicas))
            .unwrap_or_default();
        let step = rollout::step(&states, &strategy, replicas, before.as_ref(), self.changed);
        let rollout = LeaderRollout {
            replicas: step.replicas,
            partition: step.partition,
            max_unavailable: rollout::statefulset_max_unavailable(&strategy),
        };
        let object = live.and_then(|it| it.object.as_deref());
        let desired = build::leader_stateful_set(self.set, &self.current.key, rollout, object);
        if object.is_some_and(|live| applied::is_applied(&desired, live)) {
            return;
        }
        let name = self.set.name();
        let existing = live.map(|it| it.identity.uid().to_owned());
        let mut task = Task::new(Action::ApplyLeaderSet { object: desired, existing });
        let about = Related::Object(revision_reference(self.current));
        task = if live.is_none() {
            let created = format!("Created leader statefulset {name}");
            let failed = format!("Failed to create leader statefulset {name}");
            task.told(EventDraft::normal("GroupsProgressing", "Create", created).about(about))
                .or_warned(EventDraft::warning("FailedCreate", "Create", failed))
        } else {
            let failed = format!("Failed to update leader statefulset {name}");
            task.or_warned(EventDraft::warning("FailedUpdate", "Update", failed))
        };
        if let Some(before) = before {
            task.done.extend(self.rollout_events(&before, step));
        }
        plan.tasks.push(task);
    }

    /// What people are told of a step of the rollout.
    fn rollout_events(&self, before: &rollout::LeaderSet, step: rollout::Step) -> Vec<EventDraft> {
        let about = Related::Object(revision_reference(self.current));
        let released = (!self.changed)
            .then(|| rollout::release_note(before.partition, step))
            .flatten()
            .map(|note| EventDraft::normal("GroupsUpdating", "Update", note).about(about));
        let surge = rollout::surge_deletion_note(self.set.name(), before, step)
            .map(|note| EventDraft::normal("GroupsProgressing", "Delete", note));
        released.into_iter().chain(surge).collect()
    }

    /// Adds the deletion of released leaders that are still at an old `StatefulSet` revision,
    /// except those that `recreated` deletes already.
    fn replace_leaders(
        &self,
        plan: &mut Plan,
        leader_set: &StatefulSetView,
        groups: &Groups<'_>,
        recreated: &[Task],
    ) {
        let leaders: Vec<_> = groups
            .all
            .iter()
            .map(|group| rollout::Leader {
                index: group.index,
                ready: group.ready,
                terminating: group.leader.identity.is_terminating(),
                revision: group.leader.stateful_set_revision.as_deref(),
            })
            .collect();
        let reported = rollout::Reported {
            generation: leader_set.identity.meta.generation.unwrap_or(0),
            observed_generation: leader_set.observed_generation,
            update_revision: &leader_set.update_revision,
        };
        let strategy = self.set.spec.rolling_update();
        let replicas = i64::from(self.set.spec.replicas());
        let replaced: BTreeSet<_> = rollout::leaders_to_replace(
            &leaders,
            &reported,
            &rollout_view(leader_set),
            &strategy,
            replicas,
        )
        .into_iter()
        .collect();
        for group in groups.all.iter().filter(|group| replaced.contains(&group.index)) {
            let target = Target {
                name: group.leader.identity.name().to_owned(),
                uid: group.leader.identity.uid().to_owned(),
            };
            let action = Action::DeleteLeader(target);
            if recreated.iter().all(|task| task.action != action) {
                plan.tasks.push(Task::new(action));
            }
        }
    }

    /// Adds the Service that all groups share.
    fn shared_service(&self, plan: &mut Plan) {
        if self.set.spec.subdomain_policy() != SubdomainPolicy::Shared {
            return;
        }
        let name = self.set.name();
        let holder = ownership::holder(self.entry.services.get(name), self.set.uid());
        // A Service that the former set left behind does what ours would.
        if holder != Holder::Orphan && !ownership::is_held(plan, holder, "service", name) {
            plan.tasks.push(service_task(build::shared_service(self.set)));
        }
    }

    /// The status, when it differs from the stored one.
    fn status(
        &self,
        leader_set: &StatefulSetView,
        counts: &status::Counts,
        now: Timestamp,
    ) -> Option<StatusChange> {
        let stored = self.set.status.clone().unwrap_or_default();
        let mut status = stored.clone();
        let generation = self.set.metadata.generation;
        status.replicas = i32::try_from(leader_set.status_replicas).unwrap_or(i32::MAX);
        status.ready_replicas = counts.ready;
        status.updated_replicas = counts.updated;
        status.observed_generation = generation;
        if status.hpa_pod_selector.is_empty() {
            status.hpa_pod_selector = names::hpa_pod_selector(self.set.name());
        }
        let transition = status::merge_conditions(&mut status.conditions, counts, generation, now);
        let event = transition.map(|it| EventDraft::normal(it.reason, "Update", it.note));
        (status != stored).then_some(StatusChange { status, event })
    }

    /// Adds the deletion of revisions that nothing refers to.
    fn truncate(&self, plan: &mut Plan, leader_set: &StatefulSetView, update_complete: bool) {
        let used: BTreeSet<&str> = self
            .entry
            .pods
            .values()
            .filter_map(|it| it.revision.as_deref())
            .chain(self.entry.stateful_sets.values().filter_map(|it| it.revision.as_deref()))
            .chain([self.current.key.as_str()])
            .collect();
        // While the StatefulSet has two revisions it may create a pod at its former one, which is
        // the oldest of ours.
        let rolling = leader_set.current_revision != leader_set.update_revision;
        let oldest = self.revisions.iter().map(|it| it.number).min().filter(|_| rolling);
        let superseded = self.revisions.iter().filter(|it| {
            let is_current_duplicate =
                it.key == self.current.key && it.identity.uid() != self.current.identity.uid();
            it.identity.is_controlled_by(self.set.uid())
                && (is_current_duplicate && update_complete
                    || !used.contains(it.key.as_str()) && oldest != Some(it.number))
        });
        for revision in superseded {
            plan.tasks.push(Task::new(Action::DeleteRevision(target(revision))));
        }
    }
}

fn rollout_view(live: &StatefulSetView) -> rollout::LeaderSet {
    rollout::LeaderSet {
        replicas: live.replicas,
        partition: live.partition,
        annotated_replicas: live.annotated_replicas,
    }
}

fn target(revision: &RevisionView) -> Target {
    Target { name: revision.identity.name().to_owned(), uid: revision.identity.uid().to_owned() }
}

fn revision_reference(revision: &RevisionView) -> ObjectRef {
    let Target { name, uid } = target(revision);
    ObjectRef { api_version: "apps/v1", kind: "ControllerRevision", name, uid }
}

fn revision_task(object: Value, key: &str, cause: revision::Cause) -> Task {
    let note = match cause {
        revision::Cause::New => {
            format!("Creating revision with key {key} for a newly created LeaderWorkerSet")
        }
        revision::Cause::Missing => {
            format!("Creating missing revision with key {key} for existing LeaderWorkerSet")
        }
        revision::Cause::Changed => format!("Creating revision with key {key} for updated LWS"),
    };
    Task::new(Action::CreateRevision(object))
        .told(EventDraft::normal("CreatingRevision", "Create", note).about(Related::Answer))
        .or_warned(EventDraft::warning(
            "FailedCreate",
            "Create",
            format!("Failed to create revision with key {key}"),
        ))
}

/// The request for a headless Service.
fn service_task(object: Value) -> Task {
    let note = "Failed to create headless service for error".to_owned();
    Task::new(Action::CreateService(object)).or_warned(EventDraft::warning(
        "FailedCreate",
        "Create",
        note,
    ))
}

//! Every decision of the controller, as one pure function over what is known of a set.
//!
//! | module | decides |
//! |---|---|
//! | [`revision`] | which content the set is at, and whether it changed |
//! | [`rollout`] | partition, surge, and which leaders are replaced: the arithmetic |
//! | `leader` | the leader `StatefulSet`: whether it is ours, what is applied, which pods go |
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
mod leader;
mod ownership;
mod restart;
pub mod revision;
pub mod rollout;
pub mod status;
pub mod task;

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::LeaderWorkerSet;
use lws_api_types::set::SubdomainPolicy;
use serde_json::Value;

use crate::observe::index::Entry;
use crate::observe::views::{RevisionView, StatefulSetView};
use group::Groups;
use ownership::{Controller, Holder};
use task::{Action, EventDraft, Orphaned, Plan, Task};

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
    let Ok(leader_set) = leader::find(&mut plan, set, entry) else { return plan };
    let revisions: Vec<_> = entry.revisions.values().map(AsRef::as_ref).collect();
    let Some(revision::Current { revision: current, changed }) =
        revision::ensure(&mut plan, set, leader_set, &revisions)
    else {
        return plan;
    };
    let scope = Scope { set, entry, nodes, revisions: &revisions, current, changed };
    scope.shared_service(&mut plan);
    plan.tasks.extend(revision::adoptions(set, &revisions));
    match leader_set {
        None => {
            leader::apply(&mut plan, &scope, None);
        }
        Some(leader_set) => scope.existing(&mut plan, leader_set, now),
    }
    plan
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
        let leader::Wanted { replicas: existing, applies } =
            leader::apply(plan, self, Some((leader_set, &groups)));
        plan.tasks.extend(restart::recreations(self.set, &groups, self.entry));
        if !applies {
            leader::replace(plan, self.set, leader_set, &groups);
        }
        // Those beyond are about to go.
        for group in groups.all.iter().filter(|it| it.index < existing) {
            group::complete(plan, self.set, group, self.entry, self.nodes);
        }
        let strategy = self.set.spec.rolling_update();
        let replicas = i64::from(self.set.spec.replicas());
        let counts = status::Counts::of(&groups.observations(), replicas, strategy.partition);
        plan.status = status::change(self.set, leader_set.status_replicas, &counts, now);
        if !applies {
            revision::truncate(plan, self, leader_set, counts.update_complete());
        }
    }

    /// Adds the Service that all groups share.
    fn shared_service(&self, plan: &mut Plan) {
        if self.set.spec.subdomain_policy() != SubdomainPolicy::Shared {
            return;
        }
        let name = self.set.name();
        let found = self.entry.services.get(name);
        let holder = ownership::holder(found, Controller::Set(self.set.uid()));
        let left = found.filter(|it| holder == Holder::Orphan && it.serves_set(name));
        if let Some(orphan) = left {
            let adoption = ownership::adoption(self.set, Orphaned::Service, &orphan.identity);
            plan.tasks.push(adoption);
        } else if !ownership::is_held(plan, holder, "service", name) {
            plan.tasks.push(service_task(build::shared_service(self.set)));
        }
    }
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

//! Every decision of the controller, as one pure function over what is known of a set.
//!
//! | module | decides |
//! |---|---|
//! | [`revision`] | which content the set is at, and whether it changed |
//! | [`rollout`] | partition, surge, and which leaders are replaced: the arithmetic |
//! | `leader` | the leader `StatefulSet`: whether it is ours, what is applied, which pods go |
//! | [`applied`] | whether an apply would change anything |
//! | [`group`] | how each group stands and what it lacks |
//! | `members` | who belongs to a group |
//! | `readiness` | whether a group is ready |
//! | `record` | the record of who belongs to each group, and who is missing by that |
//! | `gang` | which groups need a `PodGroup`, and whether they have it |
//! | `restart` | which groups are recreated because a pod failed |
//! | [`history`] | how often groups have failed, and how long they wait because of that |
//! | [`termination`] | that the pods of a group end together, on lost nodes too |
//! | [`shortage`] | which `StatefulSet`s have to be asked why they lack pods |
//! | [`obstacle`] | what keeps groups from coming up, and what a failure is about |
//! | [`standing`] | how groups stand, for metrics |
//! | [`status`] | counts, conditions and their event |
//! | `ownership` | whose an object is that has the name we need |
//! | [`build`] | the objects themselves |
//! | [`task`] | what a plan consists of |

pub mod applied;
pub mod build;
mod gang;
pub mod group;
pub mod history;
mod leader;
mod members;
pub mod obstacle;
pub(crate) mod ownership;
mod readiness;
mod record;
mod restart;
pub mod revision;
pub mod rollout;
pub mod shortage;
pub mod standing;
pub mod status;
pub mod task;
pub mod termination;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::annotations;
use lws_api_types::set::{RestartPolicy, SubdomainPolicy};
use lws_runtime::config::GroupRestartSettings;
use serde_json::Value;

use crate::observe::entry::Entry;
use crate::observe::nodes::{Nodes, Topologies};
use crate::observe::views::{PodView, RevisionView, StatefulSetView};
use crate::observe::watch::PodGroups;
use group::{Group, Groups};
use history::Incidents;
use ownership::{Controller, Holder};
use record::Record;
use restart::Failed;
use shortage::Shortages;
use standing::Standing;
use status::Seen;
use task::{Action, EventDraft, Orphaned, Plan, Task, Verdict};

/// What a plan depends on besides the set and its objects.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Nodes, as far as they are known.
    pub nodes: &'a Nodes,
    /// Labels of topology domains, as far as it is known of them whether nodes carry them.
    pub topologies: &'a Topologies,
    /// Whether there are `PodGroup`s.
    pub pod_groups: PodGroups,
    /// What is known of `StatefulSet`s of the set that are short of pods.
    pub shortages: &'a Shortages,
    /// Failures of groups that have been counted and may not be in the stored history.
    pub unwritten: &'a Incidents,
    /// How groups with failed pods are recreated.
    pub restarts: &'a GroupRestartSettings,
    /// What the requests of the former plan have shown.
    pub verdict: Verdict<'a>,
    /// The present time.
    pub now: Timestamp,
}

/// What is to be done about `set` now, whose content has the byte form `encoded`, given all that is
/// known of its objects. Never fails: what cannot be done is told as an event and in the status.
///
/// The plan is computed anew after its tasks have been carried out and their answers are in
/// `entry`, until there is none left.
#[must_use]
pub fn plan(set: &LeaderWorkerSet, encoded: &str, entry: &Entry, context: &Context<'_>) -> Plan {
    let mut plan = Plan::default();
    // The garbage collector does the rest.
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let seen = work(&mut plan, set, encoded, entry, context);
    plan.events = task::merged(std::mem::take(&mut plan.events));
    let obstacle = plan.events.iter().find_map(EventDraft::failure);
    let verdict = match (context.verdict, &obstacle) {
        (Verdict::Fine | Verdict::Open, Some(obstacle)) => Verdict::Refused(obstacle),
        // Whether what was missing is there now is not known yet.
        (Verdict::Fine, None) if plan.awaits_reason() => Verdict::Open,
        (verdict, _) => verdict,
    };
    plan.status = status::change(set, seen.as_ref(), verdict, context.now);
    plan
}

/// Plans everything but the status; gives what there is of the set once its leader `StatefulSet`
/// exists and its content is recorded.
fn work(
    plan: &mut Plan,
    set: &LeaderWorkerSet,
    encoded: &str,
    entry: &Entry,
    context: &Context<'_>,
) -> Option<Seen> {
    let leader_set = leader::find(plan, set, entry);
    if !matches!(leader_set, Ok(Some(_))) {
        plan.standing = Some(Standing::missing(set));
    }
    let leader_set = leader_set.ok()?;
    // Its own may have gone because the set did, which is not seen yet.
    plan.doubts_set = leader_set.is_none() && entry.is_doubted(set.uid());
    if plan.doubts_set {
        return None;
    }
    let revisions: Vec<_> = entry.revisions.values().map(AsRef::as_ref).collect();
    let revision::Current { revision: current, changed } =
        revision::ensure(plan, set, encoded, leader_set, &revisions, &entry.pods)?;
    plan.revision.clone_from(&current.key);
    let scope = Scope { set, entry, context, revisions: &revisions, current, changed };
    scope.shared_service(plan);
    plan.tasks.extend(revision::adoptions(set, &revisions));
    let Some(leader_set) = leader_set else {
        leader::apply(plan, &scope, None);
        return None;
    };
    Some(scope.existing(plan, leader_set))
}

/// A set whose current content is recorded.
struct Scope<'a> {
    set: &'a LeaderWorkerSet,
    entry: &'a Entry,
    context: &'a Context<'a>,
    revisions: &'a [&'a RevisionView],
    /// Revision of the live content.
    current: &'a RevisionView,
    /// Whether the leader `StatefulSet` is still at another revision.
    changed: bool,
}

impl<'a> Scope<'a> {
    /// Plans for a set whose leader `StatefulSet` exists.
    fn existing(&self, plan: &mut Plan, leader_set: &'a StatefulSetView) -> Seen {
        let key = self.current.key.as_str();
        let mut groups = Groups::of(self.set, leader_set, key, self.entry, self.revisions);
        plan.events.extend(groups.unreadable.iter().map(|leader| group::unreadable(leader)));
        let misplaced = groups.all.iter().filter(|it| it.misplaced);
        plan.events.extend(misplaced.map(|it| group::misplaced(it.leader)));
        let record = Record::of(leader_set);
        let Failed { certain: failed, doubted } =
            restart::recreate(plan, self, leader_set, &groups, &record);
        // They are, or may be, about to go: no other is replaced on their account.
        groups.are_not_ready(|index| failed.contains(&index) || doubted.contains(&index));
        let leader::Wanted { replicas: existing, applies } =
            leader::apply(plan, self, Some((leader_set, &groups)));
        record.update(plan, self, leader_set, &groups, &failed, existing);
        termination::of_workers(plan, &groups);
        termination::of_lost_pods(plan, self, leader_set, &groups);
        if !applies {
            leader::replace(plan, self.set, leader_set, &groups);
            leader::tell_standstill(plan, self, leader_set, &groups);
        }
        leader::revive(plan, self, &groups);
        // Those beyond are about to go.
        let is_kept = |it: &&Group<'_>| {
            it.index < existing && !failed.contains(&it.index) && !doubted.contains(&it.index)
        };
        for group in groups.all.iter().filter(is_kept) {
            group::complete(plan, self, group);
        }
        shortage::look(plan, self, leader_set, &groups);
        // Mostly nothing is known to be in the way of any pod, and then groups are not looked into.
        let has_troubles =
            self.entry.pods.values().any(|it| it.trouble.is_some() || it.has_lost_node());
        if has_troubles {
            obstacle::look(plan, self, &groups);
        }
        let is_recreated = |index| failed.contains(&index);
        let standing = Standing::of(self, &groups, existing, is_recreated, has_troubles);
        plan.standing = Some(standing);
        let strategy = self.set.spec.rolling_update();
        let replicas = i64::from(self.set.spec.replicas());
        let counts = status::Counts::of(&groups.observations(), replicas, strategy.partition);
        if !applies {
            revision::truncate(plan, self, leader_set, counts.update_complete());
        }
        Seen { existing: leader_set.status_replicas, counts, is_applied: !applies }
    }

    /// What a failed pod means for its group, by the revision of the group: a policy that is about
    /// to be rolled out recreates nothing that the rollout has not reached.
    fn restart_policy(&self, group: &Group<'_>) -> RestartPolicy {
        let spec = group.spec.as_deref().unwrap_or(&self.set.spec);
        spec.leader_worker_template.restart_policy()
    }

    /// Whether a failed pod leaves its group alone.
    fn keeps_failing_pods(&self, group: &Group<'_>) -> bool {
        self.restart_policy(group) == RestartPolicy::None
    }

    /// Whether a failed pod, whose leader may be gone, leaves its group alone.
    fn keeps_failed_pod(&self, pod: &PodView, groups: &Groups<'_>) -> bool {
        match groups.all.iter().find(|it| it.leader.revision == pod.revision) {
            Some(alike) => self.keeps_failing_pods(alike),
            None => self.set.spec.leader_worker_template.restart_policy() == RestartPolicy::None,
        }
    }

    /// Whether a group that has not started as a whole is left alone.
    fn waits_for_start(&self, group: &Group<'_>) -> bool {
        self.restart_policy(group) == RestartPolicy::RecreateGroupAfterStart
            || self.set.has_annotation(annotations::RECREATE_AFTER_START)
    }

    /// Adds the Service that all groups share.
    fn shared_service(&self, plan: &mut Plan) {
        if self.set.spec.subdomain_policy() != SubdomainPolicy::Shared {
            return;
        }
        let name = self.set.name();
        let found = self.entry.services.get(name);
        let controller = Controller::Set(self.set.uid());
        let is_orphan = ownership::holder(found, controller) == Holder::Orphan;
        let left = found.filter(|it| is_orphan && it.serves_set(name));
        if let Some(orphan) = left {
            let adoption = ownership::adoption(self.set, Orphaned::Service, &orphan.identity);
            plan.tasks.push(adoption);
        } else if !ownership::is_held(plan, found, controller, "service") {
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

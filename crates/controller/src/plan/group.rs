//! The groups of a set: how each stands, and what each still lacks.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use lws_api_types::keys::{annotations, labels};
use lws_api_types::set::{StartupPolicy, SubdomainPolicy};
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetSpec, names, revision as content};

use super::build::{self, Topology};
use super::ownership::{self, Controller};
use super::rollout::GroupState;
use super::status::GroupObservation;
use super::task::{Action, EventDraft, ObjectRef, Plan, Related, Target, Task};
use super::{Scope, gang, members, obstacle, readiness, revision};
use crate::observe::entry::Entry;
use crate::observe::nodes::{NodeHealth, Nodes};
use crate::observe::views::{Placement, PodView, RevisionView, StatefulSetView};

/// A group whose leader pod exists.
#[derive(Debug)]
pub struct Group<'a> {
    /// Its index, from the leader's label.
    pub index: i64,
    /// Its leader pod.
    pub leader: &'a Arc<PodView>,
    /// Its worker `StatefulSet`, when it is this very leader's.
    pub worker_set: Option<&'a Arc<StatefulSetView>>,
    /// Its workers: the pods that this very leader owns, at whatever revision, by index.
    pub workers: Vec<&'a PodView>,
    /// The spec at the leader's revision; `None` when that revision is not known.
    pub spec: Option<Arc<LeaderWorkerSetSpec>>,
    /// Its placement, the one of the leader's revision.
    pub placement: &'a Placement,
    /// Whether all its pods are ready.
    pub ready: bool,
    /// Whether its objects carry the current revision key.
    pub updated: bool,
    /// Whether its index is not that of its leader's name.
    pub misplaced: bool,
}

/// The groups of a set.
#[derive(Debug)]
pub struct Groups<'a> {
    /// By index; a leader whose labels make no sense is in none.
    pub all: Vec<Group<'a>>,
    /// Leader pods without a usable group index.
    pub unreadable: Vec<&'a Arc<PodView>>,
}

impl<'a> Groups<'a> {
    /// The groups led by the pods of `leader_set`. `key` is the current revision key.
    #[must_use]
    pub fn of(
        set: &LeaderWorkerSet,
        leader_set: &'a StatefulSetView,
        key: &str,
        entry: &'a Entry,
        revisions: &[&RevisionView],
    ) -> Self {
        let mut specs = Specs::new(set, key, revisions);
        let mut groups = Self { all: Vec::new(), unreadable: Vec::new() };
        // Both are in the order of names, so that nothing has to be looked up.
        let mut stateful_sets = entry.stateful_sets.iter().peekable();
        let mut pods = entry.pods.values();
        while let Some(leader) = pods.next() {
            if !leader.is_leader() || !leader.identity.is_controlled_by(leader_set.identity.uid()) {
                continue;
            }
            let Some(index) = leader.group().map(i64::from) else {
                groups.unreadable.push(leader);
                continue;
            };
            let worker_set = next_named(&mut stateful_sets, leader.identity.name())
                .filter(|it| it.identity.is_controlled_by(leader.identity.uid()));
            let through = worker_set.map(AsRef::as_ref);
            let mut workers: Vec<_> =
                members::workers(entry, leader, through, pods.clone()).collect();
            workers.sort_by_key(|it| by_index(it.identity.name()));
            let spec = specs.at(leader.revision.as_deref().unwrap_or_default());
            let size = spec.as_ref().unwrap_or(&specs.live).leader_worker_template.size();
            let carries_key = |revision: &Option<String>| revision.as_deref() == Some(key);
            groups.all.push(Group {
                index,
                leader,
                worker_set,
                ready: readiness::is_ready(entry, leader, size, through, &workers),
                updated: carries_key(&leader.revision)
                    && (size == 1 || worker_set.is_some_and(|it| carries_key(&it.revision))),
                misplaced: !names::is_leader_pod(leader.identity.name(), set.name(), index),
                spec,
                placement: placement(leader, leader_set),
                workers,
            });
        }
        groups
    }

    /// Takes back that these groups, given by index, are ready.
    pub(super) fn are_not_ready(&mut self, these: impl Fn(i64) -> bool) {
        for group in self.all.iter_mut().filter(|it| these(it.index)) {
            group.ready = false;
        }
    }

    /// State at every index below `count` up to the highest that exists, for the rollout. Objects
    /// whose name does not go with their index make no group.
    #[must_use]
    pub fn states(&self, count: i64) -> Vec<GroupState> {
        let highest = self.all.iter().map(|group| group.index).max().unwrap_or(-1);
        let count = usize::try_from(count.min(highest + 1)).unwrap_or(0);
        let mut states = vec![GroupState::default(); count];
        for group in &self.all {
            let state = usize::try_from(group.index).ok().and_then(|it| states.get_mut(it));
            if let Some(state) = state.filter(|_| !group.misplaced) {
                *state = GroupState { ready: group.ready, updated: group.updated };
            }
        }
        states
    }

    /// The groups as the status counts them.
    #[must_use]
    pub fn observations(&self) -> Vec<GroupObservation> {
        let observation = |group: &Group<'_>| GroupObservation {
            index: group.index,
            ready: group.ready,
            updated: group.updated,
            counted: group.worker_set.is_some() || group.size() == 1,
        };
        self.all.iter().map(observation).collect()
    }
}

/// Advances to the object of this name, if there is one. Names are to be asked for in ascending
/// order.
fn next_named<'a, V>(
    objects: &mut Peekable<btree_map::Iter<'a, String, Arc<V>>>,
    name: &str,
) -> Option<&'a Arc<V>> {
    while objects.next_if(|(it, _)| it.as_str() < name).is_some() {}
    objects.next_if(|(it, _)| *it == name).map(|(_, it)| it)
}

/// The order of the names of workers: that of their indexes, which have no leading zeros.
fn by_index(name: &str) -> (usize, &str) {
    (name.len(), name)
}

/// How the group of `leader` is placed: as the leader `StatefulSet` says when both are at the same
/// revision, else as its leader was, so that a group that is completed in the middle of an update
/// has one placement.
fn placement<'a>(leader: &'a PodView, leader_set: &'a StatefulSetView) -> &'a Placement {
    if leader.revision == leader_set.revision { &leader_set.placement } else { &leader.placement }
}

impl<'a> Group<'a> {
    /// Its leader and its workers.
    pub(super) fn pods(&self) -> impl Iterator<Item = &'a PodView> {
        let leader: &PodView = self.leader;
        std::iter::once(leader).chain(self.workers.iter().copied())
    }

    /// Its worker of this name.
    pub(super) fn worker(&self, name: &str) -> Option<&'a PodView> {
        let found = self
            .workers
            .binary_search_by_key(&by_index(name), |it| by_index(it.identity.name()))
            .ok()?;
        self.workers.get(found).copied()
    }

    /// A pod of the former group of its name that its workers wait for.
    #[must_use]
    pub fn predecessor(&self, entry: &'a Entry) -> Option<&'a PodView> {
        members::predecessor(entry, self.leader, self.size())
    }

    /// Its leader, to be deleted.
    pub(super) fn target(&self) -> Target {
        Target::of(self.leader.as_ref())
    }

    /// Whether its workers may have volume claims that go with their `StatefulSet`.
    pub(super) fn loses_claims(&self) -> bool {
        self.spec.as_deref().is_none_or(|spec| {
            let template = &spec.leader_worker_template;
            let retention = template.persistent_volume_claim_retention_policy.as_ref();
            let goes = retention.and_then(|it| it.when_deleted.as_deref()) == Some("Delete");
            goes && template.volume_claim_templates.as_ref().is_some_and(|it| !it.is_empty())
        })
    }

    /// Pods of the group at its own revision, leader included; 0 when that is not known.
    pub(super) fn size(&self) -> i32 {
        self.spec.as_ref().map_or(0, |spec| spec.leader_worker_template.size())
    }
}

/// The specs of a set at its revisions, each restored once.
struct Specs<'a> {
    set: &'a LeaderWorkerSet,
    key: &'a str,
    revisions: &'a [&'a RevisionView],
    live: Arc<LeaderWorkerSetSpec>,
    others: BTreeMap<String, Option<Arc<LeaderWorkerSetSpec>>>,
}

impl<'a> Specs<'a> {
    fn new(set: &'a LeaderWorkerSet, key: &'a str, revisions: &'a [&'a RevisionView]) -> Self {
        let live = Arc::new(set.spec.clone());
        Self { set, key, revisions, live, others: BTreeMap::new() }
    }

    fn at(&mut self, key: &str) -> Option<Arc<LeaderWorkerSetSpec>> {
        if key == self.key {
            return Some(self.live.clone());
        }
        if let Some(known) = self.others.get(key) {
            return known.clone();
        }
        let revision = revision::with_key(self.set, self.revisions, key);
        let spec = revision.and_then(|it| content::restore(&self.set.spec, &it.data).ok());
        self.others.entry(key.to_owned()).or_insert(spec.map(Arc::new)).clone()
    }
}

/// Adds to `plan` what a group lacks: its Service, its `PodGroup`, then its worker `StatefulSet`.
pub(super) fn complete(plan: &mut Plan, scope: &Scope<'_>, group: &Group<'_>) {
    let (Scope { set, entry, context, .. }, leader) = (scope, group.leader);
    let name = leader.identity.name();
    if leader.identity.is_terminating() {
        return;
    }
    if leader.leader_name.as_deref().is_some_and(|it| !it.is_empty()) {
        plan.events.push(misplaced_annotation(leader));
        return;
    }
    let Some(spec) = &group.spec else {
        // Its revision may be on its way to us.
        plan.recheck_after(Duration::from_secs(1));
        plan.events.push(lost_revision(leader));
        return;
    };
    let controller = Controller::Leader(leader);
    if spec.subdomain_policy() == SubdomainPolicy::UniquePerReplica
        && !ownership::is_held(plan, entry.services.get(name), controller, "service")
    {
        plan.tasks.push(super::service_task(build::group_service(set, leader)));
    }
    if !gang::is_formed(plan, scope, group, spec) {
        return;
    }
    let is_due =
        set.spec.startup_policy() == StartupPolicy::LeaderCreated || leader.ready_condition;
    if group.size() == 1 || !is_due {
        return;
    }
    let found = group.worker_set.or_else(|| entry.stateful_sets.get(name));
    if ownership::is_held(plan, found, controller, "worker statefulset") {
        return;
    }
    if entry.is_doubted(leader.identity.uid()) {
        plan.doubt(group.target());
    } else if let Some(pod) = group.predecessor(entry) {
        obstacle::outlasts(plan, scope, leader, pod);
    } else if let Ok(topology) = topology(plan, group, context.nodes) {
        let object =
            build::worker_stateful_set(set, spec, leader, group.placement, topology.as_ref());
        plan.tasks.push(worker_set_task(object, leader));
    }
}

/// The worker `StatefulSet` has to wait; why is in the plan already.
struct Wait;

/// The domain that an exclusively placed group is bound to: the one of its leader's node.
fn topology(plan: &mut Plan, group: &Group<'_>, nodes: &Nodes) -> Result<Option<Topology>, Wait> {
    let leader = group.leader;
    let Some(key) = &group.placement.group else { return Ok(None) };
    // Until the leader is scheduled there is nothing to do: its next change wakes us.
    let node = leader.node.as_deref().ok_or(Wait)?;
    let Some(found) = nodes.get(node) else {
        plan.needs_node(node, "FailedCreate", "Create");
        return Err(Wait);
    };
    if let Some(value) = found.labels.get(key) {
        return Ok(Some(Topology { key: key.clone(), value: value.clone() }));
    }
    let name = leader.identity.name();
    let message = if found.health == NodeHealth::Gone {
        format!("getting node {node:?}: nodes {node:?} not found")
    } else {
        format!(
            "Failed to create worker statefulset for leader pod {name}: node {node} does not have \
             topology label {key}"
        )
    };
    plan.events
        .push(EventDraft::warning("FailedCreate", "Create", message).about(reference(leader)));
    plan.recheck_after(Duration::from_secs(10));
    Err(Wait)
}

fn worker_set_task(object: serde_json::Value, leader: &PodView) -> Task {
    let name = leader.identity.name();
    let created = format!("Created worker statefulset for leader pod {name}");
    let failed = format!("Failed to create worker statefulset for leader pod {name}");
    Task::new(Action::CreateWorkerSet(object))
        .told(EventDraft::normal("GroupsProgressing", "Create", created).about(reference(leader)))
        .or_warned(EventDraft::warning("FailedCreate", "Create", failed).about(reference(leader)))
}

/// A leader whose labels do not tell its group.
pub(super) fn unreadable(leader: &PodView) -> EventDraft {
    let message = format!(
        "leader pod {} is ignored: label {} is {:?}, expected the ordinal of its group",
        leader.identity.name(),
        labels::GROUP_INDEX,
        leader.group_index.as_deref().unwrap_or_default(),
    );
    EventDraft::warning("InvalidGroup", "Update", message).about(reference(leader))
}

/// A leader whose label tells another group than its name: it is not ready for the rollout,
/// whatever its pods are.
pub(super) fn misplaced(leader: &PodView) -> EventDraft {
    let name = leader.identity.name();
    let ordinal = names::parent_and_ordinal(name).map(|(_, ordinal)| ordinal).unwrap_or_default();
    let message = format!(
        "leader pod {name} makes no group: label {} is {:?}, expected {:?}; set it back, or delete the \
         pod to build the group anew",
        labels::GROUP_INDEX,
        leader.group_index.as_deref().unwrap_or_default(),
        ordinal.to_string(),
    );
    EventDraft::warning("InvalidGroup", "Update", message).about(reference(leader))
}

/// A leader whose revision is missing or unreadable, so that nobody knows what its workers are.
fn lost_revision(leader: &PodView) -> EventDraft {
    let message = format!(
        "no readable revision with key {:?} for leader pod {}: its group is left as it is, \
         delete the pod to build the group anew",
        leader.revision.as_deref().unwrap_or_default(),
        leader.identity.name(),
    );
    EventDraft::warning("MissingRevision", "Create", message).about(reference(leader))
}

/// A leader pod that claims to be a worker: on clusters that ignore `ordinals.start`, worker
/// `StatefulSet`s make such pods, and following them would nest groups without end.
fn misplaced_annotation(leader: &PodView) -> EventDraft {
    let note = format!(
        "leader pod {}/{} contains mistake annotation '{}': requires Kubernetes ≥v1.27 or v1.26 \
         with StatefulSetStartOrdinal feature",
        leader.identity.namespace(),
        leader.identity.name(),
        annotations::LEADER_NAME,
    );
    EventDraft::warning("FailedCreate", "Create", note).about(reference(leader))
}

/// A reference to a pod.
pub(super) fn reference(pod: &PodView) -> Related {
    let Target { name, uid } = Target::of(pod);
    Related::Object(ObjectRef { api_version: "v1", kind: "Pod", name, uid })
}

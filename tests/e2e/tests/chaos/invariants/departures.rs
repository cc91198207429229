//! Why leader pods go: each is taken down by its controller, by ours, or by somebody else, for reasons that can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lws_api_types::set::RestartPolicy;

use super::incidents::Incidents;
use crate::history::{Change, History, Kind, Object, State, Timeline};

/// The end of a leader pod, and of its group.
#[derive(Debug, Clone)]
pub(super) struct Departure {
    /// When it was told to end, or was gone.
    pub(super) at: Duration,
    pub(super) leader: Object,
    /// Since when its group had been ready; `None` when it was not.
    pub(super) ready_since: Option<Duration>,
    /// From when on it could be known that it may go for a rollout.
    pub(super) released: Duration,
    pub(super) reasons: BTreeSet<Reason>,
}

impl Departure {
    /// Whether nobody but the controller had a reason for it.
    pub(super) fn is_by_controller(&self) -> bool {
        let own = [Reason::Failed, Reason::Outdated];
        !self.reasons.is_empty() && self.reasons.iter().all(|it| own.contains(it))
    }
}

/// Why a leader pod goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// Somebody else has deleted it: a user, or Kubernetes because of its node.
    Harmed,
    /// A pod of its group has failed.
    Failed,
    /// It is not of the revision that is wanted.
    Outdated,
    /// Fewer groups are wanted.
    Surplus,
    /// Its set or its `StatefulSet` is gone or going.
    SetGone,
}

/// What is wanted of the leaders of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) key: String,
    pub(super) replicas: i32,
    pub(super) partition: i32,
    pub(super) is_going: bool,
}

impl Wanted {
    /// From the leader `StatefulSet`; `None` from any other object.
    fn of(object: &Object) -> Option<Self> {
        let (replicas, partition) = object.as_stateful_set()?;
        let is_going = object.deleting;
        Some(Self { key: object.key().to_owned(), replicas, partition, is_going })
    }

    fn releases(&self, leader: &Object) -> bool {
        self.key != leader.key() && leader.group().is_some_and(|it| it >= self.partition)
    }
}

/// Every leader that went, in this order.
pub(super) fn departures(history: &History) -> Vec<Departure> {
    let mut seen = Seen::of(history);
    let mut departures = Vec::new();
    history.replay(|state, change| departures.extend(seen.look(state, change)));
    departures
}

/// What has been seen so far.
struct Seen<'a> {
    history: &'a History,
    incidents: Incidents,
    /// By the name of the set; `None` while there is no `StatefulSet`.
    wanted: BTreeMap<String, Timeline<Option<Wanted>>>,
    /// Whether a set is there and stays, by its name.
    sets: BTreeMap<String, Timeline<bool>>,
    /// Since when the group of a leader has been ready, by UID.
    ready: BTreeMap<String, Duration>,
    policies: BTreeMap<(String, String), RestartPolicy>,
}

impl<'a> Seen<'a> {
    fn of(history: &'a History) -> Self {
        Self {
            history,
            incidents: Incidents::default(),
            wanted: BTreeMap::new(),
            sets: BTreeMap::new(),
            ready: BTreeMap::new(),
            policies: super::incidents::policies(history),
        }
    }

    fn look(&mut self, state: &State, change: &Change) -> Option<Departure> {
        let (at, name, object) = (change.at, &change.name, change.object.as_deref());
        match change.kind {
            Kind::Set => {
                let stays = object.is_some_and(|it| !it.deleting);
                self.sets.entry(name.clone()).or_default().push(at, stays);
            }
            Kind::StatefulSet if object.is_none_or(|it| it.set() == name) => {
                self.wanted.entry(name.clone()).or_default().push(at, object.and_then(Wanted::of));
            }
            Kind::Pod => {
                self.incidents.look(state, change);
                let departure = self.departure(state, change);
                self.note_readiness(state, change);
                return departure;
            }
            Kind::StatefulSet | Kind::Service | Kind::Revision => {}
        }
        None
    }

    fn departure(&self, state: &State, change: &Change) -> Option<Departure> {
        let leader = state.get(Kind::Pod, &change.name).filter(|it| it.is_leader())?;
        let goes = change.object.as_ref().is_none_or(|it| it.deleting);
        if leader.deleting || !goes {
            return None;
        }
        let at = change.at;
        let wanted = self.wanted.get(leader.set());
        let is_released = |it: &Option<Wanted>| it.as_ref().is_some_and(|it| it.releases(leader));
        Some(Departure {
            at,
            leader: leader.clone(),
            ready_since: self.ready.get(&leader.uid).copied(),
            released: wanted.and_then(|it| it.steady(is_released)).unwrap_or(at),
            reasons: self.reasons(state, leader, at),
        })
    }

    fn reasons(&self, state: &State, leader: &Object, at: Duration) -> BTreeSet<Reason> {
        let since = self.history.blindness.since(at, &[Kind::Set, Kind::StatefulSet]);
        let index = leader.group().unwrap_or_default();
        let mut reasons = BTreeSet::new();
        if self.history.is_harmed(leader) {
            reasons.insert(Reason::Harmed);
        }
        let policy = self.policies.get(&(leader.set().to_owned(), leader.key().to_owned()));
        let recreates = policy.is_some_and(|it| *it != RestartPolicy::None);
        if recreates && !self.incidents.of(&leader.uid).is_empty() {
            reasons.insert(Reason::Failed);
        }
        for wanted in self.wanted.get(leader.set()).into_iter().flat_map(|it| it.since(since)) {
            reasons.extend(match wanted {
                None => Some(Reason::SetGone),
                Some(it) if it.is_going => Some(Reason::SetGone),
                Some(it) if it.replicas <= index => Some(Reason::Surplus),
                Some(it) if it.key != leader.key() => Some(Reason::Outdated),
                Some(_) => None,
            });
        }
        let mut sets = self.sets.get(leader.set()).into_iter().flat_map(|it| it.since(since));
        let leader_set = state.get(Kind::StatefulSet, leader.set());
        let is_of_former = leader_set.is_none_or(|it| it.uid != leader.owner_uid());
        if is_of_former || sets.any(|stays| !stays) {
            reasons.insert(Reason::SetGone);
        }
        reasons
    }

    /// Which groups are ready after a change of a pod.
    fn note_readiness(&mut self, state: &State, change: &Change) {
        let mut after = state.clone();
        after.apply(change);
        let object = change.object.as_deref().or_else(|| state.get(Kind::Pod, &change.name));
        let Some(object) = object else { return };
        let mut ready = BTreeMap::new();
        for leader in after.leaders(object.set()).filter(|it| after.is_ready(it)) {
            let since = self.ready.get(&leader.uid).copied().unwrap_or(change.at);
            ready.insert(leader.uid.clone(), since);
        }
        let others = after.all(Kind::Pod).filter(|it| it.set() != object.set());
        for other in others {
            if let Some(since) = self.ready.get(&other.uid) {
                ready.insert(other.uid.clone(), *since);
            }
        }
        self.ready = ready;
    }
}

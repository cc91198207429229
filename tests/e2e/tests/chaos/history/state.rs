//! All objects at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, Kind, Object};

/// The objects that are there.
#[derive(Debug, Clone, Default)]
pub(crate) struct State(BTreeMap<(Kind, String), Arc<Object>>);

impl State {
    /// Takes note of a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        let place = (change.kind, change.name.clone());
        match &change.object {
            Some(object) => drop(self.0.insert(place, Arc::clone(object))),
            None => drop(self.0.remove(&place)),
        }
    }

    /// The object of this kind and name.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Object> {
        self.0.get(&(kind, name.to_owned())).map(Arc::as_ref)
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.0.iter().filter(move |((it, _), _)| *it == kind).map(|(_, object)| &**object)
    }

    /// The objects of a kind that say they are of this set.
    pub(crate) fn of_set<'a>(
        &'a self,
        kind: Kind,
        set: &'a str,
    ) -> impl Iterator<Item = &'a Object> {
        self.all(kind).filter(move |it| it.set() == set)
    }

    /// The leader pods of a set.
    pub(crate) fn leaders<'a>(&'a self, set: &'a str) -> impl Iterator<Item = &'a Object> {
        self.of_set(Kind::Pod, set).filter(|it| it.is_leader())
    }

    /// The leader pod that a pod belongs to, itself if it is one: found by owners, never by name alone.
    pub(crate) fn leader_of<'a>(&'a self, pod: &'a Object) -> Option<&'a Object> {
        if pod.is_leader() {
            return Some(pod);
        }
        let by_uid = |kind, uid: &str| self.all(kind).find(|it| it.uid == uid);
        by_uid(Kind::Pod, by_uid(Kind::StatefulSet, pod.owner_uid())?.owner_uid())
    }

    /// The worker pods of the group of this leader.
    pub(crate) fn workers<'a>(&'a self, leader: &'a Object) -> impl Iterator<Item = &'a Object> {
        let of_group = self.of_set(Kind::Pod, leader.set()).filter(|it| !it.is_leader());
        of_group.filter(move |it| self.leader_of(it).is_some_and(|it| it.uid == leader.uid))
    }

    /// Whether all pods of the group of this leader are there and ready.
    pub(crate) fn is_ready(&self, leader: &Object) -> bool {
        let workers = self.workers(leader).filter(|it| it.is_ready()).count();
        leader.is_ready() && workers + 1 == leader.size()
    }
}

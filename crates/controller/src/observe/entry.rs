//! Everything that is known of one set: its objects, and what was noted that they do not show.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::notes::Notes;
use super::views::{
    Owner, PodGroupView, PodView, RevisionView, ServiceView, SetView, StatefulSetView, View,
};

/// Objects of one kind that belong to one set, by name.
pub type Objects<V> = BTreeMap<String, Arc<V>>;

/// Everything that is known of one set.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The set itself, under its own name; empty when it does not exist (its former objects may).
    pub sets: Objects<SetView>,
    /// Leader and worker `StatefulSet`s.
    pub stateful_sets: Objects<StatefulSetView>,
    /// Leader and worker pods.
    pub pods: Objects<PodView>,
    /// Headless Services.
    pub services: Objects<ServiceView>,
    /// Revisions.
    pub revisions: Objects<RevisionView>,
    /// `PodGroup`s of groups that are scheduled together.
    pub pod_groups: Objects<PodGroupView>,
    notes: Notes,
    last_apply: Option<LastApply>,
    shows_workers: bool,
}

/// The last server-side apply that succeeded.
#[derive(Clone, Debug)]
pub(super) struct LastApply {
    desired: Value,
    uid: String,
    generation: Option<i64>,
    /// What the server has made of the labels and annotations.
    metadata: Vec<Option<Value>>,
}

impl LastApply {
    /// The apply of `desired`, which was answered with `answer`.
    pub(super) fn of(desired: &Value, answer: &StatefulSetView) -> Self {
        let answered = answer.object.as_deref();
        Self {
            desired: desired.clone(),
            uid: answer.identity.uid().to_owned(),
            generation: answer.identity.meta.generation,
            metadata: answered.map(|it| applied_metadata(desired, it)).unwrap_or_default(),
        }
    }
}

impl Entry {
    /// The set itself.
    #[must_use]
    pub fn set(&self) -> Option<&Arc<SetView>> {
        self.sets.values().next()
    }

    /// The leader of the group that `worker` belongs to by ownership: worker pod → worker
    /// `StatefulSet` → leader pod, or directly worker pod → leader pod, each checked by UID.
    #[must_use]
    pub fn leader_of(&self, worker: &PodView) -> Option<&Arc<PodView>> {
        let owner = worker.identity.owner.as_ref()?;
        if owner.kind != "StatefulSet" {
            return self.pods.get(&owner.name).filter(|it| it.identity.uid() == owner.uid);
        }
        let found = self.stateful_sets.get(&owner.name);
        let Some(worker_set) = found.filter(|it| it.identity.uid() == owner.uid) else {
            // It is gone, and was named like its leader.
            let leader = self.pods.get(&owner.name);
            return leader.filter(|it| self.notes.has_had(it.identity.uid(), &owner.uid));
        };
        let owner = worker_set.identity.owner.as_ref()?;
        self.pods.get(&owner.name).filter(|it| it.identity.uid() == owner.uid)
    }

    /// Whether `desired` was the last that was applied to `live`, of which nothing that it has has
    /// changed since. Where the server stores something else than what it was given, as a mutating
    /// policy makes it do, this keeps the same apply from being repeated for ever.
    #[must_use]
    pub fn was_applied(&self, desired: &Value, live: &StatefulSetView) -> bool {
        self.last_apply.as_ref().zip(live.object.as_deref()).is_some_and(|(last, object)| {
            last.uid == live.identity.uid()
                && last.generation == live.identity.meta.generation
                && last.desired == *desired
                && last.metadata == applied_metadata(desired, object)
        })
    }

    pub(super) fn set_last_apply(&mut self, last_apply: LastApply) {
        self.last_apply = Some(last_apply);
    }

    /// Whether pods of worker `StatefulSet`s, of whatever set, were seen when this was last changed: there
    /// is somebody who makes them.
    #[must_use]
    pub fn shows_workers(&self) -> bool {
        self.shows_workers
    }

    pub(super) fn show_workers(&mut self) {
        self.shows_workers = true;
    }

    /// Worker pods that vanished from the living group of this leader, one of each name.
    pub fn losses(&self, leader_uid: &str) -> impl Iterator<Item = &PodView> {
        self.notes.losses(leader_uid)
    }

    /// Whether the leader or the set with this UID may be out of date.
    #[must_use]
    pub fn is_doubted(&self, uid: &str) -> bool {
        self.notes.is_doubted(uid)
    }

    /// Whether the leader with this UID has been read anew, and was there.
    #[must_use]
    pub fn is_confirmed(&self, leader_uid: &str) -> bool {
        self.notes.is_confirmed(leader_uid)
    }

    /// Whether the worker `StatefulSet` of the leader with this UID was seen to go.
    #[must_use]
    pub fn has_lost_worker_set(&self, leader_uid: &str) -> bool {
        self.notes.has_had_any(leader_uid)
    }

    /// Whether the leader with this UID was waiting for a node while a pod of the former group of
    /// its name was there, which is gone.
    #[must_use]
    pub fn has_outlasted(&self, leader_uid: &str) -> bool {
        self.notes.has_outlasted(leader_uid)
    }

    /// Whether the worker of a leader whose UID begins with `mark` is known to be gone, however long
    /// ago.
    #[must_use]
    pub fn is_gone(&self, leader_uid: &str, mark: &str) -> bool {
        self.losses(leader_uid).any(|it| it.identity.uid().starts_with(mark))
            || self.notes.is_gone(leader_uid, mark)
    }

    /// Takes note that the pod `name` was looked for, whose UID is `uid` or begins with it.
    pub(super) fn confirmed(&mut self, name: &str, uid: &str, is_there: bool) {
        self.notes.trust(uid);
        if is_there && self.pods.get(name).is_some_and(|it| it.is_leader()) {
            self.notes.note_confirmed(uid);
        }
        let leader = leader_name_of(name).and_then(|it| self.pods.get(it));
        if let Some(leader) = leader.filter(|_| !is_there) {
            self.notes.note_gone(leader.identity.uid(), uid);
        }
    }

    /// Takes note that the set was looked for, whose UID is `uid`.
    pub(super) fn set_confirmed(&mut self, uid: &str) {
        self.notes.trust(uid);
    }

    /// Takes note of a set that has left.
    pub(super) fn set_removed(&mut self, gone: &Arc<SetView>) {
        self.notes.trust(gone.identity.uid());
    }

    /// Takes note of a pod that has left. A worker is a loss unless its leader is going, too.
    pub(super) fn pod_removed(&mut self, gone: &Arc<PodView>) {
        if gone.is_leader() {
            self.notes.forget_leader(gone.identity.uid());
            return;
        }
        let leader = self.leader_of(gone).filter(|it| !it.identity.is_terminating());
        if let Some(uid) = leader.map(|it| it.identity.uid().to_owned()) {
            self.notes.note_loss(&uid, gone);
            return;
        }
        let successor = leader_name_of(gone.identity.name()).and_then(|it| self.pods.get(it));
        if let Some(leader) = successor.filter(|it| it.is_leader() && it.node.is_none()) {
            self.notes.note_outlasted(leader.identity.uid());
        }
    }

    /// Whether a worker goes because its leader does, or is one of several that a former leader has
    /// left: only the last of these makes room for others.
    pub(super) fn is_leaving(&self, worker: &PodView) -> bool {
        !worker.is_leader()
            && match self.leader_of(worker) {
                Some(leader) => leader.identity.is_terminating(),
                None => self.has_siblings(worker),
            }
    }

    fn has_siblings(&self, worker: &PodView) -> bool {
        let name = worker.identity.name();
        leader_name_of(name).is_some_and(|leader| {
            self.named_like_workers(leader).any(|it| it.identity.name() != name)
        })
    }

    /// The pods that have names of workers of this leader, whosever they are.
    pub fn named_like_workers(&self, leader: &str) -> impl Iterator<Item = &PodView> {
        let after = (Bound::Excluded(leader), Bound::Unbounded);
        named_like_workers(leader, self.pods.range::<str, _>(after).map(|(_, pod)| pod))
    }

    pub(super) fn stateful_set_removed(&mut self, gone: &Arc<StatefulSetView>) {
        if let Some(leader) = self.doubt_owner_of(gone).filter(|it| it.kind == "Pod") {
            self.notes.note_former_set(&leader.uid, gone.identity.uid());
        }
    }

    pub(super) fn pod_group_removed(&mut self, gone: &Arc<PodGroupView>) {
        self.doubt_owner_of(gone);
    }

    /// Doubts the leader or the set that controlled an object; gives it, unless it is known to be
    /// gone.
    fn doubt_owner_of<'a, V: View>(&mut self, gone: &'a Arc<V>) -> Option<&'a Owner> {
        let owner = gone.identity().owner.as_ref()?;
        let present = match owner.kind.as_str() {
            "Pod" => self.pods.get(&owner.name)?.identity.uid(),
            "LeaderWorkerSet" => self.set()?.identity.uid(),
            _ => return None,
        };
        if present != owner.uid {
            return None;
        }
        self.notes.doubt(&owner.uid);
        Some(owner)
    }

    #[cfg(test)]
    pub(super) fn notes_len(&self) -> usize {
        self.notes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
            && self.stateful_sets.is_empty()
            && self.pods.is_empty()
            && self.services.is_empty()
            && self.revisions.is_empty()
            && self.pod_groups.is_empty()
    }

    /// Drops losses of groups that are going.
    pub(super) fn prune(&mut self) {
        let mut losses = self.notes.take_losses();
        losses.retain(|lost| {
            self.leader_of(lost).is_some_and(|leader| !leader.identity.is_terminating())
        });
        self.notes.set_losses(losses);
    }
}

/// What `live` has of each label and annotation of `desired`. Others belong to others.
fn applied_metadata(desired: &Value, live: &Value) -> Vec<Option<Value>> {
    let of = |part| {
        let keys = desired.pointer(part).and_then(Value::as_object).into_iter().flat_map(Map::keys);
        keys.map(move |key| live.pointer(part)?.get(key).cloned())
    };
    ["/metadata/labels", "/metadata/annotations"].into_iter().flat_map(of).collect()
}

/// The pods that have names of workers of `leader`, of those that `follow` it by name. No character of a
/// name sorts before the hyphen, so that they are the first.
pub fn named_like_workers<'a>(
    leader: &str,
    follow: impl Iterator<Item = &'a Arc<PodView>>,
) -> impl Iterator<Item = &'a PodView> {
    let is_named = move |pod: &&PodView| {
        let rest = pod.identity.name().strip_prefix(leader);
        rest.is_some_and(|it| it.starts_with('-'))
    };
    follow.map(AsRef::as_ref).take_while(is_named)
}

/// The name of the leader of the worker `name`.
fn leader_name_of(name: &str) -> Option<&str> {
    name.rsplit_once('-').map(|(leader, _)| leader)
}

//! What was noted of the groups of one set that their objects do not show.
//!
//! Every note is about a leader or a set that exists, goes with it, and is there once: however long
//! nobody reads them, notes take no more room than the objects themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::views::PodView;

/// The notes of one set.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// Worker pods that vanished although their leader was not going, by the UID of that and by
    /// name. Kept until the group has been recreated, so that a loss is noticed even when a pod of
    /// the same name is already back.
    losses: Losses,
    /// UIDs of leaders whose worker `StatefulSet` or `PodGroup` disappeared, and of the set if its
    /// leader `StatefulSet` did. The owner may have changed or gone as well: streams of different
    /// kinds are not in step. It is read anew before anything is created for it.
    doubted: BTreeSet<String>,
    /// UIDs of leaders that were read anew and are there: what is known of them is no older than what
    /// is known of `StatefulSet`s.
    confirmed: BTreeSet<String>,
    /// The last worker `StatefulSet` of a leader that disappeared, by their UIDs. Pods that it has
    /// left still are members of the group.
    former_sets: BTreeMap<String, String>,
    /// UIDs of leaders that had no node yet when a pod of the former group of their name went.
    outlasted: BTreeSet<String>,
    /// Recorded workers that were looked for and are gone, by the UID of their leader: what their
    /// UIDs begin with.
    gone: BTreeMap<String, BTreeSet<String>>,
}

/// Worker pods that vanished, by the UID of their leader and by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses(BTreeMap<String, BTreeMap<String, Arc<PodView>>>);

impl Losses {
    pub(super) fn retain(&mut self, matters: impl Fn(&PodView) -> bool) {
        self.0.retain(|_, losses| {
            losses.retain(|_, worker| matters(worker));
            !losses.is_empty()
        });
    }
}

impl Notes {
    pub(super) fn losses(&self, leader_uid: &str) -> impl Iterator<Item = &PodView> {
        self.losses.0.get(leader_uid).into_iter().flat_map(BTreeMap::values).map(AsRef::as_ref)
    }

    /// The first loss of a name stays: a group is recreated once for all of them.
    pub(super) fn note_loss(&mut self, leader_uid: &str, worker: &Arc<PodView>) {
        let losses = self.losses.0.entry(leader_uid.to_owned()).or_default();
        losses.entry(worker.identity.name().to_owned()).or_insert_with(|| worker.clone());
    }

    pub(super) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    pub(super) fn set_losses(&mut self, losses: Losses) {
        self.losses = losses;
    }

    pub(super) fn doubt(&mut self, uid: &str) {
        self.doubted.insert(uid.to_owned());
    }

    pub(super) fn is_doubted(&self, uid: &str) -> bool {
        self.doubted.contains(uid)
    }

    /// Ends the doubt, if there is any.
    pub(super) fn trust(&mut self, uid: &str) {
        self.doubted.remove(uid);
    }

    pub(super) fn note_confirmed(&mut self, leader_uid: &str) {
        self.confirmed.insert(leader_uid.to_owned());
    }

    pub(super) fn is_confirmed(&self, leader_uid: &str) -> bool {
        self.confirmed.contains(leader_uid)
    }

    pub(super) fn note_former_set(&mut self, leader_uid: &str, worker_set_uid: &str) {
        self.former_sets.insert(leader_uid.to_owned(), worker_set_uid.to_owned());
    }

    /// Whether a leader has had this worker `StatefulSet`, which is gone.
    pub(super) fn has_had(&self, leader_uid: &str, worker_set_uid: &str) -> bool {
        self.former_sets.get(leader_uid).is_some_and(|it| it == worker_set_uid)
    }

    /// Whether a leader has had any that is gone.
    pub(super) fn has_had_any(&self, leader_uid: &str) -> bool {
        self.former_sets.contains_key(leader_uid)
    }

    pub(super) fn note_outlasted(&mut self, leader_uid: &str) {
        self.outlasted.insert(leader_uid.to_owned());
    }

    pub(super) fn has_outlasted(&self, leader_uid: &str) -> bool {
        self.outlasted.contains(leader_uid)
    }

    pub(super) fn note_gone(&mut self, leader_uid: &str, mark: &str) {
        let gone = self.gone.entry(leader_uid.to_owned()).or_default();
        gone.insert(mark.to_owned());
    }

    pub(super) fn is_gone(&self, leader_uid: &str, mark: &str) -> bool {
        self.gone.get(leader_uid).is_some_and(|gone| gone.contains(mark))
    }

    pub(super) fn forget_leader(&mut self, uid: &str) {
        self.losses.0.remove(uid);
        self.doubted.remove(uid);
        self.confirmed.remove(uid);
        self.former_sets.remove(uid);
        self.outlasted.remove(uid);
        self.gone.remove(uid);
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let losses = self.losses.0.values().map(BTreeMap::len).sum::<usize>();
        let leaders = self.confirmed.len() + self.former_sets.len() + self.outlasted.len();
        losses + self.doubted.len() + leaders + self.gone.values().map(BTreeSet::len).sum::<usize>()
    }
}

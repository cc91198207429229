//! Who belongs to a group: the pods that its leader owns.

use std::sync::Arc;

use lws_api_types::names;

use super::group::Group;
use crate::observe::entry::{Entry, named_like_workers};
use crate::observe::views::{Phase, PodView, StatefulSetView, View as _};

/// The pods of one group: those that this very leader owns through its worker `StatefulSet`, at its
/// revision. A worker at another revision is about to be replaced anyway.
pub(super) struct Members<'g, 'a> {
    group: &'g Group<'a>,
    entry: &'a Entry,
    waits_for_start: bool,
}

impl<'g, 'a> Members<'g, 'a> {
    /// Those of `group`. A policy that waits for the start does not mind the loss of pods that had not
    /// started.
    pub(super) fn of(group: &'g Group<'a>, entry: &'a Entry, waits_for_start: bool) -> Self {
        Self { group, entry, waits_for_start }
    }

    /// The workers that are there, by index.
    pub(super) fn workers(&self) -> impl Iterator<Item = &'a PodView> + use<'g, 'a> {
        let leader: &PodView = self.group.leader;
        self.group.workers.iter().copied().filter(|pod| pod.revision == leader.revision)
    }

    /// Those of them that had started, if the policy waits for that.
    pub(super) fn counted_workers(&self) -> impl Iterator<Item = &'a PodView> + use<'g, 'a> {
        let waits_for_start = self.waits_for_start;
        self.workers().filter(move |pod| has_begun(pod, waits_for_start))
    }

    /// Workers that vanished before our eyes.
    pub(super) fn lost(&self) -> impl Iterator<Item = &'a PodView> + use<'g, 'a> {
        let Self { entry, waits_for_start, .. } = *self;
        let leader: &PodView = self.group.leader;
        entry.losses(leader.identity.uid()).filter(move |pod| {
            has_begun(pod, waits_for_start)
                && pod.revision == leader.revision
                && is_worker_of(leader, pod, entry)
        })
    }

    /// Leader and workers.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a PodView> + use<'g, 'a> {
        let leader: &PodView = self.group.leader;
        std::iter::once(leader).chain(self.workers())
    }
}

/// Whether a pod had started, where that matters.
fn has_begun(pod: &PodView, waits_for_start: bool) -> bool {
    !waits_for_start || pod.phase != Phase::Pending
}

/// Whether `leader` owns `pod`, through its worker `StatefulSet` or directly.
fn is_worker_of(leader: &PodView, pod: &PodView, entry: &Entry) -> bool {
    entry.leader_of(pod).is_some_and(|it| it.identity.uid() == leader.identity.uid())
}

/// The workers that `leader` owns, of the pods that `follow` it by name. Mostly it does through
/// `worker_set`, its own: then nothing has to be looked up.
pub(super) fn workers<'a>(
    entry: &'a Entry,
    leader: &'a PodView,
    worker_set: Option<&StatefulSetView>,
    follow: impl Iterator<Item = &'a Arc<PodView>>,
) -> impl Iterator<Item = &'a PodView> {
    let through = worker_set.map(|it| it.identity.uid());
    let is_its = move |pod: &PodView| through.is_some_and(|it| pod.identity.is_controlled_by(it));
    named_like_workers(leader.identity.name(), follow)
        .filter(move |pod| is_its(pod) || is_worker_of(leader, pod, entry))
}

/// A pod of a former `StatefulSet` that has the name of one of the `size` − 1 workers of `leader`, which
/// has none yet, and is about to go. A new `StatefulSet` could not make its own before: it would fail, make
/// no others either, and try again ever more rarely.
pub(super) fn predecessor<'a>(
    entry: &'a Entry,
    leader: &'a PodView,
    size: i32,
) -> Option<&'a PodView> {
    let is_needed = |pod: &PodView| {
        let ordinal = names::parent_and_ordinal(pod.identity.name());
        ordinal.is_some_and(|(it, index)| {
            it == leader.identity.name() && i64::from(index) < size.into()
        })
    };
    // The garbage collector may not have come to it yet.
    let is_going = |pod: &PodView| pod.identity.is_terminating() || pod.is_of_worker_set();
    entry.named_like_workers(leader.identity.name()).find(|it| is_needed(it) && is_going(it))
}

/// Whether a pod is a leader of the set, or a worker of one of its leaders, who may be gone.
pub(super) fn is_of_set(pod: &PodView, leader_set: &StatefulSetView, entry: &Entry) -> bool {
    let Some(owner) = &pod.identity.owner else { return false };
    if pod.is_leader() {
        return owner.uid == leader_set.identity.uid();
    }
    let worker_set = entry.stateful_sets.get(&owner.name);
    match worker_set.filter(|it| it.identity.uid() == owner.uid) {
        Some(worker_set) => {
            let leader = worker_set.identity.owner.as_ref();
            leader.is_some_and(|it| it.kind == "Pod" && it.name == worker_set.identity.name())
        }
        // The garbage collector ends it before its pods.
        None => pod.is_of_worker_set() && is_named_like_worker_of(pod, &owner.name),
    }
}

/// Whether the labels and the name of a pod are those of a worker in the group of this leader.
fn is_named_like_worker_of(pod: &PodView, leader: &str) -> bool {
    let expected = pod.set.as_deref().zip(pod.group());
    expected.is_some_and(|(set, index)| names::is_leader_pod(leader, set, i64::from(index)))
        && names::parent_and_ordinal(pod.identity.name()).is_some_and(|(it, _)| it == leader)
}

//! Who belongs to a group: the pods that its leader owns.

use lws_api_types::names;

use super::group::Group;
use crate::observe::entry::Entry;
use crate::observe::views::{Phase, PodView, StatefulSetView};

/// The pods of one group: those that this very leader owns through its worker `StatefulSet`, at its
/// revision. A worker at another revision is about to be replaced anyway.
pub(super) struct Members<'a> {
    leader: &'a PodView,
    pub(super) workers: Vec<&'a PodView>,
    /// Workers that vanished before our eyes.
    pub(super) lost: Vec<&'a PodView>,
}

impl<'a> Members<'a> {
    pub(super) fn of(group: &Group<'a>, entry: &'a Entry, waits_for_start: bool) -> Self {
        let leader: &PodView = group.leader;
        let is_current = |pod: &&PodView| pod.revision == leader.revision;
        let is_owned = |pod: &&PodView| is_worker_of(leader, pod, entry);
        let workers = group.workers.iter().copied();
        // A policy that waits for the start does not mind pods that had not started.
        let lost = entry
            .losses(leader.identity.uid())
            .filter(|pod| !waits_for_start || pod.phase != Phase::Pending);
        Self {
            leader,
            workers: workers.filter(is_current).collect(),
            lost: lost.filter(is_owned).filter(is_current).collect(),
        }
    }

    /// Leader and workers.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a PodView> {
        std::iter::once(self.leader).chain(self.workers.iter().copied())
    }
}

/// Whether `leader` owns `pod`, through its worker `StatefulSet` or directly.
fn is_worker_of(leader: &PodView, pod: &PodView, entry: &Entry) -> bool {
    entry.leader_of(pod).is_some_and(|it| it.identity.uid() == leader.identity.uid())
}

/// The workers that `leader` owns, mostly through `worker_set`, its own: then nothing has to be
/// looked up.
pub(super) fn workers<'a>(
    entry: &'a Entry,
    leader: &'a PodView,
    worker_set: Option<&StatefulSetView>,
) -> impl Iterator<Item = &'a PodView> {
    let through = worker_set.map(|it| it.identity.uid());
    let is_its = move |pod: &PodView| through.is_some_and(|it| pod.identity.is_controlled_by(it));
    named_like_workers(entry, leader)
        .filter(move |pod| is_its(pod) || is_worker_of(leader, pod, entry))
}

/// The pods that have names of workers of `leader`, whosever they are.
pub(super) fn named_like_workers<'a>(
    entry: &'a Entry,
    leader: &PodView,
) -> impl Iterator<Item = &'a PodView> + use<'a> {
    let prefix = format!("{}-", leader.identity.name());
    let pods = entry.pods.range(prefix.clone()..);
    pods.take_while(move |(name, _)| name.starts_with(&prefix)).map(|(_, pod)| pod.as_ref())
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
        None => owner.kind == "StatefulSet" && is_named_like_worker_of(pod, &owner.name),
    }
}

/// Whether the labels and the name of a pod are those of a worker in the group of this leader.
fn is_named_like_worker_of(pod: &PodView, leader: &str) -> bool {
    let expected = pod.set.as_deref().zip(pod.group());
    expected.is_some_and(|(set, index)| names::leader_pod(set, i64::from(index)) == leader)
        && names::parent_and_ordinal(pod.identity.name()).is_some_and(|(it, _)| it == leader)
}

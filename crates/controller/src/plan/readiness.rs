//! Whether a group is ready: its `StatefulSet` says so, and its pods bear it out.
//!
//! The status of a `StatefulSet` may be older than a loss, or that of the former one of its name:
//! Kubernetes' controller reads it by name when it writes a status anew after a conflict.

use lws_api_types::names;

use crate::observe::entry::Entry;
use crate::observe::views::{PodView, StatefulSetView};

/// Whether the group of `size` pods that `leader` leads is ready. `worker_set` and `workers` are its own.
///
/// Where nobody makes pods of `StatefulSet`s, as in a cluster without Kubernetes' controllers, what a
/// `StatefulSet` says is all that there is.
pub(super) fn is_ready(
    entry: &Entry,
    leader: &PodView,
    size: i32,
    worker_set: Option<&StatefulSetView>,
    workers: &[&PodView],
) -> bool {
    let has_workers = |it: &StatefulSetView| {
        it.is_ready() && (!entry.shows_workers() || pods_are_ready(it, workers))
    };
    leader.is_ready()
        && (size == 1 || worker_set.is_some_and(has_workers))
        // A `StatefulSet` counts a pod on its way out as available.
        && workers.iter().all(|it| !it.identity.is_terminating())
        && !lacks_a_worker(entry, leader, worker_set)
}

/// Whether a worker was lost that is wanted, and there is no ready pod in its place. One of another
/// revision is replaced anyway.
fn lacks_a_worker(entry: &Entry, leader: &PodView, worker_set: Option<&StatefulSetView>) -> bool {
    let is_there = |name| entry.pods.get(name).is_some_and(|it| it.is_ready());
    let wanted = worker_set.map_or(i64::MAX, |it| it.replicas);
    let is_wanted =
        |name| names::parent_and_ordinal(name).is_none_or(|(_, index)| i64::from(index) <= wanted);
    let mut losses = entry.losses(leader.identity.uid());
    losses.any(|it| {
        let name = it.identity.name();
        it.revision == leader.revision && is_wanted(name) && !is_there(name)
    })
}

/// Whether as many pods of this very `StatefulSet` are ready as it wants.
fn pods_are_ready(worker_set: &StatefulSetView, workers: &[&PodView]) -> bool {
    let uid = worker_set.identity.uid();
    let ready = workers.iter().filter(|it| it.identity.is_controlled_by(uid) && it.is_ready());
    i64::try_from(ready.count()).is_ok_and(|it| it >= worker_set.replicas)
}

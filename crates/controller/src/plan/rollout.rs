//! The arithmetic of a rolling update: how far the partition of the leader `StatefulSet` may go
//! down, how many surge groups exist meanwhile, and which leaders are replaced.
//!
//! Words used here: the *desired* groups are those at an index below `spec.replicas`, *surge*
//! groups the ones at and above it. A group is *settled* when it is ready and on the current
//! revision. A group is *released* when its index is at or above the partition: only released
//! groups may be replaced. With `maxUnavailable` and `maxSurge` groups as a budget, the partition
//! goes down no further than what has been settled above it allows.

use std::ops::Range;

use lws_api_types::set::RollingUpdate;

/// State of the group at one index below the replicas of the leader `StatefulSet`. A group that
/// does not exist, or whose objects have the wrong name, is neither ready nor updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// All its pods are ready and none is being deleted.
    pub ready: bool,
    /// All its objects carry the current revision key.
    pub updated: bool,
}

impl GroupState {
    fn settled(self) -> bool {
        self.ready && self.updated
    }
}

/// The leader `StatefulSet` as it is before this reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderSet {
    /// `spec.replicas`, surge included.
    pub replicas: i64,
    /// `spec.updateStrategy.rollingUpdate.partition`.
    pub partition: i64,
    /// Desired groups at the last apply: annotation `replicas`, `None` when absent or no integer.
    pub annotated_replicas: Option<i64>,
}

/// What the leader `StatefulSet` should have now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its partition.
    pub partition: i64,
    /// Its replicas, surge included.
    pub replicas: i64,
}

/// The next step of a set that wants `replicas` groups.
///
/// `groups` has one entry for each index of `0..current.replicas`; entries that are missing count
/// as groups that do not exist, further ones are ignored. `current` is `None` before the leader
/// `StatefulSet` exists. `template_changed` says that the current revision has not been applied to
/// it yet. Negative numbers do not occur in a stored object.
#[must_use]
pub fn step(
    groups: &[GroupState],
    strategy: &RollingUpdate,
    replicas: i64,
    current: Option<&LeaderSet>,
    template_changed: bool,
) -> Step {
    let Some(current) = current else {
        return Step { partition: strategy.partition, replicas };
    };
    let view = View { groups, strategy, replicas, current };
    let scales_up = current.replicas < replicas;
    let partition = if template_changed {
        replicas.min(current.replicas)
    } else if scales_up {
        current.partition
    } else if current.annotated_replicas == Some(replicas) {
        view.lowest_partition()
    } else {
        current.partition.min(replicas + strategy.max_surge)
    };
    let partition = partition.max(strategy.partition);
    let replicas = if scales_up { replicas } else { view.with_surge(partition, template_changed) };
    Step { partition, replicas }
}

/// What a step is computed from when there are enough groups.
struct View<'a> {
    groups: &'a [GroupState],
    strategy: &'a RollingUpdate,
    replicas: i64,
    current: &'a LeaderSet,
}

impl View<'_> {
    fn group(&self, index: i64) -> GroupState {
        let group = usize::try_from(index).ok().and_then(|index| self.groups.get(index));
        group.copied().unwrap_or_default()
    }

    /// How many groups in `range` are wanted. Those that do not exist are alike, and may be very
    /// many more than those that do.
    fn count(&self, range: Range<i64>, wanted: impl Fn(GroupState) -> bool) -> i64 {
        let known = i64::try_from(self.groups.len()).unwrap_or(i64::MAX);
        let (first_missing, end) = (known.max(range.start), range.end);
        let existing = range.start..end.min(known);
        let missing = (end - first_missing).max(0) * i64::from(wanted(GroupState::default()));
        existing.map(|index| i64::from(wanted(self.group(index)))).sum::<i64>() + missing
    }

    /// The lowest partition that the budget allows; never above the present one.
    ///
    /// `maxUnavailable` groups may be down, and one more for each surge group. Groups that are
    /// down below the new partition use up the budget too, all of them: with the settled groups,
    /// so many have to be ready there as are needed. Those directly below it that are down
    /// already, or updated already, are released for free.
    fn lowest_partition(&self) -> i64 {
        let LeaderSet { replicas: existing, partition, .. } = *self.current;
        let surge = existing - self.replicas;
        let needed = (existing - self.settled() - self.strategy.max_unavailable - surge).max(0);
        let mut lowest = self.end_of_ready(needed).unwrap_or(existing);
        for index in (needed..=lowest.min(existing - 1)).rev() {
            let group = self.group(index);
            if group.ready && !group.updated {
                break;
            }
            lowest = index;
        }
        lowest.min(partition)
    }

    /// The lowest index below which so many groups are ready, when there are so many.
    fn end_of_ready(&self, wanted: i64) -> Option<i64> {
        let Some(others) = usize::try_from(wanted).ok()?.checked_sub(1) else { return Some(0) };
        let ready = (1..=self.current.replicas).zip(self.groups).filter(|(_, it)| it.ready);
        ready.map(|(end, _)| end).nth(others)
    }

    /// Groups that have been released and are settled. Surge groups lend their budget from the top
    /// index down; once all of them have, the order in which the others settle does not matter.
    fn settled(&self) -> i64 {
        let LeaderSet { replicas: existing, partition, .. } = *self.current;
        let top = (0..existing).rev().find(|index| !self.group(*index).settled());
        let first_of_run = top.map_or(0, |index| index + 1);
        if first_of_run > self.replicas {
            existing - first_of_run
        } else {
            self.count(first_of_run.min(partition)..existing, GroupState::settled)
        }
    }

    /// How many groups there should be. New surge groups come only while groups wait to be
    /// replaced, never at rest, whatever the readiness. Those that are no longer needed go, from
    /// the top index down, but no ready one that keeps up the budget: outdated groups that
    /// `partition` releases do not, as they may go at any moment.
    fn with_surge(&self, partition: i64, template_changed: bool) -> i64 {
        let RollingUpdate { max_unavailable, max_surge, .. } = *self.strategy;
        let most = if self.waits(template_changed) {
            max_surge
        } else {
            let desired_before = self.current.annotated_replicas.unwrap_or(self.replicas);
            let surge = self.current.replicas - desired_before.max(self.replicas);
            surge.clamp(0, max_surge)
        };
        let unsettled = self.count(0..self.replicas, |group| !group.settled());
        let useful = if unsettled > max_surge { max_surge } else { unsettled - max_unavailable };
        let needed = self.replicas + useful.clamp(0, most);
        let mut kept = self.current.replicas.min(self.replicas + most);
        let released = partition.min(kept);
        let staying = self.count(0..released, |group| group.ready)
            + self.count(released..kept, GroupState::settled);
        let mut spare = staying - (self.replicas - max_unavailable);
        while kept > needed {
            if self.group(kept - 1).settled() {
                if spare <= 0 {
                    return kept;
                }
                spare -= 1;
            }
            kept -= 1;
        }
        needed
    }

    /// Whether some group that may be replaced has not been released yet, and is old or missing.
    fn waits(&self, template_changed: bool) -> bool {
        let floor = self.strategy.partition;
        if template_changed {
            return floor < self.replicas;
        }
        let unreleased = floor..self.current.partition.min(self.replicas);
        self.count(unreleased, |group| !group.updated) > 0
    }
}

/// `updateStrategy.rollingUpdate.maxUnavailable` of the leader `StatefulSet`, at least 1. It
/// counts surge groups too, hence the sum; the partition is what enforces the budget.
#[must_use]
pub fn statefulset_max_unavailable(strategy: &RollingUpdate) -> i64 {
    (strategy.max_unavailable + strategy.max_surge).max(1)
}

/// What the `StatefulSet` controller has reported of the leader `StatefulSet`.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`, 0 when absent.
    pub observed_generation: i64,
    /// `status.updateRevision`, empty when absent.
    pub update_revision: &'a str,
}

/// A leader pod that exists.
#[derive(Clone, Copy, Debug)]
pub struct Leader<'a> {
    /// Index of its group.
    pub index: i64,
    /// Its group is ready.
    pub ready: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// Label `controller-revision-hash`; a pod without it is left alone.
    pub revision: Option<&'a str>,
}

/// Indexes of the leaders to delete now, highest first, so that the `StatefulSet` controller
/// creates them again from the current template.
///
/// These are the released leaders of another `StatefulSet` revision. Where the
/// `MaxUnavailableStatefulSet` feature is off, that controller replaces leaders one by one; this
/// makes the budget count everywhere. A ready group is only taken down while at least
/// `replicas − maxUnavailable` others stay ready: the partition alone does not see to that when
/// the leader template changes without a new revision key, or surge groups become outdated while
/// they stand in for others.
///
/// `set` is the live object, and nothing may be about to be applied to it. As long as its
/// controller has not observed it there is nothing to delete: the old revision would come back.
#[must_use]
pub fn leaders_to_replace(
    leaders: &[Leader<'_>],
    reported: &Reported<'_>,
    set: &LeaderSet,
    strategy: &RollingUpdate,
    replicas: i64,
) -> Vec<i64> {
    let observed = reported.observed_generation >= reported.generation;
    if !observed || reported.update_revision.is_empty() {
        return Vec::new();
    }
    let mut alive: Vec<_> =
        leaders.iter().filter(|it| !it.terminating && it.index < set.replicas).collect();
    alive.sort_unstable_by_key(|it| std::cmp::Reverse(it.index));
    let ready: i64 = alive.iter().map(|it| i64::from(it.ready)).sum();
    let mut spare = ready - (replicas - strategy.max_unavailable);
    let outdated = |it: &&Leader<'_>| {
        it.index >= set.partition && it.revision.is_some_and(|it| it != reported.update_revision)
    };
    let affordable = |it: &&Leader<'_>| {
        spare -= i64::from(it.ready);
        !it.ready || spare >= 0
    };
    alive.into_iter().filter(outdated).filter(affordable).map(|it| it.index).collect()
}

/// Text of the event for a partition that went down from `before`: which groups are replaced.
/// `None` when no desired group is newly released.
#[must_use]
pub fn release_note(before: i64, step: Step) -> Option<String> {
    let first = step.partition;
    let last = before.min(step.replicas) - 1;
    match last - first {
        ..0 => None,
        0 => Some(format!("Updating replica {first}")),
        _ => Some(format!("Updating replicas {first} to {last} (inclusive)")),
    }
}

/// Text of the event for surge groups of set `name` that `step` removes. `None` when it removes
/// none: desired groups that go because the set is scaled down are not surge.
#[must_use]
pub fn surge_deletion_note(name: &str, current: &LeaderSet, step: Step) -> Option<String> {
    let desired_before = current.annotated_replicas.unwrap_or(current.replicas);
    let first = step.replicas.max(desired_before);
    let last = current.replicas - 1;
    match last - first {
        ..0 => None,
        0 => Some(format!("deleting surge replica {name}-{first}")),
        _ => Some(format!("deleting surge replicas from {name}-{first} to {name}-{last}")),
    }
}

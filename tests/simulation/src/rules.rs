//! What holds for every step, and in the end.

use lws_controller::plan::rollout::{LeaderSet, Step};

use crate::cluster::Cluster;

impl Cluster {
    /// The rules of every step.
    pub(crate) fn check(&self, before: Option<LeaderSet>, next: Step, template_changed: bool) {
        let (replicas, strategy) = (self.wanted.replicas, self.strategy());
        let most = replicas + strategy.max_surge;
        assert!(next.partition >= strategy.partition, "{next:?} goes below the spec's partition");
        assert!((replicas..=most).contains(&next.replicas), "{next:?} has too few or too many");
        let Some(before) = before else {
            assert_eq!(next.replicas, replicas, "surge on creation");
            return;
        };
        if !template_changed && next.partition != strategy.partition {
            assert!(next.partition <= before.partition, "{before:?} to {next:?} goes back");
        }
        // Another template, and another number of groups, takes effect at once.
        if !template_changed && before.annotated_replicas == Some(replicas) {
            self.check_release(before, next);
        }
        let old = |index| {
            self.slot(index).is_some_and(|slot| slot.pod.is_none()) || !self.group(index).updated
        };
        let updating = template_changed || (0..before.replicas).any(old);
        let had_surge = before.replicas > before.annotated_replicas.unwrap();
        if !updating && !had_surge {
            assert_eq!(next.replicas, replicas, "surge outside an update");
        }
    }

    /// The budget of a partition that goes down and releases ready groups: even if all outdated ones that are released
    /// went at once, the others would be enough. Groups that have failed are not excused.
    fn check_release(&self, before: LeaderSet, next: Step) {
        let goes = |index: i64| index >= next.partition && !self.group(index).updated;
        let ready = |index: &i64| self.group(*index).ready;
        let end = before.partition.min(before.replicas).min(next.replicas);
        if !(next.partition..end).filter(ready).any(goes) {
            return;
        }
        let budget = self.wanted.replicas - self.strategy().max_unavailable;
        let left = (0..before.replicas).filter(ready).filter(|index| !goes(*index)).count();
        assert!(
            i64::try_from(left).unwrap() >= budget,
            "{before:?} to {next:?} leaves {left} ready groups of {budget}"
        );
    }

    /// The budget: what a rollout has just taken down leaves all groups but `maxUnavailable`, not counting those that are
    /// excused.
    pub(crate) fn check_budget(&self, taken: &[usize]) {
        let excused = self.slots.iter().filter(|slot| slot.excused).count();
        let budget = self.wanted.replicas - self.strategy().max_unavailable;
        let ready = self.ready();
        assert!(
            ready + i64::try_from(excused).unwrap() >= budget,
            "taking down {taken:?} leaves {ready} ready groups, {excused} excused"
        );
    }

    /// Asserts that the rollout has reached its end.
    pub fn assert_complete(&self) {
        let (wanted, strategy, set) = (self.wanted, self.strategy(), self.set.unwrap());
        assert_eq!(set.spec.partition, strategy.partition);
        if strategy.partition == 0 {
            assert_eq!(set.spec.replicas, wanted.replicas, "surge left");
        }
        assert_eq!(i64::try_from(self.slots.len()).unwrap(), set.spec.replicas);
        assert!(self.slots.iter().all(|slot| slot.available()), "a group is down");
        for index in strategy.partition..wanted.replicas {
            assert!(self.group(index).updated, "group {index} is old");
        }
    }

    /// Asserts that every group is on the wanted template, ready or not.
    pub fn assert_updated(&self) {
        assert_eq!(self.set.unwrap().spec.partition, 0);
        assert!((0..self.wanted.replicas).all(|index| self.group(index).updated));
    }
}

//! The `StatefulSet` controller with policy `Parallel`, and the pods it looks after.

use std::ops::Range;

use lws_controller::plan::rollout::LeaderSet;

use crate::cluster::{Cluster, Template};

#[derive(Clone, Copy)]
pub(crate) struct Pod {
    pub(crate) template: Template,
    pub(crate) ready: bool,
    pub(crate) terminating: bool,
    pub(crate) broken: bool,
}

impl Pod {
    pub(crate) fn available(self) -> bool {
        self.ready && !self.terminating
    }

    /// Whether it is about to become ready.
    pub(crate) fn starts(self) -> bool {
        !self.ready && !self.broken && !self.terminating
    }
}

/// An ordinal of the leader `StatefulSet`.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) pod: Option<Pod>,
    /// It is down, and a rollout is not why: it has failed and not been replaced yet, or has just been added.
    pub(crate) excused: bool,
}

impl Slot {
    pub(crate) fn available(self) -> bool {
        self.pod.is_some_and(Pod::available)
    }

    pub(crate) fn becomes_ready(&mut self) {
        self.pod = self.pod.map(|pod| Pod { ready: true, ..pod });
        self.excused = false;
    }

    pub(crate) fn is_emptied(&mut self) {
        self.pod = None;
        self.excused = false;
    }

    pub(crate) fn fails(&mut self) {
        self.pod = self.pod.map(|pod| Pod { ready: false, broken: true, ..pod });
        self.excused = true;
    }
}

/// The leader `StatefulSet`.
#[derive(Clone, Copy)]
pub(crate) struct Set {
    pub(crate) spec: LeaderSet,
    pub(crate) max_unavailable: i64,
    pub(crate) template: Template,
    pub(crate) generation: i64,
    pub(crate) observed_generation: i64,
    pub(crate) current_revision: Template,
}

impl Cluster {
    /// One run of the `StatefulSet` controller. Gives whether it did anything.
    pub(crate) fn control(&mut self) -> bool {
        let Some(mut set) = self.set else { return false };
        let mut acted = set.observed_generation != set.generation;
        set.observed_generation = set.generation;
        let replicas = usize::try_from(set.spec.replicas).unwrap();
        let partition = usize::try_from(set.spec.partition).unwrap().min(replicas);
        let condemned: Vec<_> = (replicas..self.slots.len()).collect();
        acted |= self.take_down(&condemned);
        while self.slots.len() > replicas && self.slots.last().is_some_and(|it| it.pod.is_none()) {
            self.slots.pop();
        }
        for index in 0..replicas {
            if index == self.slots.len() {
                let desired = i64::try_from(index).unwrap() < self.wanted.replicas;
                self.slots.push(Slot { pod: None, excused: desired });
            }
            if self.slots[index].pod.is_none() {
                let released = index >= partition;
                let template = if released { set.template } else { set.current_revision };
                let pod = Pod { template, ready: false, terminating: false, broken: false };
                self.slots[index].pod = Some(pod);
                acted = true;
            }
        }
        let outdated = self.rolling_update(set, partition..replicas);
        acted |= self.take_down(&outdated);
        let done = |it: &Slot| it.available() && it.pod.unwrap().template == set.template;
        if self.slots.len() == replicas && self.slots.iter().all(done) {
            set.current_revision = set.template;
        }
        self.set = Some(set);
        acted
    }

    /// The pods of `released` that a rolling update of the `StatefulSet` deletes now.
    fn rolling_update(&self, set: Set, released: Range<usize>) -> Vec<usize> {
        let outdated = |index: &usize| {
            let pod = self.slots[*index].pod.unwrap();
            pod.template != set.template && !pod.terminating
        };
        let down = |index: &usize| !self.slots[*index].available();
        if self.feature_gate {
            let budget = usize::try_from(set.max_unavailable).unwrap();
            let down = (0..released.end).filter(down).count();
            released.rev().filter(outdated).take(budget.saturating_sub(down)).collect()
        } else {
            let first = released.rev().find(|index| outdated(index) || down(index));
            first.filter(outdated).into_iter().collect()
        }
    }

    /// Deletes the pods at these indexes where that has not happened already; gives whether there was any.
    pub(crate) fn take_down(&mut self, indexes: &[usize]) -> bool {
        let (mut acted, mut was_ready) = (false, false);
        for index in indexes {
            let pod = self.slots[*index].pod.as_mut();
            if let Some(pod) = pod.filter(|pod| !pod.terminating) {
                acted = true;
                was_ready |= pod.ready;
                pod.terminating = true;
            }
        }
        if was_ready && self.strict {
            self.check_budget(indexes);
        }
        acted
    }
}

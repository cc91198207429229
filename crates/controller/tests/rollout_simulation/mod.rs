//! A cluster with one set, as far as a rollout is concerned: the `StatefulSet` controller (policy
//! `Parallel`, with and without the `MaxUnavailableStatefulSet` feature), the kubelets, and the
//! reconcile that applies what is under test. A pod stands for its whole group.
//!
//! Every rule that holds at all times is asserted here, where it would be broken.

use lws_api_types::set::RollingUpdate;
use lws_controller::plan::rollout::{
    GroupState, Leader, LeaderSet, Reported, Step, leaders_to_replace, statefulset_max_unavailable,
    step,
};

/// A template of the set, and the `StatefulSet` revision made from it.
pub(crate) type Template = u8;

const REVISIONS: [&str; 3] = ["first", "second", "third"];

/// What the user wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) replicas: i64,
    pub(crate) strategy: RollingUpdate,
    pub(crate) template: Template,
}

/// What may happen at any moment. A number picks one of the pods it can happen to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Reconcile,
    /// The `StatefulSet` controller runs.
    Control,
    /// A pod that starts becomes ready.
    Ready(usize),
    /// A pod that is being deleted is gone.
    Gone(usize),
    /// A ready pod fails for good.
    Fail(usize),
    /// The user changes the set.
    Change(Wanted),
}

#[derive(Clone, Copy)]
struct Pod {
    template: Template,
    ready: bool,
    terminating: bool,
    broken: bool,
}

impl Pod {
    fn available(self) -> bool {
        self.ready && !self.terminating
    }
}

/// An ordinal of the leader `StatefulSet`.
#[derive(Clone, Copy)]
struct Slot {
    pod: Option<Pod>,
    /// It is down, and a rollout is not why: it failed, or has just been added.
    excused: bool,
}

impl Slot {
    fn available(self) -> bool {
        self.pod.is_some_and(Pod::available)
    }
}

/// The leader `StatefulSet`.
#[derive(Clone, Copy)]
struct Set {
    spec: LeaderSet,
    max_unavailable: i64,
    template: Template,
    generation: i64,
    observed_generation: i64,
    current_revision: Template,
}

pub(crate) struct Cluster {
    pub(crate) wanted: Wanted,
    set: Option<Set>,
    slots: Vec<Slot>,
    feature_gate: bool,
    /// Every takedown must keep the budget. Once the user changes anything during a rollout, only
    /// what the controller deletes itself is held to it: a changed setting moves the budget, and a
    /// second template makes the `StatefulSet` controller replace surge groups that stand in for
    /// others, as their indexes are never below the partition.
    strict: bool,
}

impl Cluster {
    /// A cluster at rest, made from nothing.
    pub(crate) fn settled(wanted: Wanted, feature_gate: bool) -> Self {
        let mut cluster = Self { wanted, set: None, slots: Vec::new(), feature_gate, strict: true };
        cluster.settle(true, 0);
        cluster
    }

    /// Starts a rollout: a change of the template alone.
    pub(crate) fn change_template(&mut self, template: Template) {
        self.wanted.template = template;
    }

    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::Reconcile => {
                self.reconcile();
            }
            Event::Control => {
                self.control();
            }
            Event::Ready(pick) => {
                self.pick(
                    pick,
                    |pod| !pod.ready && !pod.broken && !pod.terminating,
                    |slot| {
                        slot.pod.as_mut().unwrap().ready = true;
                        slot.excused = false;
                    },
                );
            }
            Event::Gone(pick) => {
                self.pick(pick, |pod| pod.terminating, |slot| slot.pod = None);
            }
            Event::Fail(pick) => {
                self.pick(pick, Pod::available, |slot| {
                    slot.pod = slot.pod.map(|pod| Pod { ready: false, broken: true, ..pod });
                    slot.excused = true;
                });
            }
            Event::Change(wanted) => {
                self.wanted = wanted;
                self.strict = false;
            }
        }
    }

    /// Does `change` to one of the slots whose pod `fits`; gives whether there was one.
    fn pick(&mut self, pick: usize, fits: fn(Pod) -> bool, change: impl Fn(&mut Slot)) -> bool {
        let fitting = self.slots.iter_mut().filter(|slot| slot.pod.is_some_and(fits));
        let mut fitting: Vec<_> = fitting.collect();
        let chosen = pick.checked_rem(fitting.len()).map(|index| &mut *fitting[index]);
        chosen.map(change).is_some()
    }

    /// Lets everything run until nothing moves any more; `pick` chooses the order in which pods
    /// become ready, one a round. Broken ones recover only when `repair` says so.
    pub(crate) fn settle(&mut self, repair: bool, pick: usize) {
        if repair {
            for slot in &mut self.slots {
                slot.pod = slot.pod.map(|pod| Pod { broken: false, ..pod });
            }
        }
        let groups = self.slots.len() + usize::try_from(self.wanted.replicas).unwrap();
        for round in 1..5 * (groups + 5) {
            let mut moved = self.reconcile() | self.control();
            while self.pick(0, |pod| pod.terminating, |slot| slot.pod = None) {
                moved = true;
            }
            moved |= self.control();
            let starting = |pod: Pod| !pod.ready && !pod.broken && !pod.terminating;
            moved |= self.pick(pick.wrapping_mul(round), starting, |slot| {
                slot.pod.as_mut().unwrap().ready = true;
                slot.excused = false;
            });
            if !moved {
                return;
            }
        }
        panic!("the rollout does not end, or takes more than five rounds a group");
    }

    /// Asserts that the rollout has reached its end.
    pub(crate) fn assert_complete(&self) {
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
    pub(crate) fn assert_updated(&self) {
        assert_eq!(self.set.unwrap().spec.partition, 0);
        assert!((0..self.wanted.replicas).all(|index| self.group(index).updated));
    }

    /// The strategy as the set's accessor resolves it.
    fn strategy(&self) -> RollingUpdate {
        let Wanted { replicas, mut strategy, .. } = self.wanted;
        strategy.max_surge = strategy.max_surge.min(replicas);
        if strategy.max_surge == 0 {
            strategy.max_unavailable = strategy.max_unavailable.max(1);
        }
        strategy
    }

    fn slot(&self, index: i64) -> Option<Slot> {
        self.slots.get(usize::try_from(index).unwrap()).copied()
    }

    fn group(&self, index: i64) -> GroupState {
        let pod = self.slot(index).and_then(|slot| slot.pod);
        pod.map_or_else(GroupState::default, |pod| GroupState {
            ready: pod.available(),
            updated: pod.template == self.wanted.template,
        })
    }

    /// One reconcile: applies, or else deletes leaders. Gives whether it did anything.
    fn reconcile(&mut self) -> bool {
        let (wanted, strategy) = (self.wanted, self.strategy());
        let existing = self.set.map(|set| set.spec);
        let states = (0..existing.map_or(0, |spec| spec.replicas)).map(|index| self.group(index));
        let states: Vec<_> = states.collect();
        let changed = self.set.is_some_and(|set| set.template != wanted.template);
        let next = step(&states, &strategy, wanted.replicas, existing.as_ref(), changed);
        self.check(existing, next, changed);
        let live = self.set.unwrap_or(Set {
            spec: LeaderSet { replicas: 0, partition: 0, annotated_replicas: None },
            max_unavailable: 0,
            template: wanted.template,
            generation: 0,
            observed_generation: 0,
            current_revision: wanted.template,
        });
        let desired = Set {
            spec: LeaderSet {
                replicas: next.replicas,
                partition: next.partition,
                annotated_replicas: Some(wanted.replicas),
            },
            max_unavailable: statefulset_max_unavailable(&strategy),
            template: wanted.template,
            ..live
        };
        let same = live.spec == desired.spec
            && live.max_unavailable == desired.max_unavailable
            && live.template == desired.template;
        if same {
            return self.replace_leaders(live);
        }
        self.set = Some(Set { generation: live.generation + 1, ..desired });
        true
    }

    /// The rules of every step.
    fn check(&self, before: Option<LeaderSet>, next: Step, template_changed: bool) {
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
        let old = |index| {
            self.slot(index).is_some_and(|slot| slot.pod.is_none()) || !self.group(index).updated
        };
        let updating = template_changed || (0..before.replicas).any(old);
        let had_surge = before.replicas > before.annotated_replicas.unwrap();
        if !updating && !had_surge {
            assert_eq!(next.replicas, replicas, "surge outside an update");
        }
    }

    fn replace_leaders(&mut self, set: Set) -> bool {
        let leader = |(index, slot): (i64, &Slot)| {
            let pod = slot.pod?;
            let revision = Some(REVISIONS[usize::from(pod.template)]);
            Some(Leader { index, ready: pod.available(), terminating: pod.terminating, revision })
        };
        let leaders: Vec<_> = (0..).zip(&self.slots).filter_map(leader).collect();
        let reported = Reported {
            generation: set.generation,
            observed_generation: set.observed_generation,
            update_revision: REVISIONS[usize::from(set.template)],
        };
        let (replicas, strategy) = (self.wanted.replicas, self.strategy());
        let chosen = leaders_to_replace(&leaders, &reported, &set.spec, &strategy, replicas);
        let ready_before = self.ready();
        for index in &chosen {
            assert!(*index >= set.spec.partition);
            self.take_down(usize::try_from(*index).unwrap());
        }
        if self.ready() != ready_before {
            assert!(self.ready() >= replicas - strategy.max_unavailable, "{chosen:?} is too much");
        }
        !chosen.is_empty()
    }

    /// One run of the `StatefulSet` controller. Gives whether it did anything.
    fn control(&mut self) -> bool {
        let Some(mut set) = self.set else { return false };
        let mut acted = set.observed_generation != set.generation;
        set.observed_generation = set.generation;
        let replicas = usize::try_from(set.spec.replicas).unwrap();
        let partition = usize::try_from(set.spec.partition).unwrap().min(replicas);
        for index in replicas..self.slots.len() {
            acted |= self.take_down(index);
        }
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
        for index in self.rolling_update(set, partition..replicas) {
            acted |= self.take_down(index);
        }
        let done = |it: &Slot| it.available() && it.pod.unwrap().template == set.template;
        if self.slots.len() == replicas && self.slots.iter().all(done) {
            set.current_revision = set.template;
        }
        self.set = Some(set);
        acted
    }

    /// The pods of `released` that a rolling update of the `StatefulSet` deletes now.
    fn rolling_update(&self, set: Set, released: std::ops::Range<usize>) -> Vec<usize> {
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

    fn ready(&self) -> i64 {
        let replicas = self.set.map_or(0, |set| set.spec.replicas);
        (0..replicas).filter(|index| self.group(*index).ready).count().try_into().unwrap()
    }

    /// Deletes the pod at `index` unless that has happened already. The budget: what a rollout
    /// takes down leaves all groups but `maxUnavailable`, not counting those that are excused.
    fn take_down(&mut self, index: usize) -> bool {
        let Some(pod) = self.slots[index].pod.as_mut().filter(|pod| !pod.terminating) else {
            return false;
        };
        let was_ready = pod.ready;
        pod.terminating = true;
        if was_ready && self.strict {
            let excused = self.slots.iter().filter(|slot| slot.excused).count();
            let budget = self.wanted.replicas - self.strategy().max_unavailable;
            let ready = self.ready();
            assert!(
                ready + i64::try_from(excused).unwrap() >= budget,
                "taking down {index} leaves {ready} ready groups, {excused} excused"
            );
        }
        true
    }
}

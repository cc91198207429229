//! The simulated cluster: what may happen in it, the reconcile, and how a rollout runs to its end.

use lws_api_types::set::RollingUpdate;
use lws_controller::plan::rollout::{
    GroupState, Leader, LeaderSet, Reported, leaders_to_replace, statefulset_max_unavailable, step,
};

use crate::effort::Effort;
use crate::stateful_set::{Pod, Set, Slot};

/// A template of the set, and the `StatefulSet` revision made from it: 0, 1 or 2.
pub type Template = u8;

const REVISIONS: [&str; 3] = ["first", "second", "third"];

/// What the user wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Groups.
    pub replicas: i64,
    /// How they are updated, as it is written in the spec.
    pub strategy: RollingUpdate,
    /// What they are made from.
    pub template: Template,
}

/// What may happen at any moment. A number picks one of the pods it can happen to.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The controller looks at the set once.
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

/// A cluster with one set.
pub struct Cluster {
    pub(crate) wanted: Wanted,
    pub(crate) set: Option<Set>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) feature_gate: bool,
    /// Every takedown must keep the budget. Once the user changes anything during a rollout, only
    /// what the controller deletes itself is held to it: a changed setting moves the budget, and a
    /// second template makes the `StatefulSet` controller replace surge groups that stand in for
    /// others, as their indexes are never below the partition.
    pub(crate) strict: bool,
    effort: Effort,
}

impl Cluster {
    /// A cluster at rest, made from nothing. `feature_gate` says whether the `StatefulSet` controller may replace several pods
    /// at once.
    ///
    /// # Panics
    ///
    /// Like all that happens in it: when a rule is broken.
    #[must_use]
    pub fn settled(wanted: Wanted, feature_gate: bool) -> Self {
        let (set, slots, effort) = (None, Vec::new(), Effort::default());
        let mut cluster = Self { wanted, set, slots, feature_gate, strict: true, effort };
        cluster.roll();
        cluster
    }

    /// What the planner's arithmetic has done so far.
    #[must_use]
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// Starts a rollout: a change of the template alone.
    pub fn change_template(&mut self, template: Template) {
        self.wanted.template = template;
    }

    /// Lets something happen.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Reconcile => _ = self.reconcile(),
            Event::Control => _ = self.control(),
            Event::Ready(pick) => _ = self.pick(pick, Pod::starts, Slot::becomes_ready),
            Event::Gone(pick) => _ = self.pick(pick, |pod| pod.terminating, Slot::is_emptied),
            Event::Fail(pick) => _ = self.pick(pick, Pod::available, Slot::fails),
            Event::Change(wanted) => {
                self.wanted = wanted;
                self.strict = false;
            }
        }
    }

    /// Does `change` to one of the slots whose pod `fits`; gives whether there was one.
    fn pick(&mut self, pick: usize, fits: fn(Pod) -> bool, change: fn(&mut Slot)) -> bool {
        let fitting = self.slots.iter_mut().filter(|slot| slot.pod.is_some_and(fits));
        let mut fitting: Vec<_> = fitting.collect();
        let chosen = pick.checked_rem(fitting.len()).map(|index| &mut *fitting[index]);
        chosen.map(change).is_some()
    }

    /// Does `change` to all slots whose pod `fits`; gives whether there was one.
    fn all(&mut self, fits: fn(Pod) -> bool, change: fn(&mut Slot)) -> bool {
        let fitting = self.slots.iter_mut().filter(|slot| slot.pod.is_some_and(fits));
        fitting.map(change).count() > 0
    }

    /// Lets everything run until nothing moves any more; `pick` chooses the order in which pods
    /// become ready, one a round. Broken ones recover only when `repair` says so.
    pub fn settle(&mut self, repair: bool, pick: usize) {
        if repair {
            for slot in &mut self.slots {
                slot.pod = slot.pod.map(|pod| Pod { broken: false, ..pod });
            }
        }
        self.run(|cluster, round| {
            cluster.pick(pick.wrapping_mul(round), Pod::starts, Slot::becomes_ready)
        });
    }

    /// Lets everything run until nothing moves any more; all pods that start become ready in the same round.
    pub fn roll(&mut self) {
        self.run(|cluster, _| cluster.all(Pod::starts, Slot::becomes_ready));
    }

    /// Runs rounds until nothing moves; `start` lets pods become ready, and gives whether any has.
    fn run(&mut self, start: impl Fn(&mut Self, usize) -> bool) {
        let groups = self.slots.len() + usize::try_from(self.wanted.replicas).unwrap();
        for round in 1..5 * (groups + 5) {
            let mut moved = self.reconcile() | self.control();
            moved |= self.all(|pod| pod.terminating, Slot::is_emptied);
            moved |= self.control();
            moved |= start(self, round);
            if !moved {
                return;
            }
        }
        panic!("the rollout does not end, or takes more than five rounds a group");
    }

    /// The strategy as the set's accessor resolves it.
    pub(crate) fn strategy(&self) -> RollingUpdate {
        let Wanted { replicas, mut strategy, .. } = self.wanted;
        strategy.max_surge = strategy.max_surge.min(replicas);
        if strategy.max_surge == 0 {
            strategy.max_unavailable = strategy.max_unavailable.max(1);
        }
        strategy
    }

    pub(crate) fn slot(&self, index: i64) -> Option<Slot> {
        self.slots.get(usize::try_from(index).unwrap()).copied()
    }

    /// A group as the controller sees it.
    pub(crate) fn group(&self, index: i64) -> GroupState {
        let pod = self.slot(index).and_then(|slot| slot.pod);
        pod.map_or_else(GroupState::default, |pod| GroupState {
            ready: pod.available(),
            updated: pod.template == self.wanted.template,
        })
    }

    pub(crate) fn ready(&self) -> i64 {
        let replicas = self.set.map_or(0, |set| set.spec.replicas);
        (0..replicas).filter(|index| self.group(*index).ready).count().try_into().unwrap()
    }

    /// One reconcile: applies, or else deletes leaders. Gives whether it did anything.
    fn reconcile(&mut self) -> bool {
        let (wanted, strategy) = (self.wanted, self.strategy());
        let existing = self.set.map(|set| set.spec);
        let states = (0..existing.map_or(0, |spec| spec.replicas)).map(|index| self.group(index));
        let states: Vec<_> = states.collect();
        let changed = self.set.is_some_and(|set| set.template != wanted.template);
        self.effort.begin(states.len());
        let decide = || step(&states, &strategy, wanted.replicas, existing.as_ref(), changed);
        let next = self.effort.timed(decide);
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
        let decide = || leaders_to_replace(&leaders, &reported, &set.spec, &strategy, replicas);
        let chosen = self.effort.timed(decide);
        assert!(chosen.iter().all(|index| *index >= set.spec.partition), "{chosen:?}");
        let chosen: Vec<_> = chosen.into_iter().map(|it| usize::try_from(it).unwrap()).collect();
        let ready_before = self.ready();
        self.take_down(&chosen);
        let ready = self.ready();
        if ready != ready_before {
            assert!(ready >= replicas - strategy.max_unavailable, "{chosen:?} is too much");
        }
        !chosen.is_empty()
    }
}

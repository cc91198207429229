//! How sets and their groups stand: numbers of all, and a series for each set that is not available
//! or that something is in the way of, as many as the configuration allows.
//!
//! What a set's status says is what is shown, so that metrics and `kubectl describe` agree. As with
//! groups that fail, the series are made when they are scraped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use lws_api_types::conditions::{ConditionType, REPLICA_FAILURE};
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetStatus};
use lws_runtime::metrics::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Histogram, HistogramOpts, IntGaugeVec, Opts};

use crate::observe::index::SetKey;
use crate::plan::obstacle::Obstacle;
use crate::plan::standing::{Standing, State};

/// Seconds: small sets are ready within some, large models load for hours.
const DURATIONS: [f64; 13] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0];

/// What the status of a set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Available,
    Progressing,
    Updating,
    Terminating,
    Unreadable,
}

impl Phase {
    const ALL: [Self; 5] =
        [Self::Available, Self::Progressing, Self::Updating, Self::Terminating, Self::Unreadable];

    fn label(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Progressing => "progressing",
            Self::Updating => "updating",
            Self::Terminating => "terminating",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A set as metrics show it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shown {
    phase: Phase,
    /// Since when it is not available.
    since: Option<Timestamp>,
    obstacle: Option<Obstacle>,
    /// The part of its groups that is at the current revision, while it is updated.
    updated: Option<f64>,
}

impl Shown {
    fn of(set: &LeaderWorkerSet) -> Self {
        let status = set.status.as_ref();
        let conditions = status.map_or(&[][..], |it| &it.conditions);
        let condition = |name: &str| conditions.iter().find(|it| it.type_ == name);
        let available = condition(ConditionType::Available.as_str());
        let updating = condition(ConditionType::UpdateInProgress.as_str());
        let is_true = |it: Option<&Condition>| it.is_some_and(|it| it.status == "True");
        let phase = if set.metadata.deletion_timestamp.is_some() {
            Phase::Terminating
        } else if is_true(available) {
            Phase::Available
        } else if is_true(updating) {
            Phase::Updating
        } else {
            Phase::Progressing
        };
        let created = set.metadata.creation_timestamp.as_ref();
        let since = available.map(|it| &it.last_transition_time).or(created).map(|it| it.0);
        let failure = condition(REPLICA_FAILURE).filter(|it| it.status == "True");
        let wanted = set.spec.replicas().max(1);
        Self {
            phase,
            since: since.filter(|_| matches!(phase, Phase::Progressing | Phase::Updating)),
            obstacle: failure.map(|it| Obstacle::of_failure(&it.reason, &it.message)),
            updated: status
                .filter(|_| phase == Phase::Updating)
                .map(|status| f64::from(status.updated_replicas.min(wanted)) / f64::from(wanted)),
        }
    }
}

/// How long something took that a written status tells the end of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ended {
    /// From the creation of the set until it was available for the first time.
    start: Option<f64>,
    /// From the change of its templates until it was available.
    rollout: Option<f64>,
}

impl Ended {
    /// `set` gets the status `next`.
    fn by(set: &LeaderWorkerSet, next: &LeaderWorkerSetStatus, now: Timestamp) -> Self {
        let find = |status: Option<&LeaderWorkerSetStatus>, kind: ConditionType| {
            let mut conditions = status.into_iter().flat_map(|it| &it.conditions);
            conditions.find(|it| it.type_ == kind.as_str()).cloned()
        };
        let is_available =
            |status| find(status, ConditionType::Available).is_some_and(|it| it.status == "True");
        let stored = set.status.as_ref();
        if !is_available(Some(next)) || is_available(stored) {
            return Self::default();
        }
        let seconds = |since: Timestamp| now.duration_since(since).as_secs_f64().max(0.0);
        let is_first = find(stored, ConditionType::Available).is_none();
        let created = set.metadata.creation_timestamp.as_ref().filter(|_| is_first);
        let update = find(stored, ConditionType::UpdateInProgress);
        let update = update.filter(|it| it.status == "True");
        Self {
            start: created.map(|it| seconds(it.0)),
            rollout: update.map(|it| seconds(it.last_transition_time.0)),
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    shown: HashMap<SetKey, Shown>,
    groups: HashMap<SetKey, Standing>,
}

/// All sets.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    known: Arc<Mutex<Known>>,
    /// How many series of each kind there are at most.
    most: usize,
    phases: IntGaugeVec,
    groups: IntGaugeVec,
    hindered: IntGaugeVec,
    hindrance: IntGaugeVec,
    unavailable: GaugeVec,
    updated: GaugeVec,
    starts: Histogram,
    rollouts: Histogram,
}

impl Sets {
    /// Registers the metrics with `registry`; at most `most` sets have series of their own.
    pub(super) fn register(registry: &Registry, most: usize) -> Result<Self, prometheus::Error> {
        let numbers = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let durations = |name, help| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(DURATIONS.to_vec()))
        };
        let sets = Self {
            known: Arc::default(),
            most,
            phases: numbers(
                "lws_sets",
                "Sets by what their status says: `available`, `progressing`, `updating`, \
                 `terminating`; `unreadable`: the stored set cannot be read.",
                &["state"],
            )?,
            groups: numbers(
                "lws_groups",
                "Groups of all sets: `ready`, `starting`, `pending` (a pod finds no node), \
                 `failing` (a node is lost, an image cannot be pulled, a container cannot be started \
                 or crashes), \
                 `recreating` (it has failed), `terminating`, `missing` (no leader pod yet).",
                &["state"],
            )?,
            hindered: numbers(
                "lws_sets_hindered",
                "Sets of which condition `ReplicaFailure` is true, by what it is about.",
                &["cause"],
            )?,
            hindrance: numbers(
                "lws_set_hindered",
                "1 while condition `ReplicaFailure` of this set is true, by what it is about.",
                &["namespace", "name", "cause"],
            )?,
            unavailable: GaugeVec::new(
                Opts::new(
                    "lws_set_unavailable_seconds",
                    "How long this set has not been available; `state` is `progressing` or \
                 `updating`.",
                ),
                &["namespace", "name", "state"],
            )?,
            updated: GaugeVec::new(
                Opts::new(
                    "lws_set_updated_ratio",
                    "The part of the groups of this set that is updated, while a rollout is under \
                     way: 0 to 1.",
                ),
                &["namespace", "name"],
            )?,
            starts: durations(
                "lws_set_start_duration_seconds",
                "From the creation of a set until it was available for the first time.",
            )?,
            rollouts: durations(
                "lws_rollout_duration_seconds",
                "From the beginning of a rollout until the set was available again.",
            )?,
        };
        registry.register(sets.starts.clone())?;
        registry.register(sets.rollouts.clone())?;
        registry.register(sets.clone())?;
        Ok(sets)
    }

    /// Takes in how the groups of a set stand.
    pub(super) fn group(&self, key: &SetKey, standing: Standing) {
        self.lock().groups.insert(key.clone(), standing);
    }

    /// Takes in a set as it is stored: `Err` when it cannot be read, `None` when it is gone.
    pub(super) fn show(&self, key: &SetKey, set: Option<Result<&LeaderWorkerSet, ()>>) {
        let unreadable =
            Shown { phase: Phase::Unreadable, since: None, obstacle: None, updated: None };
        let mut known = self.lock();
        if let Some(set) = set {
            known.shown.insert(key.clone(), set.map_or(unreadable, Shown::of));
        } else {
            known.shown.remove(key);
            known.groups.remove(key);
        }
    }

    /// Takes in that the status of a set was written.
    pub(super) fn written(
        &self,
        set: &LeaderWorkerSet,
        next: &LeaderWorkerSetStatus,
        now: Timestamp,
    ) {
        let Ended { start, rollout } = Ended::by(set, next, now);
        for (histogram, seconds) in [(&self.starts, start), (&self.rollouts, rollout)] {
            if let Some(seconds) = seconds {
                histogram.observe(seconds);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_all(&self, known: &Known) {
        let mut phases = BTreeMap::from(Phase::ALL.map(|it| (it, 0)));
        let mut obstacles = BTreeMap::from(Obstacle::ALL.map(|it| (it, 0)));
        for shown in known.shown.values() {
            *phases.entry(shown.phase).or_default() += 1;
            if let Some(obstacle) = shown.obstacle {
                *obstacles.entry(obstacle).or_default() += 1;
            }
        }
        for (phase, count) in phases {
            self.phases.with_label_values(&[phase.label()]).set(count);
        }
        for (obstacle, count) in obstacles {
            self.hindered.with_label_values(&[obstacle.label()]).set(count);
        }
        for (position, state) in State::ALL.iter().enumerate() {
            let groups = known.groups.values().filter_map(|it| it.states.get(position));
            let count = i64::try_from(groups.sum::<usize>()).unwrap_or(i64::MAX);
            self.groups.with_label_values(&[state.label()]).set(count);
        }
    }

    /// Makes the series of single sets, of those first that have not been available for longest.
    fn tell_worst(&self, known: &Known, now: Timestamp) {
        self.hindrance.reset();
        self.unavailable.reset();
        self.updated.reset();
        let mut worst: Vec<_> = known
            .shown
            .iter()
            .filter(|(_, it)| it.since.is_some() || it.obstacle.is_some())
            .collect();
        worst.sort_unstable_by_key(|(key, it)| {
            (Reverse(it.since.map(|since| now.duration_since(since))), *key)
        });
        for (key, shown) in worst.into_iter().take(self.most) {
            let set = [&*key.namespace, &*key.name];
            if let Some(obstacle) = shown.obstacle {
                self.hindrance.with_label_values(&[set[0], set[1], obstacle.label()]).set(1);
            }
            if let Some(since) = shown.since {
                let seconds = now.duration_since(since).as_secs_f64().max(0.0);
                let labels = [set[0], set[1], shown.phase.label()];
                self.unavailable.with_label_values(&labels).set(seconds);
            }
            if let Some(updated) = shown.updated {
                self.updated.with_label_values(&set).set(updated);
            }
        }
    }
}

impl Collector for Sets {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.phases.desc(),
            self.groups.desc(),
            self.hindered.desc(),
            self.hindrance.desc(),
            self.unavailable.desc(),
            self.updated.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Held to the end: two who scrape at once do not mix their series.
        let known = self.lock();
        self.count_all(&known);
        self.tell_worst(&known, Timestamp::now());
        [
            self.phases.collect(),
            self.groups.collect(),
            self.hindered.collect(),
            self.hindrance.collect(),
            self.unavailable.collect(),
            self.updated.collect(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests;

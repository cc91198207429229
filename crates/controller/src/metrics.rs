//! Metrics of the controller, under the names that consumers of the existing implementation read.
//!
//! | module | owns |
//! |---|---|
//! | `queue` | the work queue |
//! | `groups` | groups that have failed lately |
//! | `sets` | how sets and groups stand, and what is in their way |
//! | `watches` | what is known of the cluster |

mod groups;
mod queue;
mod sets;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetStatus};
use lws_runtime::metrics::{InTurn, Registry};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use crate::observe::index::{Index, SetKey};
use crate::observe::watch::Synced;
use crate::plan::history::{Cause, Failing};
use crate::plan::standing::Standing;
use crate::queue::Queue;
use groups::FailedGroups;
use queue::{QueueState, Times};
use sets::Sets;
use watches::Watches;

/// How a reconcile ended, as metrics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do.
    Success,
    /// Nothing failed, and more may be left to do: it is looked at again after its rest.
    Unfinished,
    /// The set changed meanwhile, or there is more to do: it is looked at again soon.
    Requeue,
    /// A request failed.
    Error,
    /// A request was not answered in time.
    TimedOut,
    /// The stored set cannot be read: trying again is of no use until it changes.
    Terminal,
    /// A defect of this program.
    Panic,
}

/// Values of label `result`.
const RESULTS: [&str; 4] = ["success", "requeue", "requeue_after", "error"];
const CONTROLLER: &str = "leaderworkerset";
/// Seconds, as the existing implementation counts.
const RECONCILE_TIMES: [f64; 40] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0,
    25.0, 30.0, 40.0, 50.0, 60.0,
];

/// Metrics of the controller.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: IntCounterVec,
    errors: IntCounterVec,
    terminal_errors: IntCounterVec,
    timeouts: IntCounterVec,
    panics: IntCounterVec,
    durations: HistogramVec,
    workers: IntGaugeVec,
    leading: IntGaugeVec,
    recreations: IntCounterVec,
    times: Times,
    failed_groups: FailedGroups,
    sets: Sets,
}

impl Metrics {
    /// Registers the metrics with `registry`. At most `series` groups that have failed lately, and
    /// as many sets that are not well, have series of their own.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register(registry: &Registry, series: u32) -> Result<Self, prometheus::Error> {
        let series = usize::try_from(series).unwrap_or(usize::MAX);
        let counter = |name, help, label| IntCounterVec::new(Opts::new(name, help), &[label]);
        let gauge = |name, help, label| IntGaugeVec::new(Opts::new(name, help), &[label]);
        let metrics = Self {
            reconciles: IntCounterVec::new(
                Opts::new(
                    "controller_runtime_reconcile_total",
                    "Reconciles of a set. `success`: nothing is left to do; `requeue_after`: it is \
                 looked at again later although nothing failed; `requeue`: it had changed \
                 meanwhile, or more may be left to do; `error`: it failed.",
                ),
                &["controller", "result"],
            )?,
            errors: counter(
                "controller_runtime_reconcile_errors_total",
                "Reconciles with result `error`.",
                "controller",
            )?,
            terminal_errors: counter(
                "controller_runtime_terminal_reconcile_errors_total",
                "Reconciles of a stored set that cannot be read: it is left alone until it \
                 changes.",
                "controller",
            )?,
            timeouts: counter(
                "controller_runtime_reconcile_timeouts_total",
                "Reconciles with a request that was not answered in 20 s.",
                "controller",
            )?,
            panics: counter(
                "controller_runtime_reconcile_panics_total",
                "Faults of the controller that were caught; any is worth a report.",
                "controller",
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "controller_runtime_reconcile_time_seconds",
                    "How long reconciles took, requests included.",
                )
                .buckets(RECONCILE_TIMES.to_vec()),
                &["controller"],
            )?,
            workers: gauge(
                "controller_runtime_max_concurrent_reconciles",
                "Sets that are reconciled at once, at most; 0 while the controller stands by.",
                "controller",
            )?,
            leading: gauge(
                "leader_election_master_status",
                "1 for the controller that holds the Lease of that name, 0 for those that stand \
                 by.",
                "name",
            )?,
            recreations: counter(
                "lws_group_recreations_total",
                "Groups whose leader was deleted because a pod failed. Causes: \
                 `container_restart`, `pod_deleted`, `pod_evicted`, `node_lost`, `pod_lost` (it \
                 vanished).",
                "cause",
            )?,
            times: Times::register(registry)?,
            failed_groups: FailedGroups::new(series)?,
            sets: Sets::register(registry, series)?,
        };
        metrics.register_all(registry)?;
        metrics.begin_at_zero();
        Ok(metrics)
    }

    fn register_all(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        for counter in [
            &self.reconciles,
            &self.errors,
            &self.terminal_errors,
            &self.timeouts,
            &self.panics,
            &self.recreations,
        ] {
            registry.register(counter.clone())?;
        }
        registry.register(self.durations.clone())?;
        registry.register(self.workers.clone())?;
        registry.register(self.leading.clone())?;
        registry.register(self.failed_groups.clone())
    }

    /// Has every series that is known beforehand exist from the start: a rate needs its zero.
    fn begin_at_zero(&self) {
        for result in RESULTS {
            self.reconciles.with_label_values(&[CONTROLLER, result]);
        }
        for counter in [&self.errors, &self.terminal_errors, &self.timeouts, &self.panics] {
            counter.with_label_values(&[CONTROLLER]);
        }
        self.durations.with_label_values(&[CONTROLLER]);
        self.workers.with_label_values(&[CONTROLLER]);
        for cause in Cause::ALL {
            self.recreations.with_label_values(&[cause.label()]);
        }
    }

    /// Registers the state of `queue`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register_queue(
        registry: &Registry,
        queue: Queue<SetKey>,
    ) -> Result<(), prometheus::Error> {
        registry.register(InTurn::new(QueueState::new(queue)?))
    }

    /// Registers what is known of the cluster: `index`, and the watches that it comes from.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register_watches(
        registry: &Registry,
        index: Arc<Index>,
        synced: Synced,
    ) -> Result<(), prometheus::Error> {
        registry.register(InTurn::new(Watches::new(index, synced)?))
    }

    /// Tells how many sets are reconciled at once.
    pub(crate) fn set_workers(&self, workers: usize) {
        let workers = i64::try_from(workers).unwrap_or(i64::MAX);
        self.workers.with_label_values(&[CONTROLLER]).set(workers);
    }

    /// Counts a reconcile that begins, of a set that `waited` for it.
    pub(crate) fn begun(&self, waited: Duration) {
        self.times.waited(waited);
    }

    /// Counts a reconcile that has ended. `is_repeated`: whether it will be repeated at a known
    /// time although nothing failed.
    pub(crate) fn reconciled(&self, outcome: Outcome, is_repeated: bool, took: Duration) {
        let result = match outcome {
            Outcome::Success if is_repeated => "requeue_after",
            Outcome::Success => "success",
            Outcome::Unfinished | Outcome::Requeue => "requeue",
            Outcome::Error | Outcome::TimedOut | Outcome::Terminal | Outcome::Panic => "error",
        };
        self.reconciles.with_label_values(&[CONTROLLER, result]).inc();
        if result == "error" {
            self.errors.with_label_values(&[CONTROLLER]).inc();
        }
        match outcome {
            Outcome::TimedOut => self.timeouts.with_label_values(&[CONTROLLER]).inc(),
            Outcome::Terminal => self.terminal_errors.with_label_values(&[CONTROLLER]).inc(),
            Outcome::Panic => self.panics.with_label_values(&[CONTROLLER]).inc(),
            Outcome::Success | Outcome::Unfinished | Outcome::Requeue | Outcome::Error => {}
        }
        self.durations.with_label_values(&[CONTROLLER]).observe(took.as_secs_f64());
        self.times.worked(took);
    }

    pub(crate) fn recreated(&self, cause: Cause) {
        self.recreations.with_label_values(&[cause.label()]).inc();
    }

    /// Tells which groups of a set have failed lately; none when it does not exist.
    pub(crate) fn set_failing(&self, set: &SetKey, failing: &Failing) {
        self.failed_groups.replace(set, failing);
    }

    /// Tells how the groups of a set stand.
    pub(crate) fn set_groups(&self, set: &SetKey, standing: Standing) {
        self.sets.group(set, standing);
    }

    /// Tells of a set as it is stored: `Err` when it cannot be read, `None` when it is gone.
    pub(crate) fn set_stored(&self, key: &SetKey, set: Option<Result<&LeaderWorkerSet, ()>>) {
        self.sets.show(key, set);
    }

    /// Tells that `set` got the status `next`.
    pub(crate) fn status_written(&self, set: &LeaderWorkerSet, next: &LeaderWorkerSetStatus) {
        self.sets.written(set, next, Timestamp::now());
    }

    /// Tells whether this process holds `lease`.
    pub fn set_leading(&self, lease: &str, leads: bool) {
        self.leading.with_label_values(&[lease]).set(i64::from(leads));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_reconcile_is_counted_as_what_it_is() {
        let metrics = Metrics::register(&Registry::new(), 0).unwrap();
        let one = Duration::from_secs(1);
        for (outcome, is_repeated) in [
            (Outcome::Success, false),
            (Outcome::Success, true),
            (Outcome::Unfinished, false),
            (Outcome::Requeue, false),
            (Outcome::Error, true),
            (Outcome::TimedOut, false),
            (Outcome::Terminal, false),
            (Outcome::Panic, false),
        ] {
            metrics.begun(one);
            metrics.reconciled(outcome, is_repeated, one);
        }
        let results =
            RESULTS.map(|it| metrics.reconciles.with_label_values(&[CONTROLLER, it]).get());
        assert_eq!(results, [1, 2, 1, 4], "{RESULTS:?}");
        let counters =
            [&metrics.errors, &metrics.terminal_errors, &metrics.timeouts, &metrics.panics];
        let counts = counters.map(|it| it.with_label_values(&[CONTROLLER]).get());
        assert_eq!(counts, [4, 1, 1, 1]);
        assert_eq!(metrics.durations.with_label_values(&[CONTROLLER]).get_sample_count(), 8);
    }
}

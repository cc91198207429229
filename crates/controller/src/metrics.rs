//! Metrics of the controller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::observe::index::SetKey;
use crate::plan::history::Cause;
use crate::queue::Queue;

/// How a reconcile ended, as metrics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do.
    Success,
    /// The set changed meanwhile, or there is more to do: it is looked at again soon.
    Requeue,
    /// A request failed.
    Error,
    /// A defect of this program.
    Panic,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Requeue => "requeue",
            Self::Error | Self::Panic => "error",
        }
    }
}

/// Metrics of the controller, under the names that consumers of the existing implementation read.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: IntCounterVec,
    panics: IntCounterVec,
    durations: HistogramVec,
    leading: IntGaugeVec,
    recreations: IntCounterVec,
    waiting: Waiting,
}

/// Groups that wait for their recreation: the numbers of each set, and their sum.
#[derive(Clone, Debug)]
struct Waiting {
    sets: Arc<Mutex<HashMap<SetKey, usize>>>,
    sum: IntGauge,
}

const CONTROLLER: &str = "leaderworkerset";

impl Metrics {
    /// Registers the metrics with `registry`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reconciles = IntCounterVec::new(
            Opts::new("controller_runtime_reconcile_total", "Reconciles by controller and result."),
            &["controller", "result"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "controller_runtime_reconcile_time_seconds",
                "Time one reconcile took, requests included.",
            )
            .buckets(vec![0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0]),
            &["controller"],
        )?;
        let panics = IntCounterVec::new(
            Opts::new("controller_runtime_reconcile_panics_total", "Reconciles that panicked."),
            &["controller"],
        )?;
        panics.with_label_values(&[CONTROLLER]);
        let leading = IntGaugeVec::new(
            Opts::new(
                "leader_election_master_status",
                "Whether this process holds the lease of that name: 1, or 0 when it stands by.",
            ),
            &["name"],
        )?;
        let recreations = IntCounterVec::new(
            Opts::new(
                "lws_group_recreations_total",
                "Groups that were recreated because one of their pods failed, by cause.",
            ),
            &["cause"],
        )?;
        for cause in Cause::ALL {
            recreations.with_label_values(&[cause.label()]);
        }
        let waiting = IntGauge::new(
            "lws_groups_in_backoff",
            "Groups that failed and wait for their recreation, because they keep failing.",
        )?;
        for outcome in [Outcome::Success, Outcome::Requeue, Outcome::Error] {
            reconciles.with_label_values(&[CONTROLLER, outcome.label()]);
        }
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(panics.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(leading.clone()))?;
        registry.register(Box::new(recreations.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        let waiting = Waiting { sets: Arc::default(), sum: waiting };
        Ok(Self { reconciles, panics, durations, leading, recreations, waiting })
    }

    /// Registers the state of `queue`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register_queue(
        registry: &Registry,
        queue: Queue<SetKey>,
    ) -> Result<(), prometheus::Error> {
        registry.register(Box::new(QueueState::new(queue)?))
    }

    pub(crate) fn reconciled(&self, outcome: Outcome, took: Duration) {
        self.reconciles.with_label_values(&[CONTROLLER, outcome.label()]).inc();
        if outcome == Outcome::Panic {
            self.panics.with_label_values(&[CONTROLLER]).inc();
        }
        self.durations.with_label_values(&[CONTROLLER]).observe(took.as_secs_f64());
    }

    pub(crate) fn recreated(&self, cause: Cause) {
        self.recreations.with_label_values(&[cause.label()]).inc();
    }

    /// Tells how many groups of a set wait for their recreation.
    pub(crate) fn set_waiting_groups(&self, set: &SetKey, groups: usize) {
        let mut sets = self.waiting.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match groups {
            0 => sets.remove(set),
            _ => sets.insert(set.clone(), groups),
        };
        if before.unwrap_or(0) != groups {
            self.waiting.sum.set(sets.values().sum::<usize>().try_into().unwrap_or(i64::MAX));
        }
    }

    /// Tells whether this process holds `lease`.
    pub fn set_leading(&self, lease: &str, leads: bool) {
        self.leading.with_label_values(&[lease]).set(i64::from(leads));
    }
}

/// Reads the state of the queue when it is scraped.
struct QueueState {
    queue: Queue<SetKey>,
    depth: IntGauge,
    delayed: IntGauge,
    working: IntGauge,
    oldest: Gauge,
    longest_work: Gauge,
    unfinished_work: Gauge,
    adds: IntCounter,
    retries: IntCounter,
}

impl QueueState {
    fn new(queue: Queue<SetKey>) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("name", CONTROLLER);
        let whole = |name, help| IntGauge::with_opts(opts(name, help));
        let seconds = |name, help| Gauge::with_opts(opts(name, help));
        let counter = |name, help| IntCounter::with_opts(opts(name, help));
        Ok(Self {
            queue,
            depth: whole("workqueue_depth", "Sets that wait to be reconciled.")?,
            delayed: whole("lws_workqueue_delayed", "Sets that are looked at again later.")?,
            working: IntGauge::with_opts(
                Opts::new("controller_runtime_active_workers", "Sets that are being reconciled.")
                    .const_label("controller", CONTROLLER),
            )?,
            oldest: seconds("lws_workqueue_oldest_seconds", "How long the next set has waited.")?,
            longest_work: seconds(
                "workqueue_longest_running_processor_seconds",
                "Age of the longest reconcile that is under way.",
            )?,
            unfinished_work: seconds(
                "workqueue_unfinished_work_seconds",
                "Ages of all reconciles that are under way, added up.",
            )?,
            adds: counter("workqueue_adds_total", "Times a set had to be reconciled.")?,
            retries: counter("workqueue_retries_total", "Times a failed reconcile was repeated.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 8] {
        let Self { depth, delayed, working, oldest, longest_work, unfinished_work, .. } = self;
        let [adds, retries] = [&self.adds, &self.retries];
        [depth, delayed, working, oldest, longest_work, unfinished_work, adds, retries]
    }
}

impl Collector for QueueState {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stats = self.queue.stats();
        for (gauge, count) in [
            (&self.depth, stats.depth),
            (&self.delayed, stats.delayed),
            (&self.working, stats.working),
        ] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for (gauge, time) in [
            (&self.oldest, stats.oldest),
            (&self.longest_work, stats.longest_work),
            (&self.unfinished_work, stats.unfinished_work),
        ] {
            gauge.set(time.as_secs_f64());
        }
        for (counter, count) in [(&self.adds, stats.adds), (&self.retries, stats.retries)] {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Backoff;

    #[test]
    fn waiting_groups_are_summed_over_sets_and_forgotten_with_them() {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let [one, other] = ["one", "other"].map(|name| SetKey::new("n", name));
        for (set, groups, sum) in
            [(&one, 2, 2), (&other, 1, 3), (&one, 3, 4), (&one, 0, 1), (&one, 0, 1), (&other, 0, 0)]
        {
            metrics.set_waiting_groups(set, groups);
            assert_eq!(metrics.waiting.sum.get(), sum, "{set} has {groups}");
        }
        assert!(metrics.waiting.sets.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_read_when_it_is_scraped() {
        let (registry, queue) = (Registry::new(), Queue::new(Backoff::default()));
        Metrics::register_queue(&registry, queue.clone()).unwrap();
        let scraped = |name: &str| {
            let families = registry.gather();
            let metric = &families.iter().find(|it| it.name() == name).unwrap().get_metric()[0];
            let [gauge, counter] =
                [metric.get_gauge().get_value(), metric.get_counter().get_value()];
            gauge + counter
        };
        queue.add(SetKey::new("n", "s"));
        queue.retry(SetKey::new("n", "t"));
        tokio::time::advance(Duration::from_millis(4)).await;
        for (name, expected) in [
            ("workqueue_depth", 1.0),
            ("lws_workqueue_delayed", 1.0),
            ("controller_runtime_active_workers", 0.0),
            ("lws_workqueue_oldest_seconds", 0.004),
            ("workqueue_adds_total", 1.0),
            ("workqueue_retries_total", 1.0),
        ] {
            assert!((scraped(name) - expected).abs() < 1e-9, "{name}: {}", scraped(name));
        }
        let _work = queue.next().await.unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
        for (name, expected) in [
            ("workqueue_depth", 1.0),
            ("controller_runtime_active_workers", 1.0),
            ("workqueue_longest_running_processor_seconds", 3.0),
            ("workqueue_unfinished_work_seconds", 3.0),
            ("workqueue_adds_total", 2.0),
        ] {
            assert!((scraped(name) - expected).abs() < 1e-9, "{name}: {}", scraped(name));
        }
    }
}

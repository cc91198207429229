//! The work queue as metrics show it.

use std::time::Duration;

use lws_runtime::metrics::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, exponential_buckets,
};

use super::CONTROLLER;
use crate::observe::index::SetKey;
use crate::queue::Queue;

/// How long sets wait for a worker, and how long they are worked on.
#[derive(Clone, Debug)]
pub(super) struct Times {
    waited: Histogram,
    worked: Histogram,
}

impl Times {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        // From 10 ns to 1000 s, as the existing implementation counts.
        let steps = exponential_buckets(1e-8, 10.0, 12)?;
        let histogram = |name, help| {
            let opts = HistogramOpts { common_opts: opts(name, help), buckets: steps.clone() };
            Histogram::with_opts(opts)
        };
        let times = Self {
            waited: histogram(
                "workqueue_queue_duration_seconds",
                "How long sets were due before they were reconciled.",
            )?,
            worked: histogram("workqueue_work_duration_seconds", "How long reconciles took.")?,
        };
        registry.register(times.waited.clone())?;
        registry.register(times.worked.clone())?;
        Ok(times)
    }

    pub(super) fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    pub(super) fn worked(&self, time: Duration) {
        self.worked.observe(time.as_secs_f64());
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).const_label("name", CONTROLLER).const_label("controller", CONTROLLER)
}

/// Reads the state of the queue when it is scraped, by one at a time.
pub(super) struct QueueState {
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
    pub(super) fn new(queue: Queue<SetKey>) -> Result<Self, prometheus::Error> {
        let whole = |name, help| IntGauge::with_opts(opts(name, help));
        let seconds = |name, help| Gauge::with_opts(opts(name, help));
        let counter = |name, help| IntCounter::with_opts(opts(name, help));
        Ok(Self {
            queue,
            depth: whole("workqueue_depth", "Sets that are due and wait for a worker.")?,
            delayed: whole("lws_workqueue_delayed", "Sets that are looked at again later.")?,
            working: IntGauge::with_opts(
                Opts::new("controller_runtime_active_workers", "Sets that are being worked on.")
                    .const_label("controller", CONTROLLER),
            )?,
            oldest: seconds("lws_workqueue_oldest_seconds", "How long the next set has been due.")?,
            longest_work: seconds(
                "workqueue_longest_running_processor_seconds",
                "Age of the longest reconcile that is under way.",
            )?,
            unfinished_work: seconds(
                "workqueue_unfinished_work_seconds",
                "Ages of all reconciles that are under way, added up.",
            )?,
            adds: counter("workqueue_adds_total", "How often a set became due.")?,
            retries: counter(
                "workqueue_retries_total",
                "How often a set became due because its last reconcile failed or had to be \
                 repeated.",
            )?,
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

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_read_when_it_is_scraped() {
        let (registry, queue) = (Registry::new(), Queue::new(Backoff::default()));
        registry.register(QueueState::new(queue.clone()).unwrap()).unwrap();
        let scraped = |name: &str| {
            let families = registry.gather();
            let metric = &families.iter().find(|it| it.name() == name).unwrap().get_metric()[0];
            let [gauge, counter] =
                [metric.get_gauge().get_value(), metric.get_counter().get_value()];
            gauge + counter
        };
        let check = |expected: &[(&str, f64)]| {
            for (name, expected) in expected {
                assert!((scraped(name) - expected).abs() < 1e-9, "{name}: {}", scraped(name));
            }
        };
        queue.add(SetKey::new("n", "s"));
        queue.retry(SetKey::new("n", "t"), false);
        tokio::time::advance(Duration::from_millis(4)).await;
        check(&[
            ("workqueue_depth", 1.0),
            ("lws_workqueue_delayed", 1.0),
            ("controller_runtime_active_workers", 0.0),
            ("lws_workqueue_oldest_seconds", 0.004),
            ("workqueue_adds_total", 1.0),
            ("workqueue_retries_total", 1.0),
        ]);
        let _work = queue.next().await.unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
        check(&[
            ("workqueue_depth", 1.0),
            ("controller_runtime_active_workers", 1.0),
            ("workqueue_longest_running_processor_seconds", 3.0),
            ("workqueue_unfinished_work_seconds", 3.0),
            ("workqueue_adds_total", 2.0),
        ]);
    }
}

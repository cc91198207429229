//! What the webhook measures. The `controller_runtime_…` names and labels are the ones that
//! dashboards of the existing implementation read.

use std::time::Duration;

use lws_api_types::validation::Rule;
use lws_runtime::metrics::Registry;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
};

use crate::hook::Hook;
use crate::pod::Rejection;

/// Seconds. As measured, decisions take 10 to 100 µs, and about 1 ms for the largest objects: up to
/// there the steps are fine. What takes longer has waited for its body; the API server gives up
/// after 30 s at most.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0,
    10.0, 30.0,
];

/// HTTP statuses of answers.
const CODES: [&str; 3] = ["200", "500", "503"];

/// What reviews are about, and how each may end: an alert needs a series before its first event.
/// Deletes and connects are not listed, because no configuration asks about them.
const OUTCOMES: [(&[&str], &[&str]); 2] = [
    (&["CREATE", "UPDATE"], &["200", "patched", "400", "403", "413", "500"]),
    (&["unknown"], &["400", "413", "503", "504"]),
];

/// The metrics of the webhook.
#[derive(Clone, Debug)]
pub struct Metrics {
    reviews: IntCounterVec,
    rejections: IntCounterVec,
    patch_operations: Histogram,
    requests: IntCounterVec,
    latency: HistogramVec,
    in_flight: IntGaugeVec,
    panics: IntCounter,
}

impl Metrics {
    /// Registers the metrics. Fails when one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            reviews: IntCounterVec::new(
                Opts::new(
                    "lws_webhook_reviews_total",
                    "Reviews by path, operation (`unknown` where none could be read) and outcome.",
                ),
                &["webhook", "operation", "outcome"],
            )?,
            rejections: IntCounterVec::new(
                Opts::new(
                    "lws_webhook_rejections_total",
                    "Rules that rejected objects broke; an object that broke several counts once \
                     for each.",
                ),
                &["webhook", "rule"],
            )?,
            patch_operations: Histogram::with_opts(
                HistogramOpts::new(
                    "lws_webhook_patch_operations",
                    "Operations of the patches of requests that were allowed with changes.",
                )
                .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
            )?,
            requests: IntCounterVec::new(
                Opts::new(
                    "controller_runtime_webhook_requests_total",
                    "Requests by HTTP status, which is 200 for refusals too.",
                ),
                &["webhook", "code"],
            )?,
            latency: HistogramVec::new(
                HistogramOpts::new(
                    "controller_runtime_webhook_latency_seconds",
                    "Time to answer a request, the arrival of its body included.",
                )
                .buckets(LATENCY_BUCKETS.to_vec()),
                &["webhook"],
            )?,
            in_flight: IntGaugeVec::new(
                Opts::new(
                    "controller_runtime_webhook_requests_in_flight",
                    "Requests that are being answered.",
                ),
                &["webhook"],
            )?,
            panics: IntCounter::new(
                "controller_runtime_webhook_panics_total",
                "Faults of the webhook that were caught; any is worth a report.",
            )?,
        };
        registry.register(metrics.reviews.clone())?;
        registry.register(metrics.rejections.clone())?;
        registry.register(metrics.patch_operations.clone())?;
        registry.register(metrics.requests.clone())?;
        registry.register(metrics.latency.clone())?;
        registry.register(metrics.in_flight.clone())?;
        registry.register(metrics.panics.clone())?;
        for hook in Hook::ALL {
            let path = hook.path();
            for code in CODES {
                metrics.requests.with_label_values(&[path, code]);
            }
            for (operations, outcomes) in OUTCOMES {
                for operation in operations {
                    for outcome in outcomes {
                        metrics.reviews.with_label_values(&[path, operation, outcome]);
                    }
                }
            }
            metrics.latency.with_label_values(&[path]);
            metrics.in_flight.with_label_values(&[path]);
        }
        for rule in Rule::ALL {
            metrics.rejections.with_label_values(&[Hook::ValidateSet.path(), rule.name()]);
        }
        for rule in Rejection::RULES {
            metrics.rejections.with_label_values(&[Hook::MutatePod.path(), *rule]);
        }
        Ok(metrics)
    }

    /// Counts a request as being served until the returned guard is dropped.
    pub(crate) fn begin(&self, hook: Hook) -> InFlight {
        let gauge = self.in_flight.with_label_values(&[hook.path()]);
        gauge.inc();
        InFlight(gauge)
    }

    /// Counts an answered review: `outcome` is the status code in the answer, or `patched`.
    pub(crate) fn reviewed(&self, hook: Hook, operation: &str, outcome: &str) {
        self.reviews.with_label_values(&[hook.path(), operation, outcome]).inc();
    }

    /// Counts the rules by which an object was rejected.
    pub(crate) fn rejected(&self, hook: Hook, rules: &[&str]) {
        for rule in rules {
            self.rejections.with_label_values(&[hook.path(), rule]).inc();
        }
    }

    /// Records the size of a patch.
    pub(crate) fn patched(&self, operations: u32) {
        self.patch_operations.observe(f64::from(operations));
    }

    /// Counts an answered HTTP request.
    pub(crate) fn answered(&self, hook: Hook, status: http::StatusCode, latency: Duration) {
        self.requests.with_label_values(&[hook.path(), status.as_str()]).inc();
        self.latency.with_label_values(&[hook.path()]).observe(latency.as_secs_f64());
    }

    /// Counts a panic that was caught.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(crate) struct InFlight(prometheus::IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

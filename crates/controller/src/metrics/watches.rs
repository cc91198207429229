//! What is known of the cluster, and how the watches stand that it comes from.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::observe::index::Index;
use crate::observe::watch::Synced;

/// Reads index and watches when it is scraped.
pub(super) struct Watches {
    index: Arc<Index>,
    synced: Synced,
    objects: IntGaugeVec,
    are_synced: IntGaugeVec,
    restarts: IntCounterVec,
}

impl Watches {
    pub(super) fn new(index: Arc<Index>, synced: Synced) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &["resource"]);
        Ok(Self {
            index,
            synced,
            objects: gauge("lws_cache_objects", "Objects that are kept, by resource.")?,
            are_synced: gauge(
                "lws_watch_synced",
                "Whether everything that there is of a resource is known: 1, or 0.",
            )?,
            restarts: IntCounterVec::new(
                Opts::new(
                    "lws_watch_restarts_total",
                    "Times that a watch failed and was begun anew, by resource.",
                ),
                &["resource"],
            )?,
        })
    }
}

impl Collector for Watches {
    fn desc(&self) -> Vec<&Desc> {
        [self.objects.desc(), self.are_synced.desc(), self.restarts.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let objects = self.index.objects();
        for watch in self.synced.standings() {
            let label = [watch.resource.as_str()];
            self.are_synced.with_label_values(&label).set(i64::from(watch.is_synced));
            let restarts = self.restarts.with_label_values(&label);
            restarts.inc_by(watch.failures.saturating_sub(restarts.get()));
            if let Some((_, count)) = objects.iter().find(|(it, _)| *it == watch.resource) {
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                self.objects.with_label_values(&label).set(count);
            }
        }
        [self.objects.collect(), self.are_synced.collect(), self.restarts.collect()].concat()
    }
}

//! What is known of the cluster, and how the watches stand that it comes from.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::observe::index::Index;
use crate::observe::watch::Synced;

/// Reads index and watches when it is scraped, by one at a time.
pub(super) struct Watches {
    index: Arc<Index>,
    synced: Synced,
    objects: IntGaugeVec,
    bytes: IntGaugeVec,
    are_synced: IntGaugeVec,
    restarts: IntCounterVec,
}

impl Watches {
    pub(super) fn new(index: Arc<Index>, synced: Synced) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &["resource"]);
        Ok(Self {
            index,
            synced,
            objects: gauge("lws_cache_objects", "Objects that are kept in memory.")?,
            bytes: gauge(
                "lws_cache_bytes",
                "What cached objects take, in bytes and about: what is kept of them, without what \
                 the allocator and the index add.",
            )?,
            are_synced: gauge(
                "lws_watch_synced",
                "1 while everything that there is of a resource is known.",
            )?,
            restarts: IntCounterVec::new(
                Opts::new(
                    "lws_watch_restarts_total",
                    "Times that a watch failed and was begun anew. The API server ends watches \
                     now and then, which is no failure.",
                ),
                &["resource"],
            )?,
        })
    }
}

impl Collector for Watches {
    fn desc(&self) -> Vec<&Desc> {
        [&self.objects, &self.bytes, &self.are_synced]
            .into_iter()
            .flat_map(Collector::desc)
            .chain(self.restarts.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let kept = self.index.kept();
        let whole = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
        for watch in self.synced.watches() {
            let label = [watch.resource.as_str()];
            self.are_synced.with_label_values(&label).set(i64::from(watch.is_synced));
            let restarts = self.restarts.with_label_values(&label);
            restarts.inc_by(watch.failures.saturating_sub(restarts.get()));
            if let Some(kept) = kept.iter().find(|it| it.resource == watch.resource) {
                self.objects.with_label_values(&label).set(whole(kept.objects));
                self.bytes.with_label_values(&label).set(whole(kept.bytes));
            }
        }
        [&self.objects, &self.bytes, &self.are_synced]
            .into_iter()
            .flat_map(Collector::collect)
            .chain(self.restarts.collect())
            .collect()
    }
}

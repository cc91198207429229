//! The registry of a process's metrics, and the endpoint that shows it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{StatusCode, header};
use lws_certs::reload::ReloadingCertificate;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use prometheus::{
    Encoder as _, IntCounter, IntGauge, IntGaugeVec, Opts, TextEncoder,
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{Counter, MetricFamily, MetricType},
};
use tracing::error;

use crate::version;

/// The metrics of a process. It knows them also while they have no series, which the library's
/// registry, behind it, does not.
#[derive(Clone, Default)]
pub struct Registry {
    series: prometheus::Registry,
    collectors: Arc<Mutex<Vec<Arc<dyn Collector>>>>,
}

impl Registry {
    /// One without any metric.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the metrics of `collector`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register(&self, collector: impl Collector + 'static) -> Result<(), prometheus::Error> {
        let collector: Arc<dyn Collector> = Arc::new(collector);
        self.series.register(Box::new(Shared(collector.clone())))?;
        self.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(collector);
        Ok(())
    }

    /// All metrics that have series.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.series.gather()
    }

    /// All metrics, by name.
    #[must_use]
    pub fn described(&self) -> Vec<Description> {
        let collectors = self.collectors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = collectors.iter().flat_map(|it| described(&**it)).collect();
        all.sort_unstable();
        all
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.series.fmt(formatter)
    }
}

/// What a metric is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it tells.
    pub help: String,
}

fn described(collector: &dyn Collector) -> impl Iterator<Item = Description> {
    let families = collector.collect();
    collector.desc().into_iter().map(move |it| Description {
        name: it.fq_name.clone(),
        kind: families.iter().find(|family| family.name() == it.fq_name).map_or("untyped", kind),
        labels: labels(it),
        help: it.help.clone(),
    })
}

fn labels(description: &Desc) -> Vec<String> {
    let fixed = description.const_label_pairs.iter().map(|it| it.name().to_owned());
    fixed.chain(description.variable_labels.iter().cloned()).collect()
}

fn kind(family: &MetricFamily) -> &'static str {
    match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

/// A collector that somebody else has, too.
struct Shared(Arc<dyn Collector>);

impl Collector for Shared {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

/// A registry that holds the metrics of the process itself (`process_*`) and what was built
/// (`lws_build_info`). There is one per process; whoever counts something registers it there.
pub fn registry() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    registry.register(ThisProcess(ProcessCollector::for_self()))?;
    let build_info = IntGaugeVec::new(
        Opts::new("lws_build_info", "Always 1; the labels say what was built."),
        &["version", "commit", "build_date"],
    )?;
    build_info.with_label_values(&[version::VERSION, version::COMMIT, version::BUILD_DATE]).set(1);
    registry.register(build_info)?;
    Ok(registry)
}

/// Adds the reloads and the expiry of a serving certificate to `registry`.
pub fn register_certificate(
    registry: &Registry,
    certificate: Arc<ReloadingCertificate>,
) -> Result<(), prometheus::Error> {
    registry.register(InTurn::new(CertificateCollector {
        certificate,
        reads: IntCounter::new(
            "certwatcher_read_certificate_total",
            "Times that the serving certificate was read from its files.",
        )?,
        errors: IntCounter::new(
            "certwatcher_read_certificate_errors_total",
            "Times that the files held no usable certificate and the one in use was kept.",
        )?,
        expiry: IntGauge::new(
            "lws_serving_certificate_expiry_timestamp_seconds",
            "When the serving certificate in use expires, in seconds since 1970; 0 when there is \
             none.",
        )?,
    }))
}

/// `GET /metrics` in the text format of Prometheus. Whoever serves it decides who may ask.
pub fn router(registry: Registry) -> Router {
    Router::new().route("/metrics", get(move || std::future::ready(exposition(&registry))))
}

fn exposition(registry: &Registry) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type())], text).into_response(),
        Err(error) => {
            error!(%error, "metrics cannot be encoded");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

/// A collector that brings its metrics up to date when it is scraped: who scrapes at the same time
/// waits until that is done. A counter would count twice otherwise.
pub struct InTurn<C> {
    collector: C,
    turn: Mutex<()>,
}

impl<C: Collector> InTurn<C> {
    /// `collector`, for one at a time.
    pub fn new(collector: C) -> Self {
        Self { collector, turn: Mutex::default() }
    }
}

impl<C: Collector> Collector for InTurn<C> {
    fn desc(&self) -> Vec<&Desc> {
        self.collector.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Whoever panicked has left numbers that the next one brings up to date.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.collector.collect()
    }
}

/// The metrics of the process, with fractions of a second: the library counts whole ones, and both
/// of our processes take less than that for thousands of decisions.
struct ThisProcess(ProcessCollector);

impl Collector for ThisProcess {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let processor = families.iter_mut().find(|it| it.name() == "process_cpu_seconds_total");
        // Where the system does not tell, the whole seconds stay.
        if let (Some(family), Ok(usage)) = (processor, getrusage(UsageWho::RUSAGE_SELF)) {
            let time = usage.user_time() + usage.system_time();
            for metric in family.mut_metric() {
                let mut seconds = Counter::default();
                let micros = u64::try_from(time.num_microseconds()).unwrap_or_default();
                seconds.set_value(Duration::from_micros(micros).as_secs_f64());
                metric.set_counter(seconds);
            }
        }
        families
    }
}

/// Shows the counters that the certificate keeps itself.
struct CertificateCollector {
    certificate: Arc<ReloadingCertificate>,
    reads: IntCounter,
    errors: IntCounter,
    expiry: IntGauge,
}

impl Collector for CertificateCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.reads.desc(), self.errors.desc(), self.expiry.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (counter, count) in
            [(&self.reads, self.certificate.reads()), (&self.errors, self.certificate.errors())]
        {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        self.expiry.set(self.certificate.not_after().map_or(0, jiff::Timestamp::as_second));
        [self.reads.collect(), self.errors.collect(), self.expiry.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::Service as _;

    use super::*;

    /// For how long one who collects waits for another: they begin at the same time.
    const TOGETHER: Duration = Duration::from_millis(300);

    async fn scrape(registry: &Registry) -> String {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let response = router(registry.clone()).call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_process_and_its_build_are_shown() {
        let text = scrape(&registry().unwrap()).await;
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        let build = format!("version=\"{}\"}} 1\n", version::VERSION);
        assert!(text.contains("lws_build_info{") && text.contains(&build), "{text}");
    }

    #[test]
    fn what_has_no_series_is_described() {
        let registry = Registry::new();
        let labelled = Opts::new("b", "Both.").const_label("fixed", "x");
        registry.register(IntGaugeVec::new(labelled, &["one", "another"]).unwrap()).unwrap();
        registry.register(IntCounter::new("a", "Alone.").unwrap()).unwrap();
        let described = |name: &str, kind, labels: &[&str], help: &str| Description {
            name: name.to_owned(),
            kind,
            labels: labels.iter().map(|it| (*it).to_owned()).collect(),
            help: help.to_owned(),
        };
        let expected = [
            described("a", "counter", &[], "Alone."),
            described("b", "gauge", &["fixed", "one", "another"], "Both."),
        ];
        assert_eq!(registry.described(), expected);
        assert_eq!(registry.gather().len(), 1, "the other has no series");
        assert!(registry.register(IntCounter::new("a", "Alone.").unwrap()).is_err());
    }

    #[tokio::test]
    async fn processor_time_has_fractions() {
        let registry = registry().unwrap();
        let seconds = async || {
            let text = scrape(&registry).await;
            let line = text.lines().find_map(|it| it.strip_prefix("process_cpu_seconds_total "));
            line.unwrap().parse::<f64>().unwrap()
        };
        let before = seconds().await;
        let mut after = before;
        while after <= before {
            after = seconds().await;
        }
        assert!(after - before < 1.0, "{before} {after}");
    }

    /// Counts how many collect at once, and waits for another one to join.
    #[derive(Default)]
    struct Crowd {
        present: Mutex<usize>,
        joined: Condvar,
    }

    impl Collector for Crowd {
        fn desc(&self) -> Vec<&Desc> {
            Vec::new()
        }

        fn collect(&self) -> Vec<MetricFamily> {
            let mut present = self.present.lock().unwrap();
            *present += 1;
            self.joined.notify_all();
            let alone = |present: &mut usize| *present < 2;
            let (mut present, outcome) =
                self.joined.wait_timeout_while(present, TOGETHER, alone).unwrap();
            let families = if outcome.timed_out() { 1 } else { 2 };
            *present -= 1;
            vec![MetricFamily::default(); families]
        }
    }

    #[test]
    fn who_scrapes_at_the_same_time_waits() {
        let crowd = InTurn::new(Crowd::default());
        let present = || crowd.collect().len();
        let seen = std::thread::scope(|scope| {
            let both = [scope.spawn(present), scope.spawn(present)];
            both.map(|it| it.join().unwrap())
        });
        assert_eq!(seen, [1, 1], "two collect at once");
    }

    #[tokio::test]
    async fn failed_reads_of_a_certificate_are_counted() {
        let empty = tempfile::tempdir().unwrap();
        let certificate = Arc::new(ReloadingCertificate::new(empty.path()));
        let registry = registry().unwrap();
        register_certificate(&registry, Arc::clone(&certificate)).unwrap();
        assert!(
            scrape(&registry).await.contains("\ncertwatcher_read_certificate_errors_total 0\n")
        );
        certificate.reload().unwrap_err();
        let text = scrape(&registry).await;
        for line in [
            "certwatcher_read_certificate_total 1\n",
            "certwatcher_read_certificate_errors_total 1\n",
            "lws_serving_certificate_expiry_timestamp_seconds 0\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}

//! What is measured of certificates.

use lws_certs::{Pair, verify};
use lws_runtime::metrics::Registry;
use prometheus::{IntCounter, IntGaugeVec, Opts};

use super::stored::Stored;

/// Metrics of the certificates that the leader keeps.
#[derive(Clone, Debug)]
pub struct Metrics {
    expiry: IntGaugeVec,
    failures: IntCounter,
}

impl Metrics {
    /// Registers the metrics with `registry`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let expiry = IntGaugeVec::new(
            Opts::new(
                "lws_stored_certificate_expiry_timestamp_seconds",
                "When `authority` and `serving` in the webhook's Secret expire, in seconds since \
                 1970, told by the controller that leads if it manages certificates; 0: there is \
                 none.",
            ),
            &["certificate"],
        )?;
        let failures = IntCounter::new(
            "lws_certificate_failures_total",
            "Times that certificates or the trust in them could not be put in order.",
        )?;
        registry.register(expiry.clone())?;
        registry.register(failures.clone())?;
        Ok(Self { expiry, failures })
    }

    pub(super) fn stored(&self, stored: &Stored) {
        for (certificate, pair) in [("authority", &stored.authority), ("serving", &stored.serving)]
        {
            self.expiry.with_label_values(&[certificate]).set(expiry(pair));
        }
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}

fn expiry(pair: &Pair) -> i64 {
    verify::expiry(&pair.certificate_pem).map_or(0, jiff::Timestamp::as_second)
}

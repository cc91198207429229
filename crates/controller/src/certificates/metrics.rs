//! What is measured of certificates.

use lws_certs::{Pair, verify};
use prometheus::{IntCounter, IntGaugeVec, Opts, Registry};

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
                "When a certificate in the webhook's Secret expires, in seconds since 1970; 0 when \
                 there is none. Told by the leader if it manages certificates.",
            ),
            &["certificate"],
        )?;
        let failures = IntCounter::new(
            "lws_certificate_failures_total",
            "Times that certificates or the trust in them could not be brought into order.",
        )?;
        registry.register(Box::new(expiry.clone()))?;
        registry.register(Box::new(failures.clone()))?;
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

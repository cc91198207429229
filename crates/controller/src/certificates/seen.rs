//! How long something has been as it is, counted by this process's monotonic clock.

use std::time::Duration;

use lws_certs::Pair;
use lws_certs::bundle::Bundle;
use tokio::time::Instant;

use super::stored::Stored;

/// What has been observed, and since when without interruption.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    serving: Option<(Pair, Instant)>,
    /// Authorities that every entry trusts.
    trusted: Vec<(Bundle, Instant)>,
}

impl Seen {
    /// Takes note of what is stored and trusted `now`.
    pub(super) fn note(&mut self, stored: &Stored, entries: &[Bundle], now: Instant) {
        if self.serving.as_ref().is_none_or(|(pair, _)| *pair != stored.serving) {
            self.serving = Some((stored.serving.clone(), now));
        }
        self.trusted.retain(|(authority, _)| by_all(entries, authority));
        for pair in [&stored.authority, &stored.next] {
            let authority = Bundle::from_pem(&pair.certificate_pem);
            let known = self.trusted.iter().any(|(it, _)| *it == authority);
            if !known && !authority.is_empty() && by_all(entries, &authority) {
                self.trusted.push((authority, now));
            }
        }
    }

    /// How long the serving certificate has been stored.
    pub(super) fn stored_for(&self, now: Instant) -> Duration {
        self.serving.as_ref().map_or(Duration::ZERO, |(_, since)| now.duration_since(*since))
    }

    /// How long every entry has trusted `authority`; `None` when not every one does.
    pub(super) fn trusted_for(&self, authority: &Bundle, now: Instant) -> Option<Duration> {
        let (_, since) = self.trusted.iter().find(|(it, _)| it == authority)?;
        Some(now.duration_since(*since))
    }
}

fn by_all(entries: &[Bundle], authority: &Bundle) -> bool {
    entries.iter().all(|trusted| trusted.contains(authority))
}

//! The decisions of one candidate, as a state machine without clock or client. Owns the meaning of
//! the record's fields.

use std::{cmp::max, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};
use tokio::time::Instant;

use super::{Leadership, Loss, Settings};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    /// Write this record, provided that nobody has written since the last one was read.
    Write(LeaseSpec),
    /// Write nothing; look again at this moment at the latest.
    Wait(Instant),
    /// This process led and does not any more.
    Lost(Loss),
}

/// What one candidate knows. Time comes in as arguments: `now` for every decision, `clock` only for
/// the time stamps that are written.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    settings: Settings,
    /// The last record seen. Survives the deletion of the lease: that says nothing about its last
    /// holder.
    seen: Option<Seen>,
    /// Until when this process leads; set once it has led.
    valid_until: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Seen {
    record: LeaseSpec,
    /// When the record was first seen as it is: the answer that showed it had arrived by then.
    since: Instant,
}

impl Candidate {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, seen: None, valid_until: None }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn leadership(&self) -> Leadership {
        self.valid_until
            .map_or(Leadership::Standby, |valid_until| Leadership::Leading { valid_until })
    }

    pub(super) fn valid_until(&self) -> Option<Instant> {
        self.valid_until
    }

    /// Whether the last record seen names this candidate.
    pub(super) fn is_holder(&self) -> bool {
        self.holder() == self.settings.identity
    }

    /// The holder of the last record seen; empty when there is none.
    pub(super) fn holder(&self) -> &str {
        self.seen
            .as_ref()
            .and_then(|seen| seen.record.holder_identity.as_deref())
            .unwrap_or_default()
    }

    /// Takes note of a record in an answer that had arrived at `now`.
    pub(super) fn observe(&mut self, record: &LeaseSpec, now: Instant) {
        if self.seen.as_ref().is_none_or(|seen| seen.record != *record) {
            self.seen = Some(Seen { record: record.clone(), since: now });
        }
    }

    /// Takes note that this candidate wrote `record` by a request sent at `sent`, whose answer had
    /// arrived at `now`.
    pub(super) fn written(&mut self, record: &LeaseSpec, sent: Instant, now: Instant) {
        self.observe(record, now);
        // Validity that ended in the meantime has been noticed elsewhere: it is not revived.
        if self.is_holder() && self.valid_until.is_none_or(|until| now < until) {
            self.valid_until = Some(sent + self.settings.renew_deadline);
        }
    }

    /// What to do at `now` to become or to stay leader.
    pub(super) fn decide(&self, now: Instant, clock: Timestamp) -> Decision {
        if let Some(valid_until) = self.valid_until {
            if now >= valid_until {
                return Decision::Lost(Loss::NotRenewed(self.settings.renew_deadline));
            }
            if !self.is_holder() {
                return Decision::Lost(Loss::Replaced(self.holder().to_owned()));
            }
        }
        match self.free_at() {
            Some(expiry) if now < expiry => Decision::Wait(expiry),
            _ => Decision::Write(self.claim(clock)),
        }
    }

    /// What to do at `now` to leave: the record is emptied if it is this candidate's.
    pub(super) fn resign(&self, now: Instant, clock: Timestamp) -> Decision {
        if !self.is_holder() {
            return Decision::Wait(now);
        }
        let claim = self.claim(clock);
        Decision::Write(LeaseSpec {
            holder_identity: Some(String::new()),
            // The smallest duration the API server accepts.
            lease_duration_seconds: Some(1),
            acquire_time: claim.renew_time.clone(),
            ..claim
        })
    }

    /// When another holder's record expires; `None` when there is no other holder.
    fn free_at(&self) -> Option<Instant> {
        let seen = self.seen.as_ref()?;
        if self.holder().is_empty() || self.is_holder() {
            return None;
        }
        let seconds =
            seen.record.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds
            .filter(|seconds| *seconds > 0)
            .map_or(self.settings.lease_duration, Duration::from_secs);
        Some(seen.since + duration)
    }

    /// The record with this candidate as holder. Fields of other purposes are kept.
    fn claim(&self, clock: Timestamp) -> LeaseSpec {
        let last = self.seen.as_ref().map(|seen| seen.record.clone()).unwrap_or_default();
        let (acquired, renewed, transitions) = match &self.seen {
            None => (None, clock, 0),
            Some(_) if self.is_holder() => {
                let renewed =
                    last.renew_time.as_ref().map_or(clock, |last| later_than(last.0, clock));
                (last.acquire_time, renewed, last.lease_transitions.unwrap_or_default())
            }
            Some(_) => (None, clock, last.lease_transitions.unwrap_or_default().saturating_add(1)),
        };
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(self.settings.lease_duration_seconds()),
            acquire_time: acquired.or(Some(MicroTime(clock))),
            renew_time: Some(MicroTime(renewed)),
            lease_transitions: Some(transitions),
            ..last
        }
    }
}

/// `clock`, or the next microsecond after `last` if the clock was set back: a renewal that changes
/// nothing would be accepted by the server and noticed by nobody.
fn later_than(last: Timestamp, clock: Timestamp) -> Timestamp {
    last.checked_add(SignedDuration::from_micros(1)).map_or(clock, |next| max(next, clock))
}

//! How a reconcile ended, and when the next one is due.

use std::time::Duration;

use crate::act::Error;
use crate::metrics::Outcome;
use crate::observe::index::SetKey;

/// How a reconcile ended.
pub(super) struct End {
    pub(super) outcome: Outcome,
    /// When to look again although nothing may have been observed.
    pub(super) recheck: Option<Duration>,
    /// Whether it has written anything. While that is so, failures are those of a server that is
    /// busy or makes way for another, and the set goes on as soon as it can.
    pub(super) has_progressed: bool,
}

impl End {
    pub(super) fn new(outcome: Outcome, recheck: Option<Duration>) -> Self {
        Self { outcome, recheck, has_progressed: false }
    }
}

/// The earlier of two moments to look again.
pub(super) fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// Logs failures and says what they amount to.
pub(super) fn outcome_of<'a>(
    key: &SetKey,
    failures: impl IntoIterator<Item = &'a Error>,
) -> Outcome {
    let mut outcome = Outcome::Requeue;
    for error in failures {
        if error.is_conflict() {
            tracing::debug!(set = %key, %error, "changed meanwhile, looking again");
            continue;
        }
        if error.is_timed_out() {
            outcome = Outcome::TimedOut;
        } else if outcome != Outcome::TimedOut {
            outcome = Outcome::Error;
        }
        if error.is_unmade() {
            tracing::debug!(set = %key, %error, "left to the leader");
        } else if error.is_forbidden() {
            tracing::error!(set = %key, %error, "permission missing: grant {} on it", error.verb);
        } else {
            tracing::warn!(set = %key, %error, "request failed, trying again later");
        }
    }
    outcome
}

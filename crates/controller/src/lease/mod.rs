//! Leader election: that only one of several processes acts. Owns the protocol on a
//! `coordination.k8s.io/v1` Lease; what the leader does is the caller's.
//!
//! ```text
//! store (get, create, replace) ◄── elector (loop, timeouts) ──► Leadership (watch channel) ──► whoever acts
//!                                        │ record, instants
//!                                        ▼
//!                                   candidate (pure): claim, renew, wait, lost
//! ```
//!
//! Why at most one process is leader at a time:
//! - every write is conditional on the resource version that the decision was based on, so a record
//!   is never overwritten unseen;
//! - a leader counts its validity from *before* its last successful renewal was sent, and only for
//!   the renew deadline;
//! - another holder's record is taken over only after it has been seen unchanged for the lease
//!   duration, counted from *after* the answer that showed it first. Only local monotonic time is
//!   compared, never a time stamp of another machine: clocks may differ;
//! - the renew deadline is shorter than the lease duration. The difference is the margin for clocks
//!   that run at different speeds and for requests that the old leader has in flight: such a
//!   request must time out within it.
//!
//! A leader that was stopped (a frozen container, a debugger) may wake up after its validity. So
//! validity is a moment, not a flag: [`Leadership::is_valid`] compares it with the clock at each
//! call, and whoever writes asks it right before each write. A leader whose validity has ended does
//! not come back: [`LeaderElector::run`] returns an error and the process is expected to end. A
//! virtual machine whose clock stood still while it was suspended cannot notice; only the resource
//! versions protect against that.
//!
//! The record has the fields and the meaning of Kubernetes' own components' leader election, so
//! that both kinds can compete for one lease.

mod candidate;
mod elector;
mod store;
#[cfg(test)]
mod tests;

use std::{io, time::Duration};

use lws_runtime::client;
use tokio::time::Instant;

pub use elector::LeaderElector;
pub use store::{KubeStore, LeaseStore};

/// Who takes part in an election, for which lease, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the Lease.
    pub lease_name: String,
    /// The name of this candidate; unique, see [`identity`].
    pub identity: String,
    /// How long the others wait for a leader that does not renew. Written as whole seconds, rounded
    /// up. The part of it after the renew deadline is the longest that a write of the leader may
    /// take.
    pub lease_duration: Duration,
    /// How long a leader acts without a successful renewal.
    pub renew_deadline: Duration,
    /// The time between two renewals, or two looks at another's lease.
    pub retry_period: Duration,
}

impl Settings {
    /// The usual timing: lease duration 15 s, renew deadline 10 s, retry period 2 s.
    #[must_use]
    pub fn new(lease_name: String, identity: String) -> Self {
        Self {
            lease_name,
            identity,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// How long one request may take: two of them fit into the renew deadline, so that one that
    /// hangs does not cost the leadership.
    fn request_timeout(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// The lease duration as written to the record: whole seconds, rounded up.
    fn lease_duration_seconds(&self) -> i32 {
        let seconds = self.lease_duration.as_millis().div_ceil(1000);
        i32::try_from(seconds).unwrap_or(i32::MAX)
    }

    fn validate(&self) -> Result<(), LeaseError> {
        let ordered = self.lease_duration > self.renew_deadline
            && self.renew_deadline > self.retry_period
            && !self.retry_period.is_zero();
        if !ordered || self.identity.is_empty() {
            return Err(LeaseError::InvalidSettings(self.clone()));
        }
        Ok(())
    }
}

/// A new name for this process in elections: `<hostname>_<random UUID>`. Fails when the system does
/// not tell its host name.
pub fn identity() -> Result<String, LeaseError> {
    let host = hostname::get().map_err(LeaseError::Hostname)?;
    Ok(format!("{}_{}", host.to_string_lossy(), uuid::Uuid::new_v4()))
}

/// Whether this process may act. Obtained from [`LeaderElector::leadership`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another process leads, or none does.
    Standby,
    /// This process leads up to a moment that each renewal moves on.
    Leading {
        /// The first moment at which it may no longer act.
        valid_until: Instant,
    },
    /// Leader election is switched off: this process acts as long as it lives.
    Unopposed,
    /// This process led, or was told to stop, and will not lead again.
    Ended,
}

impl Leadership {
    /// Whether this process may write now. Cheap; to be asked right before each write, on a value
    /// just taken from the channel. A write that is refused is to be treated as one that failed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Leading { valid_until } => Instant::now() < *valid_until,
            Self::Unopposed => true,
            Self::Standby | Self::Ended => false,
        }
    }

    /// Until when a write that begins now may take, which is `limit` at most: one that is still
    /// under way must not land after a successor has begun. `None` when this process may not write.
    #[must_use]
    pub fn deadline(&self, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now() + limit;
        match self {
            Self::Leading { valid_until } => self.is_valid().then(|| deadline.min(*valid_until)),
            Self::Unopposed => Some(deadline),
            Self::Standby | Self::Ended => None,
        }
    }
}

/// Why leadership was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// No renewal succeeded for the renew deadline.
    #[error("not renewed within {0:?}")]
    NotRenewed(Duration),
    /// The record names another holder (empty: none).
    #[error("held by {0:?} now")]
    Replaced(String),
}

/// What can go wrong in an election.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The settings cannot work.
    #[error(
        "leader election settings must have an identity and lease duration > renew deadline > retry period > 0: {0:?}"
    )]
    InvalidSettings(Settings),
    /// The system did not tell its host name.
    #[error("cannot read the host name")]
    Hostname(#[source] io::Error),
    /// No client could be made of the configuration.
    #[error("cannot make a client for leases in namespace {namespace}")]
    Client {
        /// The namespace of the lease.
        namespace: String,
        /// Why.
        #[source]
        source: client::Error,
    },
    /// This process led and does not any more: it must end.
    #[error("lost the leadership of lease {lease}: {loss}")]
    Lost {
        /// The name of the lease.
        lease: String,
        /// Why.
        loss: Loss,
    },
    /// The lease could not be released on stop: the next leader has to wait for the lease duration.
    #[error("cannot release lease {lease}")]
    Release {
        /// The name of the lease.
        lease: String,
        /// The request that failed.
        #[source]
        source: RequestError,
    },
}

/// A request for the lease that failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server, or the way to it, answered with an error.
    #[error("cannot {verb} the lease")]
    Failed {
        /// `get`, `create` or `replace`.
        verb: &'static str,
        /// What the client library says.
        #[source]
        source: kube::Error,
    },
    /// There was no answer in time. What was asked for may have been done, or may be done later.
    #[error("cannot {verb} the lease: no answer within {timeout:?}")]
    TimedOut {
        /// `get`, `create` or `replace`.
        verb: &'static str,
        /// How long was waited.
        timeout: Duration,
    },
}

impl RequestError {
    /// Whether the server refused because the lease is not the one that the request was based on.
    fn is_conflict(&self) -> bool {
        let Self::Failed { verb, source: kube::Error::Api(status) } = self else { return false };
        status.code == 409 || (status.code == 404 && *verb == "replace")
    }
}

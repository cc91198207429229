//! What has to change, decided from what is stored, who is trusted, and for how long.

use std::time::Duration;

use jiff::Timestamp;
use lws_certs::bundle::Bundle;
use lws_certs::issue::{Authority, IssueError};
use lws_certs::verify::{self, VerifyError};
use lws_certs::{CERTIFICATE_FILE, Pair};
use rustls_pki_types::ServerName;
use tokio::time::Instant;

use super::seen::Seen;
use super::stored::Stored;
use super::{Schedule, Settings};

/// The longest time until everything is looked at again: the computer may have slept, or its clock
/// been set.
const CHECK: Duration = Duration::from_hours(12);

/// The time, as both clocks tell it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// For what certificates say.
    pub(super) wall: Timestamp,
    /// For how long something has lasted.
    pub(super) steady: Instant,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { wall: Timestamp::now(), steady: Instant::now() }
    }
}

/// A change of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A new authority, and a serving certificate signed by it: nobody is trusted, so there is
    /// nothing to wait for.
    Begin,
    /// A new authority beside the one in use.
    PrepareAuthority,
    /// The prepared authority signs a serving certificate and takes the place of the one in use.
    PromoteAuthority,
    /// The authority in use signs a new serving certificate.
    RenewServing,
    /// A prepared authority is not needed after all.
    DropPrepared,
}

/// What has to change.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// How the Secret has to change, and why.
    pub(super) change: Option<(Change, String)>,
    /// When to look again if nothing happens until then.
    pub(super) look_again: Duration,
    /// Whom every entry has to trust.
    required: Bundle,
    /// Whether nobody else may be trusted.
    exclusive: bool,
}

impl Plan {
    /// Whom an entry should trust that trusts `present`.
    pub(super) fn bundle(&self, present: &Bundle, now: Timestamp) -> Bundle {
        if self.required.is_empty() {
            present.clone()
        } else if self.exclusive {
            self.required.clone()
        } else {
            self.required.clone().with(&present.valid_at(now))
        }
    }
}

/// How good something is.
enum State {
    Good,
    /// It is accepted, but will not be for much longer.
    Aging,
    Bad(VerifyError),
}

impl State {
    fn of(now: Timestamp, schedule: &Schedule, check: impl Fn(Timestamp) -> Verdict) -> Self {
        let later = now.checked_add(schedule.renew_before).unwrap_or(Timestamp::MAX);
        match (check(now), check(later)) {
            (Err(error), _) => Self::Bad(error),
            (Ok(()), Err(_)) => Self::Aging,
            (Ok(()), Ok(())) => Self::Good,
        }
    }

    fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }

    fn is_bad(&self) -> bool {
        matches!(self, Self::Bad(_))
    }

    /// Why it has to be replaced.
    fn reason(&self, what: &str) -> String {
        match self {
            Self::Good => format!("{what}: in order"),
            Self::Aging => format!("{what}: due for renewal"),
            Self::Bad(error) => format!("{what}: {error}"),
        }
    }
}

type Verdict = Result<(), VerifyError>;

/// What is to be decided on.
struct Case<'a> {
    stored: &'a Stored,
    entries: &'a [Bundle],
    seen: &'a Seen,
    settings: &'a Settings,
    now: Moment,
}

/// Decides. `entries` are the bundles of all entries that lead to our Service; `seen` has taken
/// note of all this.
pub(super) fn plan(
    stored: &Stored,
    entries: &[Bundle],
    seen: &Seen,
    settings: &Settings,
    now: Moment,
) -> Plan {
    let case = Case { stored, entries, seen, settings, now };
    let authority = case.authority(&stored.authority);
    let next = case.authority(&stored.next);
    let serving = State::of(now.wall, &settings.schedule, |at| {
        serving(&stored.serving, &stored.authority, &settings.server_name, at)
    });
    let mut required = Bundle::default();
    if !authority.is_bad() || !serving.is_bad() {
        required = required.with(&case.trust_in(&stored.authority));
    }
    if !authority.is_good() && next.is_good() {
        required = required.with(&case.trust_in(&stored.next));
    }
    let settled =
        authority.is_good() && serving.is_good() && stored.next.certificate_pem.is_empty();
    let until_exclusive = settings.schedule.retirement.saturating_sub(seen.stored_for(now.steady));
    let exclusive = settled && until_exclusive.is_zero();
    let retiring = settled && !exclusive && entries.iter().any(|it| !required.contains(it));
    let until_retired = if retiring { until_exclusive } else { CHECK };
    let (change, wait) = case.change(&authority, &next, &serving);
    let look_again = wait.min(until_retired).min(case.until_renewal());
    Plan { change, look_again, required, exclusive }
}

impl Case<'_> {
    /// The change of the Secret; if it must wait, how long.
    fn change(
        &self,
        authority: &State,
        next: &State,
        serving: &State,
    ) -> (Option<(Change, String)>, Duration) {
        let stored = self.stored;
        let (change, signer, reason) = if authority.is_good() {
            let reason = serving.reason(CERTIFICATE_FILE);
            match serving {
                State::Good if stored.next == Pair::default() => return (None, CHECK),
                State::Good => (Change::DropPrepared, None, authority.reason("authority")),
                _ => (Change::RenewServing, Some(&stored.authority), reason),
            }
        } else {
            let reason = authority.reason("authority");
            if next.is_good() {
                (Change::PromoteAuthority, Some(&stored.next), reason)
            } else if self.somebody_but(&Bundle::default()) {
                (Change::PrepareAuthority, None, reason)
            } else {
                (Change::Begin, None, reason)
            }
        };
        match signer.map_or(Duration::ZERO, |signer| self.until_trusted(signer)) {
            Duration::ZERO => (Some((change, reason)), CHECK),
            wait => (None, wait),
        }
    }

    fn authority(&self, pair: &Pair) -> State {
        State::of(self.now.wall, &self.settings.schedule, |at| verify::authority(pair, at))
    }

    fn trust_in(&self, pair: &Pair) -> Bundle {
        Bundle::from_pem(&pair.certificate_pem).valid_at(self.now.wall)
    }

    /// How long to wait until what `signer` signs is accepted by every API server.
    fn until_trusted(&self, signer: &Pair) -> Duration {
        let signer = Bundle::from_pem(&signer.certificate_pem);
        if !self.somebody_but(&signer) {
            return Duration::ZERO;
        }
        let trusted_for = self.seen.trusted_for(&signer, self.now.steady);
        trusted_for.map_or(CHECK, |it| self.settings.schedule.propagation.saturating_sub(it))
    }

    /// Whether an entry trusts a valid authority that is not among `these`, so that requests may be
    /// served that a careless change would fail.
    fn somebody_but(&self, these: &Bundle) -> bool {
        let others = |it: &Bundle| !it.valid_at(self.now.wall).without(these).is_empty();
        self.entries.iter().any(others)
    }

    /// How long until something that is stored becomes due for renewal.
    fn until_renewal(&self) -> Duration {
        let due = |pair: &Pair| {
            let end = verify::expiry(&pair.certificate_pem).ok()?;
            let due = end.checked_sub(self.settings.schedule.renew_before).ok()?;
            Duration::try_from(due.duration_since(self.now.wall)).ok()
        };
        let first = [&self.stored.authority, &self.stored.serving].into_iter().filter_map(due);
        // Certificates tell whole seconds: right at the end they are still valid.
        first.min().map_or(CHECK, |it| (it + Duration::from_secs(1)).min(CHECK))
    }
}

fn serving(pair: &Pair, authority: &Pair, name: &ServerName<'_>, at: Timestamp) -> Verdict {
    verify::serving(pair, &authority.certificate_pem, std::slice::from_ref(name), at)
}

/// The content of the Secret after `change`.
pub(super) fn carry_out(
    change: Change,
    stored: Stored,
    settings: &Settings,
    now: Timestamp,
) -> Result<Stored, IssueError> {
    let generate = || Authority::generate(now, settings.schedule.authority_lifetime);
    let signed_by = |authority: Authority| {
        let names = std::slice::from_ref(&settings.server_name);
        let serving = authority.issue(names, now, settings.schedule.serving_lifetime)?;
        Ok(Stored { authority: authority.pair().clone(), next: Pair::default(), serving })
    };
    match change {
        Change::Begin => signed_by(generate()?),
        Change::PrepareAuthority => Ok(Stored { next: generate()?.pair().clone(), ..stored }),
        Change::PromoteAuthority => signed_by(Authority::from_pair(stored.next)?),
        Change::RenewServing => signed_by(Authority::from_pair(stored.authority)?),
        Change::DropPrepared => Ok(Stored { next: Pair::default(), ..stored }),
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

//! The loop of one candidate: reads and writes the lease, asks [`Candidate`] what that means, and
//! publishes it.

use std::{error::Error, pin::pin};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::ObjectMeta;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use super::{
    Leadership, LeaseError, LeaseStore, Loss, RequestError, Settings,
    candidate::{Candidate, Decision},
};

/// How a candidate decides: to lead, or to leave.
type Decide = fn(&Candidate, Instant, Timestamp) -> Decision;

/// One candidate of an election.
#[derive(Debug)]
pub struct LeaderElector<S> {
    store: S,
    candidate: Candidate,
    /// The lease as this process wrote it, if its last request did: the next write needs no read.
    held: Option<Lease>,
    /// Whether a write of this process may have been done, or be done later, although it was not
    /// confirmed.
    in_doubt: bool,
    leadership: watch::Sender<Leadership>,
}

/// How a step of the loop ended when nothing was wrong with the requests.
enum Step {
    /// Go on; look again at this moment at the latest.
    Next(Instant),
    Lost(Loss),
}

impl<S: LeaseStore> LeaderElector<S> {
    /// A candidate that does nothing before [`run`](Self::run). Fails when the settings cannot
    /// work.
    pub fn new(store: S, settings: Settings) -> Result<Self, LeaseError> {
        settings.validate()?;
        let candidate = Candidate::new(settings);
        let (leadership, _) = watch::channel(Leadership::Standby);
        Ok(Self { store, candidate, held: None, in_doubt: false, leadership })
    }

    /// Whether this process may act, for everyone who does: `wait_for(Leadership::is_valid)` to
    /// begin, `borrow().is_valid()` before each write.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// Takes part until `stop` completes; then releases the lease, if it is this process's, so that
    /// a successor need not wait for its expiry. Whoever acts must have finished before `stop`
    /// completes. A request that is under way then is waited for, which takes at most the renew
    /// deadline.
    ///
    /// Fails as soon as the leadership is lost (the process must end), or when the release fails
    /// (it may end as usual). Failing requests alone are logged and repeated.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), LeaseError> {
        let outcome = self.campaign(stop).await;
        self.leadership.send_replace(Leadership::Ended);
        match outcome {
            Err(loss) => Err(LeaseError::Lost { lease: self.lease_name(), loss }),
            Ok(()) => self.release().await,
        }
    }

    /// Claims and renews until `stop` completes or the leadership is lost.
    async fn campaign(&mut self, stop: impl Future<Output = ()>) -> Result<(), Loss> {
        let mut stop = pin!(stop);
        loop {
            let mut next = Instant::now() + self.candidate.settings().retry_period;
            match self.step_while_valid().await {
                Ok(Step::Next(at)) => next = next.min(at),
                Ok(Step::Lost(loss)) => return Err(loss),
                Err(error) if error.is_conflict() => {
                    debug!("leader election: another candidate was faster");
                }
                Err(error) => {
                    warn!(error = &error as &dyn Error, "leader election: will try again");
                }
            }
            self.publish();
            if let Some(valid_until) = self.candidate.valid_until() {
                next = next.min(valid_until);
            }
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = sleep_until(next) => {}
            }
        }
    }

    /// One step, given up when this process's validity ends.
    async fn step_while_valid(&mut self) -> Result<Step, RequestError> {
        let Some(valid_until) = self.candidate.valid_until() else {
            return self.step(Candidate::decide).await;
        };
        let loss = Loss::NotRenewed(self.candidate.settings().renew_deadline);
        timeout_at(valid_until, self.step(Candidate::decide)).await.unwrap_or(Ok(Step::Lost(loss)))
    }

    /// Empties the record if it is, or may be, this process's.
    async fn release(&mut self) -> Result<(), LeaseError> {
        if !self.candidate.is_holder() && !self.in_doubt {
            return Ok(());
        }
        match self.step(Candidate::resign).await {
            Ok(_) => {
                info!(lease = self.lease_name(), "leader election: released");
                Ok(())
            }
            Err(source) => Err(LeaseError::Release { lease: self.lease_name(), source }),
        }
    }

    /// Decides on the lease as this process wrote it; if it was not the last to write, on the lease
    /// as it is.
    async fn step(&mut self, decide: Decide) -> Result<Step, RequestError> {
        if let Some(held) = self.held.take() {
            match self.pursue(decide, Some(held)).await {
                Err(error) if error.is_conflict() => {}
                done => return done,
            }
        }
        let lease =
            self.request("get", self.store.get(&self.candidate.settings().lease_name)).await?;
        if let Some(lease) = &lease {
            let record = lease.spec.clone().unwrap_or_default();
            self.candidate.observe(&record, Instant::now());
        }
        self.pursue(decide, lease).await
    }

    /// Decides, and writes if that is the decision. `lease` is the stored lease as the candidate
    /// knows it.
    async fn pursue(&mut self, decide: Decide, lease: Option<Lease>) -> Result<Step, RequestError> {
        let now = Instant::now();
        let record = match decide(&self.candidate, now, Timestamp::now()) {
            Decision::Wait(until) => return Ok(Step::Next(until)),
            Decision::Lost(loss) => return Ok(Step::Lost(loss)),
            Decision::Write(record) => record,
        };
        let written = self.write(lease, record).await?;
        let record = written.spec.clone().unwrap_or_default();
        self.candidate.written(&record, now, Instant::now());
        self.held = Some(written);
        Ok(Step::Next(now + self.candidate.settings().retry_period))
    }

    async fn write(
        &mut self,
        lease: Option<Lease>,
        record: LeaseSpec,
    ) -> Result<Lease, RequestError> {
        let name = &self.candidate.settings().lease_name;
        let result = if let Some(lease) = lease {
            let lease = Lease { spec: Some(record), ..lease };
            self.request("replace", self.store.replace(name, &lease)).await
        } else {
            let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(record) };
            self.request("create", self.store.create(&lease)).await
        };
        self.in_doubt = result.as_ref().is_err_and(|error| !error.is_conflict());
        result
    }

    async fn request<T>(
        &self,
        verb: &'static str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, RequestError> {
        let limit = self.candidate.settings().request_timeout();
        match timeout(limit, request).await {
            Ok(answer) => answer.map_err(|source| RequestError::Failed { verb, source }),
            Err(_) => Err(RequestError::TimedOut { verb, timeout: limit }),
        }
    }

    /// Tells everyone who acts what the candidate knows.
    fn publish(&self) {
        let new = self.candidate.leadership();
        let old = self.leadership.send_replace(new);
        if old == Leadership::Standby && new != old {
            info!(lease = self.lease_name(), "leader election: this process leads");
        }
    }

    fn lease_name(&self) -> String {
        self.candidate.settings().lease_name.clone()
    }
}

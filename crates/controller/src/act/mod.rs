//! Requests to the API server: carries out the tasks of a plan and takes the answers into the
//! index.

mod adoption;
mod error;
mod group;
mod limiter;
pub mod nodes;
pub mod reasons;
mod recorder;
mod request;
mod revision;

pub(crate) use error::server_message;
pub use error::{Error, Meaning};
pub use limiter::Limiter;
pub use recorder::Recorder;
pub use request::{Requests, Unanswered};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use lws_api_types::LeaderWorkerSet;
use serde_json::Value;

use crate::metrics::Metrics;
use crate::observe::index::{Index, Indexed, SetKey};
use crate::observe::views::{RevisionView, ServiceView, StatefulSetView};
use crate::plan::task::{
    self, Action, EventDraft, Failure, ObjectRef, Orphaned, Related, StatusChange, Target, Task,
};
use request::{Deleted, Written};

/// Requests of one set that are in flight at once.
const REQUESTS_IN_FLIGHT: usize = 32;

/// A request that failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// What the set's status says of it, if the error means anything.
    pub failure: Option<Failure>,
}

impl Failed {
    /// What the set's status has to say of it. A fault of the server is told only if it `lasts`.
    #[must_use]
    pub fn told(&self, lasts: bool) -> Option<&Failure> {
        let is_told = match self.error.meaning() {
            Meaning::Nothing => false,
            Meaning::Faulty => lasts,
            Meaning::Refused => true,
        };
        self.failure.as_ref().filter(|_| is_told)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, failure: None }
    }
}

/// A request that failed, before it is told.
struct Unsaid {
    error: Error,
    event: Option<EventDraft>,
}

/// What became of a request that did not fail.
enum Answer {
    /// It was carried out; the object that was made, where an event may refer to it.
    Done(Option<ObjectRef>),
    /// There was nothing to do any more.
    Idle,
}

/// Carries out plans.
#[derive(Debug)]
pub struct Actor {
    requests: Requests,
    recorder: Recorder,
    index: Arc<Index>,
    metrics: Metrics,
    /// Whether it has been logged that events cannot be read.
    is_blind: AtomicBool,
}

impl Actor {
    /// An actor that writes through `requests`, tells events through `recorder`, keeps `index`
    /// current and counts in `metrics`.
    #[must_use]
    pub fn new(
        requests: Requests,
        recorder: Recorder,
        index: Arc<Index>,
        metrics: Metrics,
    ) -> Self {
        Self { requests, recorder, index, metrics, is_blind: AtomicBool::new(false) }
    }

    /// Reads a set anew.
    ///
    /// # Errors
    /// When the request fails, and when there is no set of that name any more.
    pub async fn read_set(&self, set: &LeaderWorkerSet) -> Result<(), Failed> {
        self.index.set_confirmed(self.requests.set(set).await?);
        Ok(())
    }

    /// Reads pods anew; gives the failures.
    pub async fn read_pods(&self, key: &SetKey, pods: BTreeSet<Target>) -> Vec<Failed> {
        let outcomes = futures::stream::iter(pods)
            .map(|Target { name, uid }| async move {
                let pod = self.requests.pod(&key.namespace, &name).await?;
                self.index.confirmed(key, &name, &uid, pod);
                Ok(())
            })
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        let failed = |outcome: Result<(), Error>| async { outcome.err().map(Failed::from) };
        outcomes.filter_map(failed).collect().await
    }

    /// Why a `StatefulSet` of `set` lacks pods; `None` when nobody tells. Without the permission to
    /// read events that is so for all, which is logged once.
    ///
    /// # Errors
    /// When the request fails for another reason.
    pub async fn reason_of_shortage(
        &self,
        set: &LeaderWorkerSet,
        target: &Target,
    ) -> Result<Option<String>, Failed> {
        match self.requests.reason_of_shortage(set.namespace(), target).await {
            Err(error) if error.is_forbidden() => {
                if !self.is_blind.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        "not permitted: grant list on events to learn why pods cannot be created"
                    );
                }
                Ok(None)
            }
            answer => answer.map_err(Failed::from),
        }
    }

    /// Carries out `tasks`, several at once; gives the failures in the order of the tasks. A failed
    /// task hinders no other.
    pub async fn perform(&self, set: &LeaderWorkerSet, tasks: Vec<Task>) -> Vec<Failed> {
        let outcomes = futures::stream::iter(tasks.into_iter().enumerate())
            .map(|(position, task)| async move { (position, self.perform_one(set, task).await) })
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        let failed = |(position, outcome): (usize, Result<(), Unsaid>)| async move {
            Some((position, outcome.err()?))
        };
        let mut failed: Vec<_> = outcomes.filter_map(failed).collect().await;
        failed.sort_unstable_by_key(|(position, _)| *position);
        self.warn(set, failed.into_iter().map(|(_, unsaid)| unsaid))
    }

    /// Tells events of a set at `revision` that belong to no request. One that was told lately is
    /// not told again.
    pub fn tell(&self, set: &LeaderWorkerSet, revision: &str, events: Vec<EventDraft>) {
        let key = SetKey::new(set.namespace(), set.name());
        for event in events {
            tracing::debug!(set = %key, revision, reason = event.text(), "found {}", event.reason);
            self.recorder.tell_once(set, event);
        }
    }

    /// Writes the status of a set at `revision`.
    ///
    /// # Errors
    /// When the request fails; a conflict means that the set has changed meanwhile.
    pub async fn write_status(
        &self,
        set: &LeaderWorkerSet,
        revision: &str,
        change: StatusChange,
    ) -> Result<(), Error> {
        let (key, reason) = (SetKey::new(set.namespace(), set.name()), change.why());
        if change.may_wait {
            tracing::debug!(set = %key, revision, reason, "write status");
        } else {
            tracing::info!(set = %key, revision, reason, "write status");
        }
        let written = self.requests.update_status(set, &change.status).await?;
        self.metrics.status_written(set, &change.status);
        self.index.written(written);
        if let Some(event) = change.event {
            self.recorder.tell(set, event);
        }
        Ok(())
    }

    async fn perform_one(&self, set: &LeaderWorkerSet, task: Task) -> Result<(), Unsaid> {
        let answer = match self.request(set, &task.action).await {
            Ok(Answer::Idle) => return Ok(()),
            Ok(Answer::Done(reference)) => reference,
            Err(error) => return Err(Unsaid { error, event: task.failed }),
        };
        if let Some(cause) = task.cause {
            self.metrics.recreated(cause);
        }
        for mut event in task.done {
            if event.related == Related::Answer {
                event.related = answer.clone().map_or(Related::None, Related::Object);
            }
            self.recorder.tell(set, event);
        }
        Ok(())
    }

    /// Tells that requests failed: once for all that failed alike.
    fn warn(&self, set: &LeaderWorkerSet, failed: impl IntoIterator<Item = Unsaid>) -> Vec<Failed> {
        let mut all = Vec::new();
        let mut warnings: Vec<(usize, EventDraft)> = Vec::new();
        for Unsaid { error, event } in failed {
            // A leader that leaves says nothing of what it has not begun: its successor does it.
            let event = event.filter(|_| !error.is_no_news());
            let event = event.map(|event| event.because(&error.reason()));
            let position = all.len();
            all.push(Failed::from(error));
            let earlier = warnings.iter_mut().map(|(_, it)| it);
            let event = event.and_then(|event| task::unspoken(earlier, event));
            warnings.extend(event.map(|event| (position, event)));
        }
        for (position, warning) in warnings {
            if let Some(failed) = all.get_mut(position) {
                failed.failure = warning.failure();
            }
            self.recorder.tell(set, warning);
        }
        all
    }

    /// Makes one request.
    async fn request(&self, set: &LeaderWorkerSet, action: &Action) -> Result<Answer, Error> {
        let (requests, index, namespace) = (&self.requests, &self.index, set.namespace());
        match action {
            Action::CreateRevision(object) => {
                let revision = self.create_revision(set, object).await?;
                let reference = ObjectRef {
                    api_version: "apps/v1",
                    kind: "ControllerRevision",
                    name: revision.identity.name().to_owned(),
                    uid: revision.identity.uid().to_owned(),
                };
                index.written(revision);
                return Ok(Answer::Done(Some(reference)));
            }
            Action::RaiseRevision { target, number } => {
                index.written(requests.raise_revision(namespace, target, *number).await?);
            }
            Action::DeleteRevision(target) => {
                let deleted = requests.delete_revision(namespace, target).await?;
                return Ok(self.removed(namespace, target, deleted));
            }
            Action::ApplyLeaderSet { object, existing } => {
                let applied =
                    requests.apply_leader_set(namespace, object, existing.as_deref()).await?;
                index.applied(object, applied);
            }
            Action::CreateWorkerSet(object) => {
                index.written(requests.create_worker_set(namespace, object).await?);
            }
            Action::Adopt { kind, target, owners } => {
                match kind {
                    Orphaned::LeaderSet => self.adopt::<StatefulSetView>(set, target, owners).await,
                    Orphaned::Service => self.adopt::<ServiceView>(set, target, owners).await,
                    Orphaned::Revision => self.adopt::<RevisionView>(set, target, owners).await,
                }?;
            }
            Action::CreateService(object) => {
                index.written(requests.create_service(namespace, object).await?);
            }
            Action::CreatePodGroup(object) => {
                index.written(requests.create_pod_group(namespace, object).await?);
            }
            Action::DeleteLeader(target) => {
                let deleted = requests.delete_leader(namespace, target).await?;
                return Ok(self.removed(namespace, target, deleted));
            }
            Action::DeleteWorkerSet { target, stays } => {
                let deleted = requests.delete_worker_set(namespace, target, *stays).await?;
                return Ok(self.removed(namespace, target, deleted));
            }
            Action::ReleasePod(target) => {
                let released = requests.release_pod(namespace, target).await?;
                return Ok(self.removed(namespace, target, released));
            }
            Action::Annotate { stateful_set, key, value } => {
                match requests.annotate(namespace, stateful_set, key, value.as_deref()).await? {
                    Some(annotated) => drop(index.written(annotated)),
                    None => index.forget::<StatefulSetView>(
                        namespace,
                        &stateful_set.name,
                        &stateful_set.uid,
                    ),
                }
            }
        }
        Ok(Answer::Done(None))
    }

    async fn adopt<V: Indexed + Written>(
        &self,
        set: &LeaderWorkerSet,
        target: &Target,
        owners: &Value,
    ) -> Result<(), Error> {
        self.index.written(self.requests.adopt::<V>(set, target, owners).await?);
        Ok(())
    }

    fn removed<V: Indexed>(&self, namespace: &str, target: &Target, answer: Deleted<V>) -> Answer {
        let forget = || self.index.forget::<V>(namespace, &target.name, &target.uid);
        match answer {
            Deleted::Terminating(object) => {
                self.index.written(*object);
            }
            Deleted::Gone => forget(),
            Deleted::Missing => {
                forget();
                return Answer::Idle;
            }
        }
        Answer::Done(None)
    }
}

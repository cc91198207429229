//! Requests to the API server: carries out the tasks of a plan and takes the answers into the
//! index.

mod adoption;
mod error;
mod group;
mod limiter;
mod nodes;
mod recorder;
mod request;

pub use error::Error;
pub(crate) use error::server_message;
pub use limiter::Limiter;
pub use recorder::Recorder;
pub use request::{Requests, Unanswered};

use std::sync::Arc;

use futures::StreamExt as _;
use lws_api_types::LeaderWorkerSet;
use serde_json::Value;

use crate::metrics::Metrics;
use crate::observe::index::{Index, Indexed, SetKey};
use crate::observe::views::{RevisionView, ServiceView, StatefulSetView};
use crate::plan::task::{
    Action, EventDraft, Failure, ObjectRef, Orphaned, Related, StatusChange, Target, Task,
};
use request::{Deleted, Written};

/// Requests of one set that are in flight at once.
const REQUESTS_IN_FLIGHT: usize = 32;

/// A request that failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// What the set's status has to say of it, if anything.
    pub failure: Option<Failure>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, failure: None }
    }
}

/// Carries out plans.
#[derive(Debug)]
pub struct Actor {
    requests: Requests,
    recorder: Recorder,
    index: Arc<Index>,
    metrics: Metrics,
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
        Self { requests, recorder, index, metrics }
    }

    /// Reads pods anew; gives the failures.
    pub async fn read_pods(&self, key: &SetKey, pods: Vec<Target>) -> Vec<Failed> {
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

    /// Carries out `tasks`, several at once; gives the failures in the order of the tasks. A failed
    /// task hinders no other.
    pub async fn perform(&self, set: &LeaderWorkerSet, tasks: Vec<Task>) -> Vec<Failed> {
        let outcomes = futures::stream::iter(tasks.into_iter().enumerate())
            .map(|(position, task)| async move { (position, self.perform_one(set, task).await) })
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        let failed = |(position, outcome): (usize, Result<(), Failed>)| async move {
            Some((position, outcome.err()?))
        };
        let mut failed: Vec<_> = outcomes.filter_map(failed).collect().await;
        failed.sort_unstable_by_key(|(position, _)| *position);
        failed.into_iter().map(|(_, failed)| failed).collect()
    }

    /// Tells events that belong to no request. One that was told lately is not told again.
    pub fn tell(&self, set: &LeaderWorkerSet, events: Vec<EventDraft>) {
        for event in events {
            self.recorder.tell_once(set, event);
        }
    }

    /// Writes the status.
    ///
    /// # Errors
    /// When the request fails; a conflict means that the set has changed meanwhile.
    pub async fn write_status(
        &self,
        set: &LeaderWorkerSet,
        change: StatusChange,
    ) -> Result<(), Error> {
        let written = self.requests.update_status(set, &change.status).await?;
        self.index.written(written);
        if let Some(event) = change.event {
            self.recorder.tell(set, event);
        }
        Ok(())
    }

    async fn perform_one(&self, set: &LeaderWorkerSet, task: Task) -> Result<(), Failed> {
        match self.request(set, &task.action).await {
            Ok(answer) => {
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
            Err(error) => Err(self.warn(set, error, task.failed)),
        }
    }

    /// Tells that a request failed.
    fn warn(&self, set: &LeaderWorkerSet, error: Error, event: Option<EventDraft>) -> Failed {
        // A leader that leaves says nothing of what it has not begun: its successor does it.
        let event = event.filter(|_| !error.is_unmade());
        let event = event.map(|event| event.because(&error.reason()));
        let failure = event.as_ref().and_then(EventDraft::failure).filter(|_| error.is_refusal());
        if let Some(event) = event {
            self.recorder.tell(set, event);
        }
        Failed { error, failure }
    }

    /// Makes one request; gives the object that was made, where an event may refer to it.
    async fn request(
        &self,
        set: &LeaderWorkerSet,
        action: &Action,
    ) -> Result<Option<ObjectRef>, Error> {
        let (requests, index, namespace) = (&self.requests, &self.index, set.namespace());
        match action {
            Action::CreateRevision(object) => {
                let revision = requests.create_revision(namespace, object).await?;
                let reference = ObjectRef {
                    api_version: "apps/v1",
                    kind: "ControllerRevision",
                    name: revision.identity.name().to_owned(),
                    uid: revision.identity.uid().to_owned(),
                };
                index.written(revision);
                return Ok(Some(reference));
            }
            Action::RaiseRevision { target, number } => {
                index.written(requests.raise_revision(namespace, target, *number).await?);
            }
            Action::DeleteRevision(target) => {
                self.removed(namespace, target, requests.delete_revision(namespace, target).await?);
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
                self.removed(namespace, target, requests.delete_leader(namespace, target).await?);
            }
            Action::DeleteWorkerSet(target) => {
                let deleted = requests.delete_worker_set(namespace, target).await?;
                self.removed(namespace, target, deleted);
            }
            Action::ReleasePod(target) => {
                self.removed(namespace, target, requests.release_pod(namespace, target).await?);
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
        Ok(None)
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

    fn removed<V: Indexed>(&self, namespace: &str, target: &Target, answer: Deleted<V>) {
        match answer {
            Deleted::Terminating(object) => {
                self.index.written(*object);
            }
            Deleted::Gone => self.index.forget::<V>(namespace, &target.name, &target.uid),
        }
    }
}

//! Requests to the API server: carries out the tasks of a plan and takes the answers into the
//! index.

mod adoption;
mod limiter;
mod recorder;
mod request;

pub use limiter::Limiter;
pub use recorder::Recorder;
pub use request::{Error, Requests};

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use lws_api_types::LeaderWorkerSet;
use serde_json::Value;

use crate::observe::index::{Index, Indexed, SetKey};
use crate::observe::views::{RevisionView, ServiceView, StatefulSetView};
use crate::plan::task::{
    Action, EventDraft, ObjectRef, Orphaned, Related, StatusChange, Target, Task,
};
use request::{Deleted, Written};

/// Requests of one set that are in flight at once.
const REQUESTS_IN_FLIGHT: usize = 32;

/// Carries out plans.
#[derive(Debug)]
pub struct Actor {
    requests: Requests,
    recorder: Recorder,
    index: Arc<Index>,
}

impl Actor {
    /// An actor that writes through `requests`, tells events through `recorder` and keeps `index`
    /// current.
    #[must_use]
    pub fn new(requests: Requests, recorder: Recorder, index: Arc<Index>) -> Self {
        Self { requests, recorder, index }
    }

    /// Reads leader pods anew; gives the failures.
    pub async fn read_leaders(&self, key: &SetKey, leaders: Vec<Target>) -> Vec<Error> {
        let outcomes = futures::stream::iter(leaders)
            .map(|Target { name, uid }| async move {
                let leader = self.requests.leader(&key.namespace, &name).await?;
                self.index.confirmed(key, &name, &uid, leader);
                Ok(())
            })
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        outcomes.filter_map(|outcome: Result<(), Error>| async { outcome.err() }).collect().await
    }

    /// Labels of the node that a leader of `set` runs on; empty when there is no such node.
    ///
    /// # Errors
    /// When the request fails; that is told as well.
    pub async fn node_labels(
        &self,
        set: &LeaderWorkerSet,
        name: &str,
    ) -> Result<BTreeMap<String, String>, Error> {
        self.requests.node_labels(name).await.inspect_err(|error| {
            let note = format!("getting node {name:?}: {}", error.reason());
            self.recorder.tell(set, EventDraft::warning("FailedCreate", "Create", note));
        })
    }

    /// Carries out `tasks`, several at once; gives the failures. A failed task hinders no other.
    pub async fn perform(&self, set: &LeaderWorkerSet, tasks: Vec<Task>) -> Vec<Error> {
        let outcomes = futures::stream::iter(tasks)
            .map(|task| self.perform_one(set, task))
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        outcomes.filter_map(|outcome| async { outcome.err() }).collect().await
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

    async fn perform_one(&self, set: &LeaderWorkerSet, task: Task) -> Result<(), Error> {
        match self.request(set, &task.action).await {
            Ok(answer) => {
                for mut event in task.done {
                    if event.related == Related::Answer {
                        event.related = answer.clone().map_or(Related::None, Related::Object);
                    }
                    self.recorder.tell(set, event);
                }
                Ok(())
            }
            Err(error) => {
                if let Some(mut event) = task.failed {
                    event.note = format!("{}: {}", event.note, error.reason());
                    self.recorder.tell(set, event);
                }
                Err(error)
            }
        }
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
            Action::DeleteLeader(target) => {
                self.removed(namespace, target, requests.delete_leader(namespace, target).await?);
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

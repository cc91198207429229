//! The requests this controller makes, each with a time limit of its own.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{NamespaceResourceScope, Request};
use kube::{Client, Resource};
use lws_api_types::keys::FIELD_MANAGER;
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetStatus, keys};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Limiter;
use super::error::{Cause, Error};
use crate::lease::Leadership;
use crate::observe::views::{
    PodGroupView, PodView, RevisionView, ServiceView, SetView, StatefulSetView, View,
};
use crate::plan::ownership;
use crate::plan::task::Target;

/// The longest a request may take. The API server cuts requests off at 60 s; one that takes this
/// long is better repeated than waited for.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// What became of a deleted object.
#[derive(Debug)]
pub(super) enum Deleted<V> {
    /// It is on its way out.
    Terminating(Box<V>),
    /// It is gone.
    Gone,
    /// There was no such object any more.
    Missing,
}

/// Makes requests for as long as this process leads.
#[derive(Clone)]
pub struct Requests {
    pub(super) client: Client,
    leadership: watch::Receiver<Leadership>,
    limiter: Arc<Limiter>,
    stop: CancellationToken,
    unanswered: Unanswered,
}

/// When a write last ended without an answer: it may still be carried out.
#[derive(Clone, Debug, Default)]
pub struct Unanswered(Arc<Mutex<Option<Instant>>>);

impl Unanswered {
    /// Whether one ended so within the last `time`.
    #[must_use]
    pub fn within(&self, time: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < time)
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Requests")
            .field("leadership", &*self.leadership.borrow())
            .finish_non_exhaustive()
    }
}

/// A kind of object that is written.
pub(super) trait Written:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}
impl<K> Written for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
{
}

impl Requests {
    /// Requests through `client` at the rate of `limiter`. Writes are refused while `leadership` is
    /// not valid: it is asked before each, so that a process which was stopped and wakes up as a
    /// former leader writes nothing. Once `stop` is cancelled none is begun any more.
    #[must_use]
    pub fn new(
        client: Client,
        leadership: watch::Receiver<Leadership>,
        limiter: Arc<Limiter>,
        stop: CancellationToken,
    ) -> Self {
        Self { client, leadership, limiter, stop, unanswered: Unanswered::default() }
    }

    /// Tells of writes that end without an answer.
    #[must_use]
    pub fn unanswered(&self) -> Unanswered {
        self.unanswered.clone()
    }

    pub(super) async fn create_service(
        &self,
        ns: &str,
        object: &Value,
    ) -> Result<ServiceView, Error> {
        self.create_or_read(ns, object).await
    }

    pub(super) async fn create_pod_group(
        &self,
        ns: &str,
        object: &Value,
    ) -> Result<PodGroupView, Error> {
        self.create_or_read(ns, object).await
    }

    pub(super) async fn create_worker_set(
        &self,
        ns: &str,
        object: &Value,
    ) -> Result<StatefulSetView, Error> {
        self.create_or_read(ns, object).await
    }

    /// Applies the leader `StatefulSet`. One that must not exist is applied without force: where
    /// an object of that name has other managers, the server refuses and changes nothing.
    pub(super) async fn apply_leader_set(
        &self,
        ns: &str,
        object: &Value,
        existing: Option<&str>,
    ) -> Result<StatefulSetView, Error> {
        let api = Api::<StatefulSetView>::namespaced(self.client.clone(), ns);
        let name = name(object);
        let mut params = PatchParams::apply(FIELD_MANAGER);
        let mut body = object.clone();
        if let Some(uid) = existing {
            params = params.force();
            if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("uid".to_owned(), json!(uid));
            }
        }
        let outcome = self
            .send(
                "patch",
                &what::<StatefulSetView>(ns, name),
                api.patch(name, &params, &Patch::Apply(&body)),
            )
            .await;
        match outcome {
            Err(error) if existing.is_none() && error.is_conflict() => {
                self.read_ours(error, ns, object).await
            }
            other => other,
        }
    }

    pub(super) async fn raise_revision(
        &self,
        ns: &str,
        target: &Target,
        number: i64,
    ) -> Result<RevisionView, Error> {
        let api = Api::<RevisionView>::namespaced(self.client.clone(), ns);
        let body = json!({"metadata": {"uid": target.uid}, "revision": number});
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&body);
        self.send(
            "patch",
            &what::<RevisionView>(ns, &target.name),
            api.patch(&target.name, &params, &patch),
        )
        .await
    }

    pub(super) async fn delete_revision(
        &self,
        ns: &str,
        target: &Target,
    ) -> Result<Deleted<RevisionView>, Error> {
        self.delete(ns, target, DeleteParams::background()).await
    }

    /// Deletes a leader pod in the foreground: its workers go at once, and its name is free for
    /// the next leader only when they are gone.
    pub(super) async fn delete_leader(
        &self,
        ns: &str,
        target: &Target,
    ) -> Result<Deleted<PodView>, Error> {
        self.delete(ns, target, DeleteParams::foreground()).await
    }

    /// Replaces the status, provided that the set has not changed since it was read.
    pub(super) async fn update_status(
        &self,
        set: &LeaderWorkerSet,
        status: &LeaderWorkerSetStatus,
    ) -> Result<SetView, Error> {
        let (ns, name) = (set.namespace(), set.name());
        let body = json!({
            "apiVersion": keys::API_VERSION,
            "kind": keys::KIND,
            "metadata": {
                "name": name,
                "namespace": ns,
                "uid": set.metadata.uid,
                "resourceVersion": set.metadata.resource_version,
            },
            "status": status,
        });
        let request = Request::new(SetView::url_path(&(), Some(ns))).replace_subresource(
            "status",
            name,
            &PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() },
            body.to_string().into_bytes(),
        );
        let what = format!("{}/status {ns}/{name}", keys::PLURAL);
        self.send("update", &what, self.request(request)).await
    }

    /// The set of the name of `set` as it is now. Fails with [`Cause::SetGone`] when there is none.
    pub(super) async fn set(&self, set: &LeaderWorkerSet) -> Result<SetView, Error> {
        let (ns, name) = (set.namespace(), set.name());
        let api = Api::<SetView>::namespaced(self.client.clone(), ns);
        let what = what::<SetView>(ns, name);
        let found = self.send("get", &what, api.get_opt(name)).await?;
        found.ok_or(Error { verb: "get", what, cause: Cause::SetGone })
    }

    /// A pod as it is now; `None` when there is none of that name.
    pub(super) async fn pod(&self, ns: &str, name: &str) -> Result<Option<PodView>, Error> {
        let api = Api::<PodView>::namespaced(self.client.clone(), ns);
        self.send("get", &what::<PodView>(ns, name), api.get_opt(name)).await
    }

    pub(super) async fn create<K: Written>(&self, ns: &str, object: &Value) -> Result<K, Error> {
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = Request::new(K::url_path(&(), Some(ns)))
            .create(&params, object.to_string().into_bytes());
        self.send("create", &what::<K>(ns, name(object)), self.request(request)).await
    }

    /// Creates an object; one that is there already and is controlled by the owner that `object`
    /// names is the answer to an earlier request.
    async fn create_or_read<K: Written + View>(
        &self,
        ns: &str,
        object: &Value,
    ) -> Result<K, Error> {
        match self.create(ns, object).await {
            Err(error) if error.is_conflict() => self.read_ours(error, ns, object).await,
            other => other,
        }
    }

    /// Reads the object that is in the way of `object`, when it is ours after all.
    async fn read_ours<K: Written + View>(
        &self,
        refused: Error,
        ns: &str,
        object: &Value,
    ) -> Result<K, Error> {
        let api = Api::<K>::namespaced(self.client.clone(), ns);
        let name = name(object);
        let found = self.send("get", &what::<K>(ns, name), api.get_opt(name)).await?;
        ours(found, refused, object)
    }

    /// Deletes this very object.
    pub(super) async fn delete<K: Written>(
        &self,
        ns: &str,
        target: &Target,
        params: DeleteParams,
    ) -> Result<Deleted<K>, Error> {
        let api = Api::<K>::namespaced(self.client.clone(), ns);
        let uid = Some(target.uid.clone());
        let params = params.preconditions(Preconditions { uid, resource_version: None });
        match self
            .send("delete", &what::<K>(ns, &target.name), api.delete(&target.name, &params))
            .await
        {
            Ok(answer) => {
                Ok(answer.left().map_or(Deleted::Gone, |it| Deleted::Terminating(Box::new(it))))
            }
            Err(error) if error.is_gone() => Ok(Deleted::Missing),
            Err(error) => Err(error),
        }
    }

    async fn request<K: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> kube::Result<K> {
        self.client.request(request.map_err(kube::Error::BuildRequest)?).await
    }

    /// Runs one request within the leadership and the time limit.
    pub(super) async fn send<T>(
        &self,
        verb: &'static str,
        what: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        let failed = |cause| Error { verb, what: what.to_owned(), cause };
        let turn = self.stop.run_until_cancelled(self.limiter.turn()).await;
        let is_read = matches!(verb, "get" | "list");
        let deadline = if is_read {
            Some(Instant::now() + TIME_LIMIT)
        } else {
            self.leadership.borrow().deadline(TIME_LIMIT)
        };
        let Some(deadline) = deadline.filter(|_| turn.is_some()) else {
            return Err(failed(Cause::NotLeading));
        };
        let outcome = match tokio::time::timeout_at(deadline, request).await {
            Ok(answer) => answer.map_err(Cause::Server),
            Err(_) => Err(Cause::TimedOut),
        };
        if !is_read
            && matches!(&outcome, Err(cause) if !matches!(cause, Cause::Server(kube::Error::Api(_))))
        {
            self.unanswered.note();
        }
        outcome.map_err(failed)
    }
}

pub(super) fn what<K: Resource<DynamicType = ()>>(ns: &str, name: &str) -> String {
    format!("{} {ns}/{name}", K::plural(&()))
}

/// What was `found` in the way of `object`, when it is ours after all: controlled by the owner that
/// `object` names. Else why the request was `refused`.
pub(super) fn ours<K: Written + View>(
    found: Option<K>,
    refused: Error,
    object: &Value,
) -> Result<K, Error> {
    let owner = object.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str);
    let set =
        object.pointer("/metadata/labels").and_then(|it| it.get(keys::labels::NAME)?.as_str());
    match found {
        Some(found) if !owner.is_some_and(|uid| found.identity().is_controlled_by(uid)) => {
            Err(Error { cause: Cause::Foreign(ownership::in_the_way(&found)), ..refused })
        }
        Some(found) if found.set_name() != set => {
            let label = set.unwrap_or_default().to_owned();
            Err(Error { cause: Cause::Unlabelled(label), ..refused })
        }
        Some(found) => Ok(found),
        None => Err(Error { cause: Cause::MadeWay, ..refused }),
    }
}

pub(super) fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

//! The server: it stores what it is given, refuses what it is told to, and logs requests. Nothing
//! watches it; the tests show the controller what they change.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard};

use kube::Client;
use kube::client::Body;
use lws_api_types::keys::annotations;
use lws_runtime::metrics::Registry;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch as channel;

use super::super::*;
use crate::act::{Limiter, Recorder, Requests};
use crate::backoff::Backoff;
use crate::lease::Leadership;
use crate::observe::index::{Concerned, Indexed};
use crate::observe::views::{PodView, ServiceView, SetView, StatefulSetView};
use crate::observe::watch;

const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/n/statefulsets";
const PODS: &str = "/api/v1/namespaces/n/pods";
const SET: &str = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/n/leaderworkersets/s";
const SERVICE: &str = "/api/v1/namespaces/n/services/s";

#[derive(Default)]
pub(super) struct Server {
    objects: BTreeMap<String, Value>,
    version: u64,
    log: Vec<String>,
    /// What the logged requests end with that are refused, with which code.
    pub(super) refused: Option<(&'static str, u16)>,
    /// What the next logged request ends with that is answered with 503.
    pub(super) fails_once: Option<&'static str>,
    /// An annotation that is not kept, without its prefix.
    pub(super) drops: Option<&'static str>,
}

impl Server {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!("n");
        metadata["resourceVersion"] = json!(self.version.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("{:08}-uid", self.version));
            metadata["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let path = match method {
            "POST" => format!("{path}/{}", body["metadata"]["name"].as_str().unwrap()),
            _ => path.trim_end_matches("/status").to_owned(),
        };
        let line = format!("{method} {}", annotation(method, body).unwrap_or(&path));
        let is_refused = self.refused.filter(|(it, _)| line.ends_with(it));
        let fails = self.fails_once.take_if(|it| line.ends_with(*it)).map(|_| 503);
        self.log.push(line);
        if let Some(code) = fails.or(is_refused.map(|(_, code)| code)) {
            return refusal(code);
        }
        let stored = self.objects.get(&path).cloned();
        let mut object = match (method, stored) {
            ("GET", Some(object)) => return (200, object),
            ("GET", None) if path.ends_with("/events") => return (200, no_events()),
            ("GET" | "DELETE" | "PUT", None) => return refusal(404),
            (_, object) => object.unwrap_or_default(),
        };
        match method {
            "PUT" => object["status"] = body["status"].clone(),
            "DELETE" => {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
            }
            _ if annotation(method, body).is_some_and(|it| self.drops == Some(it)) => {}
            _ => merge(&mut object, body),
        }
        (200, self.put(&path, object))
    }
}

/// The annotation that a request sets and nothing else, without its prefix.
fn annotation(method: &str, body: &Value) -> Option<&'static str> {
    let is_alone = method == "PATCH" && body["spec"].is_null();
    let set = body["metadata"]["annotations"].as_object().filter(|_| is_alone)?;
    let keys = [annotations::MEMBERS, annotations::GROUP_RESTARTS];
    keys.into_iter().find(|key| set.contains_key(*key))?.rsplit('/').next()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        merge(&mut target[key], value);
    }
}

fn refusal(code: u16) -> (u16, Value) {
    let reason = if code == 403 { "Forbidden" } else { "Other" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "no, by policy", "reason": reason, "code": code,
    });
    (code, status)
}

fn no_events() -> Value {
    json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []})
}

pub(super) struct World {
    server: Arc<Mutex<Server>>,
    pub(super) reconciler: Reconciler,
    pub(super) key: SetKey,
    _tasks: JoinSet<()>,
}

impl World {
    /// A set of so many groups of two.
    pub(super) fn new(replicas: i64) -> Self {
        let server = Arc::new(Mutex::new(Server::default()));
        let client = client(&server);
        let (_, leadership) = channel::channel(Leadership::Unopposed);
        let limiter = Arc::new(Limiter::new(1000.0, 1000));
        let stop = CancellationToken::new();
        let requests = Requests::new(client.clone(), leadership.clone(), limiter.clone(), stop);
        let (recorder, told) = Recorder::new(client.clone(), limiter, leadership, "host");
        let mut tasks = JoinSet::new();
        tasks.spawn(told);
        let metrics = Metrics::register(&Registry::new(), 0).unwrap();
        let index = Arc::new(Index::default());
        let actor = Actor::new(requests, recorder, index.clone(), metrics.clone());
        let queue = Queue::new(Backoff::default());
        let nobody: watch::Notify = Arc::new(drop);
        let synced = watch::start(&client, &index, &nobody, None, &mut tasks);
        let settings = GroupRestartSettings::default();
        let reconciler = Reconciler::new(index, synced, queue, actor, settings, metrics);
        let world = Self { server, reconciler, key: SetKey::new("n", "s"), _tasks: tasks };
        let template = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        world.put::<SetView>(
            SET,
            json!({
                "apiVersion": "leaderworkerset.x-k8s.io/v1",
                "kind": "LeaderWorkerSet",
                "metadata": {"name": "s", "generation": 1},
                "spec": {
                    "replicas": replicas,
                    "leaderWorkerTemplate": {"size": 2, "workerTemplate": template},
                },
            }),
        );
        world
    }

    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    /// Works on the set for so long.
    pub(super) async fn run(&self, time: Duration) {
        let end = Instant::now() + time;
        let next = || tokio::time::timeout_at(end, self.reconciler.queue.next());
        while let Ok(Some(work)) = next().await {
            self.reconciler.reconcile(work.key()).await;
            tokio::time::sleep(self.reconciler.rest_of(work.key())).await;
        }
    }

    /// How many of the logged requests contain `what`.
    pub(super) fn requests(&self, what: &str) -> usize {
        self.server().log.iter().filter(|it| it.contains(what)).count()
    }

    /// How many groups are ready by the stored status.
    pub(super) fn ready_groups(&self) -> i64 {
        self.server().objects[SET]["status"]["readyReplicas"].as_i64().unwrap_or(0)
    }

    /// The message of condition `ReplicaFailure`, if it holds.
    pub(super) fn replica_failure(&self) -> Option<String> {
        let conditions = self.server().objects[SET]["status"]["conditions"].clone();
        let mut conditions = conditions.as_array().unwrap().iter();
        let failure =
            conditions.find(|it| it["type"] == "ReplicaFailure" && it["status"] == "True")?;
        Some(failure["message"].as_str().unwrap().to_owned())
    }

    pub(super) fn uid(&self, stateful_set: &str) -> String {
        let path = format!("{STATEFUL_SETS}/{stateful_set}");
        self.server().objects[&path]["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// A running, ready pod of a `StatefulSet`.
    pub(super) fn put_pod(&self, owner: &str, name: &str, labels: &Value) {
        let owner = self.server().objects[&format!("{STATEFUL_SETS}/{owner}")].clone();
        let mut all = owner["spec"]["template"]["metadata"]["labels"].clone();
        merge(&mut all, labels);
        let reference = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "controller": true,
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        });
        self.put::<PodView>(
            &format!("{PODS}/{name}"),
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": all, "ownerReferences": [reference]},
                "spec": {"containers": []},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }),
        );
    }

    pub(super) fn restart_container(&self, pod: &str) {
        let path = format!("{PODS}/{pod}");
        let mut object = self.server().objects[&path].clone();
        object["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": 1}]);
        self.put::<PodView>(&path, object);
    }

    /// So many pods of a `StatefulSet` are available.
    pub(super) fn set_available(&self, stateful_set: &str, available: i64) {
        let path = format!("{STATEFUL_SETS}/{stateful_set}");
        let mut object = self.server().objects[&path].clone();
        object["metadata"]["generation"] = json!(1);
        object["status"] = json!({
            "observedGeneration": 1, "replicas": available, "availableReplicas": available,
        });
        self.put::<StatefulSetView>(&path, object);
    }

    /// The Service is gone, as the controller sees it.
    pub(super) fn forget_service(&self) {
        let uid = self.server().objects[SERVICE]["metadata"]["uid"].as_str().unwrap().to_owned();
        self.reconciler.index.forget::<ServiceView>("n", "s", &uid);
        self.reconciler.queue.add(self.key.clone());
    }

    /// Stores an object and shows it to the controller.
    fn put<V: Indexed + DeserializeOwned>(&self, path: &str, object: Value) {
        let object = self.server().put(path, object);
        let view: V = serde_json::from_value(object).unwrap();
        let Concerned { sets, .. } = self.reconciler.index.observed(view);
        for key in sets {
            self.reconciler.queue.add(key);
        }
    }
}

/// A client of `server`. Watches and the lists before them are never answered.
fn client(server: &Arc<Mutex<Server>>) -> Client {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path();
            if parts.method == "GET" && !path.contains("/namespaces/") {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            let bytes = body.collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            let (code, answer) = server.lock().unwrap().answer(parts.method.as_str(), path, &body);
            let answer = Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(http::Response::builder().status(code).body(answer).unwrap())
        }
    });
    Client::new(service, "default")
}

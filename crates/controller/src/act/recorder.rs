//! Events about sets. They are told in the background: a slow or forbidden event never holds up a
//! set.
//!
//! They are written through the core API, which the rights of every release of the existing
//! implementation allow; who reads them through `events.k8s.io` finds the same objects.
//!
//! A normal event tells of one change and is always told. A warning that repeats an earlier one
//! (set, reason, note and related object are the same) counts that one up: a failure that goes on
//! is one event. Events with different notes are never merged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{PatchParams, PostParams};
use kube::core::Request;
use lws_api_types::{LeaderWorkerSet, keys};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Limiter;
use crate::plan::task::{EventDraft, Related};

/// Events that wait to be told. A controller that has more than that to say has a reader who
/// cannot keep up anyway.
const WAITING: usize = 4096;
/// For how long an event counts as told. Events themselves live for an hour by default.
const REMEMBERED: Duration = Duration::from_mins(30);
/// A failure that is retried many times a second is still counted up only this often.
const COUNTED_EVERY: Duration = Duration::from_secs(10);
/// Events that are remembered.
const MEMORY: usize = 8192;
const TIME_LIMIT: Duration = Duration::from_secs(10);
const REPORTER: &str = "leaderworkerset";

/// Tells events.
#[derive(Clone, Debug)]
pub struct Recorder {
    sender: mpsc::Sender<Told>,
    instance: Arc<str>,
}

/// An event on its way, with what identifies it.
#[derive(Debug)]
struct Told {
    namespace: String,
    name: String,
    key: Key,
    body: Value,
    is_warning: bool,
    /// Whether a repetition is counted.
    repeats: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    set: String,
    reason: &'static str,
    note: String,
    related: Option<String>,
}

impl Recorder {
    /// A recorder, and the task that tells its events until the recorder is dropped.
    pub fn new(
        client: Client,
        limiter: Arc<Limiter>,
        hostname: &str,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let instance = format!("{REPORTER}-{hostname}").into();
        (Self { sender, instance }, run(client, limiter, receiver))
    }

    /// Tells an event; a repeated warning counts the earlier one up.
    pub(super) fn tell(&self, set: &LeaderWorkerSet, event: EventDraft) {
        self.send(set, event, true);
    }

    /// Tells an event unless it has been told lately.
    pub(super) fn tell_once(&self, set: &LeaderWorkerSet, event: EventDraft) {
        self.send(set, event, false);
    }

    fn send(&self, set: &LeaderWorkerSet, event: EventDraft, repeats: bool) {
        let now = unique_now();
        let name = format!("{}.{:x}", set.name(), now.as_nanosecond());
        let told = Told {
            namespace: set.namespace().to_owned(),
            body: body(set, &event, &name, now, &self.instance),
            name,
            is_warning: event.is_warning,
            key: Key {
                set: set.uid().to_owned(),
                reason: event.reason,
                related: match &event.related {
                    Related::Object(object) => Some(object.uid.clone()),
                    Related::None | Related::Answer => None,
                },
                note: event.note,
            },
            repeats,
        };
        if let Err(error) = self.sender.try_send(told) {
            tracing::warn!(set = %set.name(), %error, "event dropped");
        }
    }
}

/// The present time, later than any given before: event names are made of it.
fn unique_now() -> Timestamp {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    let last = LAST.fetch_max(now, Ordering::Relaxed).max(LAST.fetch_add(1, Ordering::Relaxed));
    Timestamp::from_nanosecond(i128::from(now.max(last + 1))).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn body(
    set: &LeaderWorkerSet,
    event: &EventDraft,
    name: &str,
    now: Timestamp,
    instance: &str,
) -> Value {
    let related = match &event.related {
        Related::Object(related) => json!({
            "apiVersion": related.api_version,
            "kind": related.kind,
            "namespace": set.namespace(),
            "name": related.name,
            "uid": related.uid,
        }),
        Related::None | Related::Answer => Value::Null,
    };
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": set.namespace()},
        "eventTime": format!("{now:.6}"),
        "reportingComponent": REPORTER,
        "reportingInstance": instance,
        "type": if event.is_warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "action": event.action,
        "message": event.text(),
        "involvedObject": {
            "apiVersion": keys::API_VERSION,
            "kind": keys::KIND,
            "namespace": set.namespace(),
            "name": set.name(),
            "uid": set.uid(),
            "resourceVersion": set.metadata.resource_version,
        },
        "related": related,
    })
}

/// An event that has been told.
struct Memory {
    name: String,
    /// How often it happened.
    count: i32,
    /// When the API server last heard of it.
    at: Instant,
}

async fn run(client: Client, limiter: Arc<Limiter>, mut receiver: mpsc::Receiver<Told>) {
    let mut memory: HashMap<Key, Memory> = HashMap::new();
    while let Some(told) = receiver.recv().await {
        if !told.is_warning {
            limiter.turn().await;
            report(&told, create(&client, &told).await);
            continue;
        }
        memory.retain(|_, it| it.at.elapsed() < REMEMBERED);
        if let Some(earlier) = memory.get_mut(&told.key) {
            if told.repeats {
                earlier.count += 1;
                if earlier.at.elapsed() > COUNTED_EVERY {
                    earlier.at = Instant::now();
                    limiter.turn().await;
                    report(&told, count_up(&client, &told, earlier).await);
                }
            }
            continue;
        }
        limiter.turn().await;
        report(&told, create(&client, &told).await);
        if memory.len() < MEMORY {
            memory.insert(told.key, Memory { name: told.name, count: 1, at: Instant::now() });
        }
    }
}

fn report(told: &Told, outcome: kube::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, reason = told.key.reason, note = told.key.note, "event not recorded");
    }
}

async fn create(client: &Client, told: &Told) -> kube::Result<()> {
    let params =
        PostParams { field_manager: Some(keys::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let request = events(&told.namespace).create(&params, told.body.to_string().into_bytes());
    send(client, request).await
}

async fn count_up(client: &Client, told: &Told, earlier: &Memory) -> kube::Result<()> {
    let series = json!({"series": {
        "count": earlier.count,
        "lastObservedTime": told.body.get("eventTime"),
    }});
    let request = events(&told.namespace).patch(
        &earlier.name,
        &PatchParams::default(),
        &kube::api::Patch::Merge(&series),
    );
    send(client, request).await
}

fn events(namespace: &str) -> Request {
    Request::new(format!("/api/v1/namespaces/{namespace}/events"))
}

async fn send(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> kube::Result<()> {
    let request = request.map_err(kube::Error::BuildRequest)?;
    let timed_out = |_| kube::Error::Service("no answer in time".into());
    tokio::time::timeout(TIME_LIMIT, client.request_text(request)).await.map_err(timed_out)??;
    Ok(())
}

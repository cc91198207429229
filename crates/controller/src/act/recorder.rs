//! Events about sets. They are told in the background: a slow or forbidden event never holds up a
//! set.
//!
//! They are written through the core API, which the rights of every release of the existing
//! implementation allow; who reads them through `events.k8s.io` finds the same objects.
//!
//! A normal event tells of one change and is always told. A warning that repeats an earlier one
//! (set, reason, note and related object are the same) counts that one up: a failure that goes on
//! is one event. Warnings of one plan that differ in numbers at most come here as one
//! ([`crate::plan::task`]).

mod teller;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use lws_api_types::{LeaderWorkerSet, keys};
use serde_json::{Value, json};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::Limiter;
use crate::lease::Leadership;
use crate::plan::task::{EventDraft, Related};
use teller::Teller;

/// Events that wait to be told. A controller that has more than that to say has a reader who
/// cannot keep up anyway.
const WAITING: usize = 4096;
/// How much of that is for warnings.
const FOR_WARNINGS: usize = WAITING / 4;
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
    /// A recorder, and the task that tells its events until the recorder is dropped. Those that
    /// wait when `leadership` ends are not told.
    pub fn new(
        client: Client,
        limiter: Arc<Limiter>,
        leadership: watch::Receiver<Leadership>,
        hostname: &str,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let instance = format!("{REPORTER}-{hostname}").into();
        let teller = Teller::new(client, limiter, leadership);
        (Self { sender, instance }, teller.run(receiver))
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
        let reason = event.reason;
        let told = Told {
            namespace: set.namespace().to_owned(),
            body: body(set, &event, &name, now, &self.instance),
            name,
            is_warning: event.is_warning,
            key: Key {
                set: set.uid().to_owned(),
                reason,
                related: match &event.related {
                    Related::Object(object) => Some(object.uid.clone()),
                    Related::None | Related::Answer => None,
                },
                note: event.note,
            },
            repeats,
        };
        let has_room = told.is_warning || self.sender.capacity() > FOR_WARNINGS;
        let outcome =
            if has_room { self.sender.try_send(told) } else { Err(TrySendError::Full(told)) };
        if let Err(error) = outcome {
            tracing::warn!(set = %set.name(), reason, %error, "event dropped");
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

//! Everything that is stored, in the order in which it is, as etcd tells of it.
//!
//! A watch of the API server has no order between kinds, and ends when the API server does: what happened at its end
//! may never be told. The store has one sequence of all changes, and outlives the API server. It is read as JSON,
//! which the API server writes when it is started with [`API_SERVER_ARGS`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};
use lws_harness::Cluster;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the API server must be started with.
pub const API_SERVER_ARGS: [&str; 1] = ["--storage-media-type=application/json"];

/// Where the API server stores objects: all keys from the first to before the second.
const KEYS: [&str; 2] = ["/registry/", "/registry0"];

/// A change of one object.
#[derive(Debug, Clone)]
pub struct Stored {
    /// When it was heard of, since the store began to be watched.
    pub at: Duration,
    /// The key, without `/registry/`: `pods/<namespace>/<name>`.
    pub key: String,
    /// The object as it is now; `None` when it is gone.
    pub object: Option<Value>,
}

/// Where marks are stored; objects of no API server are.
const MARKS: &str = "marks/";

/// A watch of the store. Dropped, it ends.
pub struct Store {
    client: Client,
    changes: Arc<Mutex<Vec<Stored>>>,
    /// The last mark that was heard of; one is set after the other.
    marks: tokio::sync::Mutex<watch::Receiver<Mark>>,
    task: JoinHandle<Result<()>>,
}

/// A place among the changes.
#[derive(Clone, Copy, Default)]
struct Mark {
    number: usize,
    at: Duration,
}

impl Store {
    /// Begins with the next change of an object whose key, without `/registry/`, `wanted` is true of.
    pub async fn watch(
        cluster: &Cluster,
        wanted: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Self> {
        let client = Client::try_from(Config::new(cluster.etcd_url().parse()?))?;
        let [key, range_end] = KEYS.map(|it| BASE64_STANDARD.encode(it));
        let create = json!({"create_request": {"key": key, "range_end": range_end}});
        let request =
            Request::post("/v3/watch").body(Body::from(create.to_string().into_bytes()))?;
        let mut lines = Lines { body: client.send(request).await?.into_body(), begun: Vec::new() };
        let created = lines.next().await?.context("etcd ended the watch")?;
        ensure!(created.created, "etcd has not begun the watch");
        let changes = Arc::new(Mutex::new(Vec::new()));
        let (sender, heard) = watch::channel(Mark::default());
        let task = tokio::spawn(record(lines, wanted, Arc::clone(&changes), sender));
        Ok(Self { client, changes, marks: tokio::sync::Mutex::new(heard), task })
    }

    /// The present moment among the changes: what is stored before this is called has come before it, what is stored
    /// after it has answered comes after it, however late they are heard of.
    pub async fn mark(&self) -> Result<Duration> {
        let mut heard = self.marks.lock().await;
        let number = heard.borrow().number + 1;
        let key = BASE64_STANDARD.encode(format!("{}{MARKS}{number}", KEYS[0]));
        let put = json!({"key": key}).to_string().into_bytes();
        self.client.request::<Value>(Request::post("/v3/kv/put").body(put)?).await?;
        let mark = heard.wait_for(|mark| mark.number == number).await;
        Ok(mark.context("the watch of the store has ended")?.at)
    }

    /// Takes what was stored since the last time. Fails when something may be missing.
    pub fn take(&self) -> Result<Vec<Stored>> {
        ensure!(!self.task.is_finished(), "the watch of the store has ended");
        Ok(std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(
    mut lines: Lines,
    wanted: impl Fn(&str) -> bool,
    changes: Arc<Mutex<Vec<Stored>>>,
    marks: watch::Sender<Mark>,
) -> Result<()> {
    let began = Instant::now();
    while let Some(told) = lines.next().await? {
        ensure!(!told.canceled, "etcd has cancelled the watch");
        let at = began.elapsed();
        for event in told.events {
            let key = event.key()?;
            if let Some(number) = key.strip_prefix(MARKS) {
                marks.send_replace(Mark { number: number.parse()?, at });
            } else if wanted(&key) {
                let stored = event.read(at, key)?;
                changes.lock().unwrap_or_else(PoisonError::into_inner).push(stored);
            }
        }
    }
    Ok(())
}

/// An answer of one JSON document a line.
struct Lines {
    body: Body,
    begun: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Told>> {
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice::<Line>(&line)?.result));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame?.into_data() {
                self.begun.extend(data);
            }
        }
    }
}

#[derive(Deserialize)]
struct Line {
    result: Told,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    created: bool,
    canceled: bool,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    kv: KeyValue,
}

/// Texts are in base64.
#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
}

impl Event {
    fn key(&self) -> Result<String> {
        let key = String::from_utf8(BASE64_STANDARD.decode(&self.kv.key)?)?;
        Ok(key.strip_prefix(KEYS[0]).unwrap_or(&key).to_owned())
    }

    fn read(self, at: Duration, key: String) -> Result<Stored> {
        let object = if self.kind == "DELETE" {
            None
        } else {
            let value = BASE64_STANDARD.decode(self.kv.value)?;
            Some(serde_json::from_slice(&value).with_context(|| format!("read {key}"))?)
        };
        Ok(Stored { at, key, object })
    }
}

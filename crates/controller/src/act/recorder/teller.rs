//! The task that writes events, one after another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use lws_api_types::keys;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Key, Told};
use crate::act::Limiter;
use crate::act::error::Cause;
use crate::backoff::Backoff;
use crate::lease::Leadership;

/// For how long an event counts as told. Events themselves live for an hour by default.
const REMEMBERED: Duration = Duration::from_mins(30);
/// A failure that is retried many times a second is still counted up only this often.
const COUNTED_EVERY: Duration = Duration::from_secs(10);
/// Events that are remembered.
const MEMORY: usize = 8192;
/// The longest a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How often a request is made, when it may succeed the next time. Others wait meanwhile.
const ATTEMPTS: u32 = 3;
/// Pauses between attempts.
const RETRY: Backoff =
    Backoff { base: Duration::from_millis(100), max: Duration::from_millis(200) };

/// Writes events for as long as this process leads.
pub(super) struct Teller {
    client: Client,
    limiter: Arc<Limiter>,
    leadership: watch::Receiver<Leadership>,
    memory: HashMap<Key, Memory>,
}

/// An event that has been told.
struct Memory {
    name: String,
    /// How often it happened.
    count: i32,
    /// When the API server last heard of it.
    at: Instant,
}

impl Teller {
    pub(super) fn new(
        client: Client,
        limiter: Arc<Limiter>,
        leadership: watch::Receiver<Leadership>,
    ) -> Self {
        Self { client, limiter, leadership, memory: HashMap::new() }
    }

    pub(super) async fn run(mut self, mut receiver: mpsc::Receiver<Told>) {
        while let Some(told) = receiver.recv().await {
            let (reason, note) = (told.key.reason, told.key.note.clone());
            match self.tell(told).await {
                Ok(()) => {}
                Err(Cause::NotLeading) => tracing::debug!(reason, note, "event left to the leader"),
                Err(error) => tracing::warn!(%error, reason, note, "event not recorded"),
            }
        }
    }

    async fn tell(&mut self, told: Told) -> Result<(), Cause> {
        if !told.is_warning {
            return self.create(&told).await;
        }
        self.memory.retain(|_, it| it.at.elapsed() < REMEMBERED);
        if let Some(earlier) = self.memory.get_mut(&told.key) {
            if !told.repeats {
                return Ok(());
            }
            earlier.count += 1;
            if earlier.at.elapsed() <= COUNTED_EVERY {
                return Ok(());
            }
            earlier.at = Instant::now();
            let (name, count) = (earlier.name.clone(), earlier.count);
            match self.count_up(&told, &name, count).await {
                // It has been deleted, or has lived its time.
                Err(error) if status(&error) == Some(404) => drop(self.memory.remove(&told.key)),
                outcome => return outcome,
            }
        }
        self.create(&told).await?;
        if self.memory.len() < MEMORY {
            self.memory.insert(told.key, Memory { name: told.name, count: 1, at: Instant::now() });
        }
        Ok(())
    }

    async fn create(&self, told: &Told) -> Result<(), Cause> {
        let params = PostParams {
            field_manager: Some(keys::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = told.body.to_string().into_bytes();
        match self.send(|| events(&told.namespace).create(&params, body.clone())).await {
            // Nobody else gives that name: an attempt that seemed to fail was carried out.
            Err(error) if status(&error) == Some(409) => Ok(()),
            outcome => outcome,
        }
    }

    async fn count_up(&self, told: &Told, name: &str, count: i32) -> Result<(), Cause> {
        let series = Patch::Merge(json!({"series": {
            "count": count,
            "lastObservedTime": told.body.get("eventTime"),
        }}));
        let params = PatchParams::default();
        self.send(|| events(&told.namespace).patch(name, &params, &series)).await
    }

    /// Makes a request, and again if that may help.
    async fn send(
        &self,
        request: impl Fn() -> Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), Cause> {
        let mut failures = 0;
        loop {
            let outcome = self.attempt(request()).await;
            failures += 1;
            match outcome {
                Err(error) if is_transient(&error) && failures < ATTEMPTS => {
                    sleep(RETRY.delay(failures)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), Cause> {
        let request = request.map_err(|error| Cause::Server(kube::Error::BuildRequest(error)))?;
        self.limiter.turn().await;
        let deadline = self.leadership.borrow().deadline(TIME_LIMIT);
        let deadline = deadline.ok_or(Cause::NotLeading)?;
        match timeout_at(deadline, self.client.request_text(request)).await {
            Ok(answer) => answer.map(drop).map_err(Cause::Server),
            Err(_) => Err(Cause::TimedOut),
        }
    }
}

fn events(namespace: &str) -> Request {
    Request::new(format!("/api/v1/namespaces/{namespace}/events"))
}

/// The status that the server answered with, if it refused.
fn status(error: &Cause) -> Option<u16> {
    match error {
        Cause::Server(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// Whether the same request may succeed a moment later.
fn is_transient(error: &Cause) -> bool {
    match error {
        Cause::Server(_) => status(error).is_none_or(|code| code == 429 || code >= 500),
        Cause::TimedOut => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;

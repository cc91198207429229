//! The task that writes events, one after another.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use lws_api_types::keys;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Key, Told};
use crate::act::Limiter;
use crate::act::error::Cause;
use crate::lease::Leadership;

/// For how long an event counts as told. Events themselves live for an hour by default.
const REMEMBERED: Duration = Duration::from_mins(30);
/// A failure that is retried many times a second is still counted up only this often.
const COUNTED_EVERY: Duration = Duration::from_secs(10);
/// Events that are remembered.
const MEMORY: usize = 8192;
/// The longest a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How often an event is tried, when it may succeed the next time.
const ATTEMPTS: u32 = 3;
/// The pause between two attempts. Other events have their turn meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Writes events for as long as this process leads.
pub(super) struct Teller {
    client: Client,
    limiter: Arc<Limiter>,
    leadership: watch::Receiver<Leadership>,
    memory: HashMap<Key, Memory>,
    /// Events that failed, the earliest first.
    again: VecDeque<Failed>,
}

/// An event that is to be told again.
struct Failed {
    told: Told,
    /// How often it has failed.
    failures: u32,
    due: Instant,
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
        Self { client, limiter, leadership, memory: HashMap::new(), again: VecDeque::new() }
    }

    pub(super) async fn run(mut self, mut receiver: mpsc::Receiver<Told>) {
        let mut is_open = true;
        while is_open || !self.again.is_empty() {
            let due = self.again.front().map(|it| it.due);
            let next = tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.again.pop_front().map(|it| (it.told, it.failures))
                }
                told = receiver.recv(), if is_open => {
                    is_open = told.is_some();
                    told.map(|told| (told, 0))
                }
            };
            if let Some((told, failures)) = next {
                self.attempt(told, failures).await;
            }
        }
    }

    /// Tells an event that has failed so often.
    async fn attempt(&mut self, told: Told, failures: u32) {
        let failures = failures + 1;
        let Err(error) = self.tell(&told, failures == 1).await else { return };
        let Key { reason, note, .. } = &told.key;
        if matches!(error, Cause::NotLeading) {
            tracing::debug!(reason, note, "event left to the leader");
        } else if is_transient(&error) && failures < ATTEMPTS && self.again.len() < MEMORY {
            self.again.push_back(Failed { told, failures, due: Instant::now() + PAUSE });
        } else {
            tracing::warn!(%error, reason, note, "event not recorded");
        }
    }

    async fn tell(&mut self, told: &Told, is_news: bool) -> Result<(), Cause> {
        if !told.is_warning {
            return self.create(told).await;
        }
        self.memory.retain(|_, it| it.at.elapsed() < REMEMBERED);
        if let Some(earlier) = self.memory.get_mut(&told.key) {
            if !told.repeats {
                return Ok(());
            }
            earlier.count += i32::from(is_news);
            if earlier.at.elapsed() <= COUNTED_EVERY {
                return Ok(());
            }
            let (name, count) = (earlier.name.clone(), earlier.count);
            match self.count_up(told, &name, count).await {
                // It has been deleted, or has lived its time.
                Err(error) if status(&error) == Some(404) => drop(self.memory.remove(&told.key)),
                Err(error) => return Err(error),
                Ok(()) => {
                    self.remember(told, name, count);
                    return Ok(());
                }
            }
        }
        self.create(told).await?;
        self.remember(told, told.name.clone(), 1);
        Ok(())
    }

    fn remember(&mut self, told: &Told, name: String, count: i32) {
        if self.memory.len() < MEMORY || self.memory.contains_key(&told.key) {
            let memory = Memory { name, count, at: Instant::now() };
            self.memory.insert(told.key.clone(), memory);
        }
    }

    async fn create(&self, told: &Told) -> Result<(), Cause> {
        let params = PostParams {
            field_manager: Some(keys::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = told.body.to_string().into_bytes();
        match self.send(events(&told.namespace).create(&params, body)).await {
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
        self.send(events(&told.namespace).patch(name, &params, &series)).await
    }

    async fn send(
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

//! Many connections at once, each with one request in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::client::{self, Connection, Request};
use super::reviews::Review;
use super::webhook::Webhook;
use crate::latency::Latencies;

/// Connections that make the same request.
pub(crate) struct Clients {
    connections: Vec<Connection>,
    request: Request,
    /// What is answered. The webhook keeps no state, so every answer is the same.
    answer: Arc<[u8]>,
}

/// What came of some requests.
pub(crate) struct Sent {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    pub(crate) latencies: Latencies,
}

impl Clients {
    /// Opens the connections and looks at one answer. Fails when the webhook judges the review otherwise than is right.
    pub(crate) async fn connect(
        webhook: &Webhook,
        connections: usize,
        review: Review,
    ) -> Result<Self> {
        let request = review.request();
        let tls = client::tls(webhook.authority_pem())?;
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(webhook.address(), &tls).await?);
        }
        let mut first = Connection::open(webhook.address(), &tls).await?;
        let answer: Arc<[u8]> = first.exchange(&request).await?.into();
        let judged: Value = serde_json::from_slice(&answer)?;
        let allowed = judged.pointer("/response/allowed").and_then(Value::as_bool);
        ensure!(allowed == Some(review.is_allowed()), "the webhook judges: {judged}");
        Ok(Self { connections: open, request, answer })
    }

    /// The size of the request's body.
    pub(crate) fn request_bytes(&self) -> usize {
        self.request.body_bytes()
    }

    /// The size of the answer's body.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.answer.len()
    }

    /// Makes `count` requests in all. Fails when one of them is answered differently than the first.
    pub(crate) async fn send(&mut self, count: usize) -> Result<Sent> {
        let left = Arc::new(AtomicUsize::new(count));
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let (left, request, answer) = (left.clone(), self.request.clone(), self.answer.clone());
            tasks.spawn(async move {
                let latencies = exchange_all(&mut connection, &left, &request, &answer).await?;
                Ok::<_, anyhow::Error>((connection, latencies))
            });
        }
        let mut latencies = Vec::with_capacity(count);
        while let Some(ended) = tasks.join_next().await {
            let (connection, of_connection) = ended??;
            self.connections.push(connection);
            latencies.extend(of_connection);
        }
        Ok(Sent { took: begin.elapsed(), latencies: Latencies::new(latencies) })
    }
}

/// Makes requests on one connection while some are `left`.
async fn exchange_all(
    connection: &mut Connection,
    left: &AtomicUsize,
    request: &Request,
    answer: &[u8],
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let take = |left: usize| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let begin = Instant::now();
        let seen = connection.exchange(request).await?;
        ensure!(seen == answer, "two answers to the same request differ");
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}

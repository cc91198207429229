//! The loop that brings one set after another to its wanted state: observe, plan, act, and again
//! until there is nothing left to do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::LeaderWorkerSet;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::act::{Actor, Error};
use crate::metrics::{Metrics, Outcome};
use crate::observe::index::{Index, SetKey};
use crate::plan::task::Plan;
use crate::plan::{self, Nodes};
use crate::queue::Queue;

/// Rounds of planning and acting in one go. A rollout step takes two or three; more than this
/// means that somebody undoes what we do, and other sets get their turn in between.
const MOST_ROUNDS: usize = 8;
/// For how long labels of a node are believed. They are read when a group is placed.
const NODE_LABELS_FRESH: Duration = Duration::from_secs(10);

/// Reconciles sets.
#[derive(Debug)]
pub struct Reconciler {
    index: Arc<Index>,
    queue: Queue<SetKey>,
    actor: Actor,
    nodes: Mutex<KnownNodes>,
    metrics: Metrics,
}

#[derive(Debug)]
struct KnownNodes {
    labels: Nodes,
    since: Instant,
}

/// How a reconcile ended.
enum End {
    /// The set is as it should be, as far as that is up to us now.
    Settled { recheck: Option<Duration> },
    /// There is more to do at once.
    Unfinished,
    /// A request failed.
    Failed,
}

impl Reconciler {
    /// A reconciler of the sets in `queue`.
    #[must_use]
    pub fn new(index: Arc<Index>, queue: Queue<SetKey>, actor: Actor, metrics: Metrics) -> Self {
        let nodes = KnownNodes { labels: Nodes::new(), since: Instant::now() };
        Self { index, queue, actor, nodes: Mutex::new(nodes), metrics }
    }

    /// Works on the queue, on `workers` sets at once, until it is closed. A set that is being
    /// worked on is finished.
    pub async fn run(self: Arc<Self>, workers: usize) {
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let reconciler = self.clone();
            tasks.spawn(async move {
                while let Some(work) = reconciler.queue.next().await {
                    reconciler.reconcile(work.key()).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker ended");
            }
        }
    }

    async fn reconcile(&self, key: &SetKey) {
        let started = Instant::now();
        let (outcome, next) = match self.rounds(key).await {
            End::Settled { recheck } => {
                self.queue.forget(key);
                if let Some(delay) = recheck {
                    self.queue.add_after(key.clone(), delay);
                }
                (Outcome::Success, recheck)
            }
            End::Unfinished => {
                self.queue.add(key.clone());
                (Outcome::Requeue, Some(Duration::ZERO))
            }
            End::Failed => (Outcome::Error, Some(self.queue.retry(key.clone()))),
        };
        self.metrics.reconciled(outcome, started.elapsed());
        tracing::debug!(set = %key, ?outcome, ?next, took = ?started.elapsed(), "reconciled");
    }

    async fn rounds(&self, key: &SetKey) -> End {
        for _ in 0..MOST_ROUNDS {
            let Some((set, plan)) = self.plan(key) else { return End::Settled { recheck: None } };
            let set = match set {
                Ok(set) => set,
                Err(reason) => {
                    tracing::error!(set = %key, reason, "the stored set cannot be read, it is left alone");
                    return End::Settled { recheck: None };
                }
            };
            let is_complete = plan.is_complete();
            let Plan { tasks, status, events, unknown_nodes, doubted_leaders, recheck } = plan;
            self.actor.tell(&set, events);
            if is_complete {
                let Some(change) = status else { return End::Settled { recheck } };
                return match self.actor.write_status(&set, change).await {
                    Ok(()) => End::Settled { recheck },
                    Err(error) => failed(key, &[error]),
                };
            }
            for task in &tasks {
                tracing::info!(set = %key, "{}", task.action);
            }
            let mut failures = self.read_nodes(&set, unknown_nodes).await;
            failures.extend(self.actor.read_leaders(key, doubted_leaders).await);
            failures.extend(self.actor.perform(&set, tasks).await);
            if !failures.is_empty() {
                let end = failed(key, &failures);
                self.write_status_after_failure(key).await;
                return end;
            }
        }
        End::Unfinished
    }

    /// The plan for a set; `None` when it does not exist.
    fn plan(&self, key: &SetKey) -> Option<(Result<Arc<LeaderWorkerSet>, String>, Plan)> {
        let mut known = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if known.since.elapsed() > NODE_LABELS_FRESH {
            *known = KnownNodes { labels: Nodes::new(), since: Instant::now() };
        }
        let nodes = known.labels.clone();
        drop(known);
        self.index.read(key, |entry| {
            let set = entry.set()?.set.clone();
            let plan = match &set {
                Ok(set) => plan::plan(set, entry, &nodes, Timestamp::now()),
                Err(_) => Plan::default(),
            };
            Some((set, plan))
        })?
    }

    /// What could not be done must not keep the status from being told.
    async fn write_status_after_failure(&self, key: &SetKey) {
        let Some((Ok(set), Plan { status: Some(change), .. })) = self.plan(key) else { return };
        if let Err(error) = self.actor.write_status(&set, change).await {
            failed(key, &[error]);
        }
    }

    /// Reads the labels of nodes; gives the failures.
    async fn read_nodes(&self, set: &LeaderWorkerSet, names: Vec<String>) -> Vec<Error> {
        let names: BTreeSet<_> = names.into_iter().collect();
        let mut failures = Vec::new();
        for name in names {
            match self.actor.node_labels(set, &name).await {
                Ok(labels) => {
                    let mut known = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
                    known.labels.insert(name, labels);
                }
                Err(error) => failures.push(error),
            }
        }
        failures
    }
}

fn failed(key: &SetKey, failures: &[Error]) -> End {
    for error in failures {
        if error.is_conflict() {
            tracing::debug!(set = %key, %error, "changed meanwhile, looking again");
        } else if error.is_forbidden() {
            tracing::error!(set = %key, %error, "permission missing: grant {} on it", error.verb);
        } else {
            tracing::warn!(set = %key, %error, "request failed, trying again later");
        }
    }
    End::Failed
}

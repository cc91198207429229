//! The loop that brings one set after another to its wanted state: observe, plan, act, and again
//! until there is nothing left to do.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::jiff::Timestamp;
use lws_api_types::LeaderWorkerSet;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::act::{Actor, Error};
use crate::metrics::{Metrics, Outcome};
use crate::observe::index::{Index, SetKey};
use crate::observe::watch::Synced;
use crate::plan::task::{Plan, StatusChange};
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
    synced: Synced,
    metrics: Metrics,
}

#[derive(Debug)]
struct KnownNodes {
    labels: Nodes,
    since: Instant,
}

/// How a reconcile ended.
struct End {
    outcome: Outcome,
    /// When to look again although nothing may have been observed.
    recheck: Option<Duration>,
}

impl Reconciler {
    /// A reconciler of the sets in `queue`. `synced` tells what of the cluster is in `index`.
    #[must_use]
    pub fn new(
        index: Arc<Index>,
        synced: Synced,
        queue: Queue<SetKey>,
        actor: Actor,
        metrics: Metrics,
    ) -> Self {
        let nodes = KnownNodes { labels: Nodes::new(), since: Instant::now() };
        Self { index, queue, actor, nodes: Mutex::new(nodes), synced, metrics }
    }

    /// Works on the queue, on `workers` sets at once, until `stop`. A set that is being worked on
    /// is finished.
    pub async fn run(self: Arc<Self>, workers: usize, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (reconciler, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                while let Some(Some(work)) = stop.run_until_cancelled(reconciler.queue.next()).await
                {
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
        // A fault in one set must not take the worker from the others.
        let rounds = AssertUnwindSafe(self.rounds(key)).catch_unwind();
        let End { outcome, recheck } = rounds.await.unwrap_or_else(|_| {
            tracing::error!(set = %key, "a reconcile panicked: this is a defect, please report it");
            End { outcome: Outcome::Panic, recheck: None }
        });
        let retry = match outcome {
            Outcome::Success => {
                self.queue.forget(key);
                None
            }
            Outcome::Requeue | Outcome::Error | Outcome::Panic => {
                Some(self.queue.retry(key.clone()))
            }
        };
        if let Some(delay) = recheck {
            self.queue.add_after(key.clone(), delay);
        }
        self.metrics.reconciled(outcome, started.elapsed());
        let took = started.elapsed();
        tracing::debug!(set = %key, ?outcome, ?retry, ?recheck, ?took, "reconciled");
    }

    /// Plans and acts until nothing is left to do before the status, and writes that.
    async fn rounds(&self, key: &SetKey) -> End {
        for _ in 0..MOST_ROUNDS {
            let Some((set, plan)) = self.plan(key) else {
                return End { outcome: Outcome::Success, recheck: None };
            };
            let set = match set {
                Ok(set) => set,
                Err(reason) => {
                    tracing::error!(set = %key, reason, "the stored set cannot be read, it is left alone");
                    return End { outcome: Outcome::Success, recheck: None };
                }
            };
            let recheck = plan.recheck;
            if plan.is_complete() {
                self.actor.tell(&set, plan.events);
                let outcome = self.write_status(key, &set, plan.status).await;
                return End { outcome, recheck };
            }
            let failures = self.act(key, &set, plan).await;
            if !failures.is_empty() {
                // What could not be done must not keep the status from being told.
                self.write_present_status(key).await;
                return End { outcome: outcome_of(key, &failures), recheck };
            }
        }
        self.write_present_status(key).await;
        End { outcome: Outcome::Requeue, recheck: None }
    }

    /// Does what a plan asks for before the status; gives the failures.
    async fn act(&self, key: &SetKey, set: &LeaderWorkerSet, plan: Plan) -> Vec<Error> {
        self.actor.tell(set, plan.events);
        for task in &plan.tasks {
            tracing::info!(set = %key, "{}", task.action);
        }
        let mut failures = self.read_nodes(set, plan.unknown_nodes).await;
        failures.extend(self.actor.read_leaders(key, plan.doubted_leaders).await);
        failures.extend(self.actor.perform(set, plan.tasks).await);
        failures
    }

    async fn write_status(
        &self,
        key: &SetKey,
        set: &LeaderWorkerSet,
        change: Option<StatusChange>,
    ) -> Outcome {
        let Some(change) = change else { return Outcome::Success };
        match self.actor.write_status(set, change).await {
            Ok(()) => Outcome::Success,
            Err(error) => outcome_of(key, &[error]),
        }
    }

    async fn write_present_status(&self, key: &SetKey) {
        if let Some((Ok(set), Plan { status, .. })) = self.plan(key) {
            self.write_status(key, &set, status).await;
        }
    }

    /// The plan for a set; `None` when it does not exist.
    fn plan(&self, key: &SetKey) -> Option<(Result<Arc<LeaderWorkerSet>, String>, Plan)> {
        let mut known = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if known.since.elapsed() > NODE_LABELS_FRESH {
            *known = KnownNodes { labels: Nodes::new(), since: Instant::now() };
        }
        let nodes = known.labels.clone();
        drop(known);
        let pod_groups = self.synced.pod_groups();
        self.index.read(key, |entry| {
            let set = entry.set()?.set.clone();
            let plan = match &set {
                Ok(set) => plan::plan(set, entry, &nodes, pod_groups, Timestamp::now()),
                Err(_) => Plan::default(),
            };
            Some((set, plan))
        })?
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

/// Logs failures and says what they amount to.
fn outcome_of(key: &SetKey, failures: &[Error]) -> Outcome {
    for error in failures {
        if error.is_conflict() {
            tracing::debug!(set = %key, %error, "changed meanwhile, looking again");
        } else if error.is_forbidden() {
            tracing::error!(set = %key, %error, "permission missing: grant {} on it", error.verb);
        } else {
            tracing::warn!(set = %key, %error, "request failed, trying again later");
        }
    }
    if failures.iter().all(Error::is_conflict) { Outcome::Requeue } else { Outcome::Error }
}

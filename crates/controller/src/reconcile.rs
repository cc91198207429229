//! The loop that brings one set after another to its wanted state: observe, plan, act, and again
//! until there is nothing left to do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::jiff::Timestamp;
use lws_api_types::LeaderWorkerSet;
use lws_runtime::config::GroupRestartSettings;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::act::{Actor, Error, Failed};
use crate::metrics::{Metrics, Outcome};
use crate::observe::index::{Index, SetKey};
use crate::observe::nodes::KnownNodes;
use crate::observe::watch::Synced;
use crate::pace::Pace;
use crate::plan::history::Failing;
use crate::plan::shortage::Shortages;
use crate::plan::task::{Plan, StatusChange, Target, Task, Verdict};
use crate::plan::{self, Context};
use crate::queue::{Queue, Work};
use crate::shortages::KnownShortages;

/// Rounds of planning and acting in one go. A rollout step takes two or three; more than this
/// means that somebody undoes what we do, and other sets get their turn in between.
const MOST_ROUNDS: usize = 8;
/// How long a set rests after it was worked on, so that a burst of observations is one reconcile.
const REST: Duration = Duration::from_millis(5);
/// How much of that there is for each of its pods, if that is longer. A plan takes about a
/// microsecond a pod, so a large set whose pods change all the time takes a tenth of a core.
const REST_A_POD: Duration = Duration::from_micros(10);
/// How long the server is at fault until the status of a set says so: longer than one of its
/// processes needs to make way for another.
const LASTING: Duration = Duration::from_secs(1);

/// Reconciles sets.
#[derive(Debug)]
pub struct Reconciler {
    index: Arc<Index>,
    queue: Queue<SetKey>,
    actor: Actor,
    nodes: KnownNodes,
    pace: Pace,
    shortages: KnownShortages,
    synced: Synced,
    restarts: GroupRestartSettings,
    metrics: Metrics,
}

/// How a reconcile ended.
struct End {
    outcome: Outcome,
    /// When to look again although nothing may have been observed.
    recheck: Option<Duration>,
    /// Whether any request of it has succeeded. While that is so, failures are those of a server
    /// that is busy or makes way for another, and the set goes on as soon as it can.
    has_progressed: bool,
}

impl End {
    fn new(outcome: Outcome, recheck: Option<Duration>) -> Self {
        Self { outcome, recheck, has_progressed: false }
    }
}

impl Reconciler {
    /// A reconciler of the sets in `queue`. `synced` tells what of the cluster is in `index`.
    #[must_use]
    pub fn new(
        index: Arc<Index>,
        synced: Synced,
        queue: Queue<SetKey>,
        actor: Actor,
        restarts: GroupRestartSettings,
        metrics: Metrics,
    ) -> Self {
        let (nodes, pace) = (KnownNodes::default(), Pace::default());
        let shortages = KnownShortages::default();
        Self { index, queue, actor, nodes, pace, shortages, synced, restarts, metrics }
    }

    /// Works on all sets, then on those in the queue, `workers` at once, until `stop`. Requests
    /// that are under way then are waited for.
    pub async fn run(self: Arc<Self>, workers: usize, stop: CancellationToken) {
        for key in self.index.sets() {
            self.queue.add(key);
        }
        self.metrics.set_workers(workers);
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (reconciler, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                while let Some(Some(work)) = stop.run_until_cancelled(reconciler.queue.next()).await
                {
                    reconciler.metrics.begun(work.waited());
                    reconciler.reconcile(work.key()).await;
                    let time = reconciler.rest_of(work.key());
                    rest(work, time);
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker ended");
            }
        }
    }

    /// How long a set rests.
    fn rest_of(&self, key: &SetKey) -> Duration {
        let pods = self.index.read(key, |entry| entry.pods.len()).unwrap_or(0);
        REST.max(REST_A_POD * u32::try_from(pods).unwrap_or(u32::MAX))
    }

    async fn reconcile(&self, key: &SetKey) {
        let started = Instant::now();
        // A fault in one set must not take the worker from the others.
        let rounds = AssertUnwindSafe(self.rounds(key)).catch_unwind();
        let End { outcome, recheck, has_progressed } = rounds.await.unwrap_or_else(|_| {
            tracing::error!(set = %key, "a reconcile panicked: this is a defect, please report it");
            End::new(Outcome::Panic, None)
        });
        let retry = match outcome {
            Outcome::Success | Outcome::Terminal => {
                self.queue.forget(key);
                None
            }
            Outcome::Requeue | Outcome::Error | Outcome::TimedOut | Outcome::Panic => {
                Some(self.queue.retry(key.clone(), has_progressed))
            }
        };
        if let Some(delay) = recheck {
            self.queue.add_after(key.clone(), delay);
        }
        let took = started.elapsed();
        self.metrics.reconciled(outcome, recheck.is_some(), took);
        tracing::debug!(set = %key, ?outcome, ?retry, ?recheck, ?took, "reconciled");
    }

    /// Plans and acts until nothing is left to do before the status, and writes that.
    async fn rounds(&self, key: &SetKey) -> End {
        let mut has_progressed = false;
        for _ in 0..MOST_ROUNDS {
            let planned = self.plan(key, Verdict::Fine);
            let failing = planned.as_ref().map(|(_, plan)| &plan.failing);
            self.metrics.set_failing(key, failing.unwrap_or(&Failing::default()));
            let Some((set, mut plan)) = planned else {
                self.pace.forget(key);
                self.shortages.replace(key, Shortages::new());
                return End::new(Outcome::Success, None);
            };
            let set = match set {
                Ok(set) => set,
                Err(reason) => {
                    tracing::error!(set = %key, reason, "the stored set cannot be read, it is left alone");
                    return End::new(Outcome::Terminal, None);
                }
            };
            let recheck = plan.recheck;
            let record = self.due_record(key, &mut plan);
            plan.tasks.extend(record);
            if plan.is_complete() {
                return End { has_progressed, ..self.complete(key, &set, plan).await };
            }
            let requests = plan.requests();
            let failed = self.act(key, &set, plan).await;
            has_progressed |= failed.len() < requests;
            if !failed.is_empty() {
                // What could not be done must not keep the status from being told.
                let lasts = self.queue.failing_for(key) >= LASTING;
                let told = failed.iter().find_map(|it| it.told(lasts));
                self.write_present_status(key, told.map_or(Verdict::Open, Verdict::Refused)).await;
                return End {
                    outcome: outcome_of(key, failed.iter().map(|it| &it.error)),
                    recheck,
                    has_progressed,
                };
            }
        }
        self.write_present_status(key, Verdict::Open).await;
        End::new(Outcome::Requeue, None)
    }

    /// The record of members, if it is written now: with a status that does not wait, or when it has
    /// waited for others like a status that does.
    fn due_record(&self, key: &SetKey, plan: &mut Plan) -> Option<Task> {
        plan.record.as_ref()?;
        let is_last = plan.is_complete();
        let goes_along = is_last && plan.status.as_ref().is_some_and(|it| !it.may_wait);
        if !goes_along && self.pace.wait(key).is_some() {
            return None;
        }
        if !is_last {
            self.pace.told(key);
        }
        plan.record.take()
    }

    /// Ends a reconcile whose plan wants nothing but its status written, if that.
    async fn complete(&self, key: &SetKey, set: &LeaderWorkerSet, plan: Plan) -> End {
        self.actor.tell(set, plan.events);
        let may_wait = plan.record.is_some() || plan.status.as_ref().is_some_and(|it| it.may_wait);
        if may_wait && let Some(wait) = self.pace.wait(key) {
            let recheck = plan.recheck.map_or(wait, |it| it.min(wait));
            return End::new(Outcome::Success, Some(recheck));
        }
        End::new(self.write_status(key, set, plan.status).await, plan.recheck)
    }

    /// Does what a plan asks for before the status; gives the failures.
    async fn act(&self, key: &SetKey, set: &LeaderWorkerSet, plan: Plan) -> Vec<Failed> {
        self.actor.tell(set, plan.events);
        for task in &plan.tasks {
            tracing::info!(set = %key, "{}", task.action);
        }
        let mut failures = self.actor.read_nodes(set, plan.unknown_nodes, &self.nodes).await;
        failures.extend(self.actor.read_pods(key, plan.doubted_pods).await);
        failures.extend(self.explain_shortage(key, set, plan.unexplained).await);
        failures.extend(self.actor.perform(set, plan.tasks).await);
        failures
    }

    async fn write_status(
        &self,
        key: &SetKey,
        set: &LeaderWorkerSet,
        change: Option<StatusChange>,
    ) -> Outcome {
        let Some(change) = change else {
            self.pace.settled(key);
            return Outcome::Success;
        };
        let may_wait = change.may_wait;
        if let Err(error) = self.actor.write_status(set, change).await {
            return outcome_of(key, [&error]);
        }
        if may_wait {
            self.pace.told(key);
        } else {
            self.pace.forget(key);
        }
        Outcome::Success
    }

    async fn write_present_status(&self, key: &SetKey, verdict: Verdict<'_>) {
        if let Some((Ok(set), Plan { status, .. })) = self.plan(key, verdict) {
            self.write_status(key, &set, status).await;
        }
    }

    /// The plan for a set, given what the requests of the former one have shown; `None` when it
    /// does not exist.
    fn plan(
        &self,
        key: &SetKey,
        verdict: Verdict<'_>,
    ) -> Option<(Result<Arc<LeaderWorkerSet>, String>, Plan)> {
        let (nodes, shortages) = (self.nodes.fresh(), self.shortages.of(key));
        let context = Context {
            nodes: &nodes,
            shortages: &shortages,
            pod_groups: self.synced.pod_groups(),
            restarts: &self.restarts,
            verdict,
            now: Timestamp::now(),
        };
        self.index.read(key, |entry| {
            let set = entry.set()?.set.clone();
            let mut plan = match &set {
                Ok(set) => plan::plan(set, entry, &context),
                Err(_) => Plan::default(),
            };
            self.shortages.replace(key, std::mem::take(&mut plan.shortages));
            Some((set, plan))
        })?
    }

    /// Asks why a `StatefulSet` lacks pods; gives the failure.
    async fn explain_shortage(
        &self,
        key: &SetKey,
        set: &LeaderWorkerSet,
        unexplained: Option<Target>,
    ) -> Option<Failed> {
        let target = unexplained?;
        match self.actor.reason_of_shortage(set, &target).await {
            Ok(reason) => {
                self.shortages.explained(key, &target.uid, reason, Timestamp::now());
                None
            }
            Err(failed) => Some(failed),
        }
    }
}

/// Keeps a set from being worked on for a moment longer. Others have their turn meanwhile.
fn rest(work: Work<SetKey>, time: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        drop(work);
    });
}

/// Logs failures and says what they amount to.
fn outcome_of<'a>(key: &SetKey, failures: impl IntoIterator<Item = &'a Error>) -> Outcome {
    let mut outcome = Outcome::Requeue;
    for error in failures {
        if error.is_conflict() {
            tracing::debug!(set = %key, %error, "changed meanwhile, looking again");
            continue;
        }
        if error.is_timed_out() {
            outcome = Outcome::TimedOut;
        } else if outcome != Outcome::TimedOut {
            outcome = Outcome::Error;
        }
        if error.is_unmade() {
            tracing::debug!(set = %key, %error, "left to the leader");
        } else if error.is_forbidden() {
            tracing::error!(set = %key, %error, "permission missing: grant {} on it", error.verb);
        } else {
            tracing::warn!(set = %key, %error, "request failed, trying again later");
        }
    }
    outcome
}

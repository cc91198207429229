//! The loop that brings one set after another to its wanted state: observe, plan, act, and again
//! while more may follow from that.

mod end;
mod rest;

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

use crate::act::{Actor, Failed};
use crate::kept::Kept;
use crate::metrics::{Metrics, Outcome};
use crate::observe::index::{Index, SetKey};
use crate::observe::nodes::KnownNodes;
use crate::observe::watch::Synced;
use crate::pace::{self, Pace};
use crate::plan::history::{Failing, Incident, Incidents};
use crate::plan::shortage::{Shortage, Shortages};
use crate::plan::task::{Plan, StatusChange, Target, Task, Verdict};
use crate::plan::{self, Context};
use crate::queue::Queue;
use end::{End, earlier, outcome_of};

/// Rounds of planning and acting in one go. A rollout step takes two or three; more than this
/// means that somebody undoes what we do, and other sets get their turn in between.
const MOST_ROUNDS: usize = 8;
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
    /// When numbers of groups are written.
    numbers: Pace,
    /// When the record of members is.
    records: Pace,
    shortages: Kept<String, Shortage>,
    unwritten: Kept<i64, Incident>,
    synced: Synced,
    restarts: GroupRestartSettings,
    metrics: Metrics,
}

/// What became of the requests of a plan.
struct Acted {
    failed: Vec<Failed>,
    /// Whether any of those that write has succeeded.
    has_written: bool,
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
        let (shortages, unwritten) = (Kept::default(), Kept::default());
        let (numbers, records) = (Pace::new(pace::NUMBERS), Pace::new(pace::RECORDS));
        let nodes = KnownNodes::default();
        Self {
            index,
            queue,
            actor,
            nodes,
            numbers,
            records,
            shortages,
            unwritten,
            synced,
            restarts,
            metrics,
        }
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
                    rest::take(work, time);
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
        rest::after(pods, self.queue.stats().working)
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
            Outcome::Unfinished => {
                self.queue.forget(key);
                self.queue.add(key.clone());
                None
            }
            Outcome::Requeue | Outcome::Error | Outcome::TimedOut | Outcome::Panic => {
                Some(self.queue.retry(key.clone(), has_progressed))
            }
        };
        if let Some(delay) = recheck {
            self.queue.add_after(key.clone(), delay);
        }
        self.show(key);
        let took = started.elapsed();
        self.metrics.reconciled(outcome, recheck.is_some(), took);
        tracing::debug!(set = %key, ?outcome, ?retry, ?recheck, ?took, "reconciled");
    }

    /// Has metrics show what the stored status says.
    fn show(&self, key: &SetKey) {
        let stored = self.index.read(key, |entry| entry.set().map(|it| it.set.clone())).flatten();
        let set = stored.as_ref().map(|it| it.as_deref().map_err(drop));
        self.metrics.set_stored(key, set);
    }

    /// Plans and acts until nothing is left to do before the status, and writes that. A round whose
    /// requests are followed by none is the last: the next one comes after the rest, with what is
    /// observed until then. A status that is due does not wait for it.
    async fn rounds(&self, key: &SetKey) -> End {
        let mut has_progressed = false;
        for _ in 0..MOST_ROUNDS {
            let planned = self.plan(key, Verdict::Fine);
            let failing = planned.as_ref().map(|(_, plan)| &plan.failing);
            self.metrics.set_failing(key, failing.unwrap_or(&Failing::default()));
            let Some((set, mut plan)) = planned else {
                self.forget(key);
                return End::new(Outcome::Success, None);
            };
            if let Some(standing) = plan.standing {
                self.metrics.set_groups(key, standing);
            }
            let set = match set {
                Ok(set) => set,
                Err(reason) => {
                    tracing::error!(set = %key, reason, "the stored set cannot be read, it is left alone");
                    return End::new(Outcome::Terminal, None);
                }
            };
            let wait = self.wait_of_record(key, &plan);
            let recheck = earlier(plan.recheck, wait);
            if wait.is_some() {
                plan.record = None;
            }
            if plan.is_complete() && plan.record.is_none() {
                self.actor.tell(&set, &plan.revision, plan.events);
                let told = self.tell(key, &set, &plan.revision, plan.status).await;
                let End { outcome, recheck: wait, .. } = told;
                return End { outcome, recheck: earlier(recheck, wait), has_progressed };
            }
            let goes_on = plan.leads_on() || self.is_due(key, plan.status.as_ref());
            let Acted { failed, has_written } = self.act(key, &set, plan).await;
            has_progressed |= has_written;
            if !failed.is_empty() {
                // What could not be done must not keep the status from being told.
                let wait = self.tell_present(key, self.verdict(key, &failed)).await;
                return End {
                    outcome: outcome_of(key, failed.iter().map(|it| &it.error)),
                    recheck: earlier(recheck, wait),
                    has_progressed,
                };
            }
            if !goes_on {
                return End { outcome: Outcome::Unfinished, recheck: None, has_progressed };
            }
        }
        let wait = self.tell_present(key, Verdict::Open).await;
        End::new(Outcome::Requeue, wait)
    }

    /// Drops what is kept of a set that does not exist.
    fn forget(&self, key: &SetKey) {
        self.numbers.forget(key);
        self.records.forget(key);
        self.shortages.replace(key, Shortages::new());
        self.unwritten.replace(key, Incidents::new());
    }

    /// How long the record of members waits for more to record, like numbers; it is written at once
    /// with the last status of a change.
    fn wait_of_record(&self, key: &SetKey, plan: &Plan) -> Option<Duration> {
        if plan.record.is_none() {
            self.records.settled(key);
            return None;
        }
        let is_last = plan.is_complete() && plan.status.as_ref().is_some_and(|it| !it.may_wait);
        if is_last { None } else { self.records.wait(key) }
    }

    /// Whether a changed status waits no longer for more to say.
    fn is_due(&self, key: &SetKey, status: Option<&StatusChange>) -> bool {
        status.is_some_and(|it| !it.may_wait || self.numbers.wait(key).is_none())
    }

    /// What failed requests show of a set. What was refused lasts; a fault of the server is told
    /// if it does.
    fn verdict<'a>(&self, key: &SetKey, failed: &'a [Failed]) -> Verdict<'a> {
        let told = |lasts| failed.iter().find_map(|it| it.told(lasts));
        let lasts = self.queue.failing_for(key) >= LASTING;
        told(false).or_else(|| told(lasts)).map_or(Verdict::Open, Verdict::Refused)
    }

    /// Does what a plan asks for before the status.
    async fn act(&self, key: &SetKey, set: &LeaderWorkerSet, plan: Plan) -> Acted {
        self.actor.tell(set, &plan.revision, plan.events);
        for task in plan.tasks.iter().chain(&plan.record) {
            let (revision, reason) = (&plan.revision, task.why());
            tracing::info!(set = %key, revision, reason, "{}", task.action);
        }
        let mut failed = self.actor.read_nodes(set, plan.unknown_nodes, &self.nodes).await;
        self.actor.read_topologies(plan.unknown_topologies, &self.nodes).await;
        if plan.doubts_set {
            failed.extend(self.actor.read_set(set).await.err());
        }
        failed.extend(self.actor.read_pods(key, plan.doubted_pods).await);
        failed.extend(self.explain_shortage(key, set, plan.unexplained).await);
        let writes = plan.tasks.len() + usize::from(plan.record.is_some());
        let others = self.actor.perform(set, plan.tasks);
        let (mut refused, unrecorded) =
            tokio::join!(others, self.write_record(key, set, plan.record));
        refused.extend(unrecorded);
        let has_written = refused.len() < writes;
        failed.extend(refused);
        Acted { failed, has_written }
    }

    /// Writes the record of members; gives the failure.
    async fn write_record(
        &self,
        key: &SetKey,
        set: &LeaderWorkerSet,
        record: Option<Task>,
    ) -> Vec<Failed> {
        let Some(record) = record else { return Vec::new() };
        let failed = self.actor.perform(set, vec![record]).await;
        if failed.is_empty() {
            self.records.told(key);
        }
        failed
    }

    /// Writes a changed status, unless it waits for more to say.
    async fn tell(
        &self,
        key: &SetKey,
        set: &LeaderWorkerSet,
        revision: &str,
        change: Option<StatusChange>,
    ) -> End {
        let Some(change) = change else {
            self.numbers.settled(key);
            return End::new(Outcome::Success, None);
        };
        let may_wait = change.may_wait;
        if may_wait && let Some(wait) = self.numbers.wait(key) {
            return End::new(Outcome::Success, Some(wait));
        }
        if let Err(error) = self.actor.write_status(set, revision, change).await {
            return End::new(outcome_of(key, [&error]), None);
        }
        if may_wait {
            self.numbers.told(key);
        } else {
            self.numbers.forget(key);
        }
        End::new(Outcome::Success, None)
    }

    /// Tells the status as it is now; gives how long it waits.
    async fn tell_present(&self, key: &SetKey, verdict: Verdict<'_>) -> Option<Duration> {
        let (set, plan) = self.plan(key, verdict)?;
        let set = set.ok()?;
        self.tell(key, &set, &plan.revision, plan.status).await.recheck
    }

    /// The plan for a set, given what the requests of the former one have shown; `None` when it
    /// does not exist.
    fn plan(
        &self,
        key: &SetKey,
        verdict: Verdict<'_>,
    ) -> Option<(Result<Arc<LeaderWorkerSet>, String>, Plan)> {
        let (nodes, shortages) = (self.nodes.fresh(), self.shortages.of(key));
        let (unwritten, topologies) = (self.unwritten.of(key), self.nodes.topologies());
        let context = Context {
            nodes: &nodes,
            topologies: &topologies,
            shortages: &shortages,
            unwritten: &unwritten,
            pod_groups: self.synced.pod_groups(),
            restarts: &self.restarts,
            verdict,
            now: Timestamp::now(),
        };
        self.index.read(key, |entry| {
            let stored = entry.set()?;
            let set = stored.set.clone();
            let mut plan = match &set {
                Ok(set) => plan::plan(set, &stored.content, entry, &context),
                Err(_) => Plan::default(),
            };
            self.shortages.replace(key, std::mem::take(&mut plan.shortages));
            self.unwritten.replace(key, std::mem::take(&mut plan.unwritten));
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

#[cfg(test)]
mod tests;

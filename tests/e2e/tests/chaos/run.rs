//! One run: carries out a plan and judges what happened, each time that everything has come to rest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use kube::api::DeleteParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lws_e2e::store::Store;
use lws_e2e::{CONTROLLER, Namespace, set};
use lws_harness::audit::{AuditEvent, Mark};
use lws_harness::wait;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::act;
use crate::history::{Change, History, Kind, Object, State};
use crate::invariants::{self, Request, Scope};
use crate::plan::{Action, Fault, Harm, Plan, Step, Victim};
use crate::rest;
use crate::world::{World, no_panics};

/// How long everything may take to come to rest once faults have ended: waits for groups that keep failing and for
/// nodes that were lost included.
const REST: Duration = Duration::from_mins(2);

/// How long nobody may write at the end of a run. It is longer than the delays after which the controller comes back to
/// what it has not ended: 10 s at most but for lost nodes, which there are none of any more; longer than a lease (6 s);
/// and as long as half the time from one authority to the next, so that most runs have a certificate change within.
const SILENCE_AT_THE_END: Duration = Duration::from_secs(15);

/// A run under way.
struct Run {
    world: Arc<World>,
    namespace: Namespace,
    store: Arc<Store>,
    began: Timestamp,
    mark: Mark,
    history: Arc<Mutex<History>>,
    faults: JoinSet<Result<()>>,
    /// How many there are.
    sets: usize,
}

/// Carries out a plan, on a `LocalSet`; gives what there was to judge. Fails when a promise is broken, or no rest is
/// found.
pub(crate) async fn run(world: &Arc<World>, plan: &Plan) -> Result<Scope> {
    let mut run = Run::begin(world, plan.sets.len()).await?;
    let outcome = run.carry_out(plan).await;
    if let Err(error) = outcome {
        let file = world.cluster.read().await.dir().join(format!("history-{}", plan.seed));
        let text: Vec<_> = run.history().changes.iter().map(ToString::to_string).collect();
        std::fs::write(&file, text.join("\n"))?;
        return Err(error);
    }
    let scope = Scope::of(&run.history());
    run.end().await?;
    Ok(scope)
}

impl Run {
    async fn begin(world: &Arc<World>, sets: usize) -> Result<Self> {
        let cluster = world.cluster.read().await;
        let options = KubeConfigOptions::default();
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.default_retry = false;
        // What is not answered while the API server is away is asked again.
        config.read_timeout = Some(Duration::from_secs(5));
        let audit = cluster.audit();
        let mark = audit.mark()?;
        let namespace = Namespace::create(Client::try_from(config)?, audit, true).await?;
        let name = namespace.name().to_owned();
        let store = Store::watch(&cluster, move |key| Kind::of(key, &name).is_some()).await?;
        let store = Arc::new(store);
        Ok(Self {
            world: world.clone(),
            namespace,
            began: Timestamp::now(),
            store,
            mark,
            history: Arc::default(),
            faults: JoinSet::new(),
            sets,
        })
    }

    async fn carry_out(&mut self, plan: &Plan) -> Result<()> {
        for beginning in &plan.sets {
            let create = async || self.namespace.create_set(&beginning.fixture()).await;
            act::insist(&format!("create {}", beginning.name), create).await?;
        }
        for step in &plan.steps {
            sleep(step.after).await;
            self.step(step).await.with_context(|| format!("step {step}"))?;
        }
        self.end_is_silent().await?;
        // Where steps are left out there may be nothing to judge.
        if plan.is_whole() {
            let sets = plan.sets.iter().map(|it| it.name);
            Scope::of(&self.history()).ensure_judged(sets)?;
        }
        Ok(())
    }

    /// Looks longer at the last rest.
    async fn end_is_silent(&self) -> Result<()> {
        let mark = self.namespace.mark()?;
        let look = async || self.namespace.ensure_silent_since(mark);
        set::stays_for(SILENCE_AT_THE_END, look).await.context("at the end")
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        match &step.action {
            Action::Change(set, edit) => act::change(&self.namespace, set, edit).await,
            Action::Recreate(set, cascade) => act::recreate(&self.namespace, set, *cascade).await,
            Action::Harm(victim, harm) => self.harm(*victim, *harm),
            Action::Fail(fault) => {
                self.fail(*fault);
                Ok(())
            }
            Action::Rest => self.rest().await,
        }
    }

    fn harm(&mut self, victim: Victim, harm: Harm) -> Result<()> {
        let Some(pod) = act::pod_of(&self.state()?, victim) else { return Ok(()) };
        if matches!(harm, Harm::Delete | Harm::DeleteAtOnce) {
            self.history().deleted.insert(pod.uid.clone());
        }
        let (world, namespace) = (self.world.clone(), self.namespace.clone());
        self.faults.spawn_local(async move { act::harm(&world, &namespace, &pod, harm).await });
        Ok(())
    }

    fn fail(&mut self, fault: Fault) {
        let (world, store, history) =
            (self.world.clone(), self.store.clone(), self.history.clone());
        self.faults.spawn_local(async move {
            let began = store.mark().await?;
            act::fail(&world, fault).await.with_context(|| fault.to_string())?;
            let ended = store.mark().await?;
            let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(hidden) = fault.hides() {
                history.blindness.push([began, ended], hidden);
            }
            Ok(())
        });
    }

    /// Ends all faults, waits until everything is as the sets ask for and nobody writes, and judges what happened.
    async fn rest(&mut self) -> Result<()> {
        while let Some(ended) = self.faults.join_next().await {
            ended??;
        }
        self.world.is_supervised()?;
        self.world.is_led().await?;
        let reached = async || rest::is_reached(&self.state()?, self.sets).map(Some);
        let description = "everything is as the sets ask for";
        let mut waited = wait::eventually(REST, description, &reached).await;
        let left = rest::left_by_garbage_collector(&self.state()?);
        if waited.is_err() && !left.is_empty() && self.world.may_have_forgotten() {
            #[allow(clippy::print_stdout, reason = "for people who run it with --nocapture")]
            {
                println!(
                    "the garbage collector has forgotten {left:?}: its process is started again"
                );
            }
            self.world.start_garbage_collector_anew().await?;
            waited = wait::eventually(REST, description, &reached).await;
        }
        self.judge(waited.is_ok())?;
        waited?;
        let mark = self.namespace.silence().await?;
        set::stays(async || self.namespace.ensure_silent_since(mark)).await?;
        rest::is_reached(&self.state()?, self.sets).context("after the silence")?;
        no_panics(&self.world).await?;
        self.judge(true)
    }

    fn judge(&self, is_at_rest: bool) -> Result<()> {
        self.state()?;
        let mut broken = invariants::broken(&self.history(), is_at_rest);
        broken.extend(invariants::one_writer(self.writes()?));
        let text: Vec<_> = broken.iter().map(ToString::to_string).collect();
        ensure!(broken.is_empty(), "promises that were broken:\n  {}", text.join("\n  "));
        Ok(())
    }

    /// Everything as it is now.
    fn state(&self) -> Result<State> {
        let mut history = self.history();
        for stored in self.store.take()? {
            let Some((kind, name)) = Kind::of(&stored.key, self.namespace.name()) else { continue };
            let object =
                stored.object.map(|it| Object::read(kind, it).map(Arc::new)).transpose()?;
            history.changes.push(Change { at: stored.at, kind, name: name.to_owned(), object });
        }
        Ok(history.end())
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the controllers have written, the lease included.
    fn writes(&self) -> Result<Vec<Request>> {
        let since = |at: Timestamp| {
            Duration::try_from(at.duration_since(self.began)).unwrap_or(Duration::ZERO)
        };
        let is_write = |it: &AuditEvent| {
            let is_change = ["create", "update", "patch", "delete"].contains(&&*it.key.verb);
            // Reviews of rights are asked for by creating them.
            let is_review =
                it.group == "authorization.k8s.io" || it.group == "authentication.k8s.io";
            let is_renewal = it.key.resource == "leases";
            // Others count whatever became of them: they were sent.
            let counts = it.code < 300 || !is_renewal;
            it.key.user == CONTROLLER && is_change && !is_review && counts
        };
        let mut writes = Vec::new();
        for event in self.namespace.audit().since(self.mark)?.iter().filter(|it| is_write(it)) {
            let by = event.user_agent.rsplit(' ').next().unwrap_or_default();
            writes.push(Request {
                by: by.to_owned(),
                received: since(event.received),
                answered: since(event.answered),
                is_renewal: event.key.resource == "leases",
                what: format!("{} {} {}", event.key.verb, event.key.resource, event.name),
            });
        }
        Ok(writes)
    }

    /// Takes everything away.
    async fn end(self) -> Result<()> {
        for set in self.state()?.all(Kind::Set) {
            self.namespace.sets().delete(&set.name, &DeleteParams::background()).await?;
        }
        self.namespace.nothing_is_left().await
    }
}

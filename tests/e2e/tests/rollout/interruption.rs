//! The controller ends and comes back.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, EvictParams, PostParams};
use lws_api_types::set::RestartPolicy::{self, RecreateGroupOnPodRestart};
use lws_e2e::groups::leaders;
use lws_e2e::recording::Recording;
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Environment, Fixture, TestSet, set};
use lws_harness::simulator::READY_AFTER;
use lws_harness::wait;
use serde_json::json;

use crate::recreation::{recreated_once, told_once};
use crate::{ONE_BY_ONE, environment, settle_in};

const STOP: Duration = Duration::from_secs(30);

/// How the controller ends.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    Killed,
}

/// Ends the controller, does `meanwhile`, and starts it again.
async fn interrupt(
    environment: &Environment,
    end: End,
    meanwhile: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let mut system = environment.system().await;
    let controller = system.controllers().first_mut().context("no controller")?;
    match end {
        End::Stopped => drop(controller.process().stop(STOP).await?),
        End::Killed => drop(controller.process().kill().await?),
    }
    let outcome = meanwhile().await;
    controller.restart().await?;
    outcome
}

#[tokio::test]
async fn a_group_that_is_still_being_created_survives_a_restart_of_the_controller() -> Result<()> {
    let environment = environment(&ONE_BY_ONE)?;
    let namespace = environment.namespace().await?;
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": "two-pods"}, "spec": {"hard": {"pods": "2"}},
    }))?;
    let quotas = namespace.api::<ResourceQuota>();
    quotas.create(&PostParams::default(), &quota).await?;
    let is_counted = async || quotas.get("two-pods").await;
    wait::until(DEADLINE, "the quota is in effect", is_counted, |it| {
        it.status.as_ref().is_some_and(|it| it.hard.is_some())
    })
    .await?;
    let recording = Recording::start(&namespace).await?;
    let set = namespace.create_set(&Fixture::default().replicas(1).size(4)).await?;
    let two_pods = async || namespace.all::<Pod>().await;
    wait::until(DEADLINE, "two pods", two_pods, |it| it.len() == 2).await?;

    interrupt(environment, End::Stopped, async || Ok(())).await?;
    set::stays(async || only_one_leader(&recording)).await?;
    quotas.delete("two-pods", &DeleteParams::default()).await?;
    set.done(1).await?;
    only_one_leader(&recording)
}

fn only_one_leader(recording: &Recording<Pod>) -> Result<()> {
    let leaders = leaders(recording)?;
    anyhow::ensure!(leaders.values().all(|uids| uids.len() == 1), "{leaders:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_was_replaced_while_no_controller_ran_takes_its_group_with_it() -> Result<()>
{
    let environment = environment(&ONE_BY_ONE)?;
    let namespace = environment.namespace().await?;
    let set = settle_in(&namespace, Fixture::default().size(3)).await?;
    let recording = Recording::start(&namespace).await?;
    interrupt(environment, End::Stopped, async || {
        let pods = namespace.pods();
        let worker = set.worker(0, 1);
        let former = pods.get(&worker).await?.metadata.uid;
        pods.delete(&worker, &DeleteParams::default().grace_period(0)).await?;
        let is_back = async || pods.get_opt(&worker).await;
        wait::until(DEADLINE, "the worker is back", is_back, |it| {
            it.as_ref().is_some_and(|it| it.metadata.uid != former)
        })
        .await?;
        Ok(())
    })
    .await?;
    recreated_once(&set, &recording).await
}

/// A set whose group 0 is in trouble while no controller runs.
struct Troubled {
    set: TestSet,
    recording: Recording<Pod>,
    /// UIDs of its leader and its worker `StatefulSet`.
    former: [String; 2],
}

impl Troubled {
    async fn settle(environment: &Environment, policy: RestartPolicy) -> Result<Self> {
        let namespace = environment.namespace().await?;
        // In a cluster it takes a second at least until a group is ready.
        let fixture = Fixture::default().size(3).pod_annotation(READY_AFTER, "2s");
        let set = settle_in(&namespace, fixture.restart_policy(policy)).await?;
        let recording = Recording::start(&namespace).await?;
        let leader = namespace.pods().get(&set.group(0)).await?;
        let worker_set = namespace.stateful_sets().get(&set.group(0)).await?;
        Ok(Self { set, recording, former: [uid(&leader), uid(&worker_set)] })
    }

    /// Deletes the worker `StatefulSet`, and waits until it is gone and as many workers are left as it
    /// should leave.
    async fn lose(&self, params: &DeleteParams, left: usize) -> Result<()> {
        let namespace = self.set.namespace();
        namespace.stateful_sets().delete(&self.set.group(0), params).await?;
        let is_over = async || {
            let worker_set = namespace.stateful_sets().get_opt(&self.set.group(0)).await?;
            let mut workers = 0;
            for worker in [1, 2] {
                let pod = namespace.pods().get_opt(&self.set.worker(0, worker)).await?;
                workers += usize::from(pod.is_some());
            }
            Ok::<_, anyhow::Error>(worker_set.is_none() && workers == left)
        };
        wait::until(DEADLINE, "the worker StatefulSet is gone", is_over, |it| *it).await?;
        Ok(())
    }

    async fn is_recreated(&self) -> Result<()> {
        recreated_once(&self.set, &self.recording).await?;
        told_once(&self.set).await
    }

    /// The leader stays and gets another worker `StatefulSet`.
    async fn is_completed(&self) -> Result<()> {
        let namespace = self.set.namespace();
        let [leader, former] = &self.former;
        let look = async || namespace.stateful_sets().get_opt(&self.set.group(0)).await;
        wait::until(DEADLINE, "another worker StatefulSet", look, |it| {
            it.as_ref().is_some_and(|it| uid(it) != *former)
        })
        .await?;
        self.set.done(2).await?;
        set::stays(async || only_one_leader(&self.recording)).await?;
        anyhow::ensure!(uid(&namespace.pods().get(&self.set.group(0)).await?) == *leader);
        let told = namespace.recreations().await?;
        anyhow::ensure!(told.is_empty(), "{told:?}");
        Ok(())
    }
}

#[tokio::test]
async fn a_worker_set_that_was_deleted_while_no_controller_ran_takes_its_group_with_it()
-> Result<()> {
    let environment = environment(&ONE_BY_ONE)?;
    let background = Troubled::settle(environment, RecreateGroupOnPodRestart).await?;
    let foreground = Troubled::settle(environment, RecreateGroupOnPodRestart).await?;
    let after_start = Troubled::settle(environment, RestartPolicy::RecreateGroupAfterStart).await?;
    let orphaned = Troubled::settle(environment, RecreateGroupOnPodRestart).await?;
    let without = Troubled::settle(environment, RestartPolicy::None).await?;
    interrupt(environment, End::Killed, async || {
        background.lose(&DeleteParams::background(), 0).await?;
        foreground.lose(&DeleteParams::foreground(), 0).await?;
        after_start.lose(&DeleteParams::background(), 0).await?;
        orphaned.lose(&DeleteParams::orphan(), 2).await?;
        without.lose(&DeleteParams::background(), 0).await
    })
    .await?;
    background.is_recreated().await?;
    foreground.is_recreated().await?;
    after_start.is_recreated().await?;
    orphaned.is_completed().await?;
    without.is_completed().await
}

/// What happens to a pod of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incident {
    ContainerRestart,
    Deletion,
    Eviction,
    ForcedDeletion,
    DeletionOfLeader,
    ForcedDeletionOfLeader,
}

impl Incident {
    const ALL: [Self; 6] = [
        Self::ContainerRestart,
        Self::Deletion,
        Self::Eviction,
        Self::ForcedDeletion,
        Self::DeletionOfLeader,
        Self::ForcedDeletionOfLeader,
    ];

    fn is_of_leader(self) -> bool {
        matches!(self, Self::DeletionOfLeader | Self::ForcedDeletionOfLeader)
    }

    /// Lets it happen, and waits until the cluster has dealt with it.
    async fn happen(self, environment: &Environment, set: &TestSet) -> Result<()> {
        let pods = set.namespace().pods();
        let name = if self.is_of_leader() { set.group(0) } else { set.worker(0, 1) };
        let former = uid(&pods.get(&name).await?);
        let at_once = DeleteParams::default().grace_period(0);
        match self {
            Self::ContainerRestart => {
                let simulator = environment.cluster().simulator()?;
                return Ok(simulator
                    .restart_container(set.namespace().name(), &name, "worker")
                    .await?);
            }
            Self::Deletion | Self::DeletionOfLeader => {
                pods.delete(&name, &DeleteParams::default()).await.map(drop)?;
            }
            Self::Eviction => pods.evict(&name, &EvictParams::default()).await.map(drop)?,
            Self::ForcedDeletion | Self::ForcedDeletionOfLeader => {
                pods.delete(&name, &at_once).await.map(drop)?;
            }
        }
        let is_back = async || pods.get_opt(&name).await;
        wait::until(DEADLINE, &format!("{name} is back"), is_back, |it| {
            it.as_ref().is_some_and(|it| uid(it) != former)
        })
        .await?;
        Ok(())
    }
}

#[tokio::test]
async fn whatever_fails_while_no_controller_runs_recreates_its_group_once() -> Result<()> {
    let environment = environment(&ONE_BY_ONE)?;
    let mut all = Vec::new();
    for incident in Incident::ALL {
        all.push((incident, Troubled::settle(environment, RecreateGroupOnPodRestart).await?));
    }
    interrupt(environment, End::Killed, async || {
        for (incident, troubled) in &all {
            let happened = incident.happen(environment, &troubled.set).await;
            happened.with_context(|| format!("{incident:?}"))?;
        }
        Ok(())
    })
    .await?;
    for (incident, Troubled { set, recording, .. }) in &all {
        let judge = async {
            recreated_once(set, recording).await?;
            // A group ends with its leader, whoever deletes that.
            let told = set.namespace().recreations().await?;
            let expected = usize::from(!incident.is_of_leader());
            anyhow::ensure!(told.len() == expected, "{told:?}");
            Ok(())
        };
        judge.await.with_context(|| format!("{incident:?}"))?;
    }
    Ok(())
}

//! Carries out the steps of a plan.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use lws_e2e::webhooks::SECRET;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet};
use lws_harness::proxy::{Effect, Failure, Rule};
use lws_harness::system::NAMESPACE;
use lws_harness::wait;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::history::{Object, State};
use crate::plan::{Cascade, Controller, Edit, Failing, Fault, Harm, Trouble, Victim};
use crate::world::World;

/// What fails while writes do, and how often.
const WRITES: [&str; 4] = ["create", "update", "patch", "delete"];
const FAILING: f64 = 0.33;

/// Does what users do: tries again until it is done.
pub(crate) async fn insist<T>(what: &str, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    Ok(wait::eventually(DEADLINE, what, async || attempt().await.map(Some)).await?)
}

pub(crate) async fn change(namespace: &Namespace, set: &str, edit: &Edit) -> Result<()> {
    let set = TestSet::named(namespace.clone(), set);
    let what = format!("{}: {edit}", set.name());
    insist(&what, async || set.update(|it| edit.apply(it)).await).await
}

/// Deletes a set and creates it as it was, as soon as its name is free.
pub(crate) async fn recreate(namespace: &Namespace, name: &str, cascade: Cascade) -> Result<()> {
    let set = TestSet::named(namespace.clone(), name);
    let live = insist(&format!("read {name}"), async || set.live().await).await?;
    let params = DeleteParams {
        propagation_policy: Some(cascade.policy()),
        preconditions: Some(exactly(live.uid())),
        ..DeleteParams::default()
    };
    let delete = async || deleted(namespace.sets().delete(name, &params).await);
    insist(&format!("delete {name}"), delete).await?;
    let uid = live.uid().to_owned();
    let fixture = Fixture::named(name).changed(|set| set.spec = live.spec);
    let create = async || match set.create(&fixture).await {
        // Done before, although that was not told.
        Err(_) if set.live().await.is_ok_and(|it| it.uid() != uid) => Ok(()),
        outcome => outcome,
    };
    insist(&format!("create {name}"), create).await
}

/// Lets something happen to a pod that is there.
pub(crate) async fn harm(
    world: &World,
    namespace: &Namespace,
    pod: &Object,
    harm: Harm,
) -> Result<()> {
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let params = match harm {
        Harm::RestartContainer => {
            let container = if pod.is_leader() { "leader" } else { "worker" };
            let cluster = world.cluster.read().await;
            let simulator = cluster.simulator()?;
            return match simulator.restart_container(namespace.name(), &pod.name, container).await {
                // It does not run yet, or not any more.
                Err(lws_harness::Error::Unknown { .. }) => Ok(()),
                outcome => Ok(outcome?),
            };
        }
        Harm::LoseNode(time) => return lose_node(world, pod.node(), time).await,
        Harm::Delete => DeleteParams::default(),
        Harm::DeleteAtOnce => at_once,
    };
    let params = DeleteParams { preconditions: Some(exactly(&pod.uid)), ..params };
    let delete = async || deleted(namespace.pods().delete(&pod.name, &params).await);
    insist(&format!("delete pod {}", pod.name), delete).await
}

async fn lose_node(world: &World, node: &str, time: Duration) -> Result<()> {
    let what = format!("lose or recover {node}");
    let cluster = async || world.cluster.read().await;
    insist(&what, async || Ok(cluster().await.simulator()?.lose_node(node).await?)).await?;
    sleep(time).await;
    insist(&what, async || Ok(cluster().await.simulator()?.recover_node(node).await?)).await
}

/// Lets something fail, and waits until it is over.
pub(crate) async fn fail(world: &World, fault: Fault) -> Result<()> {
    match fault {
        Fault::KillController(controller) => {
            let number = world.number(controller).await?;
            world.with(number, async |it| Ok(it.process().kill().await.map(drop)?)).await?;
        }
        Fault::FreezeController(controller, time) => {
            let number = world.number(controller).await?;
            world.with(number, async |it| Ok(it.process().signal(Signal::SIGSTOP)?)).await?;
            sleep(time).await;
            world.with(number, async |it| Ok(it.process().signal(Signal::SIGCONT)?)).await?;
        }
        Fault::KillWebhook(number) => {
            let replica = world.webhooks.replicas().get(number).context("no such webhook")?;
            return replica.kill().await;
        }
        Fault::KillApiServer => world.restart_api_server().await?,
        Fault::FreezeEtcd(time) => {
            // Held all the while: nobody may wait for an API server that waits for etcd.
            let cluster = world.cluster.read().await;
            let etcd = cluster.process("etcd")?;
            etcd.signal(Signal::SIGSTOP)?;
            sleep(time).await;
            etcd.signal(Signal::SIGCONT)?;
        }
        Fault::Trouble(what, time) => trouble(world, what, time).await?,
        Fault::LoseCertificate => {
            let client = world.cluster.read().await.client();
            let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
            let patch = Patch::Merge(json!({"data": null}));
            let params = PatchParams::default();
            let lose = async || Ok(secrets.patch(SECRET, &params, &patch).await.map(drop)?);
            return insist("remove the certificate", lose).await;
        }
    }
    world.is_led().await.map(drop)
}

async fn trouble(world: &World, trouble: Trouble, time: Duration) -> Result<()> {
    let number = world.number(Controller::Leading).await?;
    let add = async |rule: Rule| world.with(number, async |it| Ok(it.proxy()?.add(rule))).await;
    match trouble {
        Trouble::WatchesCut(resource) => {
            let cut = async |it: &lws_harness::system::Component| {
                it.proxy()?.cut_watches(resource);
                Ok(())
            };
            world.with(number, cut).await?;
        }
        Trouble::WatchesHeld(resource) => {
            let events =
                world.with(number, async |it| Ok(it.proxy()?.hold_watches(resource))).await?;
            sleep(time).await;
            drop(events);
        }
        Trouble::NetworkCut => {
            let cut = world.with(number, async |it| Ok(it.proxy()?.cut_network())).await?;
            sleep(time).await;
            drop(cut);
        }
        Trouble::Late(delay) => {
            let late = add(Rule::new(Effect::Late(delay))).await?;
            sleep(time).await;
            drop(late);
        }
        Trouble::Failing(failing, seed) => {
            let effect = match failing {
                Failing::Conflict => Effect::Instead(Failure::Status(409)),
                Failing::Refused => Effect::Instead(Failure::Status(503)),
                Failing::DoneNotTold => Effect::After(Failure::Status(500)),
                Failing::DoneAndHungUp => Effect::After(Failure::Hangup),
            };
            let failing = add(Rule::new(effect).verbs(&WRITES).chance(FAILING, seed)).await?;
            sleep(time).await;
            drop(failing);
        }
    }
    Ok(())
}

/// The pod that a victim is now, if there is any that stays.
pub(crate) fn pod_of(state: &State, victim: Victim) -> Option<Object> {
    let leaders: Vec<_> = state.leaders(victim.set).collect();
    let leader = *leaders.get(victim.group.checked_rem(leaders.len())?)?;
    let members: Vec<_> = std::iter::once(leader).chain(state.workers(leader)).collect();
    let pod = *members.get(victim.member.checked_rem(members.len())?)?;
    (!pod.deleting && !pod.node().is_empty()).then(|| pod.clone())
}

fn exactly(uid: &str) -> Preconditions {
    Preconditions { uid: Some(uid.to_owned()), resource_version: None }
}

/// What is gone, or another one by now, need not be deleted.
fn deleted<T>(answer: kube::Result<T>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

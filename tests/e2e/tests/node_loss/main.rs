//! Nodes that go without a word: the groups that had pods on them are released and come up elsewhere.
//!
//! Each test has a pool of nodes to itself: what is lost in one is not missed in the others. That the controller is
//! gone for a while in one holds the others up, and changes nothing that they look at.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Environment, Fixture, TestSet, set};
use lws_harness::system::SystemOptions;
use lws_harness::{ClusterOptions, wait};
use serde_json::json;

static ENVIRONMENT: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "node-loss",
        ClusterOptions {
            // Where more than half of the nodes of a zone are lost, none of their pods are evicted.
            nodes: 24,
            node_monitor_grace: Duration::from_secs(20),
            ..ClusterOptions::default()
        },
        SystemOptions { group_restart: json!({"nodeLostAfter": "2s"}), ..SystemOptions::default() },
    )
});

fn environment() -> Result<&'static Environment> {
    match &*ENVIRONMENT {
        Ok(environment) => Ok(environment),
        Err(error) => bail!("no environment: {error:#}"),
    }
}

/// A set of one group of three pods in a pool of nodes, which are evicted soon after their node is lost.
async fn settle(pool: &str) -> Result<TestSet> {
    let fixture = Fixture::default()
        .replicas(1)
        .size(3)
        .pod_spec("nodeSelector", &json!({"cloud.google.com/gke-nodepool": pool}))
        .short_lived();
    let set = environment()?.namespace().await?.create_set(&fixture).await?;
    set.created_leader_set().await?;
    set.done(1).await?;
    Ok(set)
}

async fn pod(set: &TestSet, name: &str) -> Result<Pod> {
    Ok(set.namespace().pods().get(name).await?)
}

fn node(pod: &Pod) -> Result<String> {
    let spec = pod.spec.as_ref().context("a spec")?;
    spec.node_name.clone().context("a node")
}

/// Waits until the group has another leader and is ready, on other nodes than `lost`, and makes sure that it was
/// recreated once; `told` are the numbers of recreations that may have been told of.
async fn recreated_elsewhere(
    set: &TestSet,
    leader: &Pod,
    lost: &str,
    fault: &str,
    told: &[usize],
) -> Result<()> {
    let look = async || set.namespace().pods().get_opt(&set.group(0)).await;
    let is_new = |it: &Option<Pod>| it.as_ref().is_some_and(|it| uid(it) != uid(leader));
    wait::until(DEADLINE, "a new leader", look, is_new).await?;
    set.done(1).await?;
    let new = pod(set, &set.group(0)).await?;
    set::stays(async || {
        let seen = set.namespace().recreations().await?;
        anyhow::ensure!(told.contains(&seen.len()), "{seen:?}");
        let now = pod(set, &set.group(0)).await?;
        anyhow::ensure!(uid(&now) == uid(&new), "there is yet another leader");
        Ok(())
    })
    .await?;
    for it in set.namespace().all::<Pod>().await? {
        anyhow::ensure!(node(&it)? != lost, "a pod is on the lost node");
    }
    let parts = [&*format!("Warning NodeLost: Node {lost} {fault}"), "the pod is deleted for good"];
    set.namespace().expect_event_of(&parts).await
}

#[tokio::test]
async fn a_group_leaves_a_node_that_is_not_heard_of_any_more() -> Result<()> {
    let set = settle("pool-0").await?;
    let leader = pod(&set, &set.group(0)).await?;
    let lost = node(&pod(&set, &set.worker(0, 1)).await?)?;
    environment()?.cluster().simulator()?.lose_node(&lost).await?;
    recreated_elsewhere(&set, &leader, &lost, "is not ready", &[1]).await
}

#[tokio::test]
async fn a_group_leaves_a_node_that_does_not_exist_any_more() -> Result<()> {
    let set = settle("pool-1").await?;
    let leader = pod(&set, &set.group(0)).await?;
    let worker = set.worker(0, 2);
    let lost = node(&pod(&set, &worker).await?)?;
    environment()?.cluster().simulator()?.lose_node(&lost).await?;
    let nodes: Api<Node> = Api::all(set.namespace().client());
    nodes.delete(&lost, &DeleteParams::default()).await?;
    set.namespace().pods().delete(&worker, &DeleteParams::default()).await?;
    recreated_elsewhere(&set, &leader, &lost, "does not exist any more", &[1]).await
}

#[tokio::test]
async fn a_group_leaves_a_node_that_was_lost_while_no_controller_ran() -> Result<()> {
    let set = settle("pool-3").await?;
    let leader = pod(&set, &set.group(0)).await?;
    let worker = set.worker(0, 1);
    let lost = node(&pod(&set, &worker).await?)?;
    let mut system = environment()?.system().await;
    let controller = system.controllers().first_mut().context("no controller")?;
    controller.process().kill().await?;
    environment()?.cluster().simulator()?.lose_node(&lost).await?;
    let is_evicted = async || pod(&set, &worker).await;
    wait::until(DEADLINE, "the worker is evicted", is_evicted, |it| {
        it.metadata.deletion_timestamp.is_some()
    })
    .await?;
    controller.restart().await?;
    drop(system);
    recreated_elsewhere(&set, &leader, &lost, "is not ready", &[1]).await
}

#[tokio::test]
async fn a_group_that_is_on_one_lost_node_as_a_whole_comes_up_elsewhere() -> Result<()> {
    let nodes: Api<Node> = Api::all(environment()?.namespace().await?.client());
    let others = ["node-9", "node-10", "node-11"];
    let cordon = async |is_closed: bool| -> Result<()> {
        for node in others {
            let patch = Patch::Merge(json!({"spec": {"unschedulable": is_closed}}));
            nodes.patch(node, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    };
    cordon(true).await?;
    let set = settle("pool-2").await?;
    cordon(false).await?;
    let leader = pod(&set, &set.group(0)).await?;
    environment()?.cluster().simulator()?.lose_node("node-8").await?;
    // The leader may be evicted before any worker: then its group goes with it without having failed.
    recreated_elsewhere(&set, &leader, "node-8", "is not ready", &[0, 1]).await
}

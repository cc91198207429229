//! How many groups are down at most while a set is updated, at any moment.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use lws_e2e::groups::Pods;
use lws_e2e::recording::{Change, Recording};
use lws_e2e::set::set_worker_image;
use lws_e2e::{Environment, Fixture};
use serde_json::json;

use crate::{ENVIRONMENT, ONE_BY_ONE, environment, settle_in};

/// Replicas, maxUnavailable and maxSurge.
#[derive(Clone, Copy)]
struct Budget(i32, i32, i32);

/// Updates a set and looks at every moment of it. Gives the smallest number of ready groups, and what had happened then.
async fn least_ready(environment: &Environment, budget: Budget) -> Result<(usize, String)> {
    let Budget(replicas, unavailable, surge) = budget;
    let fixture =
        Fixture::default().replicas(replicas).max_unavailable(unavailable).max_surge(surge);
    let namespace = environment.namespace().await?;
    let set = settle_in(&namespace, fixture).await?;
    let recording = Recording::<Pod>::start(&namespace).await?;
    set.change_workers("example.org/new").await?;
    set.done(replicas).await?;

    let most = usize::try_from(replicas + surge)?;
    let (mut pods, mut least) = (Pods::default(), most);
    let (mut history, mut worst) = (Vec::new(), String::new());
    for (position, change) in recording.so_far()?.into_iter().enumerate() {
        let what = told(&change);
        pods.apply(change);
        let ready = pods.ready_groups();
        history.push(format!("{what}: ready {ready:?}"));
        if position + 1 >= recording.before() && ready.len() < least {
            least = ready.len();
            worst = history.join("\n");
        }
        anyhow::ensure!(pods.groups().len() <= most, "{:?}", pods.groups());
    }
    Ok((least, format!("{worst}\nEvents: {:#?}", namespace.events().await?)))
}

/// A change of a pod, in a line.
fn told(change: &Change<Pod>) -> String {
    let (Change::Now(pod) | Change::Gone(pod)) = change;
    let what = match (change, &pod.metadata.deletion_timestamp) {
        (Change::Gone(_), _) => "is gone",
        (_, Some(_)) => "ends",
        _ => "is there",
    };
    format!("{} {} {what}", pod.name_any(), pod.uid().unwrap_or_default())
}

async fn keeps_its_budget(environment: &Environment, budget: Budget) -> Result<()> {
    let (least, history) = least_ready(environment, budget).await?;
    let Budget(replicas, unavailable, _) = budget;
    let allowed = usize::try_from(replicas - unavailable)?;
    anyhow::ensure!(least >= allowed, "{least} groups were ready, {allowed} had to be:\n{history}");
    Ok(())
}

#[tokio::test]
async fn no_more_groups_are_down_than_may_be() -> Result<()> {
    keeps_its_budget(environment(&ENVIRONMENT)?, Budget(6, 2, 0)).await
}

#[tokio::test]
async fn no_more_groups_are_down_than_may_be_with_surge() -> Result<()> {
    keeps_its_budget(environment(&ENVIRONMENT)?, Budget(4, 1, 2)).await
}

#[tokio::test]
async fn no_group_is_down_with_surge_alone() -> Result<()> {
    keeps_its_budget(environment(&ENVIRONMENT)?, Budget(3, 0, 1)).await
}

#[tokio::test]
async fn groups_are_replaced_together_where_the_feature_is_off() -> Result<()> {
    let (least, history) = least_ready(environment(&ONE_BY_ONE)?, Budget(6, 3, 0)).await?;
    anyhow::ensure!(least == 3, "{least} of 6 groups were ready, 3 may be down:\n{history}");
    Ok(())
}

/// On a full cluster a group that is added finds no node. It uses up one of the two that may be down, the other one is
/// left to the rollout.
#[tokio::test]
async fn a_group_that_is_added_on_a_full_cluster_does_not_stop_the_rollout() -> Result<()> {
    const ROOM: &str = "example.org/room";
    let namespace = crate::namespace().await?;
    let nodes: Api<Node> = Api::all(namespace.client());
    for node in nodes.list(&ListParams::default()).await?.items.iter().take(4) {
        let label = json!({"metadata": {"labels": {ROOM: namespace.name()}}});
        nodes.patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(label)).await?;
    }
    // More than half of a node, so that each has room for one.
    let large = json!({"requests": {"cpu": "33"}});
    let fixture = Fixture::default().replicas(4).size(1).max_unavailable(2);
    let fixture = fixture.resources(&large, &large);
    let fixture = fixture.pod_spec("nodeSelector", &json!({ROOM: namespace.name()}));
    let set = settle_in(&namespace, fixture).await?;
    set.update(|set| {
        set.spec.replicas = Some(5);
        set_worker_image(set, "example.org/new");
    })
    .await?;
    set.expect("rolling p0 r5 (4/5)").await
}

#[tokio::test]
async fn no_more_groups_are_down_than_may_be_with_surge_where_the_feature_is_off() -> Result<()> {
    keeps_its_budget(environment(&ONE_BY_ONE)?, Budget(4, 2, 2)).await
}

//! Changes of where groups are placed are rolled out like any other.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
use lws_e2e::recording::{Change, Recording};
use lws_e2e::set::partition;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet};
use lws_harness::simulator::TERMINATE_AFTER;
use lws_harness::wait;
use serde_json::json;

use crate::{namespace, settle};
use lws_e2e::groups::{Pods, leaders};

const NODE: &str = "kubernetes.io/hostname";
/// Each node is one of these, too. So every group can stay where it is when it is changed to this,
/// whichever of its pods are still there when its new leader is scheduled.
const RACK: &str = "example.org/rack";
/// Which namespace a node is for.
const POOL: &str = "example.org/pool";

async fn place(set: &TestSet, topology: Option<&str>) -> Result<()> {
    set.update(|it| {
        let annotations = it.metadata.annotations.get_or_insert_default();
        match topology {
            Some(topology) => {
                annotations.insert(EXCLUSIVE_TOPOLOGY.to_owned(), topology.to_owned());
            }
            None => drop(annotations.remove(EXCLUSIVE_TOPOLOGY)),
        }
    })
    .await
}

/// Partitions of the leader `StatefulSet` since `recording` began, without repetitions.
fn partitions(set: &TestSet, recording: &Recording<StatefulSet>) -> Result<Vec<i32>> {
    let mut seen = Vec::new();
    for change in recording.so_far()? {
        match change {
            Change::Now(it) if it.name_any() == set.name() => seen.push(partition(&it)),
            Change::Now(_) | Change::Gone(_) => {}
        }
    }
    seen.dedup();
    Ok(seen)
}

/// Fewest ready groups since `recording` began.
fn least_ready(recording: &Recording<Pod>) -> Result<usize> {
    let (mut pods, mut least) = (Pods::default(), usize::MAX);
    for (position, change) in recording.so_far()?.into_iter().enumerate() {
        pods.apply(change);
        if position + 1 >= recording.before() {
            least = least.min(pods.ready_groups().len());
        }
    }
    Ok(least)
}

/// The nodes that each group runs on.
async fn nodes(set: &TestSet, group: i32) -> Result<BTreeSet<String>> {
    let pods: Vec<Pod> = set.namespace().all().await?;
    let prefix = set.group(group);
    let of_group = pods
        .into_iter()
        .filter(|it| it.name_any() == prefix || it.name_any().starts_with(&format!("{prefix}-")));
    of_group.map(|it| it.spec.and_then(|it| it.node_name).context("not scheduled")).collect()
}

async fn label_nodes(set: &TestSet) -> Result<()> {
    let api: Api<Node> = Api::all(set.namespace().client());
    for node in api.list(&ListParams::default()).await?.items {
        let name = node.name_any();
        let label = Patch::Merge(json!({"metadata": {"labels": {RACK: name}}}));
        api.patch(&name, &PatchParams::default(), &label).await?;
    }
    Ok(())
}

#[tokio::test]
async fn groups_get_another_domain_and_lose_it_one_after_the_other() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).annotation(EXCLUSIVE_TOPOLOGY, NODE)).await?;
    label_nodes(&set).await?;
    for topology in [Some(RACK), None] {
        let stateful_sets = Recording::<StatefulSet>::start(set.namespace()).await?;
        let pods = Recording::<Pod>::start(set.namespace()).await?;
        place(&set, topology).await?;
        set.expect_conditions("rolling").await?;
        set.expect("available p0 r4 (4/4)").await?;
        let partitions = partitions(&set, &stateful_sets)?;
        anyhow::ensure!(partitions == [0, 4, 3, 2, 1, 0], "{topology:?}: {partitions:?}");
        let least = least_ready(&pods)?;
        anyhow::ensure!(least == 3, "{topology:?}: {least} of 4 groups were ready");
        let leaders = leaders(&pods)?;
        anyhow::ensure!(leaders.values().all(|uids| uids.len() == 2), "{topology:?}: {leaders:?}");
        set.expect_revisions(1).await?;
        if topology.is_some() {
            let mut taken = BTreeSet::new();
            for group in 0..4 {
                let nodes = nodes(&set, group).await?;
                anyhow::ensure!(nodes.len() == 1, "group {group} is on {nodes:?}");
                anyhow::ensure!(nodes.into_iter().all(|it| taken.insert(it)), "{taken:?}");
            }
        }
    }
    // Without the annotation everything is as if there never had been one, the key too.
    set.done(4).await
}

#[tokio::test]
async fn groups_that_have_not_left_their_domain_stay_when_the_change_is_taken_back() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).annotation(EXCLUSIVE_TOPOLOGY, NODE)).await?;
    set.done(4).await?;
    let recording = Recording::<Pod>::start(set.namespace()).await?;
    place(&set, None).await?;
    let description = "group 3 has a new leader";
    let look = async || Ok::<_, anyhow::Error>(leaders(&recording)?.remove("3"));
    wait::until(DEADLINE, description, look, |it| it.as_ref().is_some_and(|it| it.len() == 2))
        .await?;
    place(&set, Some(NODE)).await?;
    set.done(4).await?;
    let leaders = leaders(&recording)?;
    anyhow::ensure!(leaders.get("0").is_some_and(|uids| uids.len() == 1), "{leaders:?}");
    set.expect_revisions(1).await
}

/// Nodes for the pods of one namespace: so many more of those that no test has to itself yet.
async fn reserve_nodes(namespace: &Namespace, count: usize) -> Result<()> {
    let api: Api<Node> = Api::all(namespace.client());
    let nodes = api.list(&ListParams::default()).await?.items;
    for node in nodes.iter().filter(|it| !it.labels().contains_key(POOL)).take(count) {
        let label = Patch::Merge(json!({"metadata": {"labels": {POOL: namespace.name()}}}));
        api.patch(&node.name_any(), &PatchParams::default(), &label).await?;
    }
    Ok(())
}

#[tokio::test]
async fn groups_that_shared_a_node_get_one_each_although_their_workers_end_late() -> Result<()> {
    let namespace = namespace().await?;
    let set = TestSet::named(namespace.clone(), "test-sample");
    let selector = json!({POOL: namespace.name()});
    let mut object = Fixture::default().pod_spec("nodeSelector", &selector).object();
    let late = json!({"annotations": {TERMINATE_AFTER: "3s"}});
    object.data["spec"]["leaderWorkerTemplate"]["workerTemplate"]["metadata"] = late;
    reserve_nodes(&namespace, 1).await?;
    namespace.sets().create(&PostParams::default(), &object).await?;
    set.created_leader_set().await?;
    set.done(2).await?;
    reserve_nodes(&namespace, 2).await?;
    // The next leader of group 1 is scheduled while its former worker is there, beside group 0.
    place(&set, Some(NODE)).await?;
    set.expect_conditions("rolling").await?;
    set.expect("available p0 r2 (2/2)").await?;
    let (first, second) = (nodes(&set, 0).await?, nodes(&set, 1).await?);
    anyhow::ensure!(
        first.len() == 1 && second.len() == 1 && first != second,
        "{first:?} {second:?}"
    );
    namespace.expect_event_of(&["Normal LeaderRescheduled: Leader pod test-sample-1 "]).await
}

//! TPU hosts: every TPU container is told who works with it, and which of them it is.

use std::ops::Range;

use anyhow::{Context as _, Result};
use lws_api_types::keys::annotations;
use serde_json::json;

use super::*;
use crate::cases::each;
use crate::world::world;

type Case = (&'static str, Pod, Added);

async fn admits(cases: Vec<Case>) -> Result<()> {
    let world = &world().await?;
    each(cases, async |(case, pod, added): Case| {
        admit(world, case, &pod, &added).await.context(case)
    })
    .await
}

/// A TPU pod with one TPU container: its id, and the ordinals of the hosts.
fn whole(case: &'static str, pod: Pod, id: u32, members: Range<u32>) -> Case {
    let pod = pod.tpus(0);
    let added = Added::default().tpu(&pod, id, members);
    (case, pod, added)
}

/// The same in a subgroup.
fn divided(case: &'static str, pod: Pod, subgroup: u32, id: u32, members: Range<u32>) -> Case {
    let (case, pod, added) = whole(case, pod, id, members);
    (case, pod, added.subgroup(subgroup))
}

fn leader(size: u32) -> Pod {
    Pod::leader("test-sample", size)
}

fn worker(ordinal: u32, size: u32) -> Pod {
    Pod::worker("test-sample", ordinal, size)
}

#[tokio::test]
async fn pods_without_tpus_are_told_nothing() -> Result<()> {
    admits(vec![
        ("C-117 leader", leader(5), Added::default()),
        ("C-118 worker", worker(2, 5), Added::default()),
        ("T-1 worker of a TPU leader", worker(2, 5).of_tpu_leader(), Added::default()),
        (
            "T-2 a limit of nothing",
            worker(2, 5)
                .put("/spec/containers/0/resources", json!({"limits": {"google.com/tpu": "0"}})),
            Added::default(),
        ),
    ])
    .await
}

#[tokio::test]
async fn hosts_of_a_whole_group() -> Result<()> {
    admits(vec![
        whole("C-119 leader", leader(5), 0, 0..5),
        whole("C-122 worker of a TPU leader", worker(3, 5).of_tpu_leader(), 3, 0..5),
        whole("C-124 worker of a leader without TPU", worker(3, 5), 2, 1..5),
        whole("C-126 the only worker", worker(1, 2).of_tpu_leader(), 1, 0..2),
        whole("C-127 leader alone", leader(1), 0, 0..1),
    ])
    .await
}

/// One host list is written out: the others are built by a helper of this test.
#[tokio::test]
async fn the_host_list_in_full() -> Result<()> {
    let pod = leader(5).tpus(0);
    let env = json!([
        {"name": "LWS_LEADER_ADDRESS", "value": "test-sample-1.default.hosts"},
        {"name": "LWS_GROUP_SIZE", "value": "5"},
        {"name": "LWS_WORKER_INDEX", "value": "0"},
        {
            "name": "TPU_WORKER_HOSTNAMES",
            "value": "test-sample-1.default,test-sample-1-1.default,test-sample-1-2.default,test-sample-1-3.default,\
                      test-sample-1-4.default",
        },
        {"name": "TPU_WORKER_ID", "value": "0"},
        {"name": "TPU_NAME", "value": "test-sample-1"},
        {
            "name": "TPU_PROCESS_ADDRESSES",
            "value": "test-sample-1.default:8476,test-sample-1-1.default:8476,test-sample-1-2.default:8476,\
                      test-sample-1-3.default:8476,test-sample-1-4.default:8476",
        },
        {"name": "TPU_PROCESS_PORT", "value": "8476"},
    ]);
    let world = &world().await?;
    world.namespace("hosts").await?;
    let created = world.pods("hosts").create(&pod.json).await?.object()?;
    crate::json::ensure_equal(created.pointer("/spec/containers/0/env").context("env")?, &env)
}

#[tokio::test]
async fn hosts_of_a_subgroup() -> Result<()> {
    let excluded = |pod: Pod| pod.annotation(annotations::SUBGROUP_POLICY_TYPE, "LeaderExcluded");
    let tpu = |ordinal, size| worker(ordinal, size).of_tpu_leader();
    admits(vec![
        divided("C-121 leader", leader(5).divided(5), 0, 0, 0..5),
        divided("C-123 worker of a TPU leader", tpu(3, 10).divided(5), 0, 3, 0..5),
        divided("C-125 worker of a leader without TPU", worker(7, 11).divided(5), 1, 1, 6..11),
        divided("T-3 4/2 leader", leader(4).divided(2), 0, 0, 0..2),
        divided("T-4 4/2 worker 1", tpu(1, 4).divided(2), 0, 1, 0..2),
        divided("T-5 4/2 worker 2", tpu(2, 4).divided(2), 1, 0, 2..4),
        divided("T-6 4/2 worker 3", tpu(3, 4).divided(2), 1, 1, 2..4),
        divided("T-7 5/2 no leader, worker 2", worker(2, 5).divided(2), 0, 1, 1..3),
        divided("T-8 5/2 no leader, worker 3", worker(3, 5).divided(2), 1, 0, 3..5),
        divided("T-9 5/2 excluded, worker 4", excluded(worker(4, 5).divided(2)), 1, 1, 3..5),
        divided("T-10 3/1 leader", leader(3).divided(1), 0, 0, 0..1),
        divided("T-11 3/1 worker 2", tpu(2, 3).divided(1), 2, 0, 2..3),
        divided("T-12 3/1 no leader, worker 2", worker(2, 3).divided(1), 2, 0, 2..3),
        divided("T-13 8/4 worker 7", tpu(7, 8).divided(4), 1, 3, 4..8),
        whole("T-14 5/2 excluded leader is alone", excluded(leader(5).divided(2)), 0, 0..1),
    ])
    .await
}

/// The leader is the extra member of subgroup 0: every pod is in exactly the list of its own subgroup.
#[tokio::test]
async fn a_subgroup_with_an_extra_leader() -> Result<()> {
    let tpu = |ordinal| worker(ordinal, 5).of_tpu_leader().divided(2);
    admits(vec![
        divided("X-11-0 leader", leader(5).divided(2), 0, 0, 0..3),
        divided("X-11-1 worker", tpu(1), 0, 1, 0..3),
        divided("X-11-2 worker", tpu(2), 0, 2, 0..3),
        divided("X-11-3 worker", tpu(3), 1, 0, 3..5),
        divided("X-11-4 worker", tpu(4), 1, 1, 3..5),
    ])
    .await
}

/// The leader's place in subgroup 0 stays empty: no host outside the group is named.
#[tokio::test]
async fn a_subgroup_without_its_leader() -> Result<()> {
    admits(vec![
        divided("X-12-1 worker", worker(1, 4).divided(2), 0, 0, 1..2),
        divided("X-12-2 worker", worker(2, 4).divided(2), 1, 0, 2..4),
        divided("X-12-3 worker", worker(3, 4).divided(2), 1, 1, 2..4),
    ])
    .await
}

#[tokio::test]
async fn every_tpu_container_is_a_host() -> Result<()> {
    let second = json!({"name": "second", "image": "busybox"});
    let ports = [8476, 8477];
    let two = |pod: Pod| pod.tpus(0).container(&second).tpus(1);
    let of = |pod: &Pod, first_id, members: Range<u32>| {
        let hosts = hosts(pod, members, &ports);
        Added::default().tpus(0, first_id, hosts.clone(), 8476).tpus(1, first_id + 1, hosts, 8477)
    };
    let plain_first = leader(1).container(&second).tpus(1);
    let only_second = Added::default().tpus(1, 0, hosts(&plain_first, 0..1, &[8476]), 8476);
    let whole = two(worker(1, 2).of_tpu_leader());
    let whole_added = of(&whole, 2, 0..2);
    let divided = two(worker(3, 4).of_tpu_leader().divided(2));
    let divided_added = of(&divided, 2, 2..4).subgroup(1);
    admits(vec![
        ("C-128 one of two containers", plain_first, only_second),
        ("T-15 two containers", whole, whole_added),
        ("X-13 two containers in a subgroup", divided, divided_added),
    ])
    .await
}

#[tokio::test]
async fn a_group_with_a_subdomain_of_its_own() -> Result<()> {
    let unique = leader(5).annotation(annotations::SUBDOMAIN_POLICY, "UniquePerReplica").tpus(0);
    let unique = unique.led_from("test-sample-1.test-sample-1");
    let own_domain =
        |(host, port): (String, u16)| (host.replace(".default", ".test-sample-1"), port);
    let hosts = hosts(&unique, 0..5, &[8476]).into_iter().map(own_domain).collect();
    let added = Added::default().tpus(0, 0, hosts, 8476).subdomain("test-sample-1");
    admits(vec![("C-120 leader", unique, added)]).await
}

#[tokio::test]
async fn what_the_user_sets_stays() -> Result<()> {
    let with_env = |list: serde_json::Value| {
        worker(1, 2).of_tpu_leader().tpus(0).put("/spec/containers/0/env", list)
    };
    let world = &world().await?;
    let pod = with_env(json!([variable("TPU_WORKER_ID", "9")]));
    admit(world, "T-16 an id", &pod, &Added::default()).await.context("T-16")?;
    let pod = with_env(json!([variable("TPU_PROCESS_PORT", "8478")]));
    let env = json!([
        variable("LWS_LEADER_ADDRESS", "test-sample-1.default.t-17"),
        variable("LWS_GROUP_SIZE", "2"),
        variable("LWS_WORKER_INDEX", "1"),
        variable("TPU_PROCESS_PORT", "8478"),
        variable("TPU_WORKER_HOSTNAMES", "test-sample-1.default,test-sample-1-1.default"),
        variable("TPU_WORKER_ID", "1"),
        variable("TPU_NAME", "test-sample-1"),
        variable(
            "TPU_PROCESS_ADDRESSES",
            "test-sample-1.default:8478,test-sample-1-1.default:8478"
        ),
    ]);
    let labels = format!("/metadata/labels/{}", escape(lws_api_types::keys::labels::WORKER_INDEX));
    let changes = vec![(labels, json!("1")), ("/spec/containers/0/env".to_owned(), env)];
    admit_with(world, "T-17 a port", &pod, changes).await.context("T-17")
}

//! Pods as a set with everything makes them, and all of what they are after their creation.

use anyhow::Result;
use serde_json::{Value, json};

use super::*;
use crate::world::world;

/// A leader and its worker in a set with subgroups, exclusive placement on both levels, subdomains of their own, TPUs,
/// init containers and variables of the user.
fn pods() -> [Pod; 2] {
    let annotations = [
        ("size", "3"),
        ("subgroup-size", "1"),
        ("subgroup-policy-type", "LeaderWorker"),
        ("exclusive-topology", "cloud.google.com/gke-nodepool"),
        ("subgroup-exclusive-topology", "kubernetes.io/hostname"),
    ];
    let leader = [("subdomainPolicy", "UniquePerReplica")];
    let worker = [("leader-name", "everything-1"), ("leader-requests-tpus", "true")];
    let annotate = |pod: Pod, more: &[(&str, &str)]| {
        annotations.iter().chain(more).fold(pod, |pod, (key, value)| {
            pod.annotation(&format!("leaderworkerset.sigs.k8s.io/{key}"), value)
        })
    };
    let fill = |pod: Pod| {
        pod.label("leaderworkerset.sigs.k8s.io/template-revision-hash", "5f4c6b9d7")
            .label("app", "inference")
            .put("/spec/subdomain", json!("everything"))
            .put(
                "/spec/initContainers",
                json!([{"name": "fetch", "image": "busybox", "env": [
                    {"name": "TARGET", "value": "$(LWS_LEADER_ADDRESS)"},
                ]}]),
            )
            .put(
                "/spec/containers",
                json!([
                    {
                        "name": "serve",
                        "image": "busybox",
                        "command": ["serve", "--leader=$(LWS_LEADER_ADDRESS)"],
                        "env": [
                            {"name": "MODEL", "value": "large"},
                            {"name": "LWS_GROUP_SIZE", "value": "1"},
                        ],
                        "resources": {"limits": {"google.com/tpu": "4"}},
                    },
                    {"name": "sidecar", "image": "busybox"},
                ]),
            )
    };
    [
        annotate(fill(Pod::leader("everything", 3)), &leader),
        annotate(fill(Pod::worker("everything", 2, 3)), &worker)
            .label(
                "leaderworkerset.sigs.k8s.io/group-key",
                "7fea6cc6e8761343377c40e1a75ae04b8ab19677",
            )
            // The StatefulSet of the workers of such a group has the group's Service.
            .put("/spec/subdomain", json!("everything-1")),
    ]
}

/// The terms for one level.
fn terms(key: &str, value: &str, topology: &str) -> [Value; 2] {
    [
        json!({
            "labelSelector": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]},
            "topologyKey": topology,
        }),
        json!({
            "labelSelector": {"matchExpressions": [
                {"key": key, "operator": "Exists"},
                {"key": key, "operator": "NotIn", "values": [value]},
            ]},
            "topologyKey": topology,
        }),
    ]
}

fn variables(index: &str) -> [Value; 3] {
    [
        json!({"name": "LWS_LEADER_ADDRESS", "value": "everything-1.everything-1.whole"}),
        json!({"name": "LWS_GROUP_SIZE", "value": "3"}),
        json!({"name": "LWS_WORKER_INDEX", "value": index}),
    ]
}

fn changes(index: &str, host: &str, labels: &Value, affinity: Value) -> Vec<(String, Value)> {
    let [address, size, place] = variables(index);
    let at = |pointer: &str, value: Value| (pointer.to_owned(), value);
    vec![
        at("/metadata/labels", labels.clone()),
        at("/spec/affinity", affinity),
        at("/spec/subdomain", json!("everything-1")),
        at(
            "/spec/initContainers/0/env",
            json!([
                address, size, place,
                {"name": "TARGET", "value": "$(LWS_LEADER_ADDRESS)"},
            ]),
        ),
        at(
            "/spec/containers/0/env",
            json!([
                address, size, place,
                {"name": "MODEL", "value": "large"},
                {"name": "TPU_WORKER_HOSTNAMES", "value": host},
                {"name": "TPU_WORKER_ID", "value": "0"},
                {"name": "TPU_NAME", "value": "everything-1"},
                {"name": "TPU_PROCESS_ADDRESSES", "value": format!("{host}:8476")},
                {"name": "TPU_PROCESS_PORT", "value": "8476"},
            ]),
        ),
        at("/spec/containers/1/env", json!([address, size, place])),
    ]
}

#[tokio::test]
async fn a_leader_and_a_worker_with_everything() -> Result<()> {
    let [leader, worker] = pods();
    // SHA-1 of whole/everything-1, everything-1/0 and everything-1/2.
    let group = "7fea6cc6e8761343377c40e1a75ae04b8ab19677";
    let first = "b407ee71a573d8d2933ad2bbf9d16ff397e47e8d";
    let third = "fa45cef67357bf64393039c8858e3cb0adbdc40b";
    let labels = |place: &str, subgroup: &str, key: &str| {
        json!({
            "app": "inference",
            "leaderworkerset.sigs.k8s.io/name": "everything",
            "leaderworkerset.sigs.k8s.io/template-revision-hash": "5f4c6b9d7",
            "leaderworkerset.sigs.k8s.io/group-index": "1",
            "leaderworkerset.sigs.k8s.io/group-key": group,
            "leaderworkerset.sigs.k8s.io/worker-index": place,
            "leaderworkerset.sigs.k8s.io/subgroup-index": subgroup,
            "leaderworkerset.sigs.k8s.io/subgroup-key": key,
        })
    };
    let [group_near, group_far] =
        terms("leaderworkerset.sigs.k8s.io/group-key", group, "cloud.google.com/gke-nodepool");
    let subgroup =
        |key| terms("leaderworkerset.sigs.k8s.io/subgroup-key", key, "kubernetes.io/hostname");
    let affinity = |near: &[&Value], far: &[&Value]| {
        json!({
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": far},
        })
    };
    let [first_near, first_far] = subgroup(first);
    let [third_near, third_far] = subgroup(third);
    let of_leader = affinity(&[&group_near, &first_near], &[&group_far, &first_far]);
    let of_worker = affinity(&[&third_near], &[&third_far]);
    let expected_leader =
        changes("0", "everything-1.everything-1", &labels("0", "0", first), of_leader);
    let expected_worker =
        changes("2", "everything-1-2.everything-1", &labels("2", "2", third), of_worker);
    let world = &world().await?;
    admit_with(world, "whole leader", &leader, expected_leader).await?;
    admit_with(world, "whole worker", &worker, expected_worker).await
}

//! The simulated nodes and kubelets, seen through a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use lws_harness::simulator::LOST;
use lws_harness::{Cluster, ClusterOptions, wait};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Far more than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn pods(client: &Client) -> Api<Pod> {
    Api::namespaced(client.clone(), "default")
}

fn pod(name: &str, annotations: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations, "labels": {"test": name}},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "initContainers": [
                {"name": "prepare", "image": "example.org/prepare:1"},
                {"name": "proxy", "image": "example.org/proxy:1", "restartPolicy": "Always"},
            ],
            "containers": [{"name": "main", "image": "example.org/main:1"}],
        },
    }))
    .unwrap()
}

fn stateful_set(name: &str, replicas: usize) -> StatefulSet {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "main",
                    "image": "example.org/main:1",
                    "resources": {"limits": {"google.com/tpu": "1"}},
                }]},
            },
        },
    }))
    .unwrap()
}

/// `Some(true)` once the pod is ready, `Some(false)` once it runs without being ready.
fn ready(pod: &Pod) -> Option<bool> {
    let status = pod.status.as_ref()?;
    let condition =
        status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready")?;
    (status.phase.as_deref() == Some("Running")).then(|| condition.status == "True")
}

async fn until_pod(api: &Api<Pod>, name: &str, what: &str, accept: impl Fn(&Pod) -> bool) -> Pod {
    wait::until(DEADLINE, &format!("{name} {what}"), async || api.get(name).await, accept)
        .await
        .unwrap()
}

fn main_status(pod: &Pod) -> &ContainerStatus {
    pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap().first().unwrap()
}

#[tokio::test]
async fn plays_kubelets() {
    let cluster =
        Cluster::start(ClusterOptions { nodes: 2, ..ClusterOptions::default() }).await.unwrap();
    // Side by side, because they mostly wait.
    tokio::join!(
        writes_what_a_kubelet_writes(&cluster),
        stateful_set_becomes_ready(&cluster),
        delays_readiness_and_end(&cluster),
        never_ready_until_told_otherwise(&cluster),
        restarts_containers(&cluster),
        vanishes(&cluster),
        complains(&cluster),
    );
}

async fn writes_what_a_kubelet_writes(cluster: &Cluster) {
    let api = pods(&cluster.client());
    let mark = cluster.audit().mark().unwrap();
    api.create(&PostParams::default(), &pod("plain", &json!({}))).await.unwrap();
    let seen = until_pod(&api, "plain", "is ready", |pod| ready(pod) == Some(true)).await;
    let status = seen.status.clone().unwrap();
    let ip = status.pod_ip.clone().unwrap();
    assert!(ip.starts_with("10."), "{ip}");
    assert_eq!(status.pod_ips.unwrap().first().unwrap().ip, ip);
    assert!(status.host_ip.unwrap().starts_with("172.16."));
    assert!(status.start_time.is_some());
    let conditions: Vec<_> =
        status.conditions.unwrap().into_iter().map(|it| (it.type_, it.status)).collect();
    for kind in
        ["PodScheduled", "Initialized", "ContainersReady", "Ready", "PodReadyToStartContainers"]
    {
        assert!(
            conditions.contains(&(kind.to_owned(), "True".to_owned())),
            "{kind}: {conditions:?}"
        );
    }
    assert_eq!(conditions.len(), 5, "{conditions:?}");

    let main = main_status(&seen);
    assert_eq!((main.name.as_str(), main.image.as_str()), ("main", "example.org/main:1"));
    assert_eq!((main.ready, main.started, main.restart_count), (true, Some(true), 0));
    assert!(main.container_id.is_some() && !main.image_id.is_empty());
    assert!(main.state.as_ref().unwrap().running.as_ref().unwrap().started_at.is_some());
    let init = status.init_container_statuses.unwrap();
    let [prepare, proxy] = init.as_slice() else { panic!("{init:?}") };
    assert_eq!(prepare.state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 0);
    assert!(proxy.state.as_ref().unwrap().running.is_some() && proxy.ready);

    api.delete("plain", &DeleteParams::default()).await.unwrap();
    wait::until(DEADLINE, "plain is gone", async || api.get_opt("plain").await, Option::is_none)
        .await
        .unwrap();
    let events = cluster.audit().since(mark).unwrap();
    let of_kubelet = |event: &&lws_harness::audit::AuditEvent| {
        event.key.user == "simulator" && event.name == "plain"
    };
    let verbs: Vec<_> =
        events.iter().filter(of_kubelet).map(|event| event.key.verb.as_str()).collect();
    assert_eq!(verbs, ["patch", "delete"], "one request to become ready and one to end");
}

async fn stateful_set_becomes_ready(cluster: &Cluster) {
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client(), "default");
    sets.create(&PostParams::default(), &stateful_set("web", 3)).await.unwrap();
    let ready = |set: &StatefulSet| {
        set.status.as_ref().is_some_and(|status| status.ready_replicas == Some(3))
    };
    wait::until(DEADLINE, "3 pods are ready", async || sets.get("web").await, ready).await.unwrap();
    let of_web = ListParams::default().labels("app=web");
    let list = pods(&cluster.client()).list(&of_web).await.unwrap();
    let mut ips: Vec<_> =
        list.iter().map(|pod| pod.status.as_ref().unwrap().pod_ip.clone().unwrap()).collect();
    ips.sort();
    ips.dedup();
    assert_eq!(ips.len(), 3, "every pod has an address of its own");
}

async fn delays_readiness_and_end(cluster: &Cluster) {
    let api = pods(&cluster.client());
    let annotations = json!({"simulator/ready-after": "1500ms", "simulator/terminate-after": "1s"});
    // Counted from before each request, so that a slow machine makes it longer only.
    let created = Instant::now();
    api.create(&PostParams::default(), &pod("slow", &annotations)).await.unwrap();
    until_pod(&api, "slow", "is ready", |pod| ready(pod) == Some(true)).await;
    assert!(created.elapsed() >= Duration::from_millis(1500), "{:?}", created.elapsed());

    let deleted = Instant::now();
    api.delete("slow", &DeleteParams::default()).await.unwrap();
    wait::until(DEADLINE, "slow is gone", async || api.get_opt("slow").await, Option::is_none)
        .await
        .unwrap();
    assert!(deleted.elapsed() >= Duration::from_secs(1), "{:?}", deleted.elapsed());
}

async fn never_ready_until_told_otherwise(cluster: &Cluster) {
    let api = pods(&cluster.client());
    for key in ["simulator/never-ready", "test/never-ready"] {
        let name = key.replace('/', "-");
        api.create(&PostParams::default(), &pod(&name, &json!({key: "true"}))).await.unwrap();
        until_pod(&api, &name, "runs", |pod| ready(pod) == Some(false)).await;
        // As long as a pod without the annotation takes several times over.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(ready(&api.get(&name).await.unwrap()), Some(false));
        let change = Patch::Merge(json!({"metadata": {"annotations": {key: null}}}));
        api.patch(&name, &PatchParams::default(), &change).await.unwrap();
        until_pod(&api, &name, "is ready", |pod| ready(pod) == Some(true)).await;
    }
}

async fn restarts_containers(cluster: &Cluster) {
    let api = pods(&cluster.client());
    let annotations = json!({"simulator/restart-container": "main@300ms"});
    let created = api.create(&PostParams::default(), &pod("flaky", &annotations)).await.unwrap();
    let restarted = |count| {
        move |pod: &Pod| ready(pod) == Some(false) && main_status(pod).restart_count == count
    };
    let seen = until_pod(&api, "flaky", "restarts", restarted(1)).await;
    assert!(main_status(&seen).last_state.as_ref().unwrap().terminated.is_some());
    until_pod(&api, "flaky", "is ready again", |pod| ready(pod) == Some(true)).await;

    let simulator = cluster.simulator().unwrap();
    simulator.restart_container("default", "flaky", "main").await.unwrap();
    until_pod(&api, "flaky", "restarts again", restarted(2)).await;
    let seen = until_pod(&api, "flaky", "is ready again", |pod| ready(pod) == Some(true)).await;
    assert_eq!((main_status(&seen).restart_count, seen.uid()), (2, created.uid()));
    let error = simulator.restart_container("default", "flaky", "none").await.unwrap_err();
    assert!(error.to_string().contains("container none of the pod default/flaky"), "{error}");
}

/// It is there for half a second, which somebody who looks every now and then may miss.
async fn vanishes(cluster: &Cluster) {
    let api = pods(&cluster.client());
    let this = watcher::Config::default().fields("metadata.name=fleeting");
    let mut watch = pin!(watcher(api.clone(), this));
    let mut next = async || timeout(DEADLINE, watch.try_next()).await.unwrap().unwrap().unwrap();
    while !matches!(next().await, Event::InitDone) {}
    let annotations = json!({"simulator/vanish-after": "500ms", "simulator/terminate-after": "1h"});
    api.create(&PostParams::default(), &pod("fleeting", &annotations)).await.unwrap();
    let mut was_ready = false;
    while let Event::Apply(pod) = next().await {
        was_ready |= ready(&pod) == Some(true);
    }
    assert!(was_ready);
    assert!(api.get_opt("fleeting").await.unwrap().is_none());
}

async fn complains(cluster: &Cluster) {
    let api = pods(&cluster.client());
    api.create(&PostParams::default(), &pod("typo", &json!({"simulator/ready-after": "soon"})))
        .await
        .unwrap();
    let complaint = |pod: &Pod| pod.status.as_ref().and_then(|status| status.message.clone());
    let seen = until_pod(&api, "typo", "has a message", |pod| complaint(pod).is_some()).await;
    assert!(complaint(&seen).unwrap().contains("simulator/ready-after"), "{seen:?}");
    assert_eq!(ready(&seen), None);
}

#[tokio::test]
async fn adopts_loses_and_recovers_nodes() {
    let options = ClusterOptions {
        nodes: 1,
        node_monitor_grace: Duration::from_secs(4),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let nodes: Api<Node> = Api::all(cluster.client());
    let ready = |node: &Node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.filter(|it| it.type_ == "Ready").map(|it| it.status.clone()).collect::<String>()
    };
    let api = pods(&cluster.client());
    api.create(&PostParams::default(), &pod("stuck", &json!({}))).await.unwrap();
    until_pod(&api, "stuck", "is ready", |pod| self::ready(pod) == Some(true)).await;

    let foreign = serde_json::from_value(json!({"metadata": {"name": "foreign"}})).unwrap();
    nodes.create(&PostParams::default(), &foreign).await.unwrap();
    let adopted = async || nodes.get("foreign").await;
    wait::until(DEADLINE, "the node of others is ready", adopted, |node| ready(node) == "True")
        .await
        .unwrap();
    let leases: Api<Lease> = Api::namespaced(cluster.client(), "kube-node-lease");
    let lease = async || leases.get_opt("foreign").await;
    wait::until(DEADLINE, "the node of others has a lease", lease, Option::is_some).await.unwrap();

    let simulator = cluster.simulator().unwrap();
    simulator.lose_node("node-0").await.unwrap();
    let lost = async || nodes.get("node-0").await;
    wait::until(DEADLINE, "the node is lost", lost, |node| ready(node) == "Unknown").await.unwrap();
    // The node controller takes the readiness of the pods away, and nobody finishes a deletion.
    until_pod(&api, "stuck", "is not ready", |pod| self::ready(pod) == Some(false)).await;
    api.delete("stuck", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(api.get("stuck").await.unwrap().metadata.deletion_timestamp.is_some());

    simulator.recover_node("node-0").await.unwrap();
    wait::until(DEADLINE, "the node is back", lost, |node| ready(node) == "True").await.unwrap();
    wait::until(DEADLINE, "the pod is gone", async || api.get_opt("stuck").await, Option::is_none)
        .await
        .unwrap();
    assert!(nodes.get("node-0").await.unwrap().annotations().get(LOST).is_none());
}

/// Creates and deletes pods for 20 seconds, or as many as `CHURN_SECONDS` says, and then sees whether pods still run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outlasts_churn() {
    // A simulator that is stuck is so for ever: this only has to outlast a busy machine.
    let deadline = Duration::from_mins(2);
    let seconds = std::env::var("CHURN_SECONDS").map_or(20, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let cluster =
        Cluster::start(ClusterOptions { nodes: 20, ..ClusterOptions::default() }).await.unwrap();
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client(), "default");
    let api = pods(&cluster.client());
    let (size, mut rounds) = (40, 0);
    while rounds == 0 || Instant::now() < end {
        let name = format!("churn-{rounds}");
        sets.create(&PostParams::default(), &stateful_set(&name, size)).await.unwrap();
        let label = format!("app={name}");
        let selected = ListParams::default().labels(&label);
        let all_ready = async || {
            let list = api.list(&selected).await?;
            Ok::<_, kube::Error>(list.iter().filter(|pod| ready(pod) == Some(true)).count())
        };
        wait::until(deadline, &format!("{name} is ready"), all_ready, |count| *count == size)
            .await
            .unwrap();
        sets.delete(&name, &DeleteParams::background()).await.unwrap();
        rounds += 1;
    }
    let left = async || api.list(&ListParams::default()).await.map(|list| list.items.len());
    wait::until(deadline, "all pods are gone", left, |count| *count == 0).await.unwrap();
    eprintln!("{} pods came and went in {seconds} s", rounds * size);
}

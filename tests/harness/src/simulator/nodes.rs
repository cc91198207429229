//! The simulated nodes: registration, leases, readiness.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::SimulatorOptions;
use super::status::seconds;
use crate::{Error, Result};

/// `true` on a node: it is lost. Its lease and readiness are not renewed and its pods stay as they are.
pub const LOST: &str = "simulator/lost";

/// On the nodes that a simulator has registered.
const SIMULATED: &str = "simulator/node";

/// What pods are told of a node without an address: the API server insists on one.
const NO_ADDRESS: &str = "127.0.0.1";

/// Requests about nodes at a time.
const CONCURRENCY: usize = 16;

/// What the engine tells the heart of a node that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) name: String,
    /// The API server has it as not ready.
    pub(super) unready: bool,
}

/// What the simulator reads of a node.
#[derive(Debug)]
pub(super) struct NodeView {
    pub(super) name: String,
    pub(super) ip: String,
    pub(super) lost: bool,
    pub(super) ready: bool,
    /// A simulator has registered it.
    pub(super) simulated: bool,
}

impl NodeView {
    pub(super) fn of(node: &Node) -> Self {
        let status = node.status.clone().unwrap_or_default();
        let mut addresses = status.addresses.into_iter().flatten();
        Self {
            name: node.name_any(),
            ip: addresses
                .find(|address| address.type_ == "InternalIP")
                .map_or_else(|| NO_ADDRESS.to_owned(), |address| address.address),
            lost: node.annotations().get(LOST).is_some_and(|lost| lost == "true"),
            ready: status
                .conditions
                .into_iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            simulated: node.labels().contains_key(SIMULATED),
        }
    }
}

/// Registers the nodes that are not there yet.
pub(super) async fn register(client: &Client, options: &SimulatorOptions) -> Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let create = |index| {
        let api = api.clone();
        async move {
            let name = format!("node-{index}");
            let failed = format!("register the node {name}");
            let node: Node =
                serde_json::from_value(node(index, &name, &options.kubernetes_version))
                    .map_err(|error| Error::api(failed.clone())(kube::Error::SerdeError(error)))?;
            match api.create(&PostParams::default(), &node).await {
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                outcome => outcome.map(drop).map_err(Error::api(failed)),
            }
        }
    };
    stream::iter(0..options.nodes).map(create).buffer_unordered(CONCURRENCY).try_collect().await
}

/// Renews leases every `period` and makes nodes ready that are not. Runs until the sender is dropped.
pub(super) async fn heartbeat(
    client: Client,
    mut beats: watch::Receiver<Vec<Beat>>,
    period: Duration,
) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let renew = tokio::select! {
            _ = ticks.tick() => true,
            changed = beats.changed() => match changed {
                Ok(()) => false,
                Err(_) => return,
            },
        };
        let nodes = beats.borrow_and_update().clone();
        stream::iter(nodes)
            .for_each_concurrent(CONCURRENCY, |beat| beat_once(&client, beat, renew))
            .await;
    }
}

async fn beat_once(client: &Client, beat: Beat, renew: bool) {
    if beat.unready {
        let api: Api<Node> = Api::all(client.clone());
        let patch = Patch::Strategic(json!({"status": {"conditions": conditions()}}));
        if let Err(error) = api.patch_status(&beat.name, &PatchParams::default(), &patch).await {
            tracing::warn!(node = beat.name, %error, "cannot make a node ready; trying again at the next beat");
        }
    }
    if renew && let Err(error) = renew_lease(client, &beat.name).await {
        tracing::warn!(node = beat.name, %error, "cannot renew a lease; trying again at the next beat");
    }
}

async fn renew_lease(client: &Client, node: &str) -> kube::Result<()> {
    let api: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let spec = LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: Some(40),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    };
    match api.patch(node, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let metadata = ObjectMeta { name: Some(node.to_owned()), ..ObjectMeta::default() };
            api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) })
                .await
                .map(drop)
        }
        outcome => outcome.map(drop),
    }
}

/// A node with eight TPU chips, in pools of four nodes and three zones.
fn node(index: usize, name: &str, version: &str) -> Value {
    let zone = ["a", "b", "c"].into_iter().cycle().nth(index % 3);
    let resources = json!({"cpu": "64", "memory": "256Gi", "pods": "256", "ephemeral-storage": "1Ti", "google.com/tpu": "8"});
    json!({
        "metadata": {
            "name": name,
            "labels": {
                SIMULATED: "true",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": format!("zone-{}", zone.unwrap_or_default()),
                "cloud.google.com/gke-nodepool": format!("pool-{}", index / 4),
            },
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": format!("172.16.{}.{}", index / 250, index % 250 + 1)},
                {"type": "Hostname", "address": name},
            ],
            "capacity": resources,
            "allocatable": resources,
            "conditions": conditions(),
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": name,
                "containerRuntimeVersion": "containerd://2.0.0",
                "kernelVersion": "6.12.0",
                "kubeProxyVersion": "",
                "kubeletVersion": format!("v{version}"),
                "machineID": name,
                "operatingSystem": "linux",
                "osImage": "simulated",
                "systemUUID": name,
            },
        },
    })
}

fn conditions() -> Value {
    let now = seconds(Timestamp::now());
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now});
    json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        condition("Ready", "True", "KubeletReady"),
    ])
}

//! A cluster that has what documented manifests ask for: accelerators, topologies, volumes, gang scheduling.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use lws_e2e::{Environment, Namespace};
use lws_harness::ClusterOptions;
use lws_harness::system::{SystemOptions, Volcano};
use serde_json::json;
use tokio::sync::OnceCell;

/// Enough for all manifests at once.
const NODES: usize = 32;

/// How many claims can be bound.
const VOLUMES: usize = 16;

static ENVIRONMENT: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "documentation",
        ClusterOptions {
            nodes: NODES,
            ready_delay: Duration::from_millis(300),
            controller_manager_args: vec!["--horizontal-pod-autoscaler-sync-period=1s".to_owned()],
            ..ClusterOptions::default()
        },
        SystemOptions { volcano: Volcano::Installed, ..SystemOptions::default() },
    )
});

static EQUIPPED: OnceCell<()> = OnceCell::const_new();

/// The cluster, equipped.
pub(crate) async fn environment() -> Result<&'static Environment> {
    match &*ENVIRONMENT {
        Ok(environment) => {
            EQUIPPED.get_or_try_init(|| equip(environment)).await?;
            Ok(environment)
        }
        Err(error) => bail!("no environment: {error:#}"),
    }
}

async fn equip(environment: &Environment) -> Result<()> {
    let namespace = environment.namespace().await?;
    equip_nodes(&namespace).await?;
    offer_volumes(&namespace).await
}

/// Gives every node eight GPUs, memory for a large model, and the labels of a host of a TPU slice; the simulator has given it
/// TPU chips and a node pool.
async fn equip_nodes(namespace: &Namespace) -> Result<()> {
    let api: Api<Node> = Api::all(namespace.client());
    let parameters = PatchParams::default();
    let labels = Patch::Merge(json!({"metadata": {"labels": {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }}}));
    let resources = json!({"nvidia.com/gpu": "8", "memory": "2Ti"});
    let status = Patch::Merge(json!({"status": {"capacity": resources, "allocatable": resources}}));
    for node in api.list(&ListParams::default()).await? {
        api.patch(&node.name_any(), &parameters, &labels).await?;
        api.patch_status(&node.name_any(), &parameters, &status).await?;
    }
    Ok(())
}

/// Offers volumes in a storage class that claims get without naming one.
async fn offer_volumes(namespace: &Namespace) -> Result<()> {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {
            "name": "documented",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "Immediate",
    }))?;
    let parameters = PostParams::default();
    Api::all(namespace.client()).create(&parameters, &class).await?;
    let api: Api<PersistentVolume> = Api::all(namespace.client());
    for index in 0..VOLUMES {
        let volume = serde_json::from_value(json!({
            "metadata": {"name": format!("documented-{index}")},
            "spec": {
                "storageClassName": "documented",
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/nowhere"},
            },
        }))?;
        api.create(&parameters, &volume).await?;
    }
    Ok(())
}

/// Writes a file into the directory of the cluster.
pub(crate) async fn file(name: &str, text: &str) -> Result<PathBuf> {
    let path = environment().await?.cluster().dir().join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

//! What of `deploy/` is applied as it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Rights, SystemOptions};
use crate::{Cluster, Error, Result, wait};

/// How long the API server may take to serve a new definition.
const DEADLINE: Duration = Duration::from_mins(1);

/// A file or directory of `deploy/`.
pub(super) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(relative)
}

/// Applies the namespace, the definition and what `options` ask for, and waits until sets can be created.
pub(super) async fn install(cluster: &Cluster, options: &SystemOptions) -> Result<()> {
    apply(cluster, "-k", &path("namespace")).await?;
    apply(cluster, "-k", &path("crd")).await?;
    if options.rights == Rights::Shipped {
        apply(cluster, "-k", &path("rbac")).await?;
    }
    established(cluster, "leaderworkersets.leaderworkerset.x-k8s.io").await
}

/// Gives controllers the rights on `PodGroup`s, as the component of `deploy/` does.
pub async fn grant_pod_groups(cluster: &Cluster) -> Result<()> {
    apply(cluster, "-k", &volcano_path("")).await
}

/// Lets the API server store `PodGroup`s.
pub async fn define_pod_groups(cluster: &Cluster) -> Result<()> {
    apply(cluster, "-f", &volcano_path("definition.yaml")).await?;
    established(cluster, "podgroups.scheduling.volcano.sh").await
}

/// Lets the API server store the objects that cert-manager works by.
pub async fn define_certificates(cluster: &Cluster) -> Result<()> {
    let definitions = "manifests/cert-manager/definitions.yaml";
    apply(cluster, "-f", &Path::new(env!("CARGO_MANIFEST_DIR")).join(definitions)).await?;
    for plural in ["certificates", "issuers"] {
        established(cluster, &format!("{plural}.cert-manager.io")).await?;
    }
    Ok(())
}

fn volcano_path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/volcano").join(relative)
}

/// Waits until objects of a definition can be created.
async fn established(cluster: &Cluster, definition: &str) -> Result<()> {
    let definition = format!("crd/{definition}");
    let arguments = ["wait", "--for=condition=Established", "--timeout=30s", &definition];
    // kubectl does not wait but fails as long as the definition has no condition at all.
    let wait = async || kubectl(cluster, &arguments).await.map(Some);
    wait::eventually(DEADLINE, &format!("{definition} is established"), wait).await
}

/// Applies a file (`-f`) or a kustomization (`-k`) on the server side.
pub(super) async fn apply(cluster: &Cluster, flag: &str, path: &Path) -> Result<()> {
    kubectl(cluster, &["apply", "--server-side", flag, &path.to_string_lossy()]).await
}

async fn kubectl(cluster: &Cluster, args: &[&str]) -> Result<()> {
    let output = cluster.kubectl(args).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Kubectl {
        arguments: args.join(" "),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

//! What of `deploy/` is applied as it is.

use std::path::{Path, PathBuf};

use super::SystemOptions;
use crate::{Cluster, Error, Result};

/// A file or directory of `deploy/`.
pub(super) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(relative)
}

/// Applies the namespace, the definition and what `options` ask for, and waits until sets can be created.
pub(super) async fn install(cluster: &Cluster, options: &SystemOptions) -> Result<()> {
    apply(cluster, "-f", &path("namespace.yaml")).await?;
    apply(cluster, "-k", &path("crd")).await?;
    if options.rights {
        apply(cluster, "-k", &path("rbac")).await?;
    }
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd/leaderworkersets.leaderworkerset.x-k8s.io",
    ];
    kubectl(cluster, &established).await
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

//! Running the command and kubectl against a cluster.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use lws_harness::{Cluster, ClusterOptions};
use serde::Deserialize as _;
use serde_json::Value;

/// A kubectl of which some calls, named in `TIMES_OUT`, are answered by an API server in trouble.
pub(crate) const TIMEOUT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/kubectl-timeout");

/// A file or directory of `deploy/`.
pub(crate) fn deploy(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(relative)
}

/// A whole control plane with two nodes.
pub(crate) async fn cluster() -> Result<Cluster> {
    Ok(Cluster::start(ClusterOptions { nodes: 2, ..ClusterOptions::default() }).await?)
}

/// What a command said, whether it has succeeded or not.
pub(crate) struct Said {
    pub(crate) succeeded: bool,
    pub(crate) text: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let [out, err] =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        Self { succeeded: output.status.success(), text: out + &err }
    }
}

impl Said {
    /// Fails unless the command has succeeded and said all of `parts`.
    pub(crate) fn expect(&self, parts: &[&str]) -> Result<()> {
        ensure!(self.succeeded, "failed: {}", self.text);
        self.contains(parts)
    }

    /// Fails unless the command has failed and said all of `parts`.
    pub(crate) fn expect_failure(&self, parts: &[&str]) -> Result<()> {
        ensure!(!self.succeeded, "succeeded: {}", self.text);
        self.contains(parts)
    }

    fn contains(&self, parts: &[&str]) -> Result<()> {
        for part in parts {
            ensure!(self.text.contains(part), "{part:?} is not in: {}", self.text);
        }
        Ok(())
    }
}

/// Runs `deploy/install` with these variables, and the image that the simulated kubelets need not pull.
pub(crate) async fn install(
    cluster: &Cluster,
    task: &str,
    variables: &[(&str, &str)],
) -> Result<Said> {
    let mut command = tokio::process::Command::new(deploy("install"));
    command.arg(task).env("KUBECONFIG", cluster.kubeconfig()).env("KUBERC", "off");
    command
        .env("KUBECTL", cluster.kubectl_path()?)
        .env("IMAGE", "localhost/lws:main")
        .envs(variables.iter().copied());
    command.env("KUBECACHEDIR", cluster.dir().join("kubectl-cache"));
    Ok(command.kill_on_drop(true).output().await?.into())
}

/// Runs kubectl; what it says if it succeeds.
pub(crate) async fn kubectl(cluster: &Cluster, args: &[&str]) -> Result<String> {
    let said = Said::from(cluster.kubectl(args).await?);
    ensure!(said.succeeded, "kubectl {}: {}", args.join(" "), said.text);
    Ok(said.text)
}

/// The kubectl that renders and asks nobody.
pub(crate) fn kustomize(directory: &Path) -> Result<Vec<Value>> {
    let version = ClusterOptions::default().kubernetes_version;
    let kubectl = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../control-plane/.cache")
        .join(version)
        .join("kubectl");
    let output = std::process::Command::new(kubectl).arg("kustomize").arg(directory).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", directory.display());
    objects(std::str::from_utf8(&output.stdout)?)
}

/// The objects of a file of YAML documents.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    documents.into_iter().filter(|it| !it.is_null()).map(|it| Ok(Value::deserialize(it)?)).collect()
}

/// The object of this kind and name.
pub(crate) fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let is = |it: &&Value| {
        it.get("kind").is_some_and(|it| it == kind)
            && it.pointer("/metadata/name").is_some_and(|it| it == name)
    };
    objects.iter().find(is).with_context(|| format!("no {kind} {name}"))
}

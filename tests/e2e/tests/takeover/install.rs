//! `deploy/install` on a recorded cluster, while sets and pods are admitted.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use lws_api_types::keys::{annotations, labels};
use lws_e2e::{DEADLINE, Fixture, workloads};
use lws_harness::system::NAMESPACE;
use lws_harness::wait;
use serde_json::json;
use tokio::time::sleep;

use crate::manager::{self, Installed};
use crate::snapshot::Snapshot;
use crate::world::World;

/// Between one attempt to be admitted and the next, so that there is time for everything else.
const PAUSE: Duration = Duration::from_millis(20);

/// The set whose pods are replaced in any case.
const ROLLING_OUT: &str = "half-way";

/// Where nobody has left a certificate, ours issue one, and admit once it is in the volumes.
#[tokio::test]
async fn without_a_certificate() -> Result<()> {
    let world = World::recorded("certificate", "v0.10.0").await?;
    let before = world.at_rest().await?;
    world
        .hosting(async {
            let (succeeded, said) = world.install(&[]).await?;
            let told = "Secret lws-webhook-server-cert holds no certificate";
            ensure!(succeeded && said.contains(told), "{said}");
            world.rolled_out().await?;
            let description = "sets and pods are admitted";
            wait::eventually(DEADLINE, description, async || world.admit().await.map(Some)).await?;
            Ok(())
        })
        .await?;
    let after = Snapshot::of(&world.namespace).await?;
    for set in before.sets().into_iter().filter(|it| *it != ROLLING_OUT) {
        for (name, pod) in before.of_set("pod", set) {
            ensure!(after.get("pod", name)? == pod, "{name} has changed");
        }
    }
    Ok(())
}

impl World {
    /// Runs the pods of the system, as the processes that they name, as long as `work` takes.
    pub(crate) async fn hosting<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        Box::pin(workloads::run_during(&self.cluster, &self.network, work)).await
    }

    /// The manifests that are shipped.
    pub(crate) fn manifests() -> String {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        deploy.join("manifests.yaml").to_string_lossy().into_owned()
    }

    /// Runs kubectl; what it says if it succeeds.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.cluster.kubectl(args).await?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {error}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs `deploy/install apply` with these variables; whether it has succeeded, and what it has said. Of the manifests
    /// only annotations are different: pods wait for their processes.
    pub(crate) async fn install(&self, variables: &[(&str, &str)]) -> Result<(bool, String)> {
        let manifests = Self::manifests();
        let file = self.cluster.dir().join("manifests.yaml");
        let mark = "        kubectl.kubernetes.io/default-container: ";
        let more =
            workloads::ANNOTATIONS.map(|(key, value)| format!("        {key}: \"{value}\"\n"));
        let text = std::fs::read_to_string(&manifests)?;
        ensure!(text.matches(mark).count() == 2, "there are other templates");
        std::fs::write(&file, text.replace(mark, &format!("{}{mark}", more.concat())))?;
        let mut command =
            tokio::process::Command::new(Path::new(&manifests).with_file_name("install"));
        command.arg("apply").env("KUBECONFIG", self.cluster.kubeconfig()).env("KUBERC", "off");
        command.env("KUBECACHEDIR", self.cluster.dir().join("kubectl-cache"));
        command.env("KUBECTL", self.cluster.kubectl_path()?).env("MANIFESTS", &file);
        command.env("IMAGE", "localhost/lws:main").envs(variables.iter().copied());
        let output = command.kill_on_drop(true).output().await?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Waits until both Deployments have the pods that they want, and no others.
    pub(crate) async fn rolled_out(&self) -> Result<()> {
        for name in ["deployment/lws-webhook", "deployment/lws-controller-manager"] {
            let status = ["rollout", "status", name, "-n", NAMESPACE, "--timeout=2m"];
            self.kubectl(&status).await?;
        }
        Ok(())
    }

    /// Replaces all pods of both, one by one: the upgrade from one build to the next.
    pub(crate) async fn roll(&self) -> Result<()> {
        let restart = ["rollout", "restart", "deployment", "-n", NAMESPACE];
        self.kubectl(&restart).await?;
        self.rolled_out().await
    }

    /// Has the API server do all that it does to create a set and a worker, except to store them. The worker must learn its
    /// place.
    pub(crate) async fn admit(&self) -> Result<()> {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let fixture = Fixture::named("tried");
        self.namespace.sets().create(&dry_run, &fixture.object()).await.context("a set")?;
        let pod = serde_json::from_value(json!({
            "metadata": {
                "name": "tried-0-1",
                "labels": {labels::NAME: "tried", labels::GROUP_INDEX: "0"},
                "annotations": {annotations::SIZE: "2", annotations::LEADER_NAME: "tried-0"},
            },
            "spec": {"containers": [{"name": "worker", "image": "example.org/worker"}]},
        }))?;
        let pod = self.namespace.pods().create(&dry_run, &pod).await.context("a pod")?;
        let index = pod.labels().get(labels::WORKER_INDEX).map(String::as_str);
        ensure!(index == Some("1"), "a pod has the worker index {index:?}");
        Ok(())
    }

    /// Does so again and again as long as `work` takes; gives what that gives, and how often. One that fails is an error.
    pub(crate) async fn admitting<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, usize)> {
        let mut work = std::pin::pin!(work);
        let mut admitted = 0;
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return Ok((outcome?, admitted)),
                answer = self.admit() => {
                    answer.with_context(|| format!("after {admitted} times"))?;
                    admitted += 1;
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// The names of the pods of the system.
    async fn system_pods(&self) -> Result<BTreeSet<String>> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client(), NAMESPACE);
        Ok(pods.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect())
    }

    /// Looking tells what is in the way, or what would be done, and does nothing. Gives what it has told.
    pub(crate) async fn looking_changes_nothing(
        &self,
        installed: Installed,
        before: &Snapshot,
    ) -> Result<String> {
        let manager = manager::deployment(self).await?;
        if installed == Installed::Chart {
            // Neither with nor without an attempt.
            for variables in [&[("DRY_RUN", "1")][..], &[]] {
                let (succeeded, said) = self.install(variables).await?;
                ensure!(!succeeded && said.contains("FORCE=1"), "{said}");
            }
        }
        let (succeeded, said) =
            self.install(&[("DRY_RUN", "1"), ("FORCE", installed.force())]).await?;
        ensure!(succeeded, "{said}");
        let object = format!("install:   apps.v1.Deployment.{NAMESPACE}.{}\n", manager::DEPLOYMENT);
        let list = match installed {
            Installed::Manifests => "would be changed:\n",
            Installed::Chart => "would be replaced:\n",
        };
        let (_, listed) = said.split_once(list).with_context(|| said.clone())?;
        ensure!(listed.contains(&object), "{said}");
        let unchanged = manager::deployment(self).await?;
        ensure!(
            unchanged.resource_version() == manager.resource_version(),
            "the Deployment has changed"
        );
        ensure!(
            Snapshot::of(&self.namespace).await? == *before,
            "sets or their objects have changed"
        );
        Ok(said)
    }

    /// Sets and pods are admitted all the time, first by the former manager's webhook, then by ours.
    pub(crate) async fn is_installed_without_a_gap(&self, installed: Installed) -> Result<()> {
        let former = manager::deployment(self).await?;
        let serving = self.system_pods().await?;
        ensure!(serving.len() == 2, "{serving:?} serve");
        let install = async {
            let (succeeded, said) = self.install(&[("FORCE", installed.force())]).await?;
            ensure!(succeeded, "{said}");
            ensure!(
                said.contains("the webhook is started before its Service leads to it"),
                "{said}"
            );
            self.rolled_out().await?;
            // What they served last is over then, too.
            let are_gone = |it: &BTreeSet<String>| it.is_disjoint(&serving);
            let pods = async || self.system_pods().await;
            wait::until(DEADLINE, "the manager's pods are gone", pods, are_gone).await?;
            Ok(())
        };
        let ((), admitted) = self.admitting(install).await?;
        ensure!(admitted > 50, "only {admitted} were admitted meanwhile");
        let is_replaced = manager::deployment(self).await?.uid() != former.uid();
        ensure!(is_replaced == (installed == Installed::Chart), "replaced: {is_replaced}");
        Ok(())
    }
}

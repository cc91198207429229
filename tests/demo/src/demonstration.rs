//! What is shown: a file is applied, its sets become available, a worker's variables, a rollout.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use lws_api_types::conditions::ConditionType;
use lws_api_types::keys::{self, labels};
use lws_api_types::{LeaderWorkerSet, names};
use lws_harness::{Error, wait};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::board::Board;
use crate::kubectl::Kubectl;
use crate::state::Access;
use crate::table::Table;
use crate::watch::Changes;
use crate::{image, say};

/// How long each stage of a rollout may take to come.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a set may take to become available before it is said why it is not.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);

/// How often that is said before the set is given up.
const REPORTS: u32 = 8;

/// Shows everything that there is to show of `file`.
pub(crate) async fn show(access: &Access, file: &Path) -> Result<()> {
    let kubectl = Kubectl::new(access);
    let client = client(&access.kubeconfig).await?;
    say(&format!(
        "Kubernetes {} and the LeaderWorkerSet system are ready.\n",
        access.kubernetes_version
    ))?;
    let objects = kubectl.apply(file).await?;
    let mut sets = Vec::new();
    for object in objects {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = text("/kind");
        say(&format!("{kind} {} is applied.", text("/metadata/name")))?;
        if kind == keys::KIND && text("/apiVersion") == keys::API_VERSION {
            sets.push(object);
        }
    }
    if sets.is_empty() {
        say("There is no LeaderWorkerSet in the file, so there is no rollout to show.")?;
    }
    for set in sets {
        Demonstration::of(&kubectl, &client, set)?.show().await?;
    }
    Ok(())
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    // The only other provider would be one that is installed already, which is as good.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).context("cannot read the kubeconfig")?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let config = config.context("cannot use the kubeconfig")?;
    Client::try_from(config).context("cannot make a client")
}

/// One set that is shown.
struct Demonstration<'a> {
    kubectl: &'a Kubectl<'a>,
    client: &'a Client,
    object: Value,
    set: LeaderWorkerSet,
}

impl<'a> Demonstration<'a> {
    fn of(kubectl: &'a Kubectl<'a>, client: &'a Client, object: Value) -> Result<Self> {
        let set = serde_json::from_value(object.clone()).context("cannot read the set")?;
        Ok(Self { kubectl, client, object, set })
    }

    async fn show(&self) -> Result<()> {
        self.become_available().await?;
        if self.set.spec.replicas() == 0 {
            return say("It wants no groups, so there is no rollout to show.");
        }
        self.variables().await?;
        self.rollout().await
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.set.namespace())
    }

    fn size(&self) -> i32 {
        self.set.spec.leader_worker_template.size()
    }

    /// Waits until the set is available, and says how many groups are ready meanwhile.
    async fn become_available(&self) -> Result<()> {
        let (name, replicas) = (self.set.name(), self.set.spec.replicas());
        say(&format!(
            "\nWaiting until {name} is available: {replicas} groups of {} pods.",
            self.size()
        ))?;
        let mut said = String::new();
        for _ in 0..REPORTS {
            match wait::eventually(REPORT_INTERVAL, name, async || self.look(&mut said).await).await
            {
                Ok(()) => return say(&format!("{name} is available.")),
                Err(Error::Timeout { last, .. }) => {
                    say(&format!("Still waiting: {last}{}", self.complaint().await?))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        bail!("{name} has not become available within {:?}", REPORT_INTERVAL * REPORTS)
    }

    /// Says how many groups are ready unless it is what was `said` last; an error while the set is not available.
    async fn look(&self, said: &mut String) -> Result<Option<()>> {
        let sets: Api<LeaderWorkerSet> = Api::namespaced(self.client.clone(), self.set.namespace());
        let status = sets.get(self.set.name()).await?.status.unwrap_or_default();
        if status.observed_generation < self.set.metadata.generation {
            bail!("the controller has not seen the set yet");
        }
        let replicas = self.set.spec.replicas();
        let ready = format!("{} of {replicas} groups are ready", status.ready_replicas);
        if *said != ready {
            say(&ready)?;
            said.clone_from(&ready);
        }
        let available = ConditionType::Available.as_str();
        if status.conditions.iter().any(|it| it.type_ == available && it.status == "True") {
            return Ok(Some(()));
        }
        bail!(ready)
    }

    /// Why a pod of the set is not ready, as far as the cluster says.
    async fn complaint(&self) -> Result<String> {
        let selected =
            ListParams::default().labels(&format!("{}={}", labels::NAME, self.set.name()));
        let pods = self.pods().list(&selected).await.context("cannot list the pods")?;
        let complaint = pods.iter().find_map(|pod| {
            let mut conditions = pod.status.iter().flat_map(|it| it.conditions.iter().flatten());
            let message = conditions.find(|it| it.status == "False")?.message.as_deref()?;
            Some(format!("; pod {}: {message}", pod.name_any()))
        });
        Ok(complaint.unwrap_or_default())
    }

    /// Shows what the webhook has told a worker, or the leader where there are no workers.
    async fn variables(&self) -> Result<()> {
        let leader = names::leader_pod(self.set.name(), 0);
        let name = if self.size() > 1 { names::worker_pod(&leader, 1) } else { leader };
        let pod =
            self.pods().get(&name).await.with_context(|| format!("cannot read pod {name}"))?;
        let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
        let variables = containers.into_iter().next().and_then(|it| it.env).unwrap_or_default();
        say(&format!("\nThe containers of pod {name} are told:"))?;
        for variable in variables {
            if ["LWS_", "TPU_"].iter().any(|prefix| variable.name.starts_with(prefix)) {
                say(&format!("  {}={}", variable.name, variable.value.unwrap_or_default()))?;
            }
        }
        Ok(())
    }

    /// Changes the image and shows each stage until the set is available again.
    async fn rollout(&self) -> Result<()> {
        let (namespace, name) = (self.set.namespace(), self.set.name());
        let (patch, image) = image::change(&self.object).context("the set has no containers")?;
        let strategy = self.set.spec.rolling_update();
        say(&format!(
            "\nRolling out image {image} with maxUnavailable {}, maxSurge {}:",
            strategy.max_unavailable, strategy.max_surge
        ))?;
        let (present, mut changes) = Changes::of(self.client, &self.set).await?;
        let groups = usize::try_from(i64::from(self.set.spec.replicas()) + strategy.max_surge)?;
        let mut board = Board::new(usize::try_from(self.size())?, groups);
        for change in present {
            board.learn(change);
        }

        let table = Table::new(groups);
        let began = Instant::now();
        let patching = self.kubectl.patch_set(namespace, name, &patch)?;
        tokio::pin!(patching);
        let mut generation = None;
        let mut next_stage_until = began + PATIENCE;
        let mut at = began;
        say(&format!("\n{}", table.header()))?;
        loop {
            if let Some(row) = board.new_stage() {
                say(&table.row(at - began, &row))?;
                next_stage_until = Instant::now() + PATIENCE;
            }
            if generation.is_some_and(|generation| board.available_at(generation)) {
                return say(&format!("{name} is available again."));
            }
            tokio::select! {
                patched = &mut patching, if generation.is_none() => {
                    let patched: LeaderWorkerSet = serde_json::from_value(patched?)?;
                    generation = Some(patched.metadata.generation.unwrap_or_default());
                }
                seen = timeout_at(next_stage_until, changes.next()) => match seen {
                    Ok(seen) => {
                        let seen = seen?;
                        at = seen.at;
                        board.learn(seen.change);
                    }
                    Err(_) => bail!("nothing has happened for {PATIENCE:?}{}", self.complaint().await?),
                },
            }
        }
    }
}

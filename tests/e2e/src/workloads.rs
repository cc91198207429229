//! The pods of the installed Deployments, each run as the process that its template names.
//!
//! Nodes and kubelets are simulated, so containers do not run. Here they do: with the arguments of the pod, the files of
//! its `ConfigMap` and Secret, and a token of its account. What differs is that they share one machine, hence ports and
//! paths. A pod is ready once its process is, and its process is told to end when the pod is.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE, Pair};
use lws_harness::processes::{Process, ProcessSpec};
use lws_harness::simulator::{NEVER_READY, TERMINATE_AFTER};
use lws_harness::system::NAMESPACE;
use lws_harness::{Cluster, free_ports};
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use crate::stand_in::uid;
use crate::{DEADLINE, MountedSecret, Network};

/// What the templates of pods must be annotated with: they are not ready before their process is, and are there for
/// a while after it was told to end.
pub const ANNOTATIONS: [(&str, &str); 2] = [(NEVER_READY, "true"), (TERMINATE_AFTER, "3s")];

/// How often pods and Secrets are looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long it takes until a change of a Secret is in a volume.
const MOUNT_DELAY: Duration = Duration::from_secs(1);

/// How long a process may take to end in good order.
const GRACE: Duration = Duration::from_secs(10);

/// Where pods of the webhook, and of the manager of the existing implementation, are called.
const WEBHOOK_PORT: u16 = 9443;

/// What all pods have in common.
struct World<'a> {
    cluster: &'a Cluster,
    network: &'a Network,
    /// Held while a token is written.
    tokens: Mutex<()>,
}

/// What there is in the namespace of the system.
#[derive(Default)]
struct Seen {
    /// Those that have an address, by UID.
    pods: HashMap<String, Pod>,
    secrets: HashMap<String, Secret>,
}

impl Seen {
    /// Whether a pod is to end.
    fn ends(&self, uid: &str) -> bool {
        self.pods.get(uid).is_none_or(|it| it.metadata.deletion_timestamp.is_some())
    }

    /// The certificate in a Secret, and the version of that, if there is one.
    fn pair(&self, secret: &str) -> Option<(String, Pair)> {
        let secret = self.secrets.get(secret)?;
        let text = |key| {
            let bytes = secret.data.as_ref()?.get(key)?;
            Some(String::from_utf8_lossy(&bytes.0).into_owned())
        };
        let (certificate_pem, private_key_pem) = (text(CERTIFICATE_FILE)?, text(KEY_FILE)?);
        Some((secret.resource_version()?, Pair { certificate_pem, private_key_pem }))
    }
}

/// Runs the pods of the system, which are reached through `network`, as long as `work` takes. Fails when a process ends
/// that was not told to.
pub async fn run_during<T>(
    cluster: &Cluster,
    network: &Network,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        ended = run(cluster, network) => match ended? {},
        outcome = work => outcome,
    }
}

async fn run(cluster: &Cluster, network: &Network) -> Result<Infallible> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), NAMESPACE);
    let world = &World { cluster, network, tokens: Mutex::default() };
    let (sender, seen) = watch::channel(Seen::default());
    let mut hosts = FuturesUnordered::new();
    loop {
        let all = ListParams::default();
        let (pods, secrets) = tokio::try_join!(pods.list(&all), secrets.list(&all))?;
        let pods = pods.into_iter().filter(|it| address(it).is_some());
        let pods: HashMap<String, Pod> = pods.map(|it| (uid(&it), it)).collect();
        let is_new = |uid: &String| !seen.borrow().pods.contains_key(uid);
        let new: Vec<Pod> =
            pods.iter().filter(|(uid, _)| is_new(uid)).map(|(_, pod)| pod.clone()).collect();
        let secrets = secrets.into_iter().map(|it| (it.name_any(), it)).collect();
        sender.send_replace(Seen { pods, secrets });
        hosts.extend(new.into_iter().map(|pod| host(world, pod, seen.clone())));
        let mut pause = std::pin::pin!(sleep(INTERVAL));
        loop {
            tokio::select! {
                () = &mut pause => break,
                Some(ended) = hosts.next() => ended?,
            }
        }
    }
}

/// Where a pod is called, if it has an address.
fn address(pod: &Pod) -> Option<String> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?;
    Some(format!("{ip}:{WEBHOOK_PORT}"))
}

/// Runs the process of a pod until that is to end.
async fn host(world: &World<'_>, pod: Pod, seen: watch::Receiver<Seen>) -> Result<()> {
    let (name, uid) = (pod.name_any(), uid(&pod));
    let mut end = seen.clone();
    let mut to_end = std::pin::pin!(end.wait_for(|it| it.ends(&uid)));
    let (process, volume) = tokio::select! {
        biased;
        ended = &mut to_end => {
            ended?;
            return Ok(());
        }
        started = start(world, pod.clone(), seen.clone()) => started.context(name.clone())?,
    };
    tokio::select! {
        biased;
        ended = &mut to_end => drop(ended?),
        ended = keep(volume, seen.clone()) => match ended? {},
        status = process.exited() => bail!("{name} ended with {status}: {}", process.last_lines()?),
    }
    process.stop(GRACE).await?;
    world.network.lead(&address(&pod).unwrap_or_default(), None);
    Ok(())
}

/// Starts the process of a pod, and makes the pod ready once it is.
async fn start(
    world: &World<'_>,
    pod: Pod,
    seen: watch::Receiver<Seen>,
) -> Result<(Process, Option<Mounted>)> {
    let name = pod.name_any();
    let address = address(&pod).context("no address")?;
    let spec = pod.spec.unwrap_or_default();
    let directory = world.cluster.dir().join(&name);
    std::fs::create_dir(&directory)?;
    let mut process = program(&spec)?;
    let volumes = spec.volumes.unwrap_or_default();
    let map = volumes.iter().find_map(|it| Some(it.config_map.as_ref()?.name.clone()));
    let secret = volumes.iter().find_map(|it| it.secret.as_ref()?.secret_name.clone());
    let configuration = directory.join("configuration");
    std::fs::write(&configuration, configured(world, &map.context("no ConfigMap")?).await?)?;
    let account = spec.service_account_name.context("no account")?;
    let kubeconfig = token(world, &account, directory.join("kubeconfig")).await?;
    let mounted = match secret {
        Some(secret) => Some(mount(secret, directory.join("certificates"), seen).await?),
        None => None,
    };

    let [webhook, health, metrics] = free_ports()?;
    process = process.named(&name).args([
        format!("--config={}", configuration.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--health-probe-bind-address=127.0.0.1:{health}"),
        format!("--metrics-bind-address=127.0.0.1:{metrics}"),
    ]);
    if let Some(mounted) = &mounted {
        process = process.args([
            format!("--webhook-bind-address=127.0.0.1:{webhook}"),
            format!("--webhook-cert-dir={}", mounted.volume.directory().display()),
        ]);
    }
    let process = Process::start(&process, world.cluster.dir()).await?;
    process.wait_until_ready(&format!("http://127.0.0.1:{health}/readyz"), DEADLINE).await?;
    if mounted.is_some() {
        world.network.lead(&address, Some(webhook));
    }
    let pods: Api<Pod> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let ready = Patch::Merge(json!({"metadata": {"annotations": {NEVER_READY: null}}}));
    match pods.patch(&name, &PatchParams::default(), &ready).await {
        // It has been deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        outcome => drop(outcome?),
    }
    Ok((process, mounted))
}

/// The program of a container, with its arguments: of a flag that is given twice the last one counts. The manager of the
/// existing implementation is played by our webhook: what it does as a controller has ended before.
fn program(spec: &PodSpec) -> Result<ProcessSpec> {
    let container = spec.containers.first().context("no container")?;
    let command = container.command.iter().flatten().next().context("no command")?;
    let binary = match command.as_str() {
        "/lws-controller" => "lws-controller",
        "/lws-webhook" | "/manager" => "lws-webhook",
        other => bail!("there is no program {other}"),
    };
    Ok(ProcessSpec::of_workspace(binary)?.args(container.args.clone().unwrap_or_default()))
}

/// Writes a kubeconfig with a token of the account.
async fn token(world: &World<'_>, account: &str, file: PathBuf) -> Result<PathBuf> {
    let alone = world.tokens.lock().await;
    let written = world.cluster.service_account_kubeconfig(NAMESPACE, account).await?;
    std::fs::copy(written, &file)?;
    drop(alone);
    Ok(file)
}

/// The configuration file that a `ConfigMap` holds.
async fn configured(world: &World<'_>, map: &str) -> Result<String> {
    let maps: Api<ConfigMap> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let content =
        maps.get(map).await?.data.and_then(|it| it.get("controller_manager_config.yaml").cloned());
    content.context("no configuration")
}

/// The volume of a Secret.
struct Mounted {
    volume: MountedSecret,
    secret: String,
    version: String,
}

/// The volume of a Secret, once that holds a certificate.
async fn mount(
    secret: String,
    directory: PathBuf,
    mut seen: watch::Receiver<Seen>,
) -> Result<Mounted> {
    let (version, pair) = {
        let filled = seen.wait_for(|it| it.pair(&secret).is_some()).await?;
        filled.pair(&secret).context("no certificate")?
    };
    let volume = MountedSecret::new(directory)?;
    volume.publish(&pair)?;
    Ok(Mounted { volume, secret, version })
}

/// Brings changes of the Secret into the volume, late and without any judgement.
async fn keep(mounted: Option<Mounted>, mut seen: watch::Receiver<Seen>) -> Result<Infallible> {
    let Some(mut mounted) = mounted else { return std::future::pending().await };
    loop {
        let (version, pair) = {
            let is_other = |(version, _): &(String, Pair)| *version != mounted.version;
            let changed = |it: &Seen| it.pair(&mounted.secret).as_ref().is_some_and(is_other);
            let changed = seen.wait_for(changed).await?;
            changed.pair(&mounted.secret).context("no certificate")?
        };
        sleep(MOUNT_DELAY).await;
        mounted.volume.publish(&pair)?;
        mounted.version = version;
    }
}

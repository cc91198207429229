//! The cluster with everything that can fail: two controllers, each behind a proxy, and two webhooks. What ends is
//! started again, as a kubelet does.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lws_e2e::metrics::Scrape;
use lws_e2e::webhooks::{self, Webhooks, shipped};
use lws_e2e::{DEADLINE, store};
use lws_harness::system::{Certificates, Component, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, wait};
use serde_json::{Value, json};
use tokio::sync::{Mutex, RwLock};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::plan::Controller;

/// How long a process that has ended rests before it is started again, and how often is looked.
const PAUSE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(100);

/// A frozen process answers nothing.
const ANSWER: Duration = Duration::from_millis(500);

/// How long it takes until a change of the Secret is in the volume of each webhook.
const MOUNT_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// The running system. Dropped, it ends; its logs stay.
pub(crate) struct World {
    pub(crate) cluster: Arc<RwLock<Cluster>>,
    pub(crate) system: Arc<Mutex<System>>,
    pub(crate) webhooks: Webhooks,
    supervision: StdMutex<JoinSet<Result<()>>>,
    /// Whether the garbage collector was there when its API server was killed: then it may have forgotten objects.
    may_have_forgotten: AtomicBool,
}

impl World {
    /// Starts everything; its files are in `directory`.
    pub(crate) async fn start(directory: PathBuf) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions {
            nodes: 12,
            ready_delay: Duration::from_millis(300),
            termination_delay: Duration::from_millis(200),
            node_monitor_grace: Duration::from_secs(4),
            api_server_args: store::API_SERVER_ARGS.map(str::to_owned).into(),
            data_dir: Some(directory),
            ..ClusterOptions::default()
        })
        .await?;
        let system = System::install(&cluster, &options()).await?;
        let webhooks = Webhooks::start(&cluster, &MOUNT_DELAYS).await?;
        webhooks.register(&cluster, shipped()?).await?;
        webhooks.ready().await?;
        webhooks::admits(cluster.client()).await?;
        let system = Arc::new(Mutex::new(system));
        let mut supervision = JoinSet::new();
        supervision.spawn(supervise(system.clone()));
        let cluster = Arc::new(RwLock::new(cluster));
        supervision.spawn(supervise_cluster(cluster.clone()));
        let supervision = StdMutex::new(supervision);
        let may_have_forgotten = AtomicBool::default();
        Ok(Self { cluster, system, webhooks, supervision, may_have_forgotten })
    }

    /// Which controller leads, if one does that can be asked.
    pub(crate) async fn leader(&self) -> Option<usize> {
        let mut system = self.system.lock().await;
        for (number, component) in system.controllers().iter().enumerate() {
            if leads(component).await {
                return Some(number);
            }
        }
        None
    }

    /// The number of a controller, once it is known which one leads.
    pub(crate) async fn number(&self, controller: Controller) -> Result<usize> {
        let leader = self.is_led().await?;
        Ok(match controller {
            Controller::Leading => leader,
            Controller::Other => 1 - leader,
        })
    }

    /// Waits until a controller leads; gives which one.
    pub(crate) async fn is_led(&self) -> Result<usize> {
        let leader = async || Ok::<_, anyhow::Error>(self.leader().await);
        Ok(wait::eventually(DEADLINE, "a controller leads", leader).await?)
    }

    /// Fails when what has ended is not started again any more.
    pub(crate) fn is_supervised(&self) -> Result<()> {
        let mut supervision = self.supervision.lock().unwrap_or_else(PoisonError::into_inner);
        match supervision.try_join_next() {
            Some(ended) => ended?.context("start what has ended again"),
            None => Ok(()),
        }
    }

    /// Kills the API server, and waits until there is one again.
    pub(crate) async fn restart_api_server(&self) -> Result<()> {
        self.may_have_forgotten.store(true, Ordering::Relaxed);
        Ok(self.cluster.write().await.restart_api_server().await?)
    }

    /// Whether the garbage collector may have forgotten objects.
    pub(crate) fn may_have_forgotten(&self) -> bool {
        self.may_have_forgotten.load(Ordering::Relaxed)
    }

    /// Has the garbage collector look at everything anew.
    pub(crate) async fn start_garbage_collector_anew(&self) -> Result<()> {
        self.cluster.read().await.process("kube-controller-manager")?.kill().await?;
        self.may_have_forgotten.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Does something with a controller.
    pub(crate) async fn with<T>(
        &self,
        number: usize,
        work: impl AsyncFnOnce(&Component) -> Result<T>,
    ) -> Result<T> {
        let mut system = self.system.lock().await;
        work(system.controllers().get(number).context("no such controller")?).await
    }
}

async fn leads(component: &Component) -> bool {
    let scraped = timeout(ANSWER, Scrape::of(component)).await;
    let is_master = |scrape: Scrape| {
        scrape.starting_with("leader_election_master_status").any(|(_, value)| value > 0.5)
    };
    // One that does not answer does not lead, or not for long.
    scraped.ok().and_then(Result::ok).is_some_and(is_master)
}

/// Starts controllers again that have ended: killed, or without the leadership.
async fn supervise(system: Arc<Mutex<System>>) -> Result<()> {
    loop {
        sleep(INTERVAL).await;
        let mut ended = Vec::new();
        for (number, component) in system.lock().await.controllers().iter().enumerate() {
            if component.process().exit_status().is_some() {
                ended.push(number);
            }
        }
        if ended.is_empty() {
            continue;
        }
        sleep(PAUSE).await;
        for number in ended {
            let mut system = system.lock().await;
            let component = system.controllers().get_mut(number).context("no such controller")?;
            component.start_again().await?;
        }
    }
}

/// Starts processes of the control plane again that have ended by themselves.
async fn supervise_cluster(cluster: Arc<RwLock<Cluster>>) -> Result<()> {
    loop {
        sleep(PAUSE).await;
        // While something is done to it, it has time.
        if let Ok(mut cluster) = cluster.try_write() {
            cluster.start_ended_again().await?;
        }
    }
}

/// Short leases, delays and lifetimes: what takes minutes in a cluster takes seconds here. But failures are forgotten
/// after minutes only: that is written, too, while everything else is at rest.
fn options() -> SystemOptions {
    let lease = [("lease-duration", 6), ("renew-deadline", 4), ("retry-period", 1)];
    SystemOptions {
        webhook: false,
        controllers: 2,
        proxied: true,
        certificates: Certificates::OfController,
        controller_args: lease
            .map(|(name, seconds)| format!("--leader-elect-{name}={seconds}s"))
            .into(),
        group_restart: json!({
            "initialDelay": "1s", "maxDelay": "4s", "nodeLostAfter": "1s",
        }),
        rotation: rotation(),
        ..SystemOptions::default()
    }
}

/// An authority every 30 s, a serving certificate every 20 s at the latest.
fn rotation() -> Value {
    json!({
        "authorityLifetime": "1h30s",
        "certificateLifetime": "1h20s",
        "renewBefore": "1h",
        "trustBefore": "3s",
        "distrustAfter": "6s",
    })
}

/// Fails when a log of the system tells of a panic.
pub(crate) async fn no_panics(world: &World) -> Result<()> {
    let directory = world.cluster.read().await.dir().to_owned();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("lws-") && path.extension().is_some_and(|it| it == "log") {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            ensure!(!text.contains("panicked at"), "{} tells of a panic", path.display());
        }
    }
    Ok(())
}

//! `lws-controller`: reads its settings, takes part in the leader election, and reconciles sets
//! while it leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lws_controller::act::{Actor, Recorder, Requests};
use lws_controller::backoff::Backoff;
use lws_controller::lease::{self, KubeStore, LeaderElector, Leadership, LeaseError};
use lws_controller::metrics::Metrics;
use lws_controller::observe::index::{Index, SetKey};
use lws_controller::observe::watch::{self, Notify, Synced};
use lws_controller::queue::Queue;
use lws_controller::reconcile::Reconciler;
use lws_runtime::config::{self, LeaderElectionSettings, Settings};
use lws_runtime::flags::{self, Flags};
use lws_runtime::health::Health;
use lws_runtime::{endpoints, logging, metrics, shutdown, version};
use tokio::sync::watch as channel;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Sets that are reconciled at once.
const WORKERS: usize = 8;
/// How long a stopping process waits for the sets that it is working on.
const FINISH: Duration = Duration::from_secs(20);

/// Brings the groups of sets to the state their users want
#[derive(Debug, Parser)]
#[command(name = "lws-controller", version = version::VERSION)]
struct Arguments {
    #[command(flatten)]
    common: Flags,
}

fn main() -> anyhow::Result<()> {
    let Arguments { common } = flags::parse();
    logging::init(&common.log)?;
    let settings = config::load(&common).context("unable to load the configuration")?;
    tracing::info!(
        version = version::VERSION,
        configuration = serde_json::to_string(&settings)?,
        "starting"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings))
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let config = client_config(&settings).await?;
    let client = Client::try_from(config.clone())?;
    let index = Arc::new(Index::default());
    let queue = Queue::new(Backoff::default());
    let registry = metrics::registry()?;
    let metrics = Metrics::register(&registry)?;
    Metrics::register_queue(&registry, queue.clone())?;

    let notify: Notify = {
        let queue = queue.clone();
        Arc::new(move |key| queue.add(key))
    };
    let mut tasks = JoinSet::new();
    let synced = watch::start(&client, &index, &notify, &mut tasks);
    let health = health(&shutdown, synced.clone());
    endpoints::start(&settings, health, registry, &shutdown).await?;

    let released = CancellationToken::new();
    let (mut election, leadership) =
        Election::start(&settings.leader_election, config, released.clone())?;
    let requests = Requests::new(client.clone(), leadership.clone());
    let (recorder, told) = Recorder::new(client, &hostname()?);
    let telling = tokio::spawn(told);
    let actor = Actor::new(requests, recorder, index.clone());
    let reconciler = Arc::new(Reconciler::new(index, queue.clone(), actor, metrics.clone()));
    tokio::select! {
        lost = election.lost() => return lost,
        result = work(reconciler, &queue, synced, leadership, &metrics, &shutdown) => result?,
    }
    // The events of the last reconciles are told, then the lease is free for the next leader.
    if tokio::time::timeout(FINISH, telling).await.is_err() {
        tracing::warn!("events were still to be told at the end");
    }
    released.cancel();
    election.lost().await
}

/// Reconciles from the moment this process leads until `shutdown`.
async fn work(
    reconciler: Arc<Reconciler>,
    queue: &Queue<SetKey>,
    mut synced: Synced,
    mut leadership: channel::Receiver<Leadership>,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let ready = async {
        synced.wait().await;
        tracing::info!("caches are complete");
        leadership.wait_for(Leadership::is_valid).await.map(|_| ())
    };
    tokio::select! {
        ended = ready => ended.context("the leader election ended")?,
        () = shutdown.cancelled() => return Ok(()),
    }
    tracing::info!("leading");
    metrics.set_leading(true);
    let working = tokio::spawn(reconciler.run(WORKERS));
    shutdown.cancelled().await;
    queue.close();
    tokio::time::timeout(FINISH, working).await.context("sets were still being worked on")??;
    metrics.set_leading(false);
    Ok(())
}

/// This process's part in the leader election.
enum Election {
    /// It is switched off: this process leads as long as it lives.
    Off(channel::Sender<Leadership>),
    /// The elector runs.
    Running(JoinHandle<Result<(), LeaseError>>),
}

impl Election {
    /// Takes part in the election until `released`.
    fn start(
        settings: &LeaderElectionSettings,
        config: Config,
        released: CancellationToken,
    ) -> anyhow::Result<(Self, channel::Receiver<Leadership>)> {
        if !settings.enabled {
            let (sender, leadership) = channel::channel(Leadership::Unopposed);
            return Ok((Self::Off(sender), leadership));
        }
        let candidate = lease::Settings {
            lease_duration: settings.lease_duration,
            renew_deadline: settings.renew_deadline,
            retry_period: settings.retry_period,
            ..lease::Settings::new(settings.resource_name.clone(), lease::identity()?)
        };
        let store = KubeStore::new(config, &settings.resource_namespace)?;
        let elector = LeaderElector::new(store, candidate)?;
        let leadership = elector.leadership();
        let running = tokio::spawn(elector.run(async move { released.cancelled().await }));
        Ok((Self::Running(running), leadership))
    }

    /// Completes when this process no longer takes part: with an error when it lost the lease.
    /// Without an election that is at once after the release only.
    async fn lost(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Off(leadership) => {
                leadership.closed().await;
                Ok(())
            }
            Self::Running(elector) => Ok(elector.await??),
        }
    }
}

fn health(shutdown: &CancellationToken, synced: Synced) -> Health {
    let mut health = Health::new(shutdown.clone());
    health.ready("caches", move || match synced.missing() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(missing.join(", ")),
    });
    health
}

/// How to reach the API server. The client repeats nothing by itself: the queue repeats what
/// failed, with backoff.
async fn client_config(settings: &Settings) -> anyhow::Result<Config> {
    let mut config = match &settings.client.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("read kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Config::infer()
            .await
            .context("no API server: give --kubeconfig or $KUBECONFIG, or run in a pod")?,
    };
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::try_from(version::user_agent())?));
    Ok(config)
}

fn hostname() -> anyhow::Result<String> {
    Ok(hostname::get().context("cannot read the host name")?.to_string_lossy().into_owned())
}

//! `lws-controller`: reads its settings, takes part in the leader election, and reconciles sets
//! while it leads.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Parser;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lws_controller::act::{Actor, Limiter, Recorder, Requests};
use lws_controller::backoff::Backoff;
use lws_controller::certificates::{self, Keeper};
use lws_controller::client;
use lws_controller::lease::{self, KubeStore, LeaderElector, Leadership, LeaseError};
use lws_controller::metrics::Metrics;
use lws_controller::observe::index::Index;
use lws_controller::observe::watch::{self, Notify, Synced};
use lws_controller::queue::Queue;
use lws_controller::reconcile::Reconciler;
use lws_controller::server_version::{self, Finding};
use lws_runtime::config::{self, LeaderElectionSettings, Settings};
use lws_runtime::flags::{self, Flags};
use lws_runtime::health::Health;
use lws_runtime::{endpoints, logging, metrics, shutdown, version};
use tokio::sync::watch as channel;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Sets that are reconciled at once.
const WORKERS: usize = 8;
/// How long a stopping process waits for the sets that it is working on. With the rest of the end
/// it stays below the 10 s that the existing implementation's Deployment gives.
const FINISH: Duration = Duration::from_secs(5);
/// How long it then waits until the last events are told.
const TELL: Duration = Duration::from_secs(2);

/// Brings the groups of sets to the state their users want
#[derive(Debug, Parser)]
#[command(name = "lws-controller", version = version::VERSION)]
struct Arguments {
    #[command(flatten)]
    common: Flags,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { common } = flags::parse();
    match start(&common).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopping");
            ExitCode::FAILURE
        }
    }
}

async fn start(common: &Flags) -> anyhow::Result<()> {
    logging::init(&common.log)?;
    let settings = config::load(common).context("unable to load the configuration")?;
    tracing::info!(
        version = version::VERSION,
        configuration = serde_json::to_string(&settings)?,
        "starting"
    );
    run(settings).await
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let config = client_config(&settings).await?;
    let client = client::new(config.clone())?;
    let index = Arc::new(Index::default());
    let queue = Queue::new(Backoff::default());
    let registry = metrics::registry()?;
    let metrics = Metrics::register(&registry)?;
    Metrics::register_queue(&registry, queue.clone())?;
    let certificate_metrics = certificates::Metrics::register(&registry)?;

    let notify: Notify = {
        let queue = queue.clone();
        Arc::new(move |key| queue.add(key))
    };
    let mut watches = JoinSet::new();
    let synced = watch::start(&client, &index, &notify, settings.gang_scheduler, &mut watches);
    let findings = server_version::unknown();
    let health = health(&shutdown, synced.clone(), findings.subscribe());
    endpoints::start(&settings, health, registry, &shutdown).await?;
    // One that cannot work takes no lease from one that can.
    let supported = server_version::supported(&client, &findings);
    if shutdown.run_until_cancelled(supported).await.is_none() {
        return Ok(());
    }

    let released = CancellationToken::new();
    let (mut election, leadership) =
        Election::start(&settings.leader_election, config, released.clone())?;
    let limiter = Arc::new(Limiter::new(settings.client.qps, settings.client.burst));
    let requests = Requests::new(client.clone(), leadership.clone(), limiter.clone());
    let keeper = keeper(&settings, &client, &leadership, certificate_metrics)?;
    let (recorder, told) = Recorder::new(client, limiter, &hostname()?);
    let telling = tokio::spawn(told);
    let actor = Actor::new(requests, recorder, index.clone(), metrics.clone());
    let restarts = settings.group_restart;
    let reconciler =
        Arc::new(Reconciler::new(index, synced.clone(), queue, actor, restarts, metrics.clone()));
    metrics.set_leading(&settings.leader_election.resource_name, false);
    let ended = tokio::select! {
        lost = election.ended() => return lost,
        _ = watches.join_next() => Err(anyhow!("a watch ended")),
        never = Box::pin(keep(keeper)) => match never {},
        ended = async {
            lead(synced, leadership, &shutdown).await?;
            metrics.set_leading(&settings.leader_election.resource_name, true);
            work(reconciler, &shutdown).await
        } => ended,
    };
    // The events of the last reconciles are told, then the lease is free for the next leader.
    if tokio::time::timeout(TELL, telling).await.is_err() {
        tracing::warn!("events were still to be told at the end");
    }
    released.cancel();
    election.ended().await.and(ended)
}

/// Who keeps the webhook's certificate, if that is this system's task.
fn keeper(
    settings: &Settings,
    client: &Client,
    leadership: &channel::Receiver<Leadership>,
    metrics: certificates::Metrics,
) -> anyhow::Result<Option<Keeper>> {
    let Some(names) = &settings.internal_certificates else { return Ok(None) };
    let settings = certificates::Settings::new(
        settings.namespace.clone(),
        names.webhook_secret_name.clone(),
        names.webhook_service_name.clone(),
    )
    .context("the name of the webhook's Service is no DNS name")?;
    Ok(Some(Keeper::new(client, leadership.clone(), settings, metrics)))
}

/// Keeps the certificate in order from when this process leads, whether caches are complete or not:
/// without the webhook nobody can create or change a set. Never completes.
async fn keep(keeper: Option<Keeper>) -> Infallible {
    if let Some(keeper) = keeper {
        keeper.run().await;
    }
    std::future::pending().await
}

/// Waits until the caches are complete and this process leads, or is told to stop.
async fn lead(
    mut synced: Synced,
    mut leadership: channel::Receiver<Leadership>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let leading = async {
        synced.wait().await;
        tracing::info!("caches are complete");
        leadership.wait_for(Leadership::is_valid).await.context("the election ended")?;
        tracing::info!("leading");
        Ok(())
    };
    shutdown.run_until_cancelled(leading).await.unwrap_or(Ok(()))
}

/// Reconciles until `shutdown`.
async fn work(reconciler: Arc<Reconciler>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut working = tokio::spawn(reconciler.run(WORKERS, shutdown.clone()));
    shutdown.cancelled().await;
    if tokio::time::timeout(FINISH, &mut working).await.is_err() {
        tracing::warn!("sets were still being worked on, they are left to the next leader");
        working.abort();
    }
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
    /// Without an election that is once nobody asks for leadership any more.
    async fn ended(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Off(leadership) => {
                leadership.closed().await;
                Ok(())
            }
            Self::Running(elector) => Ok(elector.await??),
        }
    }
}

fn health(
    shutdown: &CancellationToken,
    synced: Synced,
    server: channel::Receiver<Finding>,
) -> Health {
    let mut health = Health::new(shutdown.clone());
    health.ready("kubernetes", move || server.borrow().clone());
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
    config.headers.push((USER_AGENT, HeaderValue::try_from(version::user_agent())?));
    Ok(config)
}

fn hostname() -> anyhow::Result<String> {
    Ok(hostname::get().context("cannot read the host name")?.to_string_lossy().into_owned())
}

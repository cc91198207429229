//! `lws-controller`: reads its settings, and runs the controller until it is told to stop.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lws_controller::act::{Actor, Guard, Recorder, Requests};
use lws_controller::backoff::Backoff;
use lws_controller::metrics::Metrics;
use lws_controller::observe::index::Index;
use lws_controller::observe::watch::{self, Notify};
use lws_controller::queue::Queue;
use lws_controller::reconcile::Reconciler;
use lws_runtime::config::{self, Settings};
use lws_runtime::flags::{self, Flags};
use lws_runtime::health::Health;
use lws_runtime::{endpoints, logging, metrics, shutdown, version};
use tokio::task::JoinSet;

/// Sets that are reconciled at once.
const WORKERS: usize = 8;

/// Brings the groups of LeaderWorkerSets to the state their users want
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
    tracing::info!(settings = %serde_json::to_string(&settings)?, "effective configuration");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings))
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let registry = metrics::registry()?;
    let index = Arc::new(Index::default());
    let queue = Queue::new(Backoff::default());
    let metrics = Metrics::register(&registry)?;
    Metrics::register_queue(&registry, queue.clone())?;
    let client = client(&settings).await?;

    let mut tasks = JoinSet::new();
    let notify: Notify = {
        let queue = queue.clone();
        Arc::new(move |key| queue.add(key))
    };
    let mut synced = watch::start(&client, &index, &notify, &mut tasks);
    let mut health = Health::new(shutdown.clone());
    let listed = synced.clone();
    health.ready("caches", move || match listed.missing() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(format!("not listed yet: {}", missing.join(", "))),
    });
    endpoints::start(&settings, health, registry, &shutdown).await?;

    tokio::select! {
        () = synced.wait() => tracing::info!("caches are complete"),
        () = shutdown.cancelled() => return Ok(()),
    }
    let guard = Guard::new(|| true);
    let (recorder, told) = Recorder::new(client.clone(), &hostname());
    tasks.spawn(told);
    let actor = Actor::new(Requests::new(client, guard), recorder, index.clone());
    let reconciler = Arc::new(Reconciler::new(index, queue.clone(), actor, metrics.clone()));
    metrics.set_leading(true);
    let working = tokio::spawn(reconciler.run(WORKERS));
    shutdown.cancelled().await;
    queue.close();
    working.await.context("the workers ended")?;
    Ok(())
}

/// A client without retries of its own: the queue repeats what failed, with backoff.
async fn client(settings: &Settings) -> anyhow::Result<Client> {
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
    let agent = HeaderValue::try_from(version::user_agent())?;
    config.headers.push((USER_AGENT, agent));
    Ok(Client::try_from(config)?)
}

fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

//! `lws-controller`: reads its settings, takes part in the leader election, and reconciles sets
//! while it leads.

mod election;
mod work;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context as _, anyhow};
use clap::Parser;
use kube::Client;
use lws_controller::act::{Actor, Limiter, Recorder, Requests};
use lws_controller::backoff::Backoff;
use lws_controller::certificates::{self, Keeper};
use lws_controller::lease::Leadership;
use lws_controller::metrics::Metrics;
use lws_controller::observe::index::{Concerned, Index};
use lws_controller::observe::watch::{self, Notify, Synced};
use lws_controller::queue::Queue;
use lws_controller::reconcile::Reconciler;
use lws_controller::server_version::{self, Finding};
use lws_runtime::client::{self, LazyClient, requests::RequestCounter};
use lws_runtime::config::{self, Settings};
use lws_runtime::flags::{self, Flags};
use lws_runtime::health::Health;
use lws_runtime::logging::LogControl;
use lws_runtime::{endpoints, logging, metrics, shutdown, version};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch as channel;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use election::Election;
use work::Work;

/// Brings the groups of sets to the state their users want
#[derive(Debug, Parser)]
#[command(name = "lws-controller", version = version::VERSION)]
struct Arguments {
    #[command(flatten)]
    common: Flags,
}

/// How long a set waits for more of what nothing is to be done about at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long this process lets things gather once no task can go on, before it looks for news. While
/// groups change there are hundreds of observations a second, and to wake up for each costs as much as
/// to take it in. What comes first is taken up at once; answers, timers and probes that follow wait up
/// to this long, about as long as the API server needs for a write. The election has a thread and a
/// runtime of its own.
const GATHERING: Duration = Duration::from_millis(4);

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { common } = flags::parse();
    let runtime = runtime().context("unable to start")?;
    let code = runtime.block_on(async {
        match start(&common).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "stopping");
                ExitCode::FAILURE
            }
        }
    });
    // Names that are being looked up are not waited for.
    runtime.shutdown_background();
    Ok(code)
}

/// One thread: this process waits for the API server, and threads that wake one another cost more
/// than they gain.
fn runtime() -> io::Result<Runtime> {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all().on_thread_park(|| thread::sleep(GATHERING)).build()
}

async fn start(common: &Flags) -> anyhow::Result<()> {
    let log = logging::init(&common.log)?;
    let settings = config::load(common).context("unable to load the configuration")?;
    tracing::info!(
        version = version::VERSION,
        configuration = serde_json::to_string(&settings)?,
        "starting"
    );
    run(settings, log).await
}

async fn run(settings: Settings, log: LogControl) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let config = client::config(&settings.client).await?;
    let index = Arc::new(Index::default());
    let queue = Queue::new(Backoff::default());
    let registry = metrics::registry()?;
    let metrics = Metrics::register(&registry, settings.group_restart.metric_series)?;
    let counter = RequestCounter::register(&registry)?;
    let client = client::new(config.clone(), &counter)?;
    Metrics::register_queue(&registry, queue.clone())?;
    let certificate_metrics = certificates::Metrics::register(&registry)?;

    // What happens before this process leads is in the index by then.
    let leads = Arc::new(AtomicBool::new(false));
    let notify: Notify = {
        let (queue, leads) = (queue.clone(), leads.clone());
        Arc::new(move |Concerned { sets, may_wait }| {
            let delay = if may_wait { PATIENCE } else { Duration::ZERO };
            if leads.load(Ordering::SeqCst) {
                for key in sets {
                    queue.add_after(key, delay);
                }
            }
        })
    };
    let mut watches = JoinSet::new();
    let synced = watch::start(&client, &index, &notify, settings.gang_scheduler, &mut watches);
    Metrics::register_watches(&registry, index.clone(), synced.clone())?;
    let findings = server_version::unknown();
    let health = health(&shutdown, synced.clone(), findings.subscribe());
    let reviewer = LazyClient::Made(client.clone());
    endpoints::start(&settings, health, registry, log, reviewer, &shutdown).await?;
    // One that cannot work takes no lease from one that can.
    let supported = server_version::supported(&client, &findings);
    if shutdown.run_until_cancelled(supported).await.is_none() {
        return Ok(());
    }

    let released = CancellationToken::new();
    let (election, leadership) =
        Election::start(&settings.leader_election, config, &counter, released.clone())?;
    let stop = shutdown.child_token();
    let limiter = Arc::new(Limiter::new(settings.client.qps, settings.client.burst));
    let requests = Requests::new(client.clone(), leadership.clone(), limiter.clone(), stop.clone());
    let unanswered = requests.unanswered();
    let keeper = keeper(&settings, &client, &leadership, certificate_metrics)?;
    let (recorder, told) = Recorder::new(client, limiter, leadership.clone(), &hostname()?);
    let actor = Actor::new(requests, recorder, index.clone(), metrics.clone());
    let restarts = settings.group_restart;
    let reconciler =
        Reconciler::new(index, synced.clone(), queue, actor, restarts, metrics.clone());
    let lease = settings.leader_election.resource_name;
    metrics.set_leading(&lease, false);

    let mut work = Work::new(stop, unanswered, told);
    work.keep(keeper);
    work.reconcile(reconciler, async move {
        lead(leadership).await;
        metrics.set_leading(&lease, true);
        leads.store(true, Ordering::SeqCst);
        know(synced).await;
    });
    lead_until(&shutdown, election, released, watches, work).await
}

/// Takes part until this process is told to stop, or cannot go on.
async fn lead_until(
    shutdown: &CancellationToken,
    mut election: Election,
    released: CancellationToken,
    mut watches: JoinSet<()>,
    mut work: Work,
) -> anyhow::Result<()> {
    let ended = tokio::select! {
        biased;
        lost = election.ended() => return lost,
        () = shutdown.cancelled() => Ok(()),
        _ = watches.join_next() => Err(anyhow!("a watch ended")),
        part = work.ended() => Err(anyhow!("a part of the work ended: {part:?}")),
    };
    // A write that was given up may still be carried out: then nobody else may lead yet.
    if !work.finish().await {
        return ended;
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
    let Some(certificates) = &settings.internal_certificates else { return Ok(None) };
    let mut settings = certificates::Settings::new(
        settings.namespace.clone(),
        certificates.webhook_secret_name.clone(),
        certificates.webhook_service_name.clone(),
    )
    .context("the name of the webhook's Service is no DNS name")?;
    settings.schedule = certificates.rotation.into();
    Ok(Some(Keeper::new(client, leadership.clone(), settings, metrics)))
}

/// Waits until this process leads.
async fn lead(mut leadership: channel::Receiver<Leadership>) {
    if leadership.wait_for(Leadership::is_valid).await.is_err() {
        // The election has ended, and this process with it.
        std::future::pending::<()>().await;
    }
    tracing::info!("leading");
}

/// Waits until everything is known that was written before this process began to lead.
async fn know(mut synced: Synced) {
    synced.anew().await;
    tracing::info!("caches are complete");
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

fn hostname() -> anyhow::Result<String> {
    Ok(hostname::get().context("cannot read the host name")?.to_string_lossy().into_owned())
}

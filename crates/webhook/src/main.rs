//! `lws-webhook`: serves the admission webhooks of the LeaderWorkerSet system.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Parser};
use jiff::Timestamp;
use lws_certs::reload::ReloadingCertificate;
use lws_runtime::client::{LazyClient, requests::RequestCounter};
use lws_runtime::config::{self, Settings};
use lws_runtime::flags::{self, Flags};
use lws_runtime::health::Health;
use lws_runtime::listen::{DefaultHost, listen};
use lws_runtime::logging::LogControl;
use lws_runtime::tls_server::{self, Limits};
use lws_runtime::{access, endpoints, logging, metrics, shutdown};
use lws_webhook::{Metrics, router};
use tokio::runtime::{self, Handle, Runtime};

/// How often the certificate files are looked at. A new certificate is served this much later, and
/// a replica that starts before its certificate exists is ready this much after it.
const CERTIFICATE_POLL: Duration = Duration::from_secs(1);

/// The environment variable that switches the webhooks off when it is exactly `false`, as in the
/// existing implementation.
const ENABLE_WEBHOOKS: &str = "ENABLE_WEBHOOKS";

/// Admission webhooks of LeaderWorkerSet
#[derive(Parser)]
#[command(name = "lws-webhook", version = lws_runtime::version::VERSION)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,

    /// Address of the webhooks, host:port or :port, instead of the file's webhook.host and port
    #[arg(long, value_name = "ADDRESS")]
    webhook_bind_address: Option<String>,

    /// Directory of tls.crt and tls.key, instead of the file's webhook.certDir
    #[arg(long, value_name = "DIRECTORY")]
    webhook_cert_dir: Option<PathBuf>,

    /// Whether webhooks and metrics are offered over HTTP/2 too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    #[arg(value_parser = flags::boolean)]
    enable_http2: bool,
}

/// Threads that decide. Each may be at a decision, which takes memory, and a handful answers more
/// than an API server can ask; a node may have hundreds of processors.
const THREADS: usize = 8;

fn main() -> ExitCode {
    let arguments: Arguments = flags::parse();
    let processors = thread::available_parallelism().map_or(THREADS, usize::from);
    let ended = runtimes(processors.min(THREADS))
        .context("unable to start threads")
        .and_then(|(serving, large)| serving.block_on(run(arguments, large.handle().clone())));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopping");
            ExitCode::FAILURE
        }
    }
}

/// What serves with so many threads, and what judges large reviews.
fn runtimes(threads: usize) -> io::Result<(Runtime, Runtime)> {
    let mut serving = runtime::Builder::new_multi_thread();
    // For names of the API server, which is asked who may see metrics.
    serving.worker_threads(threads).max_blocking_threads(access::AT_ONCE).enable_all();
    // One thread: large reviews are judged one after the other, and what the allocator retains of
    // their memory it retains for each thread.
    let mut large = runtime::Builder::new_current_thread();
    Ok((serving.build()?, large.max_blocking_threads(1).build()?))
}

async fn run(arguments: Arguments, large: Handle) -> anyhow::Result<()> {
    let log = logging::init(&arguments.flags.log)?;
    let mut settings =
        config::load(&arguments.flags).context("unable to load the configuration")?;
    if let Some(directory) = arguments.webhook_cert_dir {
        settings.webhook.cert_dir = directory;
    }
    settings.tls.http2 = arguments.enable_http2;
    let address = arguments.webhook_bind_address.unwrap_or_else(|| settings.webhook.bind_address());
    tracing::info!(
        version = lws_runtime::version::VERSION,
        address,
        configuration = serde_json::to_string(&settings)?,
        "starting"
    );
    serve(&settings, &address, log, large).await
}

/// Serves until a signal asks to stop. Ready once the listener is up with a valid certificate.
async fn serve(
    settings: &Settings,
    address: &str,
    log: LogControl,
    large: Handle,
) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let registry = metrics::registry()?;
    let webhook_metrics = Metrics::register(&registry)?;
    let certificate = Arc::new(ReloadingCertificate::new(&settings.webhook.cert_dir));
    metrics::register_certificate(&registry, Arc::clone(&certificate))?;

    let mut health = Health::new(shutdown.clone());
    let client = LazyClient::wanted(settings.client.clone(), RequestCounter::register(&registry)?);
    if std::env::var_os(ENABLE_WEBHOOKS).is_some_and(|it| it == "false") {
        endpoints::start(settings, health, registry, log, client, &shutdown).await?;
        tracing::warn!("no webhooks are served, because {ENABLE_WEBHOOKS} is false");
        shutdown.cancelled().await;
        return Ok(());
    }
    let served = Arc::clone(&certificate);
    health.ready("certificate", move || served.check(Timestamp::now()));
    let listening = health.gate("listener");
    endpoints::start(settings, health, registry, log, client, &shutdown).await?;

    let tls = tls_server::server_config(&settings.tls, certificate.clone())?;
    let listener = listen(address, DefaultHost::All).await?;
    listening.open();
    tracing::info!(address = %listener.local_addr()?, "serving webhooks");
    let pods = lws_webhook::Settings { gang_scheduling: settings.gang_scheduler.is_some() };
    let webhooks = router(pods, webhook_metrics, large);
    tokio::spawn(async move { certificate.watch(CERTIFICATE_POLL).await });
    tls_server::serve(listener, tls, webhooks, Limits::default(), shutdown).await?;
    Ok(())
}

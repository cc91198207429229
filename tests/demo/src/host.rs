//! The process in the background: it owns the cluster and the system on it. All their processes end with it, however it
//! ends.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use anyhow::{Context, Result};
use lws_harness::processes::Process;
use lws_harness::system::{System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::say;
use crate::state::{Access, State};

/// The last line of the output: the cluster is ready.
pub(crate) const READY: &str = "ready";

/// The line on the input that lets this process outlive the one that has started it.
pub(crate) const KEEP: &str = "keep";

const NODES: usize = 20;

/// How long a pod takes to become ready: long enough for each stage of a rollout to be seen.
const READY_DELAY: Duration = Duration::from_millis(1500);

/// Runs a cluster until SIGTERM, or until the input ends without [`KEEP`].
pub(crate) async fn run(state: &State) -> Result<()> {
    // What happens in the terminal, such as Ctrl-C, is for the process that has started this one.
    nix::unistd::setsid().context("cannot leave the terminal")?;
    // While the API server starts, the client would complain of every look at it.
    let filter = tracing_subscriber::EnvFilter::new("warn,kube_client=off");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let abandoned = abandoned();
    let _claim = state.claim()?;
    state.clear()?;
    tokio::select! {
        outcome = serve(state) => match outcome? {},
        _ = terminate.recv() => {}
        () = abandoned => {}
    }
    state.clear()
}

/// Starts everything, and keeps it as long as this future is not dropped.
async fn serve(state: &State) -> Result<Infallible> {
    let options = ClusterOptions {
        nodes: NODES,
        data_dir: Some(state.cluster()),
        ready_delay: READY_DELAY,
        ..ClusterOptions::default()
    };
    let version = options.kubernetes_version.clone();
    say(&format!("Starting Kubernetes {version} with {NODES} simulated nodes."))?;
    let cluster = Cluster::start(options).await?;
    say(
        "Installing definition, rights and webhook configurations; starting lws-webhook and lws-controller.",
    )?;
    let mut system = System::install(&cluster, &SystemOptions::default()).await?;
    state.publish(&Access {
        kubernetes_version: version,
        kubectl: cluster.kubectl_path()?.canonicalize()?,
        kubeconfig: cluster.kubeconfig().to_owned(),
    })?;
    say(READY)?;
    let ended = |process: &Process, status| {
        let log = process.log().display();
        tracing::warn!(
            "{} ended ({status}) and is started again; its log is {log}",
            process.name()
        );
    };
    Ok(system.keep_running(ended).await?)
}

/// Completes when the process that has started this one goes without letting go of it.
fn abandoned() -> impl Future<Output = ()> {
    let (abandon, abandoned) = oneshot::channel();
    // A thread of its own: the runtime would wait for the end of a read at its own end.
    std::thread::spawn(move || {
        let mut line = String::new();
        // An input that cannot be read has nobody at its other end.
        let read = std::io::stdin().read_line(&mut line);
        if read.is_err() || line.trim_end() != KEEP {
            _ = abandon.send(());
        }
    });
    async {
        if abandoned.await.is_err() {
            pending::<()>().await;
        }
    }
}

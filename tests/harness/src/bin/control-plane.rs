//! Runs a cluster in the foreground until it is told to end.
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lws_harness::{Cluster, ClusterOptions};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(about = "A real Kubernetes control plane with simulated nodes, on 127.0.0.1")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, print the path of its kubeconfig, and stay until SIGINT or SIGTERM.
    Up(Up),
}

#[derive(clap::Args)]
struct Up {
    /// How many nodes are simulated.
    #[arg(long, default_value_t = 20)]
    nodes: usize,
    /// The Kubernetes version, as built by `make control-plane`.
    #[arg(long, env = "KUBERNETES_VERSION")]
    version: Option<String>,
    /// A feature gate, as `Name=true`; may be given several times.
    #[arg(long = "feature-gate", value_parser = feature_gate)]
    feature_gates: Vec<(String, bool)>,
    /// Keep the cluster here, also for the next start; without it everything is removed at the end.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Go on with the data of another cluster: a `.tar.xz` of its etcd data directory.
    #[arg(long)]
    etcd_archive: Option<PathBuf>,
}

fn feature_gate(text: &str) -> Result<(String, bool)> {
    let (gate, on) = text.split_once('=').context("Name=true or Name=false is expected")?;
    Ok((gate.to_owned(), on.parse()?))
}

#[tokio::main]
async fn main() -> Result<()> {
    // The client logs every look at an API server that is not ready yet.
    let quiet = EnvFilter::new("warn,kube_client=off");
    let filter = EnvFilter::try_from_default_env().unwrap_or(quiet);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Arguments { command: Command::Up(up) } = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;

    let defaults = ClusterOptions::default();
    let starting = Cluster::start(ClusterOptions {
        nodes: up.nodes,
        kubernetes_version: up.version.unwrap_or(defaults.kubernetes_version),
        feature_gates: up.feature_gates.into_iter().collect(),
        data_dir: up.dir,
        etcd_archive: up.etcd_archive,
        ..ClusterOptions::default()
    });
    let cluster = tokio::select! {
        cluster = starting => cluster?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    println!("{}", cluster.kubeconfig().display());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    cluster.stop().await?;
    Ok(())
}

//! `lws-bench`: what the benchmarks of the Makefile do. It runs the release builds of the processes as a cluster runs them,
//! measures them from outside, and compares the figures with their targets.
//!
//! | module | owns |
//! |---|---|
//! | `admission` | load on the webhook |
//! | `controller` | the controller at work on a control plane |
//! | `flame_graph` | where processor time goes, as a picture |
//! | `endurance` | both at work for long |
//! | `startup` | both while they start, and while there is nothing to do |
//! | `planner` | the arithmetic of rollouts, without a cluster |
//! | `pictures` | the dashboard, drawn from a run |
//! | `process` | processor time, memory and open files of a process |
//! | `counter` | how often a controller has reconciled |
//! | `chart` | lines as pictures |
//! | `guide` | the parts of the guide that are written here |
//! | `latency` | percentiles |
//! | `report` | targets, verdicts, tables |
//!
//! A benchmark reports: it ends with status 0 also when a target is missed.

mod admission;
mod chart;
mod controller;
mod counter;
mod endurance;
mod flame_graph;
mod guide;
mod latency;
mod pictures;
mod planner;
mod process;
mod report;
mod startup;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "Measures the processes of the LeaderWorkerSet system")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The webhook under load from keep-alive TLS clients.
    Admission(admission::Arguments),
    /// The controller on a control plane of its own.
    Controller(controller::Arguments),
    /// The controller with few groups and many: what each costs, and how long it takes.
    Scale(controller::scale::Arguments),
    /// A flame graph, from the output of `perf script`.
    FlameGraph(flame_graph::Arguments),
    /// Both processes at work for long: whether memory and open files grow.
    Endurance(endurance::Arguments),
    /// The arithmetic of rollouts of any size, in a simulated cluster.
    Planner(planner::Arguments),
    /// Sizes of the programs, how long they take to begin, and what they use while there is nothing to do.
    Startup(startup::Arguments),
    /// Pictures of the dashboard, from metrics that Prometheus has scraped while something happened.
    Pictures(pictures::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    tokio::select! {
        // What does not wait for anything never looks for signals: they end it as they end any process.
        biased;
        outcome = run(command) => match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                report::complain(&error);
                ExitCode::FAILURE
            }
        },
        // What was started is ended, and what was written is removed, as this drops it.
        status = interruption() => ExitCode::from(status),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Admission(arguments) => admission::run(&arguments).await,
        Command::Controller(arguments) => Box::pin(controller::run(&arguments)).await,
        Command::Scale(arguments) => Box::pin(controller::scale::run(&arguments)).await,
        Command::FlameGraph(arguments) => flame_graph::run(&arguments),
        Command::Endurance(arguments) => Box::pin(endurance::run(&arguments)).await,
        Command::Planner(arguments) => planner::run(&arguments),
        Command::Startup(arguments) => Box::pin(startup::run(&arguments)).await,
        Command::Pictures(arguments) => Box::pin(pictures::run(&arguments)).await,
    }
}

/// Waits for Ctrl-C or a termination, and gives the exit status that tells of it.
async fn interruption() -> u8 {
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => _ = signals.recv().await,
        // The signal then ends the process by itself.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => 130,
        () = wait(SignalKind::terminate()) => 143,
    }
}

//! `lws-bench`: what `make bench`, `make bench-admission` and `make bench-scale` do. It runs the release builds of the processes as a cluster runs them,
//! measures them from outside, and compares the figures with their targets.
//!
//! | module | owns |
//! |---|---|
//! | `admission` | load on the webhook |
//! | `controller` | the controller at work on a control plane |
//! | `flame_graph` | where processor time goes, as a picture |
//! | `pictures` | the dashboard, drawn from a run |
//! | `process` | processor time and memory of a process, from `/proc` |
//! | `latency` | percentiles |
//! | `report` | targets, verdicts, tables |
//!
//! A benchmark reports: it ends with status 0 also when a target is missed.

mod admission;
mod controller;
mod flame_graph;
mod latency;
mod pictures;
mod process;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Pictures of the dashboard, from metrics that Prometheus has scraped while something happened.
    Pictures(pictures::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let outcome = match command {
        Command::Admission(arguments) => admission::run(&arguments).await,
        Command::Controller(arguments) => Box::pin(controller::run(&arguments)).await,
        Command::Scale(arguments) => Box::pin(controller::scale::run(&arguments)).await,
        Command::FlameGraph(arguments) => flame_graph::run(&arguments),
        Command::Pictures(arguments) => Box::pin(pictures::run(&arguments)).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}

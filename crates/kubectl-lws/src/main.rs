//! `kubectl-lws`, which kubectl runs as `kubectl lws`: tells how `LeaderWorkerSet`s stand, and why.
//!
//! ```text
//! arguments ──► connection ──► cluster (requests) ──► Snapshot ──► report (pure) ──► output
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`completion`] | what shells need to complete it |
//! | [`connection`] | which cluster and namespace is asked, as kubectl finds them |
//! | [`transport`] | how long a request may take, and what is told when no answer comes |
//! | [`cluster`] | requests for the objects of a set |
//! | [`snapshot`] | the objects of a set at one moment, as values |
//! | [`pods`] | what keeps a pod from being ready |
//! | [`watches`] | watches that begin anew, and what is told while one sees nothing |
//! | [`waits`] | what the workers of a group wait for |
//! | [`status`] | how a set and its groups stand, and why a set is not available |
//! | [`tree`] | which objects a set consists of |
//! | [`events`] | what has happened to them |
//! | [`plan`] | what an apply would do |
//! | [`rollout`] | how far a rollout is; its start, pause and return |
//! | [`diagnose`] | what is wrong, how that shows, and what to do |
//! | [`output`] | tables, JSON, YAML and colours |
//! | [`error`] | errors in the words of kubectl |
//!
//! What decides is pure: functions over a [`snapshot::Snapshot`], whose time is part of it.

mod arguments;
mod cluster;
mod completion;
mod connection;
mod diagnose;
mod error;
mod events;
mod lost;
mod output;
mod plan;
mod pods;
mod rollout;
mod snapshot;
mod status;
#[cfg(test)]
mod test_objects;
#[cfg(test)]
mod test_server;
mod transport;
mod tree;
mod waits;
mod watches;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};
use cluster::Scope;
use connection::Connection;
use error::Error;
use output::Output;
use plan::Mode;

// One thread: this process waits for the API server.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(code) => code,
        // Whoever reads the output has seen enough of it.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::complain(&error.told());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let Arguments { common, command } = arguments;
    let connection = || Connection::open(&common);
    match command {
        Command::Status { name: Some(name), watch, format, .. } => {
            let output = Output::new(format.output);
            status::run(&connection().await?, &name, watch, output).await?;
        }
        Command::Status { name: None, all_namespaces, format, .. } => {
            let scope = if all_namespaces { Scope::Cluster } else { Scope::Namespace };
            return status::list(&connection().await?, scope, Output::new(format.output)).await;
        }
        Command::Tree { name, format } => {
            tree::run(&connection().await?, &name, Output::new(format.output)).await?;
        }
        Command::Events { name, format } => {
            events::run(&connection().await?, &name, Output::new(format.output)).await?;
        }
        Command::Plan { filename, server_side, gang_scheduling, format } => {
            let mode = if server_side { Mode::Server } else { Mode::Client };
            let output = Output::new(format.output);
            let namespace = common.namespace.as_deref();
            let connection = connection().await?;
            plan::run(&connection, &filename, namespace, mode, gang_scheduling, output).await?;
        }
        Command::Rollout { command } => rollout::run(&connection().await?, &command).await?,
        Command::Diagnose { name, format } => {
            let output = Output::new(format.output);
            return diagnose::run(&connection().await?, &name, output).await;
        }
        Command::Completion { shell } => output::print(&completion::script(shell))?,
    }
    Ok(ExitCode::SUCCESS)
}

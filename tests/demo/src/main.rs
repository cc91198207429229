//! `lws-demo`: what `make run` and `make stop` do. It runs a cluster in the background, with the system installed, and
//! shows a rollout on it.
//!
//! | module | owns |
//! |---|---|
//! | `host` | the process in the background, and the cluster in it |
//! | `background` | starting, keeping and ending that process |
//! | `state` | the directory through which processes find each other |
//! | `demonstration` | what is shown, step by step |
//! | `watch`, `board`, `table` | a rollout: changes in their order, stages, lines |
//! | `image` | the change that makes a rollout |
//! | `kubectl` | the commands that are run |

mod background;
mod board;
mod demonstration;
mod host;
mod image;
mod kubectl;
mod state;
mod table;
mod watch;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use background::Background;
use state::{Access, State};

/// The status of a process that a signal has ended, as shells have it: 128 and SIGINT.
const INTERRUPTED: u8 = 130;

#[derive(Parser)]
#[command(about = "A cluster in the background that shows what LeaderWorkerSets do")]
struct Arguments {
    /// Where the cluster and the process id of its host are kept.
    #[arg(long, default_value = ".run")]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster unless one runs, apply a file, and show a rollout of each LeaderWorkerSet in it.
    Run {
        /// The file, as for `kubectl apply`.
        file: PathBuf,
    },
    /// End the cluster.
    Stop,
    /// Be the process in the background; `run` starts it.
    #[command(hide = true)]
    Host,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { state, command } = Arguments::parse();
    let outcome = match State::new(&state) {
        Ok(state) => match command {
            Command::Run { file } => run(&state, &file).await,
            Command::Stop => background::stop(&state).await.map(|()| ExitCode::SUCCESS),
            Command::Host => host::run(&state).await.map(|()| ExitCode::SUCCESS),
        },
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Starts a cluster, or takes the one that runs, and demonstrates `file` on it. A cluster that was started here ends
/// with an interruption; otherwise it stays.
async fn run(state: &State, file: &Path) -> Result<ExitCode> {
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let mut started = match state.host()? {
        Some(pid) => {
            say(&format!(
                "A cluster is running already (process {pid}) and is used as it is; `make stop` before `make run` gives a new one."
            ))?;
            None
        }
        None => Some(Background::spawn(state)?),
    };
    let demonstration = async {
        if let Some(background) = &mut started {
            background.ready().await?;
        }
        let access = state.access()?;
        Ok::<_, anyhow::Error>((demonstration::show(&access, file).await, access))
    };
    let finished = tokio::select! {
        finished = demonstration => Some(finished),
        () = &mut interrupted => None,
    };
    let status = match finished {
        // Once the cluster is there, a file that cannot be shown is no reason to end it.
        Some(Ok((shown, access))) => {
            let status = shown.map_or_else(
                |error| {
                    complain(&error);
                    ExitCode::FAILURE
                },
                |()| ExitCode::SUCCESS,
            );
            say_what_next(state, &access)?;
            if let Some(background) = started.take() {
                background.keep().await?;
            }
            return Ok(status);
        }
        Some(Err(error)) => Err(error),
        None => Ok(ExitCode::from(INTERRUPTED)),
    };
    if let Some(background) = started {
        say("Ending the cluster.")?;
        background.end().await?;
    }
    status
}

/// Completes when somebody asks this process to end.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let wait_for = |kind| signal(kind).context("cannot wait for signals");
    let mut interrupt = wait_for(SignalKind::interrupt())?;
    let mut terminate = wait_for(SignalKind::terminate())?;
    let mut hangup = wait_for(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn say_what_next(state: &State, access: &Access) -> Result<()> {
    let kubectl =
        format!("{} --kubeconfig {}", access.kubectl.display(), access.kubeconfig.display());
    say(&format!(
        "
The cluster keeps running in the background. To look around and to go on:

  {kubectl} get leaderworkersets,statefulsets,pods
  {kubectl} apply -f my-set.yaml
  make run SAMPLE=my-set.yaml     apply it and show a rollout of it
  make stop                       end the cluster

Its logs are in {}.",
        state.cluster().display()
    ))
}

/// Prints a line, at once.
fn say(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("cannot write to the output")
}

/// Prints an error with its causes. When even that fails there is nobody left to tell.
fn complain(error: &anyhow::Error) {
    _ = writeln!(std::io::stderr(), "error: {error:#}");
}

//! The host as a child: it ends with this process, unless this process lets go of it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lws_harness::wait;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::state::State;
use crate::{host, say};

/// How long a host may take to end in good order.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// A host that this process has started. It ends when this is dropped.
pub(crate) struct Background {
    child: Child,
    /// As long as this is open, the host knows that it is still wanted.
    lifeline: ChildStdin,
    progress: Lines<BufReader<ChildStdout>>,
    state: State,
}

impl Background {
    /// Starts the host.
    pub(crate) fn spawn(state: &State) -> Result<Self> {
        state.create()?;
        let path = state.log();
        let log = std::fs::File::create(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let program = std::env::current_exe().context("cannot find this executable")?;
        let mut child = Command::new(program)
            .arg("--state")
            .arg(state.directory())
            .arg("host")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("cannot start the host of the cluster")?;
        let lifeline = child.stdin.take().context("the host has no input")?;
        let progress = child.stdout.take().context("the host has no output")?;
        let progress = BufReader::new(progress).lines();
        Ok(Self { child, lifeline, progress, state: state.clone() })
    }

    /// Passes on what the host says until its cluster is ready. Fails when the host ends, with what it had to say.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        while let Some(line) =
            self.progress.next_line().await.context("cannot hear the host of the cluster")?
        {
            if line == host::READY {
                return Ok(());
            }
            say(&line)?;
        }
        self.child.wait().await.context("cannot wait for the host of the cluster")?;
        let path = self.state.log();
        let log = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        bail!("the cluster could not be started; {} says:\n{}", path.display(), log.trim_end())
    }

    /// Lets the host go on without this process.
    pub(crate) async fn keep(mut self) -> Result<()> {
        let line = format!("{}\n", host::KEEP);
        self.lifeline.write_all(line.as_bytes()).await.context("the cluster has ended")
    }

    /// Ends the host and waits until everything has ended.
    pub(crate) async fn end(self) -> Result<()> {
        let Self { mut child, lifeline, .. } = self;
        drop(lifeline);
        child.wait().await.map(drop).context("cannot wait for the end of the cluster")
    }
}

/// Ends the host that runs, whoever has started it, and removes the state.
pub(crate) async fn stop(state: &State) -> Result<()> {
    match state.host()? {
        None => say("No cluster is running.")?,
        Some(pid) => {
            say("Ending the cluster.")?;
            end_host(state, Pid::from_raw(pid)).await?;
        }
    }
    state.remove()
}

async fn end_host(state: &State, pid: Pid) -> Result<()> {
    let gone = async || state.host().map(|host| host.is_none().then_some(()));
    signal(pid, Signal::SIGTERM)?;
    if wait::eventually(STOP_DEADLINE, "the host has ended", gone).await.is_err() {
        signal(pid, Signal::SIGKILL)?;
        wait::eventually(STOP_DEADLINE, "the host has ended", gone).await?;
    }
    Ok(())
}

fn signal(pid: Pid, signal: Signal) -> Result<()> {
    match kill(pid, signal) {
        // It has ended in the meantime.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send {signal} to process {pid}")),
    }
}

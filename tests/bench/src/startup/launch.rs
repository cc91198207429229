//! A process from its start until it listens.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lws_harness::free_ports;
use lws_harness::processes::ProcessSpec;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::admission::webhook::write_certificate;

/// Pause between two looks, such as tries to connect: one that finds nobody takes some microseconds.
const PAUSE: Duration = Duration::from_micros(100);

/// The longest that a start may take, and an end.
const DEADLINE: Duration = Duration::from_secs(30);

/// A process that was started directly: nothing is between it and its start. Dropping it kills it.
pub(super) struct Launched {
    child: Child,
    /// Just before its start.
    pub(super) begun: Instant,
}

impl Launched {
    /// Starts a program of the system with its output in a file.
    pub(super) fn start(name: &str, arguments: &[String], log: &Path) -> Result<Self> {
        let program = ProcessSpec::of_workspace(name)?.program;
        let output = std::fs::File::create(log)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, begun })
    }

    /// Waits until somebody listens on a port, and gives how long that took since its start.
    pub(super) fn listens(&mut self, port: u16) -> Result<Duration> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the process ended with {status} before it listened on {address}");
            }
            if self.begun.elapsed() > DEADLINE {
                bail!("nobody listens on {address} after {DEADLINE:?}");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(self.begun.elapsed())
    }

    /// Ends it as a cluster does, and waits until it has ended. Fails when it does not end in time, and kills it then.
    pub(super) fn stop(self) -> Result<()> {
        self.stop_within(DEADLINE)
    }

    fn stop_within(mut self, deadline: Duration) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            ensure!(since.elapsed() < deadline, "it has not ended {deadline:?} after SIGTERM");
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // One that has ended is past that.
        if self.child.kill().is_ok() {
            _ = self.child.wait();
        }
    }
}

/// Starts the webhook again and again, and gives how long each start took until it listened.
pub(super) async fn webhook(starts: u32) -> Result<Vec<Duration>> {
    let directory = tempfile::Builder::new().prefix("lws-bench-").tempdir()?;
    write_certificate(directory.path())?;
    let start = move || {
        let [port] = free_ports()?;
        let arguments = [
            format!("--webhook-bind-address=127.0.0.1:{port}"),
            format!("--webhook-cert-dir={}", directory.path().display()),
            "--metrics-bind-address=0".to_owned(),
            "--health-probe-bind-address=0".to_owned(),
        ];
        let log = directory.path().join("lws-webhook.log");
        let mut launched = Launched::start("lws-webhook", &arguments, &log)?;
        let took = launched.listens(port)?;
        launched.stop()?;
        Ok(took)
    };
    let all = move || (0..starts).map(|_| start()).collect();
    tokio::task::spawn_blocking(all).await?
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_does_not_end_is_killed() {
        // Says so once it no longer ends by the signal.
        let script = "trap '' TERM; echo ready; while :; do read -r line; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        let process = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let launched = Launched { child, begun: Instant::now() };
        let error = launched.stop_within(Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "it has not ended 0ns after SIGTERM");
        assert!(kill(process, None).is_err(), "it still runs");
    }
}

//! A process from its start until it listens.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lws_harness::free_ports;
use lws_harness::processes::ProcessSpec;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::admission::webhook::write_certificate;

/// How often is tried to connect: a try that finds nobody takes some microseconds.
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

    /// Ends it as a cluster does, and waits until it has ended.
    pub(super) fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "it ended with {status}");
        Ok(())
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

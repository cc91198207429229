//! The process that is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use lws_certs::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE};
use lws_harness::processes::{Process, ProcessSpec};
use lws_harness::wait;
use rustls_pki_types::ServerName;
use tempfile::TempDir;

use super::client::{self, Connection};
use crate::process::Measured;

/// How long it may take to start and to stop: the drain takes some seconds.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the webhook logs once it listens.
const SERVING: &str = "serving webhooks";

/// A running webhook with a certificate for 127.0.0.1. Dropping it kills it.
pub(crate) struct Webhook {
    process: Process,
    address: SocketAddr,
    authority: Authority,
    _directory: TempDir,
}

impl Webhook {
    /// Starts the webhook of the profile that this program is built for, and waits until it serves.
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("lws-bench-").tempdir()?;
        let authority = write_certificate(directory.path())?;
        let spec = ProcessSpec::of_workspace("lws-webhook")?
            .args(["--webhook-bind-address=127.0.0.1:0", "--metrics-bind-address=0"])
            .args(["--health-probe-bind-address=0"])
            .args([format!("--webhook-cert-dir={}", directory.path().display())]);
        let process = Process::start(&spec, directory.path()).await?;
        let address = wait::eventually(DEADLINE, "the webhook listens", async || {
            if let Some(status) = process.exit_status() {
                anyhow::bail!("it has ended ({status}): {}", process.last_lines()?);
            }
            Ok(address(&process.last_lines()?))
        })
        .await?;
        let tls = client::tls(&authority.pair().certificate_pem)?;
        wait::eventually(DEADLINE, "the webhook has its certificate", async || {
            Connection::open(address, &tls).await.map(Some)
        })
        .await?;
        Ok(Self { process, address, authority, _directory: directory })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that its certificate is verified with.
    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority.pair().certificate_pem
    }

    /// Its processor time and memory.
    pub(crate) fn measured(&self) -> Measured {
        Measured::new(self.process.pid())
    }

    /// Ends it as a cluster does. Fails when it does not end in good order.
    pub(crate) async fn stop(self) -> Result<()> {
        let status = self.process.stop(DEADLINE).await?;
        anyhow::ensure!(status.success(), "the webhook ended with {status}");
        Ok(())
    }
}

/// Writes a certificate for 127.0.0.1 and its key into a directory, as the webhook reads them; gives its authority.
pub(crate) fn write_certificate(directory: &Path) -> Result<Authority> {
    let now = Timestamp::now();
    let authority = Authority::generate(now, AUTHORITY_LIFETIME)?;
    let names = [ServerName::from(Ipv4Addr::LOCALHOST)];
    let pair = authority.issue(&names, now, SERVING_LIFETIME)?;
    let write = |file: &str, text: &str| {
        let path = directory.join(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(KEY_FILE, &pair.private_key_pem)?;
    write(CERTIFICATE_FILE, &pair.certificate_pem)?;
    Ok(authority)
}

/// The address in the line of a log that says where the webhook listens.
fn address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(SERVING))?;
    line.split('"').find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let log = "{\"msg\":\"starting\",\"address\":\"0.0.0.0:9443\"}\n{\"msg\":\"serving webhooks\",\"address\":\"127.0.0.1:1234\"}";
        assert_eq!(address(log), "127.0.0.1:1234".parse().ok());
        assert_eq!(address("starting \"127.0.0.1:1\""), None);
    }
}

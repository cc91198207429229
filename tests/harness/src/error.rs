//! The one error type of the harness.

use std::path::PathBuf;
use std::time::Duration;

/// What the harness answers.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong while a cluster or a process is started, used or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A Kubernetes binary is not in the cache of built versions.
    #[error("{path} is missing: run `make control-plane KUBERNETES_VERSION={version}` first")]
    NotBuilt {
        /// The Kubernetes version asked for.
        version: String,
        /// Where the binary should be.
        path: PathBuf,
    },
    /// A binary of this workspace is not in the target directory.
    #[error("{path} is missing: run `cargo build --bin {name}` (for the same profile) first")]
    BinaryMissing {
        /// The binary's name.
        name: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file or directory could not be read or written.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried: "read", "write", …
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No port on 127.0.0.1 could be had.
    #[error("cannot find a free port on 127.0.0.1")]
    Port(#[source] std::io::Error),
    /// A key or certificate could not be made.
    #[error("cannot make the {what}")]
    Certificate {
        /// Which one.
        what: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// A process could not be started or waited for.
    #[error("cannot {operation} {name}")]
    Process {
        /// What was tried: "start", "run", …
        operation: &'static str,
        /// The process.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A process could not be sent a signal.
    #[error("cannot signal {name}")]
    Signal {
        /// The process.
        name: String,
        /// Why not.
        source: nix::Error,
    },
    /// A process ended although it should run.
    #[error("{name} ended with {status}; the end of {log}:\n{last_lines}")]
    Exited {
        /// The process.
        name: String,
        /// Its exit code or signal.
        status: std::process::ExitStatus,
        /// The file with everything it said.
        log: PathBuf,
        /// The last lines of that file.
        last_lines: String,
    },
    /// A condition did not come true in time.
    #[error("not within {waited:?}: {what}; last seen: {last}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen last.
        last: String,
    },
    /// A request to the API server failed.
    #[error("cannot {operation}")]
    Api {
        /// What was tried.
        operation: String,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// A kubeconfig cannot be made or used.
    #[error("cannot make a kubeconfig or client for {user}: {reason}")]
    Kubeconfig {
        /// Whose.
        user: String,
        /// What is wrong.
        reason: String,
    },
    /// A URL cannot be used.
    #[error("cannot use {url}: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The audit log has a line that is no audit event.
    #[error("cannot read the audit event {line}")]
    AuditEvent {
        /// The line.
        line: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// `kubectl` ended with an error.
    #[error("kubectl {arguments}: {stderr}")]
    Kubectl {
        /// Its command line.
        arguments: String,
        /// What it said.
        stderr: String,
    },
    /// A manifest of `deploy/` is not what is expected.
    #[error("cannot use the manifest {path}: {reason}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate for the webhook could not be issued.
    #[error("cannot issue a certificate for the webhook")]
    WebhookCertificate(#[source] lws_certs::issue::IssueError),
    /// The system was installed without its webhook.
    #[error("this system was installed without its webhook")]
    NoWebhook,
    /// A process was started without a proxy of its own.
    #[error("{name} has no proxy: it was started without")]
    NoProxy {
        /// The process.
        name: String,
    },
    /// The cluster was started without controllers, so it has no simulated nodes.
    #[error("this cluster has no simulated nodes: it was started without controllers")]
    NoSimulator,
    /// The simulation has ended.
    #[error("the simulator has ended")]
    SimulatorEnded,
    /// A simulated node, pod or container does not exist.
    #[error("the simulator knows no {what}")]
    Unknown {
        /// What was named.
        what: String,
    },
}

impl Error {
    /// A function for `map_err` that names the file operation which failed.
    pub(crate) fn file(
        operation: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { operation, path, source }
    }

    /// A function for `map_err` that names the API request which failed.
    pub(crate) fn api(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Api { operation, source: Box::new(source) }
    }
}

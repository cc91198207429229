//! One process of the system: its configuration file, ports, health.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::json;

use super::{Certificates, Metrics, NAMESPACE, SystemOptions, Volcano};
use crate::processes::{Process, ProcessSpec};
use crate::proxy::Proxy;
use crate::startup::free_ports;
use crate::{Cluster, Error, Result};

/// How long a process may take until it is ready: less than a second on an idle machine.
pub(super) const READY_DEADLINE: Duration = Duration::from_secs(30);

/// How long a process that has ended rests before it is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How often a start is tried when another process takes a port that was free a moment before.
const PORT_ATTEMPTS: usize = 3;

/// A process of the system that is, or was, running. Dropping it kills it.
#[derive(Debug)]
pub struct Component {
    process: Process,
    ports: Ports,
    metrics: Metrics,
    proxy: Option<Proxy>,
}

/// Which process to start.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) binary: &'static str,
    /// Of the log and the other files.
    pub(super) name: String,
    pub(super) service_account: &'static str,
    /// The directory of the serving certificate, for the webhook.
    pub(super) webhook_certificates: Option<PathBuf>,
    /// Whether it reaches the API server through a proxy of its own.
    pub(super) proxied: bool,
}

/// Where a process listens on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
struct Ports {
    webhook: u16,
    health: u16,
    metrics: u16,
}

impl Component {
    /// Starts a process with the rights of its service account, and waits until it is ready.
    pub(super) async fn start(
        cluster: &Cluster,
        options: &SystemOptions,
        role: Role,
    ) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::start_once(cluster, options, &role).await {
                Err(Error::Exited { last_lines, .. })
                    if attempt < PORT_ATTEMPTS && last_lines.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn start_once(cluster: &Cluster, options: &SystemOptions, role: &Role) -> Result<Self> {
        let [webhook, health, metrics] = free_ports()?;
        let ports = Ports { webhook, health, metrics };
        let proxy = if role.proxied { Some(cluster.proxy(&role.name).await?) } else { None };
        let server = proxy.as_ref().map_or(cluster.server_url(), Proxy::url);
        let file = format!("{}.kubeconfig", role.name);
        let account = role.service_account;
        let kubeconfig =
            cluster.service_account_kubeconfig_for(NAMESPACE, account, server, &file).await?;
        let configuration = cluster.dir().join(format!("{}.yaml", role.name));
        std::fs::write(&configuration, role.configuration(ports, options))
            .map_err(Error::file("write", &configuration))?;
        let args = match role.webhook_certificates {
            Some(_) => &options.webhook_args,
            None => &options.controller_args,
        };
        let mut spec = ProcessSpec::of_workspace(role.binary)?
            .named(&role.name)
            .args([
                format!("--config={}", configuration.display()),
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--metrics-secure={}", options.metrics == Metrics::Reviewed),
            ])
            .args(args);
        spec.env.clone_from(&options.env);
        let process = Process::start(&spec, cluster.dir()).await?;
        let metrics = options.metrics;
        let component = Self { process, ports, metrics, proxy };
        component.ready().await?;
        Ok(component)
    }

    async fn ready(&self) -> Result<()> {
        self.process.wait_until_ready(&self.readiness_url(), READY_DEADLINE).await
    }

    /// The process that was started last: signals, exit status, log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The proxy between it and the API server. Fails when it was started without.
    pub fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().ok_or_else(|| Error::NoProxy { name: self.process.name().to_owned() })
    }

    /// Starts it again whenever it has ended, as a kubelet does, and says so in `ended` before.
    pub async fn keep_running(
        &mut self,
        ended: impl Fn(&Process, ExitStatus),
    ) -> Result<Infallible> {
        loop {
            let status = self.process.exited().await;
            ended(&self.process, status);
            tokio::time::sleep(RESTART_PAUSE).await;
            self.restart().await?;
        }
    }

    /// Starts it again in the same way, without waiting until it is ready. If it still runs, it is killed first.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again().await
    }

    /// Starts it again in the same way and waits until it is ready. If it still runs, it is killed first.
    pub async fn restart(&mut self) -> Result<()> {
        self.restart_with(&[]).await
    }

    /// Does the same with more arguments, which the next restart forgets.
    pub async fn restart_with(&mut self, args: &[String]) -> Result<()> {
        self.process.start_again_with(args).await?;
        self.ready().await
    }

    /// Answers 200 while the process is ready.
    #[must_use]
    pub fn readiness_url(&self) -> String {
        format!("http://127.0.0.1:{}/readyz", self.ports.health)
    }

    /// Answers 200 while the process is alive.
    #[must_use]
    pub fn liveness_url(&self) -> String {
        format!("http://127.0.0.1:{}/healthz", self.ports.health)
    }

    /// Shows the metrics in the text format of Prometheus.
    #[must_use]
    pub fn metrics_url(&self) -> String {
        let scheme = match self.metrics {
            Metrics::OpenToAll => "http",
            Metrics::Reviewed => "https",
        };
        format!("{scheme}://127.0.0.1:{}/metrics", self.ports.metrics)
    }

    /// Where the webhook listens with TLS.
    pub(super) fn webhook_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.webhook)
    }
}

impl Role {
    /// The configuration file. JSON is YAML too.
    fn configuration(&self, ports: Ports, options: &SystemOptions) -> String {
        let Ports { webhook, health, metrics } = ports;
        let gang_scheduling =
            (options.volcano != Volcano::Off).then(|| json!({"schedulerProvider": "volcano"}));
        json!({
            "apiVersion": "config.lws.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "webhook": {
                "host": "127.0.0.1",
                "port": webhook,
                "certDir": self.webhook_certificates,
            },
            "health": {"healthProbeBindAddress": format!("127.0.0.1:{health}")},
            "metrics": {"bindAddress": format!("127.0.0.1:{metrics}")},
            "leaderElection": {"leaderElect": true, "resourceNamespace": NAMESPACE},
            "internalCertManagement": {
                "enable": options.certificates == Certificates::OfController,
                "rotation": options.rotation,
            },
            "groupRestart": options.group_restart,
            "gangSchedulingManagement": gang_scheduling,
        })
        .to_string()
    }
}

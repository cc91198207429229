//! A running cluster: its options, start, accessors and end.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;

use crate::audit::AuditLog;
use crate::components::{self, Components};
use crate::credentials::{ADMIN, CONTROLLER_MANAGER, Credentials, SCHEDULER, write_private};
use crate::processes::Process;
use crate::{Error, Result, wait};

/// The version that `make control-plane` builds when it is told none.
const DEFAULT_VERSION: &str = include_str!("../../control-plane/default-version");

/// A cluster takes 4 s on an idle machine; a busy one may take much longer.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// How long a component of a kept cluster may take to end in good order.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How often a start is tried when another process takes a port that was free a moment before.
const PORT_ATTEMPTS: usize = 3;

/// The life of a service-account token from [`Cluster::service_account_kubeconfig`]: a day, more than any test takes.
const TOKEN_SECONDS: i64 = 86_400;

/// How to start a cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How many nodes are simulated.
    pub nodes: usize,
    /// A version that `make control-plane` has built; the default is `KUBERNETES_VERSION` from the environment, or else the one
    /// that `make control-plane` builds by default.
    pub kubernetes_version: String,
    /// Feature gates of the API server, the controller manager and the scheduler.
    pub feature_gates: BTreeMap<String, bool>,
    /// False: etcd and the API server only. No controllers, no scheduler, no simulated nodes; pods need no service account.
    pub controllers: bool,
    /// Where everything is kept, also for a later start; the default is a temporary directory that is removed at the end.
    pub data_dir: Option<PathBuf>,
    /// After how much silence the controller manager takes a node for lost.
    pub node_monitor_grace: Duration,
    /// More arguments for the API server.
    pub api_server_args: Vec<String>,
    /// More arguments for the controller manager.
    pub controller_manager_args: Vec<String>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            nodes: 4,
            kubernetes_version: std::env::var("KUBERNETES_VERSION")
                .unwrap_or_else(|_| DEFAULT_VERSION.trim().to_owned()),
            feature_gates: BTreeMap::new(),
            controllers: true,
            data_dir: None,
            node_monitor_grace: Duration::from_secs(40),
            api_server_args: Vec::new(),
            controller_manager_args: Vec::new(),
        }
    }
}

/// A running cluster. Dropping it kills its processes and removes its directory, unless that was asked for.
pub struct Cluster {
    kubernetes_version: String,
    server_url: String,
    credentials: Credentials,
    client: Client,
    kubeconfig: PathBuf,
    // Dropped in this order: first the processes, in the order in which they depend on each other, then the directory.
    processes: Vec<Process>,
    directory: Directory,
}

/// Where a cluster keeps its files.
#[derive(Debug)]
enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    fn create(data_dir: Option<&Path>) -> Result<Self> {
        let Some(path) = data_dir else {
            let directory = tempfile::Builder::new().prefix("lws-cluster-").tempdir();
            return directory
                .map(Self::Temporary)
                .map_err(Error::file("create", &std::env::temp_dir()));
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(Error::file("create", path))?;
        Ok(Self::Kept(std::path::absolute(path).map_err(Error::file("find", path))?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}

impl Cluster {
    /// Starts a cluster and waits until it is ready for pods.
    ///
    /// Fails when a binary is missing, a component ends (the error has the end of its log), or readiness takes over a minute.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        install_crypto_provider();
        let mut attempt = 1;
        loop {
            match Self::start_once(&options).await {
                Err(Error::Exited { last_lines, .. })
                    if attempt < PORT_ATTEMPTS && last_lines.contains("address already in use") =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn start_once(options: &ClusterOptions) -> Result<Self> {
        let directory = Directory::create(options.data_dir.as_deref())?;
        let credentials = Credentials::create(directory.path())?;
        let [etcd_port, api_server_port] = free_ports()?;
        let components = Components {
            options,
            directory: directory.path(),
            credentials: &credentials,
            etcd_port,
            api_server_port,
        };
        let server_url = format!("https://127.0.0.1:{api_server_port}");
        let client = client_of(ADMIN, credentials.kubeconfig_of(ADMIN, &server_url)).await?;

        let etcd = Process::start(&components.etcd()?, directory.path()).await?;
        let api_server = Process::start(&components.api_server()?, directory.path()).await?;
        etcd.while_running(api_server.while_running(api_server_ready(&client))).await?;

        let mut processes = vec![api_server, etcd];
        if options.controllers {
            let kubeconfig = |user, name: &str| {
                let path = directory.path().join(format!("{name}.kubeconfig"));
                write_private(&path, &credentials.kubeconfig_of(user, &server_url).to_string())
                    .map(|()| path)
            };
            let spec = components
                .controller_manager(&kubeconfig(CONTROLLER_MANAGER, "kube-controller-manager")?)?;
            let controller_manager = Process::start(&spec, directory.path()).await?;
            let spec = components.scheduler(&kubeconfig(SCHEDULER, "kube-scheduler")?)?;
            let scheduler = Process::start(&spec, directory.path()).await?;
            scheduler
                .while_running(controller_manager.while_running(controllers_ready(&client)))
                .await?;
            processes.splice(0..0, [scheduler, controller_manager]);
        }
        let pids: Vec<_> = processes
            .iter()
            .map(|process| format!("{} {}", process.name(), process.pid()))
            .collect();
        write_private(&directory.path().join("pids"), &pids.join("\n"))?;
        let kubeconfig = directory.path().join("kubeconfig");
        write_private(&kubeconfig, &credentials.kubeconfig_of(ADMIN, &server_url).to_string())?;
        let kubernetes_version = options.kubernetes_version.clone();
        Ok(Self {
            kubernetes_version,
            server_url,
            credentials,
            client,
            kubeconfig,
            processes,
            directory,
        })
    }

    /// A client that may do everything (group `system:masters`), without a rate limit and without retries.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The file with the same rights as [`Cluster::client`], readable by its owner only.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `https://127.0.0.1:<port>`.
    #[must_use]
    pub fn server_url(&self) -> &str {
        &self.server_url
    }

    /// The certificate that the API server's certificate is verified with.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.credentials.ca_pem
    }

    /// Where the cluster's files are: logs, kubeconfigs, the audit log, `pids`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// The version of the running Kubernetes, such as `1.37.2`.
    #[must_use]
    pub fn kubernetes_version(&self) -> &str {
        &self.kubernetes_version
    }

    /// The processes of the control plane, such as `kube-apiserver`.
    #[must_use]
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// What requests were made.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        AuditLog::new(components::audit_log(self.dir()))
    }

    /// Runs the kubectl of the same version with the admin's kubeconfig. Whether it succeeded is in the output's status.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output> {
        let mut command =
            tokio::process::Command::new(components::binary(&self.kubernetes_version, "kubectl")?);
        command.args(args).env("KUBECONFIG", &self.kubeconfig).env("KUBERC", "off");
        command
            .env("KUBECACHEDIR", self.dir().join("kubectl-cache"))
            .stdin(std::process::Stdio::null());
        let output = command.kill_on_drop(true).output().await;
        output.map_err(|source| Error::Process {
            operation: "run",
            name: "kubectl".to_owned(),
            source,
        })
    }

    /// A kubeconfig with a token of the service account, which is made if it is missing; its namespace must be there.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..ServiceAccount::default()
        };
        match api.create(&PostParams::default(), &account).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            outcome => {
                outcome.map_err(Error::api(format!(
                    "create the service account {namespace}/{name}"
                )))?;
            }
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = api.create_token_request(name, &PostParams::default(), &request).await;
        let answer = answer.map_err(Error::api(format!(
            "create a token of the service account {namespace}/{name}"
        )))?;
        let token =
            answer.status.and_then(|status| status.token).ok_or_else(|| Error::Kubeconfig {
                user: name.to_owned(),
                reason: "the answer has no token".to_owned(),
            })?;
        let path = self.dir().join(format!("{namespace}.{name}.kubeconfig"));
        write_private(
            &path,
            &self.credentials.kubeconfig(name, &token, &self.server_url).to_string(),
        )?;
        Ok(path)
    }

    /// Ends all processes; a directory that was asked for stays, and a cluster can be started on it again.
    pub async fn stop(self) -> Result<()> {
        let Self { processes, directory, .. } = self;
        match directory {
            // Nobody needs what they would still write.
            Directory::Temporary(temporary) => {
                drop(processes);
                let path = temporary.path().to_owned();
                temporary.close().map_err(Error::file("remove", &path))
            }
            Directory::Kept(_) => {
                for process in &processes {
                    process.stop(STOP_DEADLINE).await?;
                }
                Ok(())
            }
        }
    }
}

/// A client with the rights of a kubeconfig.
async fn client_of(user: &str, kubeconfig: Value) -> Result<Client> {
    let failed = |reason: String| Error::Kubeconfig { user: user.to_owned(), reason };
    let kubeconfig: Kubeconfig =
        serde_json::from_value(kubeconfig).map_err(|error| failed(error.to_string()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| failed(error.to_string()))?;
    // A test wants to see the answer it got, and retries in the client would hide it.
    config.default_retry = false;
    Client::try_from(config).map_err(Error::api("make a client"))
}

/// TLS needs a process-wide choice of cryptography.
fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Two threads may get here; the second one's answer is the provider that the first has installed.
        _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Ports that are free now. Another process can take one before its user listens: then the start is tried again.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Error::Port)?;
        *port = listener.local_addr().map_err(Error::Port)?.port();
        held.push(listener);
    }
    Ok(ports)
}

async fn api_server_ready(client: &Client) -> Result<()> {
    wait::eventually(START_DEADLINE, "the API server is ready", async || {
        let request =
            http::Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
        client.request_text(request).await.map(Some)
    })
    .await
    .map(drop)
}

/// The controller manager is at work once the default service account is there, which pods need.
async fn controllers_ready(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let description = "the default service account is there";
    wait::eventually(START_DEADLINE, description, async || accounts.get_opt("default").await)
        .await
        .map(drop)
}

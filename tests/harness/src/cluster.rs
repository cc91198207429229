//! A running cluster: start, accessors, end.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use tempfile::TempDir;

use crate::archive;
use crate::audit::AuditLog;
use crate::components::{self, Components};
use crate::credentials::{ADMIN, Credentials, SIMULATOR, write_private};
use crate::options::ClusterOptions;
use crate::processes::Process;
use crate::proxy::Proxy;
use crate::simulator::Simulator;
use crate::startup::{
    api_server_ready, client_of, controllers_ready, free_ports, install_crypto_provider,
};
use crate::{Error, Result};

/// How long a component of a kept cluster may take to end in good order.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How often a start is tried when another process takes a port that was free a moment before.
const PORT_ATTEMPTS: usize = 3;

/// The life of a service-account token from [`Cluster::service_account_kubeconfig`]: a day, more than any test takes.
const TOKEN_SECONDS: i64 = 86_400;

/// A running cluster. Dropping it kills its processes and removes its directory, unless that was asked for.
pub struct Cluster {
    kubernetes_version: String,
    server_url: String,
    etcd_url: String,
    credentials: Credentials,
    client: Client,
    kubeconfig: PathBuf,
    simulator: Option<Simulator>,
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
            match Box::pin(Self::start_once(&options)).await {
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
        let dir = directory.path();
        if let Some(archive) = &options.etcd_archive {
            archive::unpack(archive, &components::etcd_data(dir)).await?;
        }
        let credentials = Credentials::create(dir)?;
        let [etcd_port, api_server_port] = free_ports()?;
        let server_url = format!("https://127.0.0.1:{api_server_port}");
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let client = client_of(ADMIN, credentials.kubeconfig_of(ADMIN, &server_url)).await?;
        let components = Components {
            options,
            directory: dir,
            credentials: &credentials,
            etcd_port,
            api_server_port,
        };

        let etcd = Process::start(&components.etcd()?, dir).await?;
        let api_server = Process::start(&components.api_server()?, dir).await?;
        etcd.while_running(api_server.while_running(api_server_ready(&client))).await?;

        let mut processes = vec![api_server, etcd];
        let mut simulator = None;
        if options.controllers {
            let controller_manager =
                Process::start(&components.controller_manager(&server_url)?, dir).await?;
            let scheduler = Process::start(&components.scheduler(&server_url)?, dir).await?;
            let kubelets =
                client_of(SIMULATOR, credentials.kubeconfig_of(SIMULATOR, &server_url)).await?;
            simulator = Some(Simulator::start(kubelets, &options.simulator()).await?);
            scheduler
                .while_running(controller_manager.while_running(controllers_ready(&client)))
                .await?;
            processes.splice(0..0, [scheduler, controller_manager]);
        }
        let pid = |process: &Process| format!("{} {}", process.name(), process.pid());
        write_private(
            &dir.join("pids"),
            &processes.iter().map(pid).collect::<Vec<_>>().join("\n"),
        )?;
        let kubeconfig = dir.join("kubeconfig");
        write_private(&kubeconfig, &credentials.kubeconfig_of(ADMIN, &server_url).to_string())?;
        let kubernetes_version = options.kubernetes_version.clone();
        Ok(Self {
            kubernetes_version,
            server_url,
            etcd_url,
            credentials,
            client,
            kubeconfig,
            simulator,
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

    /// Where etcd answers its clients: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn etcd_url(&self) -> &str {
        &self.etcd_url
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

    /// The simulated nodes and kubelets. Fails in a cluster without controllers.
    pub fn simulator(&self) -> Result<&Simulator> {
        self.simulator.as_ref().ok_or(Error::NoSimulator)
    }

    /// The processes of the control plane, such as `kube-apiserver`.
    #[must_use]
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// One of them. Fails when there is none of this name.
    pub fn process(&self, name: &str) -> Result<&Process> {
        let found = self.processes.iter().find(|it| it.name() == name);
        found.ok_or_else(|| Error::Unknown { what: format!("process {name} of the control plane") })
    }

    /// Kills the API server, starts it again, and waits until it is ready.
    pub async fn restart_api_server(&mut self) -> Result<()> {
        let api_server = self.processes.iter_mut().find(|it| it.name() == "kube-apiserver");
        let api_server =
            api_server.ok_or_else(|| Error::Unknown { what: "API server".to_owned() })?;
        api_server.start_again().await?;
        api_server.while_running(api_server_ready(&self.client)).await
    }

    /// Starts those of its processes again that have ended, as a kubelet does: the scheduler, for one, ends when it finds
    /// its cache wrong.
    pub async fn start_ended_again(&mut self) -> Result<()> {
        for process in self.processes.iter_mut().filter(|it| it.exit_status().is_some()) {
            process.start_again().await?;
        }
        Ok(())
    }

    /// What requests were made.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        AuditLog::new(components::audit_log(self.dir()))
    }

    /// The kubectl of the same version.
    pub fn kubectl_path(&self) -> Result<PathBuf> {
        components::binary(&self.kubernetes_version, "kubectl")
    }

    /// Runs the kubectl of the same version with the admin's kubeconfig. Whether it succeeded is in the output's status.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::new(self.kubectl_path()?);
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
        let file = format!("{namespace}.{name}.kubeconfig");
        self.service_account_kubeconfig_for(namespace, name, &self.server_url, &file).await
    }

    /// The same for a service account that reaches the API server at `server`; written to `file` in [`Cluster::dir`].
    pub(crate) async fn service_account_kubeconfig_for(
        &self,
        namespace: &str,
        name: &str,
        server: &str,
        file: &str,
    ) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        let path = self.dir().join(file);
        write_private(&path, &self.credentials.kubeconfig(name, &token, server).to_string())?;
        Ok(path)
    }

    async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
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
        answer.status.and_then(|status| status.token).ok_or_else(|| Error::Kubeconfig {
            user: name.to_owned(),
            reason: "the answer has no token".to_owned(),
        })
    }

    /// Starts a proxy in front of the API server for the client `name`.
    pub async fn proxy(&self, name: &str) -> Result<Proxy> {
        Proxy::start(name, &self.server_url, &self.credentials.ca_pem).await
    }

    /// Ends all processes; a directory that was asked for stays, and a cluster can be started on it again.
    pub async fn stop(self) -> Result<()> {
        let Self { simulator, processes, directory, .. } = self;
        drop(simulator);
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

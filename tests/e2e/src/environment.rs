//! The cluster that all tests of one binary share.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lws_harness::system::{System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, MutexGuard};

use crate::Namespace;

/// A cluster with the system installed, for a `LazyLock`.
///
/// Its tasks run on a thread of their own, so it serves tests on any runtime; they must not use [`Cluster::client`],
/// which belongs to that thread. It ends with the process and leaves its logs behind.
pub struct Environment {
    cluster: Cluster,
    system: Mutex<System>,
}

impl Environment {
    /// Starts a cluster in `<directory>/<name>-<pid>` and installs the system. What earlier processes left there is
    /// removed.
    ///
    /// Fails when the binaries are not built: `cargo build -p lws-harness -p lws-controller -p lws-webhook`.
    pub fn start(
        directory: &str,
        name: &str,
        cluster: ClusterOptions,
        system: SystemOptions,
    ) -> Result<Self> {
        let data_dir = fresh_directory(Path::new(directory), name)?;
        let cluster = ClusterOptions { data_dir: Some(data_dir), ..cluster };
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("environment".to_owned()).spawn(move || {
            let runtime = match Runtime::new() {
                Ok(runtime) => runtime,
                Err(error) => return drop(sender.send(Err(error.into()))),
            };
            let started = runtime.block_on(async {
                let cluster = Cluster::start(cluster).await?;
                let system = Mutex::new(System::install(&cluster, &system).await?);
                Ok(Self { cluster, system })
            });
            // Nobody waits any more when the process ends.
            if sender.send(started).is_ok() {
                runtime.block_on(pending::<()>());
            }
        })?;
        receiver.recv().context("the thread of the environment ended")?
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The installed system. Whoever stops or restarts parts of it disturbs other tests.
    pub async fn system(&self) -> MutexGuard<'_, System> {
        self.system.lock().await
    }

    /// A new namespace, with a client for the runtime of the caller.
    pub async fn namespace(&self) -> Result<Namespace> {
        let kubeconfig = Kubeconfig::read_from(self.cluster.kubeconfig())?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.default_retry = false;
        let has_controllers = self.cluster.simulator().is_ok();
        Namespace::create(Client::try_from(config)?, self.cluster.audit(), has_controllers).await
    }
}

/// An empty directory `<parent>/<name>-<pid>` for this process. Those of processes that have ended are removed.
pub fn fresh_directory(parent: &Path, name: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(parent)?;
    for entry in std::fs::read_dir(parent)? {
        let path = entry?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let pid = file_name.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            std::fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(parent.join(format!("{name}-{}", std::process::id())))
}

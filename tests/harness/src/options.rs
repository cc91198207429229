//! How a cluster is started.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::simulator::SimulatorOptions;

/// The version that `make control-plane` builds when it is told none.
const DEFAULT_VERSION: &str = include_str!("../../control-plane/default-version");

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
    /// An archive (`.tar.xz`) of the etcd data directory of another cluster, to go on where that one ended. Its nodes and pods are
    /// taken over as they are.
    pub etcd_archive: Option<PathBuf>,
    /// Whether nodes that others register are played by the simulator too.
    pub adopt_nodes: bool,
    /// How long a simulated pod takes to become ready once it runs.
    pub ready_delay: Duration,
    /// How long a simulated pod takes to end once it is deleted.
    pub termination_delay: Duration,
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
            etcd_archive: None,
            adopt_nodes: true,
            ready_delay: Duration::ZERO,
            termination_delay: Duration::ZERO,
            node_monitor_grace: Duration::from_secs(40),
            api_server_args: Vec::new(),
            controller_manager_args: Vec::new(),
        }
    }
}

impl ClusterOptions {
    /// What of it is for the simulator.
    pub(crate) fn simulator(&self) -> SimulatorOptions {
        SimulatorOptions {
            nodes: self.nodes,
            adopt_nodes: self.adopt_nodes,
            ready_delay: self.ready_delay,
            termination_delay: self.termination_delay,
            // One lease may be late or lost without any consequence.
            lease_interval: self.node_monitor_grace / 4,
            kubernetes_version: self.kubernetes_version.clone(),
        }
    }
}

//! Plays the nodes of a cluster and their kubelets, so that bound pods run, become ready, fail and end as they are told to.
//!
//! A pod is told by annotations, a node by [`LOST`], and both by the methods of [`Simulator`]. Delays are written as `1500ms` or `2s`.

mod annotations;
mod engine;
mod nodes;
mod pod;
mod status;

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::{Error, Result};
use engine::{Command, Engine};
use pod::Delays;

pub use annotations::{NEVER_READY, READY_AFTER, RESTART_CONTAINER, TERMINATE_AFTER, VANISH_AFTER};
pub use nodes::LOST;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct SimulatorOptions {
    /// How many nodes are registered: `node-0`, `node-1`, …; those that are there already are taken over.
    pub nodes: usize,
    /// Whether nodes that others have registered are played too.
    pub adopt_nodes: bool,
    /// How long a pod takes to become ready once it runs.
    pub ready_delay: Duration,
    /// How long a pod takes to end once it is deleted.
    pub termination_delay: Duration,
    /// How often leases are renewed.
    pub lease_interval: Duration,
    /// The version that nodes report, such as `1.37.2`.
    pub kubernetes_version: String,
}

/// The running simulation. Dropping it ends it: then nodes and pods stay as they are.
pub struct Simulator {
    nodes: Api<Node>,
    commands: mpsc::UnboundedSender<Command>,
    tasks: [AbortHandle; 2],
}

impl Simulator {
    /// Registers the nodes and begins to play them. Fails when a node cannot be registered.
    pub async fn start(client: Client, options: &SimulatorOptions) -> Result<Self> {
        nodes::register(&client, options).await?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (beating, beats) = watch::channel(Vec::new());
        let delays = Delays { ready: options.ready_delay, termination: options.termination_delay };
        let engine = Engine::new(client.clone(), delays, options.adopt_nodes, beating);
        let tasks = [
            tokio::spawn(engine.run(inbox)).abort_handle(),
            tokio::spawn(nodes::heartbeat(client.clone(), beats, options.lease_interval))
                .abort_handle(),
        ];
        Ok(Self { nodes: Api::all(client), commands, tasks })
    }

    /// From now on, pods without an annotation take this long to become ready once they run.
    pub fn set_ready_delay(&self, delay: Duration) -> Result<()> {
        self.send(Command::ReadyDelay(delay))
    }

    /// From now on, pods without an annotation take this long to end once they are deleted.
    pub fn set_termination_delay(&self, delay: Duration) -> Result<()> {
        self.send(Command::TerminationDelay(delay))
    }

    /// Restarts a container of a pod that runs: its restart count goes up by one, and the pod is not ready for a while.
    ///
    /// Fails when no such container runs.
    pub async fn restart_container(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Result<()> {
        let (answer, done) = oneshot::channel();
        let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
        let what = format!("running container {container} of the pod {namespace}/{pod}");
        self.send(Command::Restart { namespace, pod, container, answer })?;
        if done.await.map_err(|_| Error::SimulatorEnded)? {
            Ok(())
        } else {
            Err(Error::Unknown { what })
        }
    }

    /// Stops everything on a node: no lease, no readiness, and its pods stay as they are, also when they are deleted.
    pub async fn lose_node(&self, name: &str) -> Result<()> {
        self.annotate_node(name, Some("true")).await
    }

    /// Undoes [`Simulator::lose_node`].
    pub async fn recover_node(&self, name: &str) -> Result<()> {
        self.annotate_node(name, None).await
    }

    async fn annotate_node(&self, name: &str, lost: Option<&str>) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {LOST: lost}}});
        let patched =
            self.nodes.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(Error::api(format!("annotate the node {name}")))
    }

    fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).map_err(|_| Error::SimulatorEnded)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

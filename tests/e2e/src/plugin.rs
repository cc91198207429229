//! The plugin of kubectl as people run it.

use std::process::Stdio;

use anyhow::Result;
use lws_harness::Cluster;
use lws_harness::processes::ProcessSpec;
use tokio::process::Command;

use crate::Namespace;

/// The program with `arguments`, about `namespace`. Build it first: `cargo build -p kubectl-lws`.
pub fn plugin(cluster: &Cluster, namespace: &Namespace, arguments: &[&str]) -> Result<Command> {
    let program = ProcessSpec::tool("kubectl-lws")?;
    let mut command = Command::new(program.program);
    command.args(arguments).args(["--namespace", namespace.name()]);
    command.env("KUBECONFIG", cluster.kubeconfig());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    Ok(command)
}

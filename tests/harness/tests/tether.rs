//! Nothing outlives the process that started a cluster, however it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lws_harness::wait;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// The processes of a cluster that still run, from the file the cluster writes.
fn running(pids: &str) -> Vec<String> {
    let alive = |line: &&str| {
        let pid = line.split_whitespace().nth(1).unwrap();
        // A process that has ended stays as a zombie until somebody reaps it.
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    pids.lines().filter(alive).map(str::to_owned).collect()
}

#[tokio::test]
async fn everything_ends_with_a_killed_parent() {
    let directory = tempfile::tempdir().unwrap();
    let mut parent = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .args(["up", "--nodes", "2", "--dir"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let kubeconfig = lines.next_line().await.unwrap().expect("the path of the kubeconfig");
    assert!(Path::new(&kubeconfig).is_file(), "{kubeconfig}");

    let pids = std::fs::read_to_string(directory.path().join("pids")).unwrap();
    assert_eq!(running(&pids).len(), 4, "{pids}");
    parent.kill().await.unwrap();
    let gone = async || Ok::<_, std::io::Error>(running(&pids));
    wait::until(Duration::from_secs(2), "no process is left", gone, Vec::is_empty).await.unwrap();
}

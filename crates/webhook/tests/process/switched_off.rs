//! `ENABLE_WEBHOOKS`: a process that serves no webhooks runs and stops like any other.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::{DEADLINE, exchange};

/// Starts the binary with the variable, on free ports and without a certificate.
fn start(value: &str, certificates: &Path) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lws-webhook"))
        .args(["--webhook-bind-address=127.0.0.1:0", "--metrics-bind-address=0"])
        .args(["--health-probe-bind-address=127.0.0.1:0", "--webhook-cert-dir"])
        .arg(certificates)
        .env("ENABLE_WEBHOOKS", value)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, log)
}

/// Reads the log up to the line with one of `ends`; gives the address of the health probes, and that line.
async fn read_until(
    log: &mut Lines<BufReader<ChildStderr>>,
    ends: [&str; 2],
) -> (SocketAddr, String) {
    let mut health = None;
    while let Some(line) = log.next_line().await.unwrap() {
        if line.contains("Serving health probes") {
            health = line.split('"').find_map(|part| part.parse().ok());
        }
        if ends.iter().any(|end| line.contains(end)) {
            return (health.unwrap(), line);
        }
    }
    panic!("the process ended early");
}

#[tokio::test]
async fn webhooks_are_served_unless_they_are_switched_off() {
    const OFF: &str = "no webhooks are served, because ENABLE_WEBHOOKS is false";
    const ON: &str = "serving webhooks";
    let directory = tempfile::tempdir().unwrap();
    for (value, expected, ready) in
        [("false", OFF, true), ("False", ON, false), ("0", ON, false), ("", ON, false)]
    {
        let (mut child, mut log) = start(value, directory.path());
        let read = read_until(&mut log, [OFF, ON]);
        let (health, told) = timeout(DEADLINE, read).await.unwrap();
        assert!(told.contains(expected), "{value:?}: {told}");
        // There is no certificate, which only who serves needs.
        let tcp = TcpStream::connect(health).await.unwrap();
        let probe = "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = exchange(tcp, probe).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), ready, "{value:?}: {answer}");

        let pid = child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let status = timeout(DEADLINE, child.wait()).await.expect("stopped").unwrap();
        assert!(status.success(), "{value:?}: {status}");
    }
}

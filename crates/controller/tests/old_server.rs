//! The process, in front of an API server that is too old: it says so, and leaves the lease to others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_mins(1);
const TOLD: &str = "the API server is older than Kubernetes 1.27: upgrade it; until then this controller does nothing";

/// The paths that were asked for.
type Asked = Arc<Mutex<Vec<String>>>;

/// Kubernetes 1.26: it tells its version, and has nothing.
async fn old_server() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, Arc::clone(&seen)));
        }
    });
    (address, asked)
}

/// Answers one request; those that this process makes have no body then.
async fn answer(stream: TcpStream, asked: Asked) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first).await?;
    let mut header = String::from(" ");
    while !header.trim().is_empty() {
        header.clear();
        lines.read_line(&mut header).await?;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = if path == "/version" {
        let version = json!({
            "major": "1", "minor": "26", "gitVersion": "v1.26.15", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
        });
        ("200 OK", version)
    } else {
        let body =
            json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"});
        ("404 Not Found", body)
    };
    asked.lock().unwrap().push(path);
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    lines.write_all((head + &body).as_bytes()).await
}

/// A kubeconfig for an API server without TLS.
fn kubeconfig(server: SocketAddr) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "a", "user": {"token": "t"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    })
    .to_string()
}

async fn readiness(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /readyz?verbose HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_in_the_log_and_in_readiness() {
    let (server, asked) = old_server().await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("old-server.kubeconfig");
    std::fs::write(&file, kubeconfig(server)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lws-controller"))
        .arg(format!("--kubeconfig={}", file.display()))
        .args(["--health-probe-bind-address=127.0.0.1:0", "--metrics-bind-address=0"])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = async {
        let mut health = None;
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("Serving health probes") {
                health = line.split('"').find_map(|part| part.parse().ok());
            }
            if line.contains(TOLD) {
                return health.unwrap();
            }
        }
        panic!("the process ended early");
    };
    let health = timeout(DEADLINE, told).await.unwrap();
    let answer = timeout(DEADLINE, readiness(health)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains(&format!("[-]kubernetes failed: {TOLD}")), "{answer}");
    assert!(child.try_wait().unwrap().is_none(), "the process has ended");
    let asked = asked.lock().unwrap();
    assert!(!asked.iter().any(|path| path.contains("leases")), "{asked:?}");
}

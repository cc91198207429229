//! The process: ready only with a certificate, serving over TLS, stopping when asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod memory;
mod slow_clients;
mod switched_off;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lws_certs::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const DEADLINE: Duration = Duration::from_mins(1);

struct Process {
    child: Child,
    health: SocketAddr,
    metrics: SocketAddr,
    webhooks: SocketAddr,
}

impl Process {
    /// Starts the binary on free ports and waits until its log names them.
    async fn start(certificates: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lws-webhook"))
            .args([
                "--webhook-bind-address",
                "127.0.0.1:0",
                "--metrics-bind-address",
                "127.0.0.1:0",
                "--metrics-secure=false",
            ])
            .args(["--health-probe-bind-address", "127.0.0.1:0", "--webhook-cert-dir"])
            .arg(certificates)
            .args(more)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut health, mut metrics, mut webhooks) = (None, None, None);
        let addresses = async {
            while let Some(line) = log.next_line().await.unwrap() {
                let address = || line.split('"').find_map(|part| part.parse().ok());
                if line.contains("Serving health probes") {
                    health = address();
                } else if line.contains("Serving metrics server") {
                    metrics = address();
                } else if line.contains("serving webhooks") {
                    webhooks = address();
                }
                if let (Some(health), Some(metrics), Some(webhooks)) = (health, metrics, webhooks) {
                    return (health, metrics, webhooks);
                }
            }
            panic!("the process ended early");
        };
        let (health, metrics, webhooks) = timeout(DEADLINE, addresses).await.unwrap();
        // The pipe must be read on, or the process would block on its log.
        tokio::spawn(
            async move { while log.next_line().await.is_ok_and(|line| line.is_some()) {} },
        );
        Self { child, health, metrics, webhooks }
    }

    async fn ready(&self) {
        let ready = async {
            while !self.readiness().await.starts_with("HTTP/1.1 200 ") {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(DEADLINE, ready).await.expect("ready with a certificate");
    }

    /// The samples of the metrics by name and labels.
    async fn scrape(&self) -> HashMap<String, f64> {
        let tcp = TcpStream::connect(self.metrics).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = exchange(tcp, request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let samples = body.lines().filter(|line| !line.starts_with('#'));
        let parsed = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        parsed.collect()
    }

    async fn readiness(&self) -> String {
        let tcp = TcpStream::connect(self.health).await.unwrap();
        exchange(tcp, "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await
    }
}

/// Writes a serving certificate; gives the authority that has signed it.
fn issue_certificate(directory: &Path) -> Authority {
    let now = Timestamp::now();
    let authority = Authority::generate(now, AUTHORITY_LIFETIME).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let serving = authority.issue(&[name], now, SERVING_LIFETIME).unwrap();
    std::fs::write(directory.join(KEY_FILE), serving.private_key_pem).unwrap();
    std::fs::write(directory.join(CERTIFICATE_FILE), serving.certificate_pem).unwrap();
    authority
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    // The last bytes may have found the socket full.
    stream.flush().await.unwrap();
    let mut response = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut response)).await.unwrap().unwrap();
    String::from_utf8(response).unwrap()
}

/// A connection to the webhooks of a process, by a client that offers `protocols`.
async fn connect(
    process: &Process,
    authority: &Authority,
    protocols: &[&[u8]],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(authority.pair().certificate_pem.as_bytes());
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let tcp = TcpStream::connect(process.webhooks).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap()
}

async fn send_review(process: &Process, authority: &Authority) -> String {
    let stream = connect(process, authority, &[]).await;
    let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-7","operation":"CREATE","object":{}}}"#;
    let request = format!(
        "POST /mutate--v1-pod?timeout=10s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(stream, &request).await
}

#[tokio::test]
async fn it_is_ready_once_it_has_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path(), &[]).await;
    let answer = process.readiness().await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("[-]certificate failed: no certificate is loaded"), "{answer}");

    let authority = issue_certificate(directory.path());
    process.ready().await;

    let answer = send_review(&process, &authority).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#""uid":"u-7","allowed":true"#), "{answer}");

    let metrics = process.scrape().await;
    let path = "webhook=\"/mutate--v1-pod\"";
    for (name, value) in [
        (format!("controller_runtime_webhook_requests_total{{code=\"200\",{path}}}"), 1.0),
        (format!("controller_runtime_webhook_requests_in_flight{{{path}}}"), 0.0),
        (format!("lws_webhook_rejections_total{{rule=\"size-missing\",{path}}}"), 0.0),
        ("controller_runtime_webhook_panics_total".to_owned(), 0.0),
    ] {
        assert_eq!(metrics.get(&name), Some(&value), "{name}");
    }
    assert!(metrics["certwatcher_read_certificate_total"] >= 1.0);
    let expires = metrics["lws_serving_certificate_expiry_timestamp_seconds"];
    let lifetime = Duration::from_secs_f64(expires - Timestamp::now().as_duration().as_secs_f64());
    assert!(lifetime <= SERVING_LIFETIME.unsigned_abs(), "{lifetime:?}");

    let pid = process.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    // It says that it goes, and serves until that is known.
    let answer = timeout(DEADLINE, async {
        loop {
            let answer = process.readiness().await;
            if !answer.starts_with("HTTP/1.1 200 ") {
                return answer;
            }
        }
    });
    let answer = answer.await.expect("not ready any more");
    assert!(answer.contains("[-]shutdown failed: process is shutting down"), "{answer}");
    let answer = send_review(&process, &authority).await;
    assert!(answer.contains(r#""uid":"u-7","allowed":true"#), "{answer}");
    let status = timeout(DEADLINE, process.child.wait()).await.expect("stopped").unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn http_2_is_offered_when_it_is_asked_for() {
    const BOTH: [&[u8]; 2] = [b"h2", b"http/1.1"];
    let directory = tempfile::tempdir().unwrap();
    let authority = issue_certificate(directory.path());
    for (arguments, protocol) in [
        (&[][..], &b"http/1.1"[..]),
        (&["--enable-http2=false"], b"http/1.1"),
        (&["--enable-http2"], b"h2"),
        (&["-enable-http2=true"], b"h2"),
    ] {
        let process = Process::start(directory.path(), arguments).await;
        process.ready().await;
        let stream = connect(&process, &authority, &BOTH).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol), "{arguments:?}");
        let answer = send_review(&process, &authority).await;
        assert!(answer.contains(r#""allowed":true"#), "{arguments:?}: {answer}");
    }
}

/// A client that leaves in the middle of a body, and one that does not speak TLS: the next is
/// served.
#[tokio::test]
async fn clients_that_break_off_harm_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let authority = issue_certificate(directory.path());
    let process = Process::start(directory.path(), &[]).await;
    process.ready().await;
    let mut half = connect(&process, &authority, &[]).await;
    let request = "POST /mutate--v1-pod HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                   content-length: 1000\r\n\r\n{\"request\":";
    half.write_all(request.as_bytes()).await.unwrap();
    half.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // With or without an answer, the connection ends.
    let _ = timeout(DEADLINE, half.read_to_end(&mut answer)).await.expect("an end");
    assert!(!String::from_utf8_lossy(&answer).contains("\"allowed\":true"));

    let mut plain = TcpStream::connect(process.webhooks).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, plain.read_to_end(&mut answer)).await.expect("an end");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let answer = send_review(&process, &authority).await;
    assert!(answer.contains(r#""allowed":true"#), "{answer}");
}

/// A client that reads only after it has written everything gets its answer too.
#[tokio::test]
async fn a_body_that_is_too_large_is_answered() {
    const LENGTH: usize = 28 * 1024 * 1024;
    let directory = tempfile::tempdir().unwrap();
    let authority = issue_certificate(directory.path());
    let process = Process::start(directory.path(), &[]).await;
    process.ready().await;
    let mut stream = connect(&process, &authority, &[]).await;
    let head = format!(
        "POST /mutate--v1-pod HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {LENGTH}\r\n\r\n"
    );
    let body = vec![b' '; LENGTH];
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await
    };
    timeout(DEADLINE, sent).await.unwrap().unwrap();
    let answer = exchange(stream, "").await;
    assert!(answer.contains("\"code\":413"), "{answer}");
    let answer = send_review(&process, &authority).await;
    assert!(answer.contains(r#""allowed":true"#), "{answer}");
}

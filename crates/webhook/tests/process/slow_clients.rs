//! Clients that keep memory, with bodies that they do not end or answers that they do not read:
//! they give way to others.

use std::convert::Infallible;

use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lws_certs::issue::Authority;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::memory::{LIMIT, MEMORY, POD, leader, peak, post};
use crate::{DEADLINE, Process, connect, issue_certificate, send_review};

/// All the room for what is larger than 32 KiB.
const LARGE_ROOM: usize = 28 * 1024 * 1024;

async fn start(arguments: &[&str]) -> (Process, Authority, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let authority = issue_certificate(directory.path());
    let process = Process::start(directory.path(), arguments).await;
    process.ready().await;
    (process, authority, directory)
}

/// A pod with many containers: the answer is a multiple of the request.
fn pod(bytes: usize) -> String {
    leader(bytes, r#"{"containers":["#, "{}", "]}")
}

async fn assert_allowed(process: &Process, authority: &Authority, body: &str) -> usize {
    let answer = timeout(DEADLINE, post(process, authority, POD, body)).await.unwrap();
    let told = answer.get(..500).unwrap_or(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#""allowed":true"#), "{told}");
    answer.len()
}

/// Bodies on connections of their own which lack the last byte, and how they are answered.
struct Stalled(JoinSet<String>);

impl Stalled {
    async fn add(&mut self, process: &Process, authority: &Authority, bytes: usize) {
        let mut stream = connect(process, authority, &[]).await;
        self.0.spawn(async move {
            let head = format!(
                "POST {POD}?timeout=30s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
            );
            let mut answer = Vec::new();
            // It ends in one way or another.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&vec![b' '; bytes - 1]).await;
            let _ = stream.flush().await;
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        });
    }

    /// Adds as many of the largest size as the room does not hold, until one has given way.
    async fn fill(&mut self, process: &Process, authority: &Authority) {
        for _ in 0..5 {
            self.add(process, authority, LIMIT).await;
        }
        let answer = timeout(DEADLINE, self.0.join_next()).await.unwrap().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("the request took too long to arrive"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_do_not_end_give_way() {
    let (process, authority, _directory) = start(&[]).await;
    let mut stalled = Stalled(JoinSet::new());
    for body in [pod(39_000), pod(30_000)] {
        stalled.fill(&process, &authority).await;
        assert!(assert_allowed(&process, &authority, &body).await > 64 * 1024);
        assert!(send_review(&process, &authority).await.contains(r#""allowed":true"#));
    }
    // Those that only announce something are nothing to make room for.
    for _ in 0..50 {
        let mut stream = connect(&process, &authority, &[]).await;
        let head = format!(
            "POST {POD} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {LIMIT}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        stalled.0.spawn(async move {
            let _ = stream.read_u8().await;
            String::new()
        });
    }
    assert_allowed(&process, &authority, &pod(39_000)).await;
    assert!(peak(&process) < MEMORY, "{} bytes", peak(&process));
    stalled.0.shutdown().await;
    idle(&process).await;
    // The room is there again: none of these has to give way.
    let padded = format!("{}{}", pod(30_000), " ".repeat(LIMIT - 30_100));
    for _ in 0..5 {
        assert_allowed(&process, &authority, &padded).await;
    }
}

/// Waits until no request is being answered.
async fn idle(process: &Process) {
    let name = format!("controller_runtime_webhook_requests_in_flight{{webhook=\"{POD}\"}}");
    let idle = async {
        while process.scrape().await.get(&name) != Some(&0.0) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, idle).await.expect("idle");
}

type Body = BoxBody<Bytes, Infallible>;

/// A connection that speaks HTTP/2, and how it ends.
struct Client {
    requests: SendRequest<Body>,
    ended: JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn connect(process: &Process, authority: &Authority) -> Self {
        let stream = connect(process, authority, &[b"h2"]).await;
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        Self { requests, ended: tokio::spawn(connection) }
    }

    /// Sends a review, and gives its answer as soon as that begins.
    fn send(
        &self,
        body: Body,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + use<> {
        let mut requests = self.requests.clone();
        async move {
            requests.ready().await?;
            let request = Request::post(format!("https://localhost{POD}?timeout=30s"))
                .header("content-type", "application/json")
                .body(body)
                .unwrap();
            requests.send_request(request).await
        }
    }
}

/// More than the room for small ones holds, over a few connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_bodies_that_do_not_end_give_way() {
    let (process, authority, _directory) = start(&["--enable-http2"]).await;
    let mut clients = Vec::new();
    let mut stalled = FuturesUnordered::new();
    for _ in 0..12 {
        let client = Client::connect(&process, &authority).await;
        for _ in 0..100 {
            let begin = Frame::data(Bytes::from(vec![b' '; 30_000]));
            let body = stream::iter([Ok(begin)]).chain(stream::pending());
            stalled.push(client.send(BodyExt::boxed(StreamBody::new(body))));
        }
        clients.push(client);
    }
    for _ in 0..5 {
        // As many as do not fit give way, and then one for each review.
        let answer = timeout(DEADLINE, stalled.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let answer = send_review(&process, &authority).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    while stalled.next().now_or_never().is_some() {}
    assert!(stalled.len() > 600, "{} are left", stalled.len());
    assert!(clients.iter().all(|client| !client.ended.is_finished()));
    assert!(peak(&process) < MEMORY, "{} bytes", peak(&process));
    drop((stalled, clients));
    idle(&process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_read_give_way() {
    let (process, authority, _directory) = start(&["--enable-http2"]).await;
    let body = pod(39_000);
    let answer = assert_allowed(&process, &authority, &body).await;
    let client = Client::connect(&process, &authority).await;
    let mut unread = Vec::new();
    for _ in 0..LARGE_ROOM / answer {
        let answer = client.send(Full::new(Bytes::from(body.clone())).boxed());
        let answer = timeout(DEADLINE, answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        unread.push(answer);
    }
    assert!(!client.ended.is_finished());
    assert_allowed(&process, &authority, &body).await;
    // It has cost the connection.
    let _ = timeout(DEADLINE, client.ended).await.unwrap().unwrap();
    assert!(peak(&process) < MEMORY, "{} bytes", peak(&process));
    drop(unread);
}

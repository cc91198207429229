//! HTTP/2 where it is switched on: the same limits and the same end as HTTP/1.1, seen from clients.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::routing;
use futures::{FutureExt as _, StreamExt as _, future::try_join_all, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Bytes, Frame},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lws_runtime::{
    http_server::{HangUp, ServeError},
    tls_server::{Limits, TlsOptions},
};
use tokio::{io::AsyncWriteExt as _, task::JoinHandle};

use crate::http::{given_back, held, large};
use crate::support::{app, limits, soon};
use crate::tls::{Server, TlsClient, connect, start_app};

const SHORT: Duration = Duration::from_millis(200);

/// What an HTTP/2 client says first: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

type Body = BoxBody<Bytes, std::convert::Infallible>;

async fn start(app: axum::Router, limits: Limits) -> Server {
    start_app(&TlsOptions { http2: true, ..TlsOptions::default() }, app, limits).await
}

/// A connection that has agreed on HTTP/2, and is silent.
async fn connect_silently(address: SocketAddr) -> TlsClient {
    let client = connect(address, rustls::ALL_VERSIONS, &[b"h2"]).await.unwrap();
    assert_eq!(client.0.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    client
}

/// A client that answers pings, and how its connection ends.
struct Client {
    requests: SendRequest<Body>,
    ended: JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TokioIo::new(connect_silently(address).await.0);
        let (requests, connection) =
            soon(http2::handshake(TokioExecutor::new(), stream)).await.unwrap();
        Self { requests, ended: tokio::spawn(connection) }
    }

    async fn send(&self, request: Request<Body>) -> hyper::Result<(StatusCode, String)> {
        let mut requests = self.requests.clone();
        soon(requests.ready()).await?;
        let (parts, body) = soon(requests.send_request(request)).await?.into_parts();
        let body = soon(body.collect()).await?.to_bytes();
        Ok((parts.status, String::from_utf8(body.to_vec()).unwrap()))
    }

    async fn get(&self, path: &str) -> hyper::Result<(StatusCode, String)> {
        self.send(get(path)).await
    }
}

fn get(path: &str) -> Request<Body> {
    let uri = format!("https://localhost{path}");
    Request::get(uri).body(Empty::new().boxed()).unwrap()
}

fn post(body: Body) -> Request<Body> {
    Request::post("https://localhost/length").body(body).unwrap()
}

#[tokio::test]
async fn both_protocols_are_offered() {
    let server = start(app(), limits()).await;
    let address = server.running.address;
    for protocols in [&[&b"h2"[..], b"http/1.1"][..], &[b"http/1.1", b"h2"]] {
        let client = connect(address, rustls::ALL_VERSIONS, protocols).await.unwrap();
        assert_eq!(client.0.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the server prefers it");
    }
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let mut client = connect(address, rustls::ALL_VERSIONS, protocols).await.unwrap();
        assert_eq!(client.get("/").await.unwrap().body, "hello", "{protocols:?}");
    }
    let client = Client::connect(address).await;
    let body = Full::new(Bytes::from("x".repeat(200_000))).boxed();
    let answers = try_join_all([get("/"), post(body), get("/")].map(|it| client.send(it)));
    let texts = answers.await.unwrap().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts, ["hello", "200000", "hello"]);
}

#[tokio::test]
async fn requests_above_the_limit_of_a_connection_wait() {
    let (app, arrived, leave) = held();
    let server = start(app, Limits { streams: 1, ..limits() }).await;
    let client = Client::connect(server.running.address).await;
    // The limit is known to the client with the first answer.
    client.get("/").await.unwrap();
    let mut first = Box::pin(client.get("/held"));
    let mut second = Box::pin(client.get("/"));
    assert!(first.as_mut().now_or_never().is_none());
    soon(async {
        tokio::select! {
            _ = first.as_mut() => panic!("answered"),
            permit = arrived.acquire() => permit.unwrap().forget(),
        }
    })
    .await;
    assert!(second.as_mut().now_or_never().is_none());
    leave.add_permits(1);
    let (first, second) = soon(futures::future::join(first, second)).await;
    assert_eq!((first.unwrap().1, second.unwrap().1), ("at last".to_owned(), "hello".to_owned()));
}

#[tokio::test]
async fn large_headers_are_refused() {
    let server = start(app(), Limits { header_bytes: 8192, ..limits() }).await;
    let client = Client::connect(server.running.address).await;
    let mut large = get("/");
    large.headers_mut().insert("x", "y".repeat(9000).parse().unwrap());
    let (status, _) = client.send(large).await.unwrap();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    // The connection goes on.
    assert_eq!(client.get("/").await.unwrap().1, "hello");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_reset_alone() {
    let (app, _arrived, leave) = held();
    let server = start(app, Limits { request: SHORT, ..limits() }).await;
    let client = Client::connect(server.running.address).await;
    let half = stream::iter([Ok(Frame::data(Bytes::from("half")))]).chain(stream::pending());
    let begin = Instant::now();
    let (slow_body, slow_answer) = futures::future::join(
        client.send(post(BodyExt::boxed(StreamBody::new(half)))),
        client.get("/held"),
    )
    .await;
    assert!(slow_body.is_err() && slow_answer.is_err(), "{slow_body:?} {slow_answer:?}");
    assert!(begin.elapsed() >= SHORT);
    leave.add_permits(1);
    assert_eq!(client.get("/held").await.unwrap().1, "at last");
}

/// The application gets back what it has answered with.
#[tokio::test]
async fn an_answer_that_is_not_read_can_be_cut_off() {
    let (app, bytes, mut hang_ups) = large();
    let server = start(app, limits()).await;
    let mut client = Client::connect(server.running.address).await;
    let answer = soon(client.requests.send_request(get("/large"))).await.unwrap();
    let HangUp(hang_up) = soon(hang_ups.recv()).await.unwrap();
    assert_eq!(Arc::strong_count(&bytes), 3);
    hang_up.cancel();
    given_back(&bytes).await;
    soon(answer.into_body().collect()).await.unwrap_err();
    // A client hears of it in one way or another.
    let _ = soon(client.ended).await.unwrap();
}

/// A host that has vanished keeps its connection only until it does not answer a ping.
#[tokio::test]
async fn half_open_connections_are_cut() {
    let server = start(app(), Limits { ping: SHORT, pong: SHORT, ..limits() }).await;
    let mut half_open = connect_silently(server.running.address).await;
    half_open.0.write_all(PREFACE).await.unwrap();
    half_open.0.flush().await.unwrap();
    let begin = Instant::now();
    let client = Client::connect(server.running.address).await;
    let mut heard = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut half_open.0, &mut heard);
    // How it ends does not matter: there is nobody to tell.
    let _ = soon(read).await;
    assert!(begin.elapsed() >= SHORT);
    // Who answers stays.
    assert!(!client.ended.is_finished());
    assert_eq!(client.get("/").await.unwrap().1, "hello");
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = start(app(), Limits { idle: SHORT, ..limits() }).await;
    let mut silent = connect_silently(server.running.address).await;
    let mut only_preface = connect_silently(server.running.address).await;
    only_preface.0.write_all(PREFACE).await.unwrap();
    let used = Client::connect(server.running.address).await;
    used.get("/").await.unwrap();
    soon(used.ended).await.unwrap().unwrap();
    for client in [&mut silent, &mut only_preface] {
        let mut heard = Vec::new();
        let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut client.0, &mut heard)).await;
    }
}

#[tokio::test]
async fn the_request_in_flight_is_answered_while_draining() {
    let (app, arrived, leave) = held();
    let server = start(app, limits()).await;
    let client = Client::connect(server.running.address).await;
    let held = tokio::spawn(async move { (client.get("/held").await, client.ended) });
    soon(arrived.acquire()).await.unwrap().forget();
    server.running.shutdown.cancel();
    // A connection that begins now still carries a request, and leaves then.
    let late = Client::connect(server.running.address).await;
    assert_eq!(late.get("/").await.unwrap().1, "hello");
    soon(late.ended).await.unwrap().unwrap();
    assert!(!server.running.ended.is_finished());
    leave.add_permits(1);
    let (answer, ended) = soon(held).await.unwrap();
    assert_eq!(answer.unwrap().1, "at last");
    soon(ended).await.unwrap().unwrap();
    server.running.stop().await.unwrap();
}

#[tokio::test]
async fn requests_that_do_not_end_are_cut_and_reported() {
    let (app, arrived, _leave) = held();
    let limits = Limits { drain: SHORT, drain_delay: Duration::ZERO, ..limits() };
    let server = start(app, limits).await;
    let client = Client::connect(server.running.address).await;
    let held = tokio::spawn(async move { client.get("/held").await });
    soon(arrived.acquire()).await.unwrap().forget();
    let ServeError::Drain { connections, waited } = server.running.stop().await.unwrap_err();
    assert_eq!((connections, waited), (1, SHORT));
    soon(held).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let server = start(app(), limits()).await;
    let used = Client::connect(server.running.address).await;
    used.get("/").await.unwrap();
    let unused = Client::connect(server.running.address).await;
    let silent = connect_silently(server.running.address).await;
    let begin = Instant::now();
    server.running.stop().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    soon(used.ended).await.unwrap().unwrap();
    soon(unused.ended).await.unwrap().unwrap();
    drop(silent);
}

/// As for HTTP/1.1: clients that send all the time, several requests at once, and go elsewhere when
/// they are asked to. Every request that the application sees is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_draining() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let answer = async move || {
        count.fetch_add(1, Ordering::Relaxed);
        "hello"
    };
    let server = start(axum::Router::new().route("/", routing::get(answer)), limits()).await;
    let address = server.running.address;
    let (answered, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let (answered, left) = (Arc::clone(&answered), Arc::clone(&left));
            tokio::spawn(async move {
                // Once one has been asked to leave, the endpoint is known to be gone.
                while !left.load(Ordering::Relaxed) {
                    let client = Client::connect(address).await;
                    let senders = (0..4).map(|_| send_until_asked_to_leave(&client, &answered));
                    futures::future::join_all(senders).await;
                    left.store(true, Ordering::Relaxed);
                }
            })
        })
        .collect();
    soon(async {
        while answered.load(Ordering::Relaxed) < 500 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.running.stop().await.unwrap();
    for client in clients {
        soon(client).await.unwrap();
    }
    assert!(left.load(Ordering::Relaxed));
    assert_eq!(seen.load(Ordering::Relaxed), answered.load(Ordering::Relaxed));
}

/// A request that is refused because the connection is leaving may be sent elsewhere.
async fn send_until_asked_to_leave(client: &Client, answered: &AtomicUsize) {
    let mut requests = client.requests.clone();
    while soon(requests.ready()).await.is_ok() {
        match soon(requests.send_request(get("/"))).await {
            Ok(answer) => {
                assert_eq!(answer.status(), 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let text = format!("{error:?}");
                let refused = error.is_canceled() || text.contains("GoAway(b\"\", NO_ERROR");
                assert!(refused, "a request was lost: {text}");
                return;
            }
        }
    }
}

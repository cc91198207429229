//! A client that shows what is on the wire, and servers under test.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum::{Router, routing::get, routing::post};
use lws_runtime::{
    http_server,
    tls_server::{Limits, ServeError},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// No step of a test takes this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails the test when `future` does not complete.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

/// Limits that no test reaches by accident, with a short way to the end.
pub(crate) fn limits() -> Limits {
    Limits { drain_delay: Duration::from_millis(300), drain: PATIENCE, ..Limits::default() }
}

pub(crate) fn app() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/length", post(async |body: String| body.len().to_string()))
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
}

/// A server that runs beside the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Asks the server to stop and gives how that went.
    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        self.shutdown.cancel();
        soon(self.ended).await.unwrap()
    }
}

/// Serves `app` without TLS.
pub(crate) async fn start(app: Router, limits: Limits) -> Running {
    let (listener, address) = listener().await;
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(http_server::serve(listener, app, limits, shutdown.clone()));
    Running { address, shutdown, ended }
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The server asks to leave.
    pub(crate) close: bool,
    pub(crate) body: String,
}

/// One connection.
pub(crate) struct Client<S>(pub(crate) S);

impl Client<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(soon(TcpStream::connect(address)).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, text: &str) {
        soon(self.0.write_all(text.as_bytes())).await.unwrap();
        soon(self.0.flush()).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        soon(self.0.write_all(request.as_bytes())).await?;
        soon(self.0.flush()).await?;
        self.response().await
    }

    /// Reads one response; its body has a known length.
    pub(crate) async fn response(&mut self) -> io::Result<Response> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.0.read_u8()).await?);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let header =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await?;
        Ok(Response {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            close: header("connection") == Some("close"),
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// What else arrives before the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match soon(self.0.read_to_end(&mut rest)).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        rest
    }
}

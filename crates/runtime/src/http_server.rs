//! HTTP servers: accepting connections under limits, and a drain that loses no request.

use std::{io, num::NonZeroUsize, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::connection::{self, Lifecycle, Transport, crowd::Crowd};
pub use crate::connection::{HangUp, crowd::GRACE};

/// Pause after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether one of too many connections can leave.
const CROWD_PAUSE: Duration = Duration::from_millis(50);

/// What a server lets its clients use, and how long it takes to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Connections served at once. For a further one, that which has been longest without a request
    /// leaves; as long as all have one, it waits.
    pub connections: NonZeroUsize,
    /// From the accepted connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the end of the handshake to the first byte of a request. Who has nothing to say is not
    /// waited for.
    pub first: Duration,
    /// From the first byte of a request to the end of its header.
    pub header_read: Duration,
    /// Size of a request's header, in bytes.
    pub header_bytes: usize,
    /// From the end of a request's header to the response: the application's time and the arrival
    /// of the body. The API server waits at most 30 s for a webhook.
    pub request: Duration,
    /// Requests that one HTTP/2 connection carries at once.
    pub streams: u32,
    /// How often an HTTP/2 client that is silent is asked whether it is still there.
    pub ping: Duration,
    /// How long it may take to answer that.
    pub pong: Duration,
    /// Between two requests. Go clients, the API server among them, close after 90 s: a longer time
    /// here means that no request is sent into a connection that is being closed.
    pub idle: Duration,
    /// How long the server goes on after the shutdown began, asking clients to leave: the time that
    /// a cluster needs to learn that the endpoint is gone.
    pub drain_delay: Duration,
    /// How long requests in flight are waited for after that.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: NonZeroUsize::MIN.saturating_add(1023),
            handshake: Duration::from_secs(10),
            first: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            // Those of the API server and of scrapers take 1 KiB, with a token 2.
            header_bytes: 16 * 1024,
            request: Duration::from_secs(35),
            // The least that RFC 9113 recommends.
            streams: 100,
            ping: Duration::from_secs(20),
            pong: Duration::from_secs(10),
            idle: Duration::from_mins(2),
            drain_delay: Duration::from_secs(3),
            drain: Duration::from_secs(20),
        }
    }
}

/// Why a server did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Requests took longer than the time given to them; their connections were cut.
    #[error("{connections} connections were still in use {waited:?} after the listener closed")]
    Drain {
        /// Connections that were cut.
        connections: usize,
        /// How long they were waited for.
        waited: Duration,
    },
}

/// HTTP without TLS.
#[derive(Clone, Copy, Debug)]
struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;

    async fn handshake(&self, tcp: TcpStream) -> io::Result<TcpStream> {
        Ok(tcp)
    }
}

/// Serves `app` on `listener` without TLS until `shutdown`, then drains: connections are still
/// accepted and every response asks its client to leave for `limits.drain_delay`, then the
/// listener closes and requests in flight end within `limits.drain`.
///
/// Fails only when requests are still unanswered at that point. Dropping the future cuts all
/// connections.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    serve_over(listener, Plain, app, limits, shutdown).await
}

/// [`serve`] over any transport.
pub(crate) async fn serve_over<T: Transport>(
    listener: TcpListener,
    transport: T,
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let lifecycle = Lifecycle { draining: shutdown, closing: CancellationToken::new() };
    let mut connections = JoinSet::new();
    let mut crowd = Crowd::default();
    let mut waiting = None;
    {
        let stop = async {
            lifecycle.draining.cancelled().await;
            sleep(limits.drain_delay).await;
        };
        tokio::pin!(stop);
        loop {
            if connections.len() < limits.connections.get()
                && let Some(tcp) = waiting.take()
            {
                connections.spawn(connection::serve(
                    tcp,
                    transport.clone(),
                    app.clone(),
                    limits,
                    lifecycle.clone(),
                    crowd.join(),
                ));
            }
            if waiting.is_some() {
                crowd.make_room();
            }
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => report(ended),
                tcp = accept(&listener), if waiting.is_none() => waiting = Some(tcp),
                () = sleep(CROWD_PAUSE), if waiting.is_some() => {}
            }
        }
    }
    drop(listener);
    lifecycle.closing.cancel();
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    match timeout(limits.drain, all_ended).await {
        Ok(()) => Ok(()),
        Err(_) => Err(ServeError::Drain { connections: connections.len(), waited: limits.drain }),
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => return tcp,
            // The client gave up before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => debug!(%error),
            Err(error) => {
                warn!(%error, "accepting a connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "the handler of a request panicked");
    }
}

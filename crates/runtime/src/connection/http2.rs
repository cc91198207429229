//! HTTP/2: requests as streams of one connection. A client that does not answer pings is gone, one
//! that has no stream open is idle, and each stream has the time of a request.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{Router, response::Response};
use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{LAST_CALL, Lifecycle, begin, crowd::Member};
use crate::http_server::Limits;

/// What a connection has carried.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    /// Requests that are not answered yet.
    open: usize,
    /// Whether there has been one.
    used: bool,
}

/// A request, which counts as open for as long as this lives.
struct Open(Arc<watch::Sender<Streams>>);

impl Open {
    fn count(streams: &Arc<watch::Sender<Streams>>) -> Self {
        streams.send_modify(|it| *it = Streams { open: it.open + 1, used: true });
        Self(Arc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|it| it.open -= 1);
    }
}

/// Why a stream is reset.
#[derive(Debug, thiserror::Error)]
enum Reset {
    /// The connection goes on.
    #[error("the request took longer than {0:?}")]
    TooSlow(Duration),
    /// The connection has to make room for others.
    #[error("others need the place of this connection")]
    Crowded,
}

/// Bytes that a client may send ahead of being read, on a stream and on the connection: what RFC
/// 9113 gives every client to begin with. They are kept until they are read.
const WINDOW: u32 = 65_535;

/// Serves requests until the client leaves, a limit is exceeded, others need its place or memory or
/// the server closes.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    app: Router,
    limits: Limits,
    lifecycle: Lifecycle,
    member: Arc<Member>,
) {
    let (streams, mut changes) = watch::channel(Streams::default());
    let streams = Arc::new(streams);
    let requests = Arc::clone(&member);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = Open::count(&streams);
        let begun = begin(&app, &requests, request);
        async move {
            let _open = open;
            let (_in_hand, response) = begun.ok_or(Reset::Crowded)?;
            match timeout(limits.request, response).await {
                Ok(Ok(response)) => Ok::<Response, Reset>(response),
                Ok(Err(never)) => match never {},
                Err(_) => Err(Reset::TooSlow(limits.request)),
            }
        }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.pong)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut used = changes.clone();
    let mut idle = limits.idle;
    let (mut leaving, mut closing) = (false, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "connection ended");
                }
                return;
            }
            () = member.left() => return debug!("connection cut: others need its place or memory"),
            () = idle_for(idle, limits.first, &mut changes) => {
                if leaving {
                    return debug!("connection cut: it does not leave");
                }
                idle = LAST_CALL;
            }
            () = asked_to_leave(&lifecycle.draining, &mut used), if !leaving => {}
            () = lifecycle.closing.cancelled(), if !closing => {
                closing = true;
                idle = idle.min(LAST_CALL);
            }
        }
        if !leaving {
            leaving = true;
            // Streams that are on their way are still served; new ones go elsewhere.
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// Completes when no request has been open for `idle`, or there has been none for `first`.
async fn idle_for(idle: Duration, first: Duration, changes: &mut watch::Receiver<Streams>) {
    // The sender lives as long as the connection, so neither wait ends for want of one.
    loop {
        let Streams { open, used } = *changes.borrow_and_update();
        let limit = if used { idle } else { idle.min(first) };
        if open > 0 {
            let _ = changes.changed().await;
        } else if timeout(limit, changes.changed()).await.is_err() {
            return;
        }
    }
}

/// Completes when the server drains. A new connection carries a request first: its client might
/// not find another server yet.
async fn asked_to_leave(draining: &CancellationToken, changes: &mut watch::Receiver<Streams>) {
    draining.cancelled().await;
    let _ = changes.wait_for(|streams| streams.used).await;
}

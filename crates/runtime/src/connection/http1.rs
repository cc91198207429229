//! HTTP/1.1: one request after the other, each going through phases with a time limit of its own.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::Router;
use http::{HeaderValue, Request, header::CONNECTION};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};
use tokio_util::io::InspectReader;
use tracing::debug;

use super::{LAST_CALL, Lifecycle, begin, crowd::Member};
use crate::http_server::Limits;

/// What a connection is doing; each phase has its own time limit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Before the first request.
    Fresh,
    /// Between requests.
    Idle,
    /// A request has begun to arrive.
    Head,
    /// The request is with the application, which also reads its body.
    Serving,
}

/// The connection has to make room for others.
#[derive(Debug, thiserror::Error)]
#[error("others need the place of this connection")]
struct Crowded;

/// The least that the library takes as the size of its buffers.
const LEAST_BUFFER: usize = 8192;

/// Serves requests until the client leaves, a limit is exceeded, others need its place or memory or
/// the server closes.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    app: Router,
    limits: Limits,
    lifecycle: Lifecycle,
    member: Arc<Member>,
) {
    let (phase, mut phases) = watch::channel(Phase::Fresh);
    let arrived = phase.clone();
    // The next request has begun to arrive before the answer to this one.
    let ahead = Arc::new(AtomicBool::new(false));
    let (begun_early, reader) = (Arc::clone(&ahead), Arc::clone(&member));
    let stream = InspectReader::new(stream, move |bytes: &[u8]| {
        if !bytes.is_empty() {
            let of_body = *arrived.borrow() == Phase::Serving && !reader.is_busy();
            if !of_body {
                begun_early.store(!ends_header(bytes), Ordering::Relaxed);
            }
            arrived.send_if_modified(|phase| {
                let begins = matches!(phase, Phase::Fresh | Phase::Idle);
                if begins {
                    *phase = Phase::Head;
                }
                begins
            });
        }
    });
    let service = service_fn(|request: Request<Incoming>| {
        phase.send_replace(Phase::Serving);
        if !request.body().is_end_stream() {
            // What came with the header is taken for its body.
            ahead.store(false, Ordering::Relaxed);
        }
        let begun = begin(&app, &member, request);
        let (phase, ahead, draining) = (&phase, &ahead, &lifecycle.draining);
        async move {
            let (in_hand, response) = begun.ok_or(Crowded)?;
            let Ok(mut response) = response.await;
            if draining.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let early = ahead.load(Ordering::Relaxed);
            phase.send_replace(if early { Phase::Head } else { Phase::Idle });
            drop(in_hand);
            Ok::<_, Crowded>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // Its clock also runs between requests; the phases tell the two apart.
            .header_read_timeout(None)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(LEAST_BUFFER))
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut limits = limits;
    let mut closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "connection ended");
                }
                return;
            }
            phase = overdue(&mut phases, &limits) => {
                return debug!(?phase, "connection cut: too slow");
            }
            () = member.left() => return debug!("connection cut: others need its place or memory"),
            () = lifecycle.closing.cancelled(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
                limits.first = limits.first.min(LAST_CALL);
                limits.idle = limits.idle.min(LAST_CALL);
            }
        }
    }
}

/// Whether nothing follows a header in `bytes`, which have the end of one.
fn ends_header(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n\r\n") || bytes.ends_with(b"\n\n")
}

/// Completes when one phase has lasted longer than its limit.
async fn overdue(phases: &mut watch::Receiver<Phase>, limits: &Limits) -> Phase {
    loop {
        let phase = *phases.borrow_and_update();
        let limit = match phase {
            Phase::Fresh => limits.first,
            Phase::Idle => limits.idle,
            Phase::Head => limits.header_read,
            Phase::Serving => limits.request,
        };
        // The sender lives as long as the connection, so a change is the only other outcome.
        if timeout(limit, phases.changed()).await.is_err() {
            return phase;
        }
    }
}

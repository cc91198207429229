//! One connection: its handshake, the protocol that it speaks then, how long each step may take,
//! and its end.

pub(crate) mod crowd;
mod http1;
mod http2;

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use axum::{Router, response::Response};
use http::Request;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use tracing::debug;

use self::crowd::{InHand, Member};
use crate::http_server::Limits;

/// Once the server closes, a connection that has not yet carried a request is given this long: one
/// that was already on its way is still answered.
const LAST_CALL: Duration = Duration::from_millis(500);

/// Turns an accepted TCP connection into the stream that HTTP is spoken on.
pub(crate) trait Transport: Clone + Send + 'static {
    /// What the handshake results in.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Completes when bytes of HTTP can flow.
    fn handshake(&self, tcp: TcpStream) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Whether the handshake has agreed on HTTP/2 instead of HTTP/1.1.
    fn speaks_http2(_stream: &Self::Stream) -> bool {
        false
    }
}

/// How far the shutdown of a server has come.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle {
    /// Requests are served, but each response asks the client to leave.
    pub(crate) draining: CancellationToken,
    /// Requests in flight end, then the connection does.
    pub(crate) closing: CancellationToken,
}

/// Ends the connection that a request came on, whatever it carries: an extension of each request.
#[derive(Clone, Debug)]
pub struct HangUp(pub CancellationToken);

/// Serves one connection until the client leaves, a limit is exceeded, others need its place or
/// memory or the server closes.
pub(crate) async fn serve<T: Transport>(
    tcp: TcpStream,
    transport: T,
    app: Router,
    limits: Limits,
    lifecycle: Lifecycle,
    member: Arc<Member>,
) {
    // Answers are small and complete: waiting for more to send only delays them.
    if let Err(error) = tcp.set_nodelay(true) {
        debug!(%error, "connection lost before the handshake");
        return;
    }
    let handshake = timeout(limits.handshake, transport.handshake(tcp));
    let stream = tokio::select! {
        stream = handshake => stream,
        () = member.left() => return debug!("connection cut before its first request: others need its place"),
    };
    let stream = match stream {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "handshake failed"),
        Err(_) => return debug!(limit = ?limits.handshake, "handshake took too long"),
    };
    if T::speaks_http2(&stream) {
        http2::serve(stream, app, limits, lifecycle, member).await;
    } else {
        http1::serve(stream, app, limits, lifecycle, member).await;
    }
}

/// Hands a request to the application; the connection has it in hand as long as the first of the
/// result lives. `None` when the connection has to leave.
fn begin(
    app: &Router,
    member: &Arc<Member>,
    mut request: Request<Incoming>,
) -> Option<(Arc<InHand>, impl Future<Output = Result<Response, Infallible>> + use<>)> {
    let in_hand = member.begin()?;
    request.extensions_mut().insert(member.hang_up());
    let response = app.clone().call(request.map(|body| in_hand.body(body)));
    Some((in_hand, response))
}

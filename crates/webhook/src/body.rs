//! The body of a request, read within limits of size, time and memory.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http::Uri;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::BodyExt as _;
use lws_runtime::http_server::GRACE;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::head::Head;
use crate::memory::{Memory, Room};
use crate::review::Refusal;

/// The only content type of reviews.
pub(crate) const JSON: &str = "application/json";

/// Largest body of a review in bytes.
pub(crate) const BODY_LIMIT: usize = 7 * 1024 * 1024;

/// Bytes of a refused body that are still read. A client that is sending while the connection is
/// closed gets no answer, only a broken connection.
const DISCARDED: usize = 64 * 1024 * 1024;

/// Bytes of a content type that a refusal quotes: it has no room, and must be short.
const QUOTED: usize = 256;

/// How long a body may take to arrive when the API server does not say how long it waits: the
/// longest it can be told to.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Room for the first bytes of a body. Beyond that it is doubled, so that a client gets what it has
/// sent and as much again, whatever it announces.
const FIRST: usize = 8 * 1024;

/// How long the API server waits for the answer to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    wait: Duration,
    end: Instant,
}

impl Deadline {
    /// That of a request which has just begun.
    pub(crate) fn of(parts: &Parts) -> Self {
        let wait = timeout(&parts.uri).unwrap_or(LONGEST_WAIT);
        Self { wait, end: Instant::now() + wait }
    }

    /// The result of `step`, unless it comes too late.
    pub(crate) async fn keep<T>(self, step: impl Future<Output = T>) -> Result<T, Elapsed> {
        timeout_at(self.end, step).await
    }

    /// The memory that `step` waits for, unless it comes too late.
    pub(crate) async fn keep_memory<T>(
        self,
        step: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        self.keep(step).await.unwrap_or_else(|_| Err(Refusal::unavailable()))
    }
}

/// The body of a request that may be an admission review, and the memory that it takes. `head` gets
/// its first bytes in any case.
pub(crate) async fn read(
    parts: &Parts,
    mut body: Body,
    memory: &Memory,
    deadline: Deadline,
    head: &mut Head,
) -> Result<(Bytes, Room), Refusal> {
    let collected = deadline.keep(collect(&mut body, memory, head)).await;
    let collected = collected.unwrap_or_else(|_| Err(Refusal::too_late(deadline.wait)));
    if collected.is_err() {
        // However this ends, the reason of the refusal stays.
        let _ = deadline.keep(discard(&mut body, head)).await;
    }
    let (body, room) = collected?;
    let content_type = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], |it| it.as_bytes());
    if content_type != JSON.as_bytes() {
        let quoted = content_type.get(..QUOTED).unwrap_or(content_type);
        let content_type = String::from_utf8_lossy(quoted);
        return Err(Refusal::bad_request(format!("contentType={content_type}, expected {JSON}")));
    }
    Ok((body, room))
}

/// The whole of `body`, which is not copied when it arrives in one piece. As long as more of it is
/// to come, its room is lent.
async fn collect(
    body: &mut Body,
    memory: &Memory,
    head: &mut Head,
) -> Result<(Bytes, Room), Refusal> {
    let hint = body.size_hint();
    let announced = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
    if announced > BODY_LIMIT {
        return Err(Refusal::too_large());
    }
    // The API server tells the length; who does not may send anything.
    let most = if hint.exact().is_some() { announced } else { BODY_LIMIT };
    let first = next(body).await?.ok_or_else(Refusal::no_body)?;
    head.add(&first);
    let mut capacity = step(first.len(), most)?;
    let mut room = memory.room(capacity).await?;
    if body.is_end_stream() {
        return if first.is_empty() { Err(Refusal::no_body()) } else { Ok((first, room)) };
    }
    room.lend(CancellationToken::new());
    let mut whole = Vec::with_capacity(capacity);
    whole.extend_from_slice(&first);
    drop(first);
    while let Some(data) = room.unless_called_back(next(body)).await?? {
        head.add(&data);
        let length = whole.len() + data.len();
        if length > capacity {
            capacity = step(length, most)?;
            memory.enlarge(&mut room, capacity).await?;
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&data);
    }
    room.settle()?;
    if whole.is_empty() { Err(Refusal::no_body()) } else { Ok((whole.into(), room)) }
}

/// What `bytes` of a body get that has `most` bytes, including room for the next ones.
fn step(bytes: usize, most: usize) -> Result<usize, Refusal> {
    if bytes > BODY_LIMIT {
        return Err(Refusal::too_large());
    }
    Ok(bytes.next_power_of_two().max(FIRST).min(most).max(bytes))
}

/// The next bytes of `body`; `None` at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|it| Refusal::bad_request(format!("reading the request body: {it}")))?;
        // Trailers say nothing.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads on, as far as that is worth it and the client goes on sending, without keeping anything
/// but the head.
async fn discard(body: &mut Body, head: &mut Head) {
    if body.size_hint().lower() > DISCARDED as u64 {
        return;
    }
    let mut left = DISCARDED;
    // An error ends it too: the client has left, and there is nobody to tell.
    while let Ok(Ok(Some(data))) = tokio::time::timeout(GRACE, next(body)).await
        && let Some(rest) = left.checked_sub(data.len())
    {
        head.add(&data);
        left = rest;
    }
}

/// How long the API server waits for the answer: query parameter `timeout`, whole seconds.
fn timeout(uri: &Uri) -> Option<Duration> {
    let seconds = uri
        .query()?
        .split('&')
        .find_map(|parameter| parameter.strip_prefix("timeout=")?.strip_suffix('s'))?
        .parse()
        .ok()?;
    let wait = Duration::from_secs(seconds);
    (!wait.is_zero() && wait <= LONGEST_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use axum::body::HttpBody;
    use futures::{FutureExt as _, StreamExt as _, stream};
    use http::Request;
    use hyper::body::{Frame, SizeHint};

    use super::*;

    /// Reads a request with the given body.
    async fn read(uri: &str, body: Body) -> Result<Bytes, Refusal> {
        read_into(&Memory::default(), uri, body).await.map(|(body, _)| body)
    }

    async fn read_into(memory: &Memory, uri: &str, body: Body) -> Result<(Bytes, Room), Refusal> {
        let request = Request::post(uri).header(CONTENT_TYPE, JSON).body(body).unwrap();
        let (parts, body) = request.into_parts();
        super::read(&parts, body, memory, Deadline::of(&parts), &mut Head::default()).await
    }

    /// A body of unknown length that stops after so many bytes.
    fn stalled_after(bytes: usize) -> Body {
        let begin = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]))]);
        Body::from_stream(begin.chain(stream::pending()))
    }

    /// A body of unknown length in pieces of these sizes, and how many of them were read.
    fn pieces(sizes: Vec<usize>) -> (Body, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let stream = stream::iter(sizes).map(move |size| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from(vec![b' '; size]))
        });
        (Body::from_stream(stream), count)
    }

    #[tokio::test]
    async fn bodies_in_pieces_are_put_together() {
        for sizes in [vec![5], vec![1, 1, 3], vec![0, 4, 0, 1], vec![2, 3]] {
            let (body, _) = pieces(sizes.clone());
            assert_eq!(read("/x", body).await.unwrap(), &b"     "[..], "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn the_rest_of_what_is_too_large_is_read_up_to_a_limit() {
        const MIB: usize = 1024 * 1024;
        for (mebibytes, read_pieces) in [(8, 8), (28, 28), (71, 71), (200, 8 + 65)] {
            let (body, count) = pieces(vec![MIB; mebibytes]);
            assert_eq!(read("/x", body).await.unwrap_err(), Refusal::too_large());
            assert_eq!(count.load(Ordering::Relaxed), read_pieces, "of {mebibytes} MiB");
        }
        let (body, count) = pieces(vec![BODY_LIMIT + 1]);
        assert_eq!(read("/x", body).await.unwrap_err(), Refusal::too_large());
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let refusal = read("/x?timeout=3s", body).await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.message.as_str()),
            (504, "the request body did not arrive within 3 s")
        );
    }

    /// The rest of a body that is refused may take as long as it likes.
    #[tokio::test(start_paused = true)]
    async fn a_slow_rest_does_not_hide_the_reason() {
        let begin = Instant::now();
        let trickling = |bytes| {
            let rest = stream::unfold((), |()| async {
                tokio::time::sleep(GRACE / 2).await;
                Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
            });
            Body::from_stream(stream::iter([Ok(Bytes::from(vec![b' '; bytes]))]).chain(rest))
        };
        let refusal = read("/x?timeout=5s", trickling(BODY_LIMIT + 1)).await.unwrap_err();
        assert_eq!(refusal, Refusal::too_large());
        let memory = Memory::default();
        let mut rooms = Vec::new();
        while let Ok(room) = memory.room(BODY_LIMIT).await {
            rooms.push(room);
        }
        let refusal = read_into(&memory, "/x?timeout=5s", trickling(BODY_LIMIT)).await.unwrap_err();
        assert_eq!(refusal, Refusal::unavailable());
        assert!(begin.elapsed() >= Duration::from_secs(10), "it was read over");
    }

    /// Four of the stalled bodies take all the room; one of them gives way to the one that arrives.
    #[tokio::test(start_paused = true)]
    async fn the_oldest_body_that_is_stalled_gives_way() {
        let memory = Arc::new(Memory::default());
        let mut stalled = Vec::new();
        for _ in 0..4 {
            let memory = Arc::clone(&memory);
            let body = stalled_after(BODY_LIMIT - 1);
            stalled.push(tokio::spawn(async move { read_into(&memory, "/x", body).await }));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (body, _) = pieces(vec![10_000; 4]);
        let (body, room) = read_into(&memory, "/x", body).await.unwrap();
        assert_eq!((body.len(), room.bytes()), (40_000, 64 * 1024));
        let refusal = stalled.remove(0).await.unwrap().unwrap_err();
        assert_eq!(refusal, Refusal::called_back());
        for stalled in stalled {
            let refusal = stalled.await.unwrap().unwrap_err();
            assert_eq!(refusal, Refusal::too_late(LONGEST_WAIT));
        }
    }

    /// A body that announces as much as it may, sends a few bytes and stops.
    #[derive(Default)]
    struct Announced {
        begun: bool,
    }

    impl HttpBody for Announced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if std::mem::replace(&mut self.begun, true) {
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{\"request")))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(BODY_LIMIT as u64)
        }
    }

    /// Room goes by what has been sent, not by what is announced.
    #[tokio::test(start_paused = true)]
    async fn bodies_that_have_not_been_sent_take_little() {
        let memory = Memory::default();
        let read = |_| Box::pin(read_into(&memory, "/x", Body::new(Announced::default())));
        let mut bodies: Vec<_> = (0..2000).map(read).collect();
        for body in &mut bodies {
            assert!(body.now_or_never().is_none());
        }
        let (body, _) = pieces(vec![1000; 20]);
        tokio::time::timeout(Duration::ZERO, read_into(&memory, "/x", body))
            .await
            .unwrap()
            .unwrap();
    }

    #[test]
    fn timeouts_of_the_api_server_are_read() {
        for (uri, seconds) in [
            ("/x?timeout=10s", Some(10)),
            ("/x?a=b&timeout=1s", Some(1)),
            ("/x?timeout=30s", Some(30)),
            ("/x?timeout=31s", None),
            ("/x?timeout=0s", None),
            ("/x?timeout=1m", None),
            ("/x?timeout=", None),
            ("/x", None),
        ] {
            let uri = Uri::from_static(uri);
            assert_eq!(timeout(&uri), seconds.map(Duration::from_secs), "{uri}");
        }
    }
}

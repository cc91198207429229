//! The body of a request, read within limits of size, time and memory.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::Uri;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::BodyExt as _;

use crate::memory::{Memory, Room};
use crate::review::Refusal;

/// The only content type of reviews.
pub(crate) const JSON: &str = "application/json";

/// Largest body of a review in bytes.
pub(crate) const BODY_LIMIT: usize = 7 * 1024 * 1024;

/// Bytes of a refused body that are still read. A client that is sending while the connection is
/// closed gets no answer, only a broken connection.
const DISCARDED: usize = 64 * 1024 * 1024;

/// How long a body may take to arrive when the API server does not say how long it waits: the
/// longest it can be told to.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The body of a request that may be an admission review, and the memory that it takes.
pub(crate) async fn read(
    parts: &Parts,
    body: Body,
    memory: &Memory,
) -> Result<(Bytes, Room), Refusal> {
    let wait = timeout(&parts.uri).unwrap_or(LONGEST_WAIT);
    let (body, room) = tokio::time::timeout(wait, collect(body, memory))
        .await
        .map_err(|_| Refusal::too_late(wait))??;
    if body.is_empty() {
        return Err(Refusal::bad_request("request body is empty"));
    }
    let content_type = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], |it| it.as_bytes());
    if content_type != JSON.as_bytes() {
        let content_type = String::from_utf8_lossy(content_type);
        return Err(Refusal::bad_request(format!("contentType={content_type}, expected {JSON}")));
    }
    Ok((body, room))
}

/// The whole of `body`, which is not copied when it arrives in one piece, as nearly all do.
async fn collect(mut body: Body, memory: &Memory) -> Result<(Bytes, Room), Refusal> {
    let hint = body.size_hint();
    let announced = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
    if announced > BODY_LIMIT {
        if announced <= DISCARDED {
            discard(body).await;
        }
        return Err(Refusal::too_large());
    }
    // The API server tells the length; who does not may send anything.
    let needed = if hint.exact().is_some() { announced } else { BODY_LIMIT };
    let room = match memory.wait_for(needed).await {
        Ok(room) => room,
        Err(refusal) => {
            discard(body).await;
            return Err(refusal);
        }
    };
    let (mut only, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(data) = next(&mut body).await? {
        if only.len() + whole.len() + data.len() > BODY_LIMIT {
            drop((only, whole, data));
            discard(body).await;
            return Err(Refusal::too_large());
        }
        if only.is_empty() && whole.is_empty() {
            only = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.max(only.len() + data.len()));
            whole.extend_from_slice(&std::mem::take(&mut only));
        }
        whole.extend_from_slice(&data);
    }
    Ok((if whole.is_empty() { only } else { whole.freeze() }, room))
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

/// Reads on, as far as that is worth it, without keeping anything.
async fn discard(mut body: Body) {
    let mut left = DISCARDED;
    // An error ends it too: the client has left, and there is nobody to tell.
    while let Ok(Some(data)) = next(&mut body).await
        && let Some(rest) = left.checked_sub(data.len())
    {
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{StreamExt as _, stream};
    use http::Request;

    use super::*;

    /// Reads a request with the given body.
    async fn read(uri: &str, body: Body) -> Result<Bytes, Refusal> {
        let request = Request::post(uri).header(CONTENT_TYPE, JSON).body(body).unwrap();
        let (parts, body) = request.into_parts();
        super::read(&parts, body, &Memory::default()).await.map(|(body, _)| body)
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

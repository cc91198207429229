//! Limits and shutdown of servers, seen from their clients.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    routing::{get, post},
};
use hyper::body::Bytes;
use lws_runtime::http_server::{HangUp, Limits, ServeError};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    sync::Semaphore,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
    time::interval,
};

use crate::support::{Client, app, limits, soon, start};

const SHORT: Duration = Duration::from_millis(200);

/// A request to `/held` adds a permit to the first semaphore when it arrives, and is answered once
/// the second has one.
pub(crate) fn held() -> (Router, Arc<Semaphore>, Arc<Semaphore>) {
    let (arrived, leave) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (told, asked) = (Arc::clone(&arrived), Arc::clone(&leave));
    let answer = async move || {
        told.add_permits(1);
        asked.acquire().await.unwrap().forget();
        "at last"
    };
    (app().route("/held", get(answer)), arrived, leave)
}

#[tokio::test]
async fn a_connection_carries_several_requests() {
    let server = start(app(), limits()).await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..3 {
        let response = client.get("/").await.unwrap();
        assert_eq!((response.status, response.close, &*response.body), (200, false, "hello"));
    }
    assert_eq!(client.get("/nowhere").await.unwrap().status, 404);
    let body = "x".repeat(200_000);
    let length = body.len();
    client
        .send(&format!(
            "POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    assert_eq!(client.response().await.unwrap().body, "200000");
}

/// Each way of being slow is cut at its own limit, and only at that: the others are long.
#[tokio::test]
async fn slow_clients_are_cut() {
    let long = limits();
    for (what, limits, sent, answers) in [
        ("nothing", Limits { idle: SHORT, ..long }, "", 0),
        ("half a header", Limits { header_read: SHORT, ..long }, "GET / HTTP/1.1\r\nho", 0),
        (
            "half a header ahead",
            Limits { header_read: SHORT, ..long },
            "GET / HTTP/1.1\r\nhost: t\r\n\r\nGET / HTTP/1.1\r\nho",
            1,
        ),
        (
            "nothing after two at once",
            Limits { idle: SHORT, header_read: SHORT * 1000, ..long },
            "GET / HTTP/1.1\r\nhost: t\r\n\r\nGET / HTTP/1.1\r\nhost: t\r\n\r\n",
            2,
        ),
        (
            "half a body",
            Limits { request: SHORT, ..long },
            "POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhalf",
            0,
        ),
    ] {
        let server = start(app(), limits).await;
        let mut client = Client::connect(server.address).await;
        let begin = Instant::now();
        client.send(sent).await;
        for _ in 0..answers {
            assert_eq!(client.response().await.unwrap().body, "hello", "{what}");
        }
        assert_eq!(client.rest().await, b"", "{what}");
        assert!(begin.elapsed() >= SHORT, "{what}");
    }
}

/// Also a header that has begun while the request before was in hand.
#[tokio::test]
async fn headers_that_begin_early_are_cut() {
    let (app, arrived, leave) = held();
    let server = start(app, Limits { header_read: SHORT, ..limits() }).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /held HTTP/1.1\r\nhost: t\r\n\r\n").await;
    soon(arrived.acquire()).await.unwrap().forget();
    client.send("GET / HTTP/1.1\r\nho").await;
    // It is not cut while it is being served, and has time to be read.
    tokio::time::sleep(SHORT * 2).await;
    leave.add_permits(1);
    assert_eq!(client.response().await.unwrap().body, "at last");
    assert_eq!(client.rest().await, b"");
}

/// A byte now and then does not buy time.
#[tokio::test]
async fn trickled_headers_are_cut() {
    let server = start(app(), Limits { header_read: SHORT, ..limits() }).await;
    let (mut read, mut write) = TcpStream::connect(server.address).await.unwrap().into_split();
    let trickle = async {
        use tokio::io::AsyncWriteExt as _;
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let closed = async {
        use tokio::io::AsyncReadExt as _;
        // End or reset: the server has left either way.
        let mut buffer = [0];
        assert!(!matches!(read.read(&mut buffer).await, Ok(1..)));
    };
    soon(async {
        tokio::select! {
            () = trickle => {}
            () = closed => {}
        }
    })
    .await;
}

/// The clock of the header starts with its first byte, not with the connection.
#[tokio::test]
async fn waiting_between_requests_is_not_slow() {
    let server = start(app(), Limits { header_read: SHORT, request: SHORT, ..limits() }).await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..2 {
        tokio::time::sleep(SHORT * 2).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn large_headers_are_refused() {
    let server = start(app(), Limits { header_bytes: 16 * 1024, ..limits() }).await;
    for (length, status) in [(8 * 1024, 200), (17 * 1024, 431)] {
        let mut client = Client::connect(server.address).await;
        let value = "x".repeat(length);
        client.send(&format!("GET / HTTP/1.1\r\nhost: t\r\nx: {value}\r\n\r\n")).await;
        assert_eq!(client.response().await.unwrap().status, status, "{length}");
    }
}

/// A connection that has carried a request may be silent for longer than one that has not.
#[tokio::test]
async fn the_first_request_is_not_waited_for() {
    let server = start(app(), Limits { first: SHORT, ..limits() }).await;
    let mut silent = Client::connect(server.address).await;
    let mut used = Client::connect(server.address).await;
    assert_eq!(used.get("/").await.unwrap().status, 200);
    let begin = Instant::now();
    assert_eq!(silent.rest().await, b"");
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(used.get("/").await.unwrap().status, 200);
    assert!(begin.elapsed() >= SHORT);
}

fn at_most(connections: usize) -> Limits {
    Limits { connections: NonZeroUsize::new(connections).unwrap(), ..limits() }
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_requests_in_flight() {
    let (app, arrived, leave) = held();
    let server = start(app, at_most(1)).await;
    let mut first = Client::connect(server.address).await;
    first.send("GET /held HTTP/1.1\r\nhost: t\r\n\r\n").await;
    soon(arrived.acquire()).await.unwrap().forget();
    let mut second = Client::connect(server.address).await;
    let answered = tokio::spawn(async move { second.get("/").await.unwrap().status });
    tokio::time::sleep(SHORT).await;
    assert!(!answered.is_finished());
    leave.add_permits(1);
    assert_eq!(first.response().await.unwrap().body, "at last");
    // It is silent for a while then, and makes room.
    assert_eq!(soon(answered).await.unwrap(), 200);
    assert_eq!(first.rest().await, b"");
}

/// Who comes later is served, and who has been served stays connected.
#[tokio::test]
async fn silent_connections_make_room() {
    let server = start(app(), at_most(8)).await;
    let mut first = Client::connect(server.address).await;
    assert_eq!(first.get("/").await.unwrap().status, 200);
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(Client::connect(server.address).await);
    }
    let mut second = Client::connect(server.address).await;
    assert_eq!(second.get("/").await.unwrap().status, 200);
    assert_eq!(first.get("/").await.unwrap().status, 200);
    for client in &mut silent[..33] {
        assert_eq!(client.rest().await, b"");
    }
}

/// Clients that have all places, and ask more often than they would have to leave for silence.
#[tokio::test]
async fn frequent_requests_keep_nobody_out() {
    let server = start(app(), at_most(4)).await;
    let mut frequent = JoinSet::new();
    let asked = Arc::new(Semaphore::new(0));
    for _ in 0..4 {
        let mut client = Client::connect(server.address).await;
        assert_eq!(client.get("/").await.unwrap().status, 200);
        let asked = Arc::clone(&asked);
        frequent.spawn(async move {
            let mut pace = interval(SHORT * 3);
            loop {
                pace.tick().await;
                if client.get("/").await.is_err() {
                    return;
                }
                asked.add_permits(1);
            }
        });
    }
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.get("/").await.unwrap().status, 200);
    soon(frequent.join_next()).await.unwrap().unwrap();
    // One place was needed: the others go on.
    asked.forget_permits(usize::MAX);
    soon(asked.acquire_many(6)).await.unwrap().forget();
    assert_eq!(frequent.len(), 3);
    assert!(frequent.try_join_next().is_none());
}

#[tokio::test]
async fn bodies_that_do_not_arrive_make_room() {
    let begun = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&begun);
    let read = async move |body: Body| {
        told.add_permits(1);
        to_bytes(body, 100).await.map_or(0, |body| body.len()).to_string()
    };
    let server = start(app().route("/body", post(read)), at_most(3)).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(server.address).await;
        client.send("POST /body HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nx").await;
        soon(begun.acquire()).await.unwrap().forget();
        slow.push(client);
    }
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.get("/").await.unwrap().status, 200);
    assert_eq!(slow[0].rest().await, b"");
    // The others are still waited for.
    slow[2].send("12345678").await;
    assert_eq!(slow[2].response().await.unwrap().body, "9");
}

/// An answer of many bytes, and what ends the connection of whoever has asked for it at `/large`.
pub(crate) fn large() -> (Router, Arc<Vec<u8>>, UnboundedReceiver<HangUp>) {
    struct Shared(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let bytes = Arc::new(vec![b'x'; 32 * 1024 * 1024]);
    let (asked, hang_ups) = unbounded_channel();
    let shared = Arc::clone(&bytes);
    let answer = async move |Extension(hang_up): Extension<HangUp>| {
        asked.send(hang_up).unwrap();
        Bytes::from_owner(Shared(Arc::clone(&shared)))
    };
    (app().route("/large", get(answer)), bytes, hang_ups)
}

/// Waits until the application has back what it has answered with at `/large`.
pub(crate) async fn given_back(bytes: &Arc<Vec<u8>>) {
    soon(async {
        while Arc::strong_count(bytes) > 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The application gets back what it has answered with.
#[tokio::test]
async fn an_answer_that_is_not_read_can_be_cut_off() {
    let (app, bytes, mut hang_ups) = large();
    let server = start(app, limits()).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /large HTTP/1.1\r\nhost: t\r\n\r\n").await;
    let HangUp(hang_up) = soon(hang_ups.recv()).await.unwrap();
    assert_eq!(client.0.read_u8().await.unwrap(), b'H', "it is on its way");
    assert_eq!(Arc::strong_count(&bytes), 3);
    hang_up.cancel();
    given_back(&bytes).await;
    assert!(client.rest().await.len() < bytes.len());
    assert_eq!(Client::connect(server.address).await.get("/").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let server = start(app(), limits()).await;
    let mut other = Client::connect(server.address).await;
    other.get("/").await.unwrap();
    let mut client = Client::connect(server.address).await;
    client.get("/panic").await.unwrap_err();
    assert_eq!(other.get("/").await.unwrap().status, 200);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_request_in_flight_is_answered_while_draining() {
    let (app, arrived, leave) = held();
    let server = start(app, limits()).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /held HTTP/1.1\r\nhost: t\r\n\r\n").await;
    soon(arrived.acquire()).await.unwrap().forget();
    server.shutdown.cancel();
    // The listener closes after the delay; the request is still there.
    soon(async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    })
    .await;
    assert!(!server.ended.is_finished());
    leave.add_permits(1);
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.close, &*response.body), (200, true, "at last"));
    assert_eq!(client.rest().await, b"");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn requests_that_do_not_end_are_cut_and_reported() {
    let (app, arrived, _leave) = held();
    let server = start(app, Limits { drain: SHORT, drain_delay: Duration::ZERO, ..limits() }).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET /held HTTP/1.1\r\nhost: t\r\n\r\n").await;
    soon(arrived.acquire()).await.unwrap().forget();
    let ServeError::Drain { connections, waited } = server.stop().await.unwrap_err();
    assert_eq!((connections, waited), (1, SHORT));
    assert_eq!(client.rest().await, b"");
}

/// Clients that are in no hurry hold no server up.
#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let server = start(app(), limits()).await;
    let mut used = Client::connect(server.address).await;
    used.get("/").await.unwrap();
    let mut unused = Client::connect(server.address).await;
    let begin = Instant::now();
    server.stop().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(used.rest().await, b"");
    assert_eq!(unused.rest().await, b"");
}

/// Clients that send all the time, one request after the other, and leave when they are asked to:
/// every request of theirs is answered, whether the server stops or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_draining() {
    let server = start(app(), limits()).await;
    let address = server.address;
    let (answered, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (answered, left) = (Arc::clone(&answered), Arc::clone(&left));
            tokio::spawn(async move {
                // Once one has been asked to leave, the endpoint is known to be gone.
                while !left.load(Ordering::Relaxed) {
                    let mut client = Client::connect(address).await;
                    loop {
                        let response = client.get("/").await.unwrap();
                        assert_eq!(response.status, 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                        if response.close {
                            left.store(true, Ordering::Relaxed);
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    soon(async {
        while answered.load(Ordering::Relaxed) < 1000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await.unwrap();
    for client in clients {
        soon(client).await.unwrap();
    }
    assert!(left.load(Ordering::Relaxed));
}

//! What is written of events to an API server that fails in every way.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use kube::client::Body;
use lws_api_types::LeaderWorkerSet;
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use super::super::Recorder;
use super::*;
use crate::plan::task::EventDraft;

/// An API server, and the recorder that tells it of events.
struct World {
    recorder: Recorder,
    leadership: watch::Sender<Leadership>,
    server: Arc<Mutex<Server>>,
    telling: JoinHandle<()>,
}

#[derive(Default)]
struct Server {
    /// Statuses to answer with; 200 once there are none.
    answers: VecDeque<u16>,
    /// Method and, for all but creations, name of each request.
    requests: Vec<String>,
}

impl World {
    fn new(answers: &[u16]) -> Self {
        let server = Server { answers: answers.iter().copied().collect(), requests: Vec::new() };
        let server = Arc::new(Mutex::new(server));
        let seen = Arc::clone(&server);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let mut server = seen.lock().unwrap_or_else(PoisonError::into_inner);
            server.requests.push(request.method().to_string());
            let code = server.answers.pop_front().unwrap_or(200);
            let body = json!({"kind": "Status", "code": code, "message": "no", "reason": "",
                "status": "Failure"});
            let response = http::Response::builder().status(code);
            let response = response.body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.unwrap()) }
        });
        let (leadership, receiver) = watch::channel(Leadership::Unopposed);
        let limiter = Arc::new(Limiter::new(1000.0, 1000));
        let client = Client::new(service, "default");
        let (recorder, told) = Recorder::new(client, limiter, receiver, "host");
        Self { recorder, leadership, server, telling: tokio::spawn(told) }
    }

    fn warn(&self) {
        self.recorder.tell(&set(), EventDraft::warning("FailedCreate", "Create", "x".to_owned()));
    }

    /// Everything is told that was to be; gives the requests it took.
    async fn requests(self) -> Vec<String> {
        drop(self.recorder);
        self.telling.await.unwrap();
        self.server.lock().unwrap().requests.clone()
    }

    /// Waits until so many requests were made and answered.
    async fn answered(&self, count: usize) {
        let seen = || self.server.lock().unwrap().requests.len();
        while seen() < count {
            tokio::task::yield_now().await;
        }
        assert_eq!(seen(), count);
        // Time moves on once nobody has anything to do.
        sleep(Duration::from_millis(1)).await;
    }
}

fn set() -> LeaderWorkerSet {
    let mut set = LeaderWorkerSet::default();
    set.metadata.name = Some("s".to_owned());
    set.metadata.namespace = Some("n".to_owned());
    set.metadata.uid = Some("u".to_owned());
    set
}

#[tokio::test(start_paused = true)]
async fn a_repeated_warning_counts_the_earlier_one_up_now_and_then() {
    let world = World::new(&[]);
    world.warn();
    world.warn();
    world.answered(1).await;
    advance(COUNTED_EVERY).await;
    world.warn();
    world.warn();
    assert_eq!(world.requests().await, ["POST", "PATCH"]);
}

#[tokio::test(start_paused = true)]
async fn a_warning_that_was_refused_is_told_when_it_repeats() {
    let world = World::new(&[403]);
    world.warn();
    world.answered(1).await;
    world.warn();
    world.warn();
    assert_eq!(world.requests().await, ["POST", "POST"]);
}

#[tokio::test(start_paused = true)]
async fn a_warning_whose_event_is_gone_is_told_anew() {
    let world = World::new(&[200, 404]);
    world.warn();
    world.answered(1).await;
    advance(COUNTED_EVERY).await;
    world.warn();
    world.answered(3).await;
    advance(COUNTED_EVERY).await;
    world.warn();
    assert_eq!(world.requests().await, ["POST", "PATCH", "POST", "PATCH"]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_the_moment_is_tried_again_a_few_times() {
    for (answers, requests) in [
        (&[429, 503, 200][..], 3),
        // The first attempt was carried out although it seemed to fail.
        (&[500, 409], 2),
        (&[500, 502, 503, 504], 3),
        (&[400], 1),
    ] {
        let world = World::new(answers);
        world.recorder.tell(&set(), EventDraft::normal("X", "Create", "y".to_owned()));
        assert_eq!(world.requests().await.len(), requests, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_lead_tells_nothing() {
    let world = World::new(&[]);
    world.leadership.send_replace(Leadership::Ended);
    world.warn();
    assert_eq!(world.requests().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_holds_up_no_other() {
    let world = World::new(&[503, 200, 200]);
    for reason in ["A", "B"] {
        world.recorder.tell(&set(), EventDraft::normal(reason, "Create", "x".to_owned()));
    }
    world.answered(2).await;
    assert_eq!(world.requests().await.len(), 3);
}

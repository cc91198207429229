//! The HTTP side: one route for each webhook, and an answer to whatever comes in.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::{Request as HttpRequest, StatusCode, header};
use lws_runtime::http_server::HangUp;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::body::{self, Deadline, JSON};
use crate::head::Head;
use crate::hook::Hook;
use crate::json::cut;
use crate::memory::{Memory, Room, Turn};
use crate::metrics::Metrics;
use crate::pod::Settings;
use crate::review::{Answer, Refusal, Request, parse, render};

/// Bytes of a refusal that are logged.
const LOGGED: usize = 256;

/// The API server repeats a request after so many seconds, as long as it waits for an answer.
const RETRY: [(header::HeaderName, &str); 1] = [(header::RETRY_AFTER, "1")];

/// The operation of a review that could not be read.
const UNREAD: &str = "unknown";

struct Webhook {
    settings: Settings,
    metrics: Metrics,
    memory: Memory,
    /// On whose blocking thread large reviews are judged.
    large: Handle,
}

/// What comes of a request.
enum Outcome {
    /// A review, which may be a refusal.
    Answer(Bytes),
    /// There was no memory for it at the time.
    Shortage(Refusal),
    /// The review that answers it could not be written.
    Fault(serde_json::Error),
}

/// A review that has been judged.
struct Judged {
    /// The value of metric label `operation`.
    operation: &'static str,
    answer: Answer,
    /// For the log, where the answer is a refusal.
    subject: Subject,
    json: Vec<u8>,
}

/// What a refused request was about, as the log names it.
#[derive(Debug, Default)]
struct Subject {
    uid: String,
    namespace: String,
    name: String,
}

impl Subject {
    /// That of a request of which only its UID is known, if that.
    fn unread(uid: &str) -> Self {
        Self { uid: uid.to_owned(), ..Self::default() }
    }
}

impl From<&Request<'_>> for Subject {
    fn from(request: &Request<'_>) -> Self {
        let text = |text: &str| cut(text, LOGGED).to_owned();
        Self {
            uid: text(&request.uid),
            namespace: text(&request.namespace),
            name: text(&request.name),
        }
    }
}

/// An answer, with its room until the last byte has been sent.
struct Kept {
    json: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

/// Serves the paths of [`Hook::ALL`]; any other path is answered with status 404.
///
/// A decision is an `AdmissionReview` under status 200, also when it is a refusal. A request for
/// which there is no memory at the time gets none, but status 503 with `Retry-After`.
///
/// `large` is the runtime on whose blocking threads large reviews are judged, one after the other.
/// Memory is bounded best when it has one such thread, and nothing else to do.
pub fn router(settings: Settings, metrics: Metrics, large: Handle) -> Router {
    let webhook = Arc::new(Webhook { settings, metrics, memory: Memory::default(), large });
    Hook::ALL.into_iter().fold(Router::new(), |router, hook| {
        let webhook = Arc::clone(&webhook);
        let handler = move |request| {
            let webhook = Arc::clone(&webhook);
            async move { webhook.handle(hook, request).await }
        };
        router.route(hook.path(), any(handler))
    })
}

impl Webhook {
    async fn handle(self: &Arc<Self>, hook: Hook, request: HttpRequest<Body>) -> Response {
        let begin = Instant::now();
        let _in_flight = self.metrics.begin(hook);
        let mut head = Head::default();
        let response = match self.review(hook, request, &mut head).await {
            Outcome::Answer(json) => {
                ([(header::CONTENT_TYPE, JSON)], Body::from(json)).into_response()
            }
            Outcome::Fault(error) => {
                tracing::error!(path = hook.path(), %error, "writing an admission review");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            Outcome::Shortage(shortage) => {
                let message = shortage.message.clone();
                let (_, uid) = head.address();
                self.record(hook, UNREAD, &Err(shortage), &Subject::unread(uid));
                (StatusCode::SERVICE_UNAVAILABLE, RETRY, message).into_response()
            }
        };
        self.metrics.answered(hook, response.status(), begin.elapsed());
        response
    }

    /// Reads and judges `request`. `head` gets the first bytes of its body.
    async fn review(
        self: &Arc<Self>,
        hook: Hook,
        request: HttpRequest<Body>,
        head: &mut Head,
    ) -> Outcome {
        let (parts, body) = request.into_parts();
        let deadline = Deadline::of(&parts);
        match body::read(&parts, body, &self.memory, deadline, head).await {
            Ok((body, room)) => {
                let hang_up = parts.extensions.get::<HangUp>();
                let answered = self.answer_in(room, hook, body, hang_up, deadline).await;
                answered.unwrap_or_else(Outcome::Shortage)
            }
            Err(refusal) if refusal.is_shortage() => Outcome::Shortage(refusal),
            Err(refusal) => match unread(refusal, head) {
                Ok(judged) => Outcome::Answer(self.told(hook, judged).into()),
                Err(error) => Outcome::Fault(error),
            },
        }
    }

    /// What comes of the review in `body`, whose room the answer takes over. Fails when there is no
    /// memory for that.
    ///
    /// An answer that finds no room does not wait for it, because nothing would limit how many do:
    /// it is made again once there is some, and the review gives way meanwhile. A client that does
    /// not read it is cut off when others need the room. Nothing is waited for beyond `deadline`.
    async fn answer_in(
        self: &Arc<Self>,
        mut room: Room,
        hook: Hook,
        body: Bytes,
        hang_up: Option<&HangUp>,
        deadline: Deadline,
    ) -> Result<Outcome, Refusal> {
        loop {
            let mut turn = deadline.keep_memory(self.memory.turn(body.len())).await?;
            let judged;
            (judged, turn, room) = self.judge_in_turn(hook, body.clone(), turn, room).await?;
            let judged = match judged {
                Ok(judged) => judged,
                Err(error) => return Ok(Outcome::Fault(error)),
            };
            let bytes = judged.json.len();
            if self.memory.resize(&mut room, bytes) {
                let json = self.told(hook, judged);
                if let Some(HangUp(hang_up)) = hang_up {
                    room.lend(hang_up.clone());
                }
                return Ok(Outcome::Answer(Bytes::from_owner(Kept { json, _room: room })));
            }
            drop((judged, turn));
            room.lend(CancellationToken::new());
            deadline.keep_memory(self.memory.enlarge(&mut room, bytes)).await?;
            room.settle()?;
        }
    }

    /// Judges the review in `body` as part of `turn`. A large one is judged on a thread besides those
    /// that serve: it keeps no small one waiting, and what the allocator retains of the memory of
    /// large ones it retains once, not for each thread that has judged one. It goes on, in its turn
    /// and its room, when the request is given up.
    async fn judge_in_turn(
        self: &Arc<Self>,
        hook: Hook,
        body: Bytes,
        turn: Option<Turn>,
        room: Room,
    ) -> Result<(Result<Judged, serde_json::Error>, Option<Turn>, Room), Refusal> {
        if turn.is_none() {
            return Ok((self.judge(hook, &body), turn, room));
        }
        let webhook = Arc::clone(self);
        let judge = move || (webhook.judge(hook, &body), turn, room);
        self.large.spawn_blocking(judge).await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The process ends.
            Err(_) => Refusal::unavailable(),
        })
    }

    /// Judges the review in `body`.
    fn judge(&self, hook: Hook, body: &[u8]) -> Result<Judged, serde_json::Error> {
        let (version, request) = match parse(body) {
            Ok(review) => review,
            Err(refusal) => return unread(refusal, &Head::from(body)),
        };
        let answer = self.guard(|| hook.decide(&request, self.settings));
        let json = render(version, &request.uid, &answer)?;
        let subject = if answer.is_err() { Subject::from(&request) } else { Subject::default() };
        Ok(Judged { operation: request.operation().label(), answer, subject, json })
    }

    /// The answer as it is sent, which counts from now on.
    fn told(&self, hook: Hook, judged: Judged) -> Vec<u8> {
        self.record(hook, judged.operation, &judged.answer, &judged.subject);
        judged.json
    }

    /// Turns a panic into a refusal: one bad object must not take the process down with the other
    /// requests it is serving.
    fn guard(&self, decide: impl FnOnce() -> Answer) -> Answer {
        catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|panic| {
            self.metrics.panicked();
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no text");
            Err(Refusal::internal(format!("panic: {text} [recovered]")))
        })
    }

    fn record(&self, hook: Hook, operation: &str, answer: &Answer, subject: &Subject) {
        match answer {
            Ok(consent) if consent.patch.is_empty() => {
                self.metrics.reviewed(hook, operation, "200");
            }
            Ok(consent) => {
                self.metrics.reviewed(hook, operation, "patched");
                self.metrics.patched(consent.patch.count());
            }
            Err(Refusal { code, message, rules }) => {
                self.metrics.reviewed(hook, operation, &code.to_string());
                self.metrics.rejected(hook, rules);
                // A message may be as long as the request, and who sent that reads it whole.
                let message = cut(message, LOGGED);
                let Subject { uid, namespace, name } = subject;
                tracing::info!(
                    path = hook.path(),
                    operation,
                    namespace,
                    name,
                    uid,
                    code,
                    ?rules,
                    message,
                    "request refused"
                );
            }
        }
    }
}

/// The answer to a review that could not be read, addressed by the beginning of its body.
fn unread(refusal: Refusal, head: &Head) -> Result<Judged, serde_json::Error> {
    let answer = Err(refusal);
    let (version, uid) = head.address();
    let json = render(version, uid, &answer)?;
    Ok(Judged { operation: UNREAD, answer, subject: Subject::unread(uid), json })
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use axum::body::HttpBody as _;
    use lws_runtime::metrics::Registry;

    use super::*;
    use crate::body::BODY_LIMIT;
    use crate::memory::SMALL;
    use crate::review::Consent;

    fn webhook() -> (Arc<Webhook>, Registry) {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let (settings, memory) = (Settings::default(), Memory::default());
        let webhook = Webhook { settings, metrics, memory, large: Handle::current() };
        (Arc::new(webhook), registry)
    }

    /// A small review with a large answer.
    fn many_containers(hang_up: &HangUp) -> HttpRequest<Body> {
        many_containers_to("/mutate--v1-pod", hang_up)
    }

    fn many_containers_to(uri: &str, hang_up: &HangUp) -> HttpRequest<Body> {
        let containers = vec!["{}"; 1000].join(",");
        let object = format!(
            r#"{{"metadata":{{"name":"test-1","labels":{{"leaderworkerset.sigs.k8s.io/name":"test","leaderworkerset.sigs.k8s.io/worker-index":"0"}},"annotations":{{"leaderworkerset.sigs.k8s.io/size":"2"}}}},"spec":{{"containers":[{containers}]}}}}"#
        );
        let review =
            format!(r#"{{"request":{{"uid":"u","operation":"CREATE","object":{object}}}}}"#);
        let request = HttpRequest::post(uri).header(header::CONTENT_TYPE, JSON);
        request.extension(hang_up.clone()).body(review.into()).unwrap()
    }

    /// All large room.
    async fn occupy(memory: &Memory) -> Vec<Room> {
        let mut rooms = Vec::new();
        while let Ok(room) = memory.room(BODY_LIMIT).await {
            rooms.push(room);
        }
        rooms
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_waits_for_room() {
        let (webhook, registry) = webhook();
        let hang_up = HangUp(CancellationToken::new());
        let mut rooms = occupy(&webhook.memory).await;
        let refused = webhook.handle(Hook::MutatePod, many_containers(&hang_up)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        let answer = webhook.handle(Hook::MutatePod, many_containers(&hang_up));
        tokio::pin!(answer);
        assert!(matches!(futures::poll!(&mut answer), Poll::Pending));
        rooms.pop();
        let answer = answer.await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.body().size_hint().exact().unwrap() > SMALL as u64);
        let families = registry.gather();
        let patches = families.iter().find(|it| it.name() == "lws_webhook_patch_operations");
        let patches = patches.unwrap().get_metric()[0].get_histogram().get_sample_count();
        assert_eq!(patches, 1, "what is not sent does not count");
    }

    /// One second is shorter than room is waited for.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_longer_than_the_api_server_waits() {
        let (webhook, _) = webhook();
        let hang_up = HangUp(CancellationToken::new());
        let _rooms = occupy(&webhook.memory).await;
        let begin = tokio::time::Instant::now();
        let request = many_containers_to("/mutate--v1-pod?timeout=1s", &hang_up);
        let refused = webhook.handle(Hook::MutatePod, request).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(begin.elapsed() < std::time::Duration::from_millis(1100), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_costs_the_connection() {
        let (webhook, _) = webhook();
        let hang_up = HangUp(CancellationToken::new());
        let answer = webhook.handle(Hook::MutatePod, many_containers(&hang_up)).await;
        let rooms = occupy(&webhook.memory).await;
        assert!(hang_up.0.is_cancelled());
        assert_eq!(rooms.len(), 3);
        drop(answer);
        webhook.memory.room(BODY_LIMIT).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_a_refusal() {
        let (webhook, _) = webhook();
        let worse = "worse";
        let decisions: [(&dyn Fn() -> Answer, &str); 2] = [
            (&|| -> Answer { panic!("bad") }, "panic: bad [recovered]"),
            (&|| -> Answer { panic!("even {worse}") }, "panic: even worse [recovered]"),
        ];
        for (decide, expected) in decisions {
            assert_eq!(webhook.guard(decide).unwrap_err(), Refusal::internal(expected));
        }
        assert!(webhook.guard(|| Ok(Consent::default())).is_ok());
    }
}

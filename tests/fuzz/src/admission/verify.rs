//! What holds for the answer to any request.

use axum::{Router, body::Body};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lws_api_types::keys::labels;
use lws_runtime::metrics::Registry;
use lws_webhook::{Metrics, Settings, hook::Hook, router};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Characters of a warning that the API server passes on for sure.
const WARNING: usize = 256;

/// The webhooks, without a network.
pub struct Webhooks {
    router: Router,
    runtime: Runtime,
    settings: Settings,
}

/// The response of a review.
#[derive(Clone, Debug)]
pub struct Response(pub Value);

impl Response {
    /// Code of the decision.
    #[must_use]
    pub fn code(&self) -> Option<u64> {
        self.0["status"]["code"].as_u64()
    }

    /// `object` as it is stored, with the patch applied; `None` when it is refused.
    #[must_use]
    pub fn stored(&self, object: &Value) -> Option<Value> {
        let allowed = self.0["allowed"] == true;
        let mut object = allowed.then(|| object.clone())?;
        if let Some(patch) = self.0["patch"].as_str() {
            let patch = STANDARD.decode(patch).expect("base64");
            let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a JSON patch");
            json_patch::patch(&mut object, &patch).expect("an applicable patch");
        }
        Some(object)
    }
}

impl Webhooks {
    /// With or without gang scheduling.
    #[must_use]
    pub fn new(gang_scheduling: bool) -> Self {
        let metrics = Metrics::register(&Registry::new()).expect("metrics of a new registry");
        let settings = Settings { gang_scheduling };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let router = router(settings, metrics, runtime.handle().clone());
        Self { router, runtime, settings }
    }

    /// Whether pods are scheduled by group.
    #[must_use]
    pub fn gang_scheduling(&self) -> bool {
        self.settings.gang_scheduling
    }

    /// Sends `body` to `hook` and gives the response of the review.
    ///
    /// # Panics
    ///
    /// When something does not hold: the answer is a review, it is a decision, and its patch is
    /// applicable and complete.
    pub fn verify(&self, hook: Hook, body: &[u8]) -> Response {
        let answer = self.send(hook, body);
        let response = Response(answer["response"].clone());
        assert_eq!(answer["kind"], "AdmissionReview", "{answer}");
        let code = response.code().expect("a code");
        let allowed = response.0["allowed"].as_bool().expect("a decision");
        assert!(matches!((allowed, code), (true, 200) | (false, 400 | 403 | 413)), "{answer}");
        let message = response.0["status"]["message"].as_str().unwrap_or_default();
        assert_eq!(message.is_empty(), allowed, "{answer}");
        for warning in response.0["warnings"].as_array().into_iter().flatten() {
            let length = warning.as_str().expect("a text").chars().count();
            assert!((1..=WARNING).contains(&length), "{warning}");
        }
        // Numbers that no float holds pass by unread; nothing more can be said about their object.
        if let Ok(review) = serde_json::from_slice::<Value>(body) {
            self.verify_patch(hook, review, &response);
        }
        response
    }

    /// A patch goes with consent only, can be applied, changes something, and leaves nothing to do.
    fn verify_patch(&self, hook: Hook, mut review: Value, response: &Response) {
        // A review that was not understood has no uid.
        if response.code() != Some(400) {
            let uid = review["request"]["uid"].as_str().unwrap_or_default();
            assert_eq!(response.0["uid"], uid, "{response:?}");
        }
        if response.0["patch"].is_null() {
            assert!(response.0["patchType"].is_null(), "{response:?}");
            return;
        }
        assert_eq!(response.0["patchType"], "JSONPatch", "{response:?}");
        let object = &mut review["request"]["object"];
        let stored = response.stored(object).expect("consent");
        assert_ne!(*object, stored, "{response:?}");
        // Whoever makes a pod with ordinal 0 by hand has made a leader: it is one from now on.
        if !is_leader(object) && is_leader(&stored) {
            return;
        }
        *object = stored;
        let again = self.send(hook, review.to_string().as_bytes());
        assert_eq!(again["response"]["allowed"], true, "{again}");
        assert!(again["response"]["patch"].is_null(), "a second admission of {review}: {again}");
    }

    fn send(&self, hook: Hook, body: &[u8]) -> Value {
        let request = Request::post(hook.path())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        let answer = self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            answer.into_body().collect().await.expect("a body").to_bytes()
        });
        serde_json::from_slice(&answer).expect("an answer in JSON")
    }
}

/// Whether a pod leads a group.
fn is_leader(pod: &Value) -> bool {
    pod["metadata"]["labels"].get(labels::WORKER_INDEX).is_some_and(|index| index == "0")
}

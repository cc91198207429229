//! An API server for unit tests: what it answers is up to the test.

use std::convert::Infallible;

use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::test_objects::Objects;

/// A way to a server that gives `answer`, a status code and a body, to each method and path.
pub(crate) fn connection(
    mut answer: impl FnMut(&str, &str) -> (u16, Value) + Send + 'static,
) -> Connection {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (code, body) = answer(request.method().as_str(), request.uri().path());
        let body = Body::from(body.to_string().into_bytes());
        let response = http::Response::builder().status(code).body(body).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    Connection { client: Client::new(service, "n"), namespace: "n".to_owned() }
}

/// A way to a server that never answers.
pub(crate) fn silent() -> Connection {
    let service = tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<http::Response<Body>, Infallible>>()
    });
    Connection { client: Client::new(service, "n"), namespace: "n".to_owned() }
}

/// What the server says when it refuses a request.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": message, "code": code,
    });
    (code, status)
}

impl Objects {
    /// The answer to a GET of the set, or of the list of a kind.
    pub(crate) fn answer(&self, path: &str) -> (u16, Value) {
        let list = |items: &[Value]| (200, json!({"metadata": {}, "items": items}));
        match path.rsplit('/').next().unwrap() {
            "s" => (200, self.set.clone()),
            "leaderworkersets" => list(std::slice::from_ref(&self.set)),
            "statefulsets" => list(&self.stateful_sets),
            "pods" => list(&self.pods),
            "services" => list(&self.services),
            "controllerrevisions" => list(&self.revisions),
            "events" => list(&self.events),
            _ => refusal(404, "NotFound", path),
        }
    }
}

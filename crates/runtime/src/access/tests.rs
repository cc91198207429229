use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{body::Body, body::to_bytes, routing::get};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::advance;
use tower::ServiceExt as _;

use super::*;

/// What an API server that knows two users has been asked.
#[derive(Default)]
struct Server {
    tokens: AtomicUsize,
    permissions: AtomicUsize,
    silent: bool,
}

impl Server {
    fn asked(&self) -> (usize, usize) {
        (self.tokens.load(Ordering::Relaxed), self.permissions.load(Ordering::Relaxed))
    }

    /// `broken` cannot be answered, `reader` may get metrics, `other` may not.
    fn answer(&self, path: &str, mut review: Value) -> (StatusCode, Value) {
        if path.ends_with("/tokenreviews") {
            self.tokens.fetch_add(1, Ordering::Relaxed);
            let token = review["spec"]["token"].as_str().unwrap().to_owned();
            let known = ["reader", "other"].contains(&token.as_str());
            review["status"] = match &*token {
                "broken" => return (StatusCode::FORBIDDEN, forbidden()),
                _ if known => json!({"authenticated": true, "user": {"username": token}}),
                _ => json!({"error": "[invalid bearer token]"}),
            };
        } else {
            self.permissions.fetch_add(1, Ordering::Relaxed);
            let wanted = json!({
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"}, "user": "reader",
            });
            review["status"] = json!({"allowed": review["spec"] == wanted});
        }
        (StatusCode::CREATED, review)
    }
}

fn forbidden() -> Value {
    let message = "tokenreviews.authentication.k8s.io is forbidden";
    json!({"kind": "Status", "status": "Failure", "message": message, "code": 403})
}

/// An endpoint that asks `server`.
fn endpoint(server: &Arc<Server>) -> Router {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let server = Arc::clone(&server);
        async move {
            if server.silent {
                std::future::pending::<()>().await;
            }
            let (parts, body) = request.into_parts();
            let review = body.collect().await.unwrap().to_bytes();
            let review = serde_json::from_slice(&review).unwrap();
            let (code, answer) = server.answer(parts.uri.path(), review);
            let body = kube::client::Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(http::Response::builder().status(code).body(body).unwrap())
        }
    });
    let access = Access::new(LazyClient::Made(Client::new(service, "default")));
    access.protect(Router::new().route("/metrics", get(|| async { "numbers" })))
}

async fn ask(endpoint: &Router, method: Method, path: &str, token: Option<&str>) -> (u16, String) {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = endpoint.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1024).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

async fn scrape(endpoint: &Router, token: &str) -> (u16, String) {
    ask(endpoint, Method::GET, "/metrics", Some(token)).await
}

#[tokio::test]
async fn only_who_may_is_served() {
    let server = Arc::default();
    let endpoint = endpoint(&server);
    for (method, path, token, code, text) in [
        (Method::GET, "/metrics", Some("reader"), 200, "numbers"),
        (Method::GET, "/metrics", None, 401, "Unauthorized\n"),
        (Method::GET, "/metrics", Some("garbage"), 401, "Unauthorized\n"),
        (Method::GET, "/metrics", Some("other"), 403, "Authorization denied for user other\n"),
        (Method::POST, "/metrics", Some("reader"), 403, "Authorization denied for user reader\n"),
        (Method::HEAD, "/metrics", Some("reader"), 403, ""),
        (Method::POST, "/metrics", None, 401, "Unauthorized\n"),
        (Method::GET, "/other", Some("reader"), 404, ""),
        (Method::GET, "/other", None, 404, ""),
    ] {
        let answer = ask(&endpoint, method.clone(), path, token).await;
        assert_eq!(answer, (code, text.to_owned()), "{method} {path} {token:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_believed_for_a_while() {
    let server = Arc::default();
    let endpoint = endpoint(&server);
    for (token, code, seconds, asked) in [
        ("reader", 200, 0, (1, 1)),
        ("reader", 200, 59, (1, 1)),
        ("reader", 200, 1, (2, 1)),
        ("reader", 200, 239, (3, 1)),
        ("reader", 200, 1, (3, 2)),
        ("other", 403, 0, (4, 3)),
        ("other", 403, 29, (4, 3)),
        ("other", 403, 1, (4, 4)),
        ("garbage", 401, 0, (5, 4)),
        ("garbage", 401, 0, (6, 4)),
    ] {
        advance(Duration::from_secs(seconds)).await;
        assert_eq!(scrape(&endpoint, token).await.0, code);
        assert_eq!(server.asked(), asked, "{token} {seconds} s later");
    }
}

#[tokio::test]
async fn scrapes_at_the_same_time_ask_once() {
    let server = Arc::default();
    let endpoint = endpoint(&server);
    let all = (0..20).map(|_| scrape(&endpoint, "reader"));
    let all = futures::future::join_all(all).await;
    assert!(all.iter().all(|(code, _)| *code == 200), "{all:?}");
    assert_eq!(server.asked(), (1, 1));
}

#[tokio::test]
async fn nobody_is_asked_about_nothing() {
    let server = Arc::default();
    let endpoint = endpoint(&server);
    ask(&endpoint, Method::GET, "/metrics", None).await;
    ask(&endpoint, Method::GET, "/other", Some("reader")).await;
    assert_eq!(server.asked(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_a_fault_of_ours_and_not_kept() {
    let server = Arc::default();
    let refusing = endpoint(&server);
    let text =
        "The API server has not said whose token this is. The log of this process says why.\n";
    for count in 1..3 {
        assert_eq!(scrape(&refusing, "broken").await, (500, text.to_owned()));
        assert_eq!(server.asked(), (count, 0));
    }
    let silent = endpoint(&Arc::new(Server { silent: true, ..Server::default() }));
    let begin = Instant::now();
    assert_eq!(scrape(&silent, "reader").await, (500, text.to_owned()));
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn without_credentials_nothing_is_permitted() {
    let directory = tempfile::tempdir().unwrap();
    let settings = crate::config::ClientSettings {
        qps: 1.0,
        burst: 1,
        kubeconfig: Some(directory.path().join("missing")),
    };
    let counter =
        crate::client::requests::RequestCounter::register(&crate::metrics::Registry::new());
    let client = LazyClient::wanted(settings, counter.unwrap());
    let endpoint = Access::new(client).protect(Router::new().route("/metrics", get(|| async {})));
    assert_eq!(scrape(&endpoint, "reader").await.0, 500);
}

//! One request: spoiled, or on its way to the API server and back.

use std::error::Error as StdError;
use std::future::pending;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::request::Asked;
use super::rule::{Effect, Failure, Rules};
use super::watches::Watches;

type AnswerBody = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

/// Why a request has no answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// A rule says so.
    #[error("closed by a rule")]
    Rule,
    /// The client did not send it completely.
    #[error("the request is incomplete")]
    Request(#[source] hyper::Error),
    /// The API server did not answer.
    #[error("the API server does not answer")]
    Server(#[source] kube::Error),
    /// The answer that a rule wants cannot be made.
    #[error("no answer can be made")]
    Answer(#[source] http::Error),
}

/// What all requests through one proxy have in common.
#[derive(Clone)]
pub(super) struct Forwarder {
    pub(super) server: Client,
    /// What is added to user agents.
    pub(super) agent: String,
    pub(super) rules: Rules,
    pub(super) watches: Watches,
}

impl Forwarder {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Unanswered> {
        let asked = Asked::parse(request.method(), request.uri());
        match self.rules.effect(&asked) {
            None => self.forward(&asked, request).await,
            Some(Effect::Late(delay)) => {
                sleep(delay).await;
                self.forward(&asked, request).await
            }
            Some(Effect::Instead(failure)) => failure.show().await,
            Some(Effect::After(failure)) => {
                self.forward(&asked, request).await?;
                failure.show().await
            }
        }
    }

    async fn forward(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Unanswered> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(Unanswered::Request)?.to_bytes();
        let agent = parts.headers.get(USER_AGENT).and_then(|it| it.to_str().ok());
        let agent = format!("{} {}", agent.unwrap_or_default(), self.agent);
        if let Ok(agent) = HeaderValue::try_from(agent) {
            parts.headers.insert(USER_AGENT, agent);
        }
        let request = Request::from_parts(parts, Body::from(body));
        let (parts, body) =
            self.server.send(request).await.map_err(Unanswered::Server)?.into_parts();
        let body = if asked.is_watch() && parts.status == StatusCode::OK {
            let events = self.watches.guard(&asked.resource, body);
            let frames = events.map(|event| event.map(Frame::data));
            StreamBody::new(frames).map_err(Into::into).boxed_unsync()
        } else {
            body.map_err(Into::into).boxed_unsync()
        };
        Ok(Response::from_parts(parts, body))
    }
}

impl Failure {
    async fn show(self) -> Result<Response<AnswerBody>, Unanswered> {
        match self {
            Self::Silence => pending().await,
            Self::Hangup => Err(Unanswered::Rule),
            Self::Expired => {
                let event = json!({"type": "ERROR", "object": status(410)});
                respond(200, format!("{event}\n"))
            }
            Self::Status(code) => respond(code, status(code).to_string()),
        }
    }
}

fn respond(code: u16, body: String) -> Result<Response<AnswerBody>, Unanswered> {
    let mut response = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if code == 429 {
        response = response.header(RETRY_AFTER, "1");
    }
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    response.body(body).map_err(Unanswered::Answer)
}

/// What the API server would say.
fn status(code: u16) -> Value {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the proxy says so",
        "reason": reason,
        "code": code,
    })
}

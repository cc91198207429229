//! Requests to the API server, counted where they leave this process.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Uri};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};
use tower::{Layer, Service};

use crate::metrics::Registry;

/// Value of label `code` of a request that got no answer, or none before it was given up, as the
/// clients of Kubernetes say.
const NO_ANSWER: &str = "<error>";

/// Seconds. The API server answers most requests within some milliseconds; this system gives up
/// after 20 s at most.
const LATENCIES: [f64; 12] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0];

/// The resources that this system asks for. Any other is [`OTHER`], and so are codes that HTTP does
/// not know, so that there are never more series than these make.
const RESOURCES: [&str; 16] = [
    "controllerrevisions",
    "endpointslices",
    "events",
    "leases",
    "leaderworkersets",
    "mutatingwebhookconfigurations",
    "nodes",
    "podgroups",
    "pods",
    "secrets",
    "services",
    "statefulsets",
    "subjectaccessreviews",
    "tokenreviews",
    "validatingwebhookconfigurations",
    "version",
];
const OTHER: &str = "other";

/// Counts requests by the code of their answer, method and host, as the clients of Kubernetes do; by
/// what they ask for; and how long answers take by that.
#[derive(Clone, Debug)]
pub struct RequestCounter {
    requests: IntCounterVec,
    asked: IntCounterVec,
    latency: HistogramVec,
}

impl RequestCounter {
    /// Registers the metric with `registry`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = IntCounterVec::new(
            Opts::new(
                "rest_client_requests_total",
                "Requests to the API server, watches and those about the Lease included; \
                 `<error>`: there was no answer, or none before the request was given up.",
            ),
            &["code", "method", "host"],
        )?;
        let asked = IntCounterVec::new(
            Opts::new(
                "lws_api_requests_total",
                "Requests to the API server by what they ask for. `verb` is `get`, `list`, \
                 `watch`, `create`, `update`, `patch` or `delete`; `resource` is `other` for what \
                 this system does not ask for itself, and `code` for codes that HTTP does not \
                 know, so the number of series is bounded.",
            ),
            &["verb", "resource", "code"],
        )?;
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "lws_api_request_duration_seconds",
                "How long the API server took to begin its answers; `resource` is `other` for \
                 what this system does not ask for itself.",
            )
            .buckets(LATENCIES.to_vec()),
            &["verb", "resource"],
        )?;
        registry.register(counter.clone())?;
        registry.register(asked.clone())?;
        registry.register(latency.clone())?;
        Ok(Self { requests: counter, asked, latency })
    }
}

impl<S> Layer<S> for RequestCounter {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, counter: self.clone() }
    }
}

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    counter: RequestCounter,
}

impl<S, B, A> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut under_way = UnderWay {
            counter: self.counter.clone(),
            asked: asked(request.method(), request.uri()),
            method: request.method().clone(),
            host: request.uri().authority().cloned(),
            begun: Instant::now(),
            status: None,
        };
        let answer = self.inner.call(request);
        async move {
            let outcome = answer.await;
            under_way.ended(outcome.as_ref().ok().map(Response::status));
            outcome
        }
        .boxed()
    }
}

/// A request that is under way. It is counted when it ends: answered, failed, or given up by whoever
/// waits for it.
struct UnderWay {
    counter: RequestCounter,
    /// Verb and resource.
    asked: (&'static str, &'static str),
    method: Method,
    host: Option<Authority>,
    begun: Instant,
    /// What was answered.
    status: Option<StatusCode>,
}

impl UnderWay {
    /// It has an answer, or has failed.
    fn ended(&mut self, status: Option<StatusCode>) {
        self.status = status;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let RequestCounter { requests, asked, latency } = &self.counter;
        let (verb, resource) = self.asked;
        let code = self.status.as_ref().map_or(NO_ANSWER, StatusCode::as_str);
        latency.with_label_values(&[verb, resource]).observe(self.begun.elapsed().as_secs_f64());
        let host = self.host.as_ref().map_or("", Authority::as_str);
        requests.with_label_values(&[code, self.method.as_str(), host]).inc();
        let is_known = self.status.is_none_or(|it| it.canonical_reason().is_some());
        let code = if is_known { code } else { OTHER };
        asked.with_label_values(&[verb, resource, code]).inc();
    }
}

/// The verb and the resource that a request asks for, as Kubernetes calls them.
fn asked(method: &Method, uri: &Uri) -> (&'static str, &'static str) {
    let path = uri.path().trim_matches('/');
    let mut parts = path.split('/');
    // What comes before the resource: api/v1 or apis/<group>/<version>, then the namespace.
    let skipped = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => 0,
    };
    let mut parts: Vec<_> = if skipped == 0 { vec![path] } else { parts.skip(skipped).collect() };
    if parts.len() > 2 && parts.first() == Some(&"namespaces") {
        parts.drain(..2);
    }
    let named = parts.first().copied().unwrap_or_default();
    let resource = RESOURCES.into_iter().find(|it| *it == named).unwrap_or(OTHER);
    let watches = || uri.query().is_some_and(|it| it.split('&').any(|it| it == "watch=true"));
    let verb = match *method {
        Method::GET if parts.len() > 1 || skipped == 0 => "get",
        Method::GET if watches() => "watch",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => OTHER,
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use tokio::time::timeout;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn requests_are_counted_by_what_became_of_them() {
        let counter = RequestCounter::register(&Registry::new()).unwrap();
        let mut client =
            counter.layer(service_fn(async |request: Request<()>| match request.uri().path() {
                "/lost" => Err(io::Error::other("lost")),
                "/odd" => Ok(Response::builder().status(799).body(()).unwrap()),
                _ => Ok(Response::builder().status(409).body(()).unwrap()),
            }));
        let there = "/api/v1/namespaces/n/pods/p";
        for (method, path) in [("GET", "/lost"), ("PUT", there), ("PUT", there), ("GET", "/odd")] {
            let request = Request::builder().method(method).uri(format!("https://h:6443{path}"));
            let outcome = client.call(request.body(()).unwrap()).await;
            assert_eq!(outcome.is_err(), path == "/lost");
        }
        for (labels, count) in [(["409", "PUT", "h:6443"], 2), ([NO_ANSWER, "GET", "h:6443"], 1)] {
            assert_eq!(counter.requests.with_label_values(&labels).get(), count, "{labels:?}");
        }
        for (verb, resource, code, count) in
            [("update", "pods", "409", 2), ("get", OTHER, NO_ANSWER, 1), ("get", OTHER, OTHER, 1)]
        {
            let asked = counter.asked.with_label_values(&[verb, resource, code]);
            assert_eq!(asked.get(), count, "{verb} {resource} {code}");
        }
        for (verb, resource, count) in [("update", "pods", 2), ("get", OTHER, 2)] {
            let latency = counter.latency.with_label_values(&[verb, resource]);
            assert_eq!(latency.get_sample_count(), count, "{verb}");
        }
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_got_no_answer() {
        let counter = RequestCounter::register(&Registry::new()).unwrap();
        let silent =
            service_fn(|_: Request<()>| std::future::pending::<io::Result<Response<()>>>());
        let mut client = counter.layer(silent);
        let request = Request::builder().uri("https://h/api/v1/nodes/n").body(()).unwrap();
        let answer = client.call(request);
        assert!(timeout(Duration::ZERO, answer).await.is_err());
        let asked = counter.asked.with_label_values(&["get", "nodes", NO_ANSWER]);
        assert_eq!(asked.get(), 1);
        assert_eq!(counter.requests.with_label_values(&[NO_ANSWER, "GET", "h"]).get(), 1);
        let latency = counter.latency.with_label_values(&["get", "nodes"]);
        assert_eq!(latency.get_sample_count(), 1);
    }

    #[test]
    fn a_request_asks_for_a_verb_and_a_resource() {
        for (method, path, expected) in [
            (Method::GET, "/api/v1/namespaces/n/pods/p", ("get", "pods")),
            (Method::GET, "/api/v1/pods?labelSelector=a", ("list", "pods")),
            (Method::GET, "/api/v1/pods?allowWatchBookmarks=true&watch=true", ("watch", "pods")),
            (Method::GET, "/api/v1/nodes/n", ("get", "nodes")),
            (Method::GET, "/api/v1/namespaces/n", ("get", OTHER)),
            (Method::GET, "/version", ("get", "version")),
            (Method::POST, "/apis/apps/v1/namespaces/n/statefulsets", ("create", "statefulsets")),
            (
                Method::PUT,
                "/apis/leaderworkerset.x-k8s.io/v1/namespaces/n/leaderworkersets/s/status",
                ("update", "leaderworkersets"),
            ),
            (Method::PATCH, "/apis/example.org/v1/namespaces/n/widgets/w", ("patch", OTHER)),
            (Method::DELETE, "/api/v1/namespaces/n/pods/p", ("delete", "pods")),
            (Method::OPTIONS, "/", (OTHER, OTHER)),
        ] {
            assert_eq!(asked(&method, &path.parse().unwrap()), expected, "{method} {path}");
        }
    }
}

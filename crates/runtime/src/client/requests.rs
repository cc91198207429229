//! Requests to the API server, counted where they leave this process.

use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use prometheus::{IntCounterVec, Opts, Registry};
use tower::{Layer, Service};

/// Value of label `code` of a request that got no answer, as the clients of Kubernetes say.
const NO_ANSWER: &str = "<error>";

/// Counts requests by the code of their answer, method and host.
#[derive(Clone, Debug)]
pub struct RequestCounter(IntCounterVec);

impl RequestCounter {
    /// Registers the metric with `registry`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = IntCounterVec::new(
            Opts::new(
                "rest_client_requests_total",
                "Requests to the API server by the code of the answer, method and host.",
            ),
            &["code", "method", "host"],
        )?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self(counter))
    }
}

impl<S> Layer<S> for RequestCounter {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, counter: self.0.clone() }
    }
}

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    counter: IntCounterVec,
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
        let method = request.method().clone();
        let host = request.uri().authority().cloned();
        let requests = self.counter.clone();
        let answer = self.inner.call(request).inspect(move |outcome| {
            let code = match outcome {
                Ok(answer) => answer.status().as_str().to_owned(),
                Err(_) => NO_ANSWER.to_owned(),
            };
            let host = host.as_ref().map_or("", |it| it.as_str());
            requests.with_label_values(&[&*code, method.as_str(), host]).inc();
        });
        answer.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn requests_are_counted_by_what_became_of_them() {
        let counter = RequestCounter::register(&Registry::new()).unwrap();
        let mut client =
            counter.layer(service_fn(async |request: Request<()>| match request.uri().path() {
                "/lost" => Err(io::Error::other("lost")),
                _ => Ok(Response::builder().status(409).body(()).unwrap()),
            }));
        for (method, path) in [("GET", "/lost"), ("PUT", "/there"), ("PUT", "/there")] {
            let request = Request::builder().method(method).uri(format!("https://h:6443{path}"));
            let outcome = client.call(request.body(()).unwrap()).await;
            assert_eq!(outcome.is_err(), path == "/lost");
        }
        for (labels, count) in [(["409", "PUT", "h:6443"], 2), ([NO_ANSWER, "GET", "h:6443"], 1)] {
            assert_eq!(counter.0.with_label_values(&labels).get(), count, "{labels:?}");
        }
    }
}

//! Named checks of a process, and the endpoints through which a kubelet asks for them.
//!
//! The paths, the answers and their text are those of Kubernetes components, with one difference:
//! a failed check says why.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, Uri, header};
use tokio_util::sync::CancellationToken;
use tracing::debug;

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of one process. All are registered before [`Health::router`] serves them, so that
/// no question is answered "ok" because a check is still to come.
pub struct Health {
    live: Checks,
    ready: Checks,
}

/// A readiness check that fails until it is opened, once.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Lets the check pass from now on.
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Health {
    /// The checks that every process has: it answers, and `shutdown` has not begun. From then on it
    /// is not ready.
    #[must_use]
    pub fn new(shutdown: CancellationToken) -> Self {
        let mut health = Self { live: Checks::default(), ready: Checks::default() };
        health.live("healthz", || Ok(()));
        health.ready("readyz", || Ok(()));
        health.ready("shutdown", move || {
            if shutdown.is_cancelled() {
                Err("process is shutting down".to_owned())
            } else {
                Ok(())
            }
        });
        health
    }

    /// Registers what must hold for the process not to be restarted. `check` must not block; its
    /// error says in a few words what is wrong.
    pub fn live(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.live.0.insert(name, Box::new(check));
    }

    /// Registers what must hold for the process to be sent requests; otherwise as [`Health::live`].
    pub fn ready(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.ready.0.insert(name, Box::new(check));
    }

    /// Registers a step of the start: the process is not ready before the gate is opened.
    pub fn gate(&mut self, name: &'static str) -> Gate {
        let gate = Gate::default();
        let opened = Arc::clone(&gate.0);
        self.ready(name, move || {
            if opened.load(Ordering::Acquire) { Ok(()) } else { Err("not yet done".to_owned()) }
        });
        gate
    }

    /// Answers for the checks under the two paths: `<path>` for all, with `?verbose` listing them
    /// and `?exclude=<name>` leaving one out, and `<path>/<name>` for one.
    pub fn router(self, liveness_path: &str, readiness_path: &str) -> Router {
        let endpoints = Arc::new([
            (readiness_path.to_owned(), self.ready),
            (liveness_path.to_owned(), self.live),
        ]);
        // The paths are configured: matching them here gives them no other meaning than their text.
        Router::new().fallback(move |uri: Uri| {
            let answer = endpoints.iter().find_map(|(path, checks)| {
                let rest = uri.path().strip_prefix(path.trim_end_matches('/'))?;
                match rest.strip_prefix('/') {
                    None if rest.is_empty() => Some(checks.all(uri.query().unwrap_or_default())),
                    None => None,
                    Some("") => Some(checks.all(uri.query().unwrap_or_default())),
                    Some(name) => checks.one(name),
                }
            });
            let answer =
                answer.unwrap_or_else(|| (StatusCode::NOT_FOUND, "not found\n".to_owned()));
            async move { plain_text(answer) }
        })
    }
}

/// Checks by name, reported in the order of their names.
#[derive(Default)]
struct Checks(BTreeMap<&'static str, Check>);

impl Checks {
    fn one(&self, name: &str) -> Option<(StatusCode, String)> {
        let check = self.0.get(name)?;
        Some(match check() {
            Ok(()) => (StatusCode::OK, "ok".to_owned()),
            Err(reason) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {reason}\n"))
            }
        })
    }

    fn all(&self, query: &str) -> (StatusCode, String) {
        let parameters = || query.split('&').map(|part| part.split_once('=').unwrap_or((part, "")));
        let verbose = parameters().any(|(key, _)| key == "verbose");
        let excluded: Vec<&str> = parameters()
            .filter(|(key, name)| *key == "exclude" && !name.is_empty())
            .map(|(_, name)| name)
            .collect();
        let mut report = String::new();
        let mut failed = false;
        // Writing to a String does not fail.
        for (name, check) in &self.0 {
            let _ = if excluded.contains(name) {
                writeln!(report, "[+]{name} excluded: ok")
            } else if let Err(reason) = check() {
                debug!(check = name, reason, "check failed");
                failed = true;
                writeln!(report, "[-]{name} failed: {reason}")
            } else {
                writeln!(report, "[+]{name} ok")
            };
        }
        let unknown: Vec<String> = excluded
            .iter()
            .filter(|name| !self.0.contains_key(*name))
            .map(|name| format!("{name:?}"))
            .collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            let _ = writeln!(
                report,
                "warn: some health checks cannot be excluded: no matches for {unknown}"
            );
        }
        match (failed, verbose) {
            (true, _) => (StatusCode::INTERNAL_SERVER_ERROR, report + "healthz check failed\n"),
            (false, true) => (StatusCode::OK, report + "healthz check passed\n"),
            (false, false) => (StatusCode::OK, "ok".to_owned()),
        }
    }
}

fn plain_text((status, text): (StatusCode, String)) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::Service as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn expect(router: &Router, answers: &[(&str, u16, &str)]) {
        for (path, status, body) in answers {
            assert_eq!(ask(router, path).await, (*status, (*body).to_owned()), "{path}");
        }
    }

    #[tokio::test]
    async fn passing_checks_answer_as_kubernetes_components_do() {
        let router = Health::new(CancellationToken::new()).router("/healthz", "/readyz");
        let verbose_ready = "[+]readyz ok\n[+]shutdown ok\nhealthz check passed\n";
        expect(
            &router,
            &[
                ("/healthz", 200, "ok"),
                ("/healthz/", 200, "ok"),
                ("/healthz/healthz", 200, "ok"),
                ("/healthz?verbose", 200, "[+]healthz ok\nhealthz check passed\n"),
                ("/healthz?verbose=true", 200, "[+]healthz ok\nhealthz check passed\n"),
                ("/readyz", 200, "ok"),
                ("/readyz/readyz", 200, "ok"),
                ("/readyz?verbose", 200, verbose_ready),
                ("/readyz/healthz", 404, "not found\n"),
                ("/healthzy", 404, "not found\n"),
                ("/", 404, "not found\n"),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn a_gate_holds_readiness_back_but_not_liveness() {
        let mut health = Health::new(CancellationToken::new());
        let gate = health.gate("certificate");
        let router = health.router("/livez", "/ready");
        let closed = "[-]certificate failed: not yet done\n[+]readyz ok\n[+]shutdown ok\n\
                      healthz check failed\n";
        let excluded = "[+]certificate excluded: ok\n[+]readyz ok\n[+]shutdown ok\n\
                        warn: some health checks cannot be excluded: no matches for \"x\"\n\
                        healthz check passed\n";
        expect(
            &router,
            &[
                ("/ready", 500, closed),
                ("/ready/certificate", 500, "internal server error: not yet done\n"),
                ("/ready?exclude=certificate", 200, "ok"),
                ("/ready?verbose&exclude=certificate&exclude=x", 200, excluded),
                ("/livez", 200, "ok"),
            ],
        )
        .await;
        gate.open();
        expect(&router, &[("/ready", 200, "ok"), ("/ready/certificate", 200, "ok")]).await;
    }

    #[tokio::test]
    async fn a_process_that_shuts_down_is_alive_but_not_ready() {
        let shutdown = CancellationToken::new();
        let router = Health::new(shutdown.clone()).router("/healthz", "/readyz");
        shutdown.cancel();
        let failed =
            "[+]readyz ok\n[-]shutdown failed: process is shutting down\nhealthz check failed\n";
        expect(&router, &[("/readyz", 500, failed), ("/healthz", 200, "ok")]).await;
    }

    #[tokio::test]
    async fn checks_are_asked_each_time() {
        let sick = Arc::new(AtomicBool::new(false));
        let mut health = Health::new(CancellationToken::new());
        let seen = Arc::clone(&sick);
        health.live("loop", move || {
            if seen.load(Ordering::Relaxed) { Err("stuck for 60 s".to_owned()) } else { Ok(()) }
        });
        let router = health.router("/healthz", "/readyz");
        expect(&router, &[("/healthz", 200, "ok")]).await;
        sick.store(true, Ordering::Relaxed);
        let failed = "[+]healthz ok\n[-]loop failed: stuck for 60 s\nhealthz check failed\n";
        expect(&router, &[("/healthz", 500, failed), ("/readyz", 200, "ok")]).await;
    }
}

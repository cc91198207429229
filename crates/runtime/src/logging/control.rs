//! Which lines are written, changed while the process runs.
//!
//! | request | does |
//! |---|---|
//! | `GET /debug/loglevel` | tells the filter that holds |
//! | `PUT /debug/loglevel` | sets it: a level as `--zap-log-level` takes, or directives as `--log-filter` does; nothing at all means what the command line says |

use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::StatusCode;
use tracing::info;
use tracing_subscriber::{Registry, filter::Targets, reload};

use super::Level;

/// Bytes of a filter that is taken. It is read before it is known whether it can be.
const LONGEST: usize = 4096;

/// Changes the filter in use.
#[derive(Clone, Debug)]
pub struct LogControl {
    handle: reload::Handle<Targets, Registry>,
    /// What the command line says.
    initial: Targets,
}

/// Why a filter was not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// It cannot be read.
    #[error(
        "{text:?} is no log level: expected debug, info, error or a number above 0, or levels by \
         module such as info,lws_controller=trace"
    )]
    Unreadable {
        /// What was sent.
        text: String,
    },
    /// Logging has ended.
    #[error("the filter cannot be changed: {0}")]
    Gone(#[from] reload::Error),
}

impl LogControl {
    pub(super) fn new(handle: reload::Handle<Targets, Registry>, initial: Targets) -> Self {
        Self { handle, initial }
    }

    /// The endpoint. Whoever serves it decides who may ask.
    pub fn router(self) -> Router {
        let (read, write) = (self.clone(), self);
        let route = get(move || std::future::ready(answer(read.current())));
        let route = route.put(move |text: String| std::future::ready(answer(write.set(&text))));
        Router::new().route("/debug/loglevel", route).layer(DefaultBodyLimit::max(LONGEST))
    }

    fn current(&self) -> Result<String, Refused> {
        Ok(format!("{}\n", self.handle.with_current(ToString::to_string)?))
    }

    fn set(&self, text: &str) -> Result<String, Refused> {
        let filter = read(text.trim(), &self.initial)?;
        let told = filter.to_string();
        // The change is logged by whichever of both filters lets it through.
        let is_logged = tracing::enabled!(tracing::Level::INFO);
        if is_logged {
            info!(filter = told, "log filter changes");
        }
        self.handle.reload(filter)?;
        if !is_logged {
            info!(filter = told, "log filter has changed");
        }
        self.current()
    }
}

/// The filter that a text means.
fn read(text: &str, initial: &Targets) -> Result<Targets, Refused> {
    if text.is_empty() {
        return Ok(initial.clone());
    }
    if let Ok(level) = text.parse::<Level>() {
        return Ok(super::targets(level));
    }
    // A word alone would be read as the name of a module, of which every line is written then.
    let is_filter = text.contains(['=', ',']) || text.eq_ignore_ascii_case("off");
    let filter = text.parse().ok().filter(|_| is_filter);
    filter.ok_or_else(|| Refused::Unreadable { text: text.to_owned() })
}

fn answer(outcome: Result<String, Refused>) -> Response {
    match outcome {
        Ok(text) => text.into_response(),
        Err(refused) => {
            let code = match refused {
                Refused::Unreadable { .. } => StatusCode::BAD_REQUEST,
                Refused::Gone(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (code, format!("{refused}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::{Method, Request};
    use tower::Service as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    async fn ask(router: &Router, method: Method, text: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri("/debug/loglevel");
        let request = request.body(Body::from(text.to_owned())).unwrap();
        let answer = router.clone().call(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 16).await.unwrap();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_filter_is_told_set_and_set_back() {
        let initial = super::super::targets("info".parse().unwrap());
        let (layer, handle) = reload::Layer::<_, Registry>::new(initial.clone());
        let subscriber = Registry::default().with(layer);
        let _guard = tracing::subscriber::set_default(subscriber);
        let router = LogControl::new(handle, initial).router();
        let started = "lws=info,info\n";
        assert_eq!(ask(&router, Method::GET, "").await, (200, started.to_owned()));
        assert!(!tracing::enabled!(target: "lws_controller", tracing::Level::TRACE));
        for (text, expected) in [
            ("debug", "lws=debug,info\n"),
            (" 5\n", "lws=trace,info\n"),
            ("error", "lws=error,error\n"),
            ("warn,lws_controller::plan=trace", "lws_controller::plan=trace,warn\n"),
            ("off", "off\n"),
            ("lws=trace,info", "lws=trace,info\n"),
        ] {
            let said = ask(&router, Method::PUT, text).await;
            assert_eq!(said, (200, expected.to_owned()), "{text:?}");
            assert_eq!(ask(&router, Method::GET, "").await, (200, expected.to_owned()));
        }
        assert!(tracing::enabled!(target: "lws_controller", tracing::Level::TRACE));
        assert_eq!(ask(&router, Method::PUT, "").await, (200, started.to_owned()));
        assert!(!tracing::enabled!(target: "lws_controller", tracing::Level::TRACE));
    }

    #[tokio::test]
    async fn what_is_no_filter_changes_nothing() {
        let initial: Targets = "info".parse().unwrap();
        let (layer, handle) = reload::Layer::<_, Registry>::new(initial.clone());
        let _subscriber = Registry::default().with(layer);
        let router = LogControl::new(handle, initial).router();
        let long = "a=info,".repeat(LONGEST);
        for (text, code, part) in [
            ("loud", 400, "\"loud\" is no log level: expected debug, info, error"),
            ("0", 400, "is no log level"),
            ("lws=loud", 400, "is no log level"),
            (&long, 413, ""),
        ] {
            let (answered, said) = ask(&router, Method::PUT, text).await;
            assert_eq!(answered, code, "{said}");
            assert!(said.contains(part), "{said}");
            assert_eq!(ask(&router, Method::GET, "").await, (200, "info\n".to_owned()));
        }
        assert_eq!(ask(&router, Method::POST, "debug").await.0, 405);
    }
}

//! The version of the API server: which is too old for this controller, and waiting until it is
//! not.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

/// The oldest version, major and minor: the first in which `spec.ordinals.start` of a
/// `StatefulSet` always counts. Without it the workers of a group would begin with a second leader.
pub const OLDEST: (u32, u32) = (1, 27);

/// How long an answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait before asking an API server again that gave no answer.
const RETRY: Duration = Duration::from_secs(1);
/// How long to wait before asking one again that is too old: it is upgraded at some time.
const RECHECK: Duration = Duration::from_secs(30);

/// What is known of the API server: that its version will do, or why nothing can be done yet.
pub type Finding = Result<(), String>;

/// What a version means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will do.
    Supported,
    /// It is older than [`OLDEST`].
    TooOld,
    /// It is no pair of numbers.
    Unreadable,
}

/// Judges the two parts of a version, of which some distributions write `27+`.
#[must_use]
pub fn judge(major: &str, minor: &str) -> Verdict {
    let number = |text: &str| text.trim_end_matches('+').parse::<u32>().ok();
    match number(major).zip(number(minor)) {
        Some(version) if version < OLDEST => Verdict::TooOld,
        Some(_) => Verdict::Supported,
        None => Verdict::Unreadable,
    }
}

/// The sender and the first finding: nothing is known yet.
#[must_use]
pub fn unknown() -> watch::Sender<Finding> {
    watch::Sender::new(Err("the version of the API server is not known yet".to_owned()))
}

/// Completes once the API server's version will do, or cannot be told. Until then `findings` has
/// the reason, which is logged as well.
pub async fn supported(client: &Client, findings: &watch::Sender<Finding>) {
    loop {
        let (reason, pause) = match ask(client).await {
            Ok(Verdict::Supported | Verdict::Unreadable) => {
                _ = findings.send_replace(Ok(()));
                return;
            }
            Ok(Verdict::TooOld) => {
                let (major, minor) = OLDEST;
                let reason = format!(
                    "the API server is older than Kubernetes {major}.{minor}: upgrade it; until \
                     then this controller does nothing"
                );
                (reason, RECHECK)
            }
            Err(error) => (format!("the API server does not tell its version: {error}"), RETRY),
        };
        let news = findings.send_if_modified(|finding| {
            let is_new = finding.as_ref().err() != Some(&reason);
            *finding = Err(reason.clone());
            is_new
        });
        if news {
            tracing::error!("{reason}");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Asks the API server and judges its answer.
async fn ask(client: &Client) -> Result<Verdict, String> {
    match tokio::time::timeout(TIME_LIMIT, client.apiserver_version()).await {
        Ok(Ok(version)) => {
            let verdict = judge(&version.major, &version.minor);
            tracing::info!(version = version.git_version, "API server");
            if verdict == Verdict::Unreadable {
                tracing::warn!("its version is not understood, so it is taken for new enough");
            }
            Ok(verdict)
        }
        Ok(Err(kube::Error::Api(status))) if [401, 403].contains(&status.code) => {
            tracing::warn!("not permitted to read /version, so it is taken for new enough");
            Ok(Verdict::Unreadable)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use kube::client::Body;

    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (major, minor, expected) in [
            ("1", "27", Verdict::Supported),
            ("1", "27+", Verdict::Supported),
            ("1", "37", Verdict::Supported),
            ("1", "100", Verdict::Supported),
            ("2", "0", Verdict::Supported),
            ("1", "26", Verdict::TooOld),
            ("1", "26+", Verdict::TooOld),
            ("1", "9", Verdict::TooOld),
            ("0", "30", Verdict::TooOld),
            ("", "", Verdict::Unreadable),
            ("1", "x", Verdict::Unreadable),
        ] {
            assert_eq!(judge(major, minor), expected, "{major}.{minor}");
        }
    }

    /// An HTTP status and, when that is 200, the minor version.
    type Answer = (u16, &'static str);

    /// An API server that gives these answers, one after another, and those that are left.
    fn server(answers: &[Answer]) -> (Client, Arc<Mutex<VecDeque<Answer>>>) {
        let left = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>()));
        let queue = Arc::clone(&left);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            assert_eq!(request.uri().path(), "/version");
            let (code, minor) = queue.lock().unwrap().pop_front().unwrap();
            let body = serde_json::json!({
                "major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.0"),
                "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
                "compiler": "", "platform": "",
                // What an error has.
                "kind": "Status", "code": code, "message": "no", "reason": "", "status": "Failure",
            });
            let response = http::Response::builder().status(code);
            let response = response.body(Body::from(body.to_string().into_bytes())).unwrap();
            async { Ok::<_, Infallible>(response) }
        });
        (Client::new(service, "default"), left)
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_an_old_server_is_upgraded() {
        let (client, left) = server(&[(503, ""), (200, "26"), (200, "26"), (200, "27")]);
        let findings = unknown();
        let mut finding = findings.subscribe();
        let waiting = tokio::spawn(async move { supported(&client, &findings).await });
        for expected in ["does not tell its version", "older than Kubernetes 1.27: upgrade it"] {
            finding.changed().await.unwrap();
            let reason = finding.borrow_and_update().clone().unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
        // The same reason once more is no news.
        finding.changed().await.unwrap();
        assert_eq!(*finding.borrow_and_update(), Ok(()));
        waiting.await.unwrap();
        assert!(left.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_may_not_be_read_or_makes_no_sense_is_no_obstacle() {
        for answer in [(403, ""), (200, "x")] {
            let (client, _) = server(&[answer]);
            let findings = unknown();
            supported(&client, &findings).await;
            assert_eq!(*findings.borrow(), Ok(()), "{answer:?}");
        }
    }
}

//! Watches that begin anew after a failure, and what is told while one of them sees nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use kube::core::Status;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Error as WatchError, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::output::age;

/// How long a watch may be interrupted before that is told: servers and proxies end watches now and
/// then.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

/// Watches objects, from the beginning after each failure: only a list tells that they are seen
/// again, when nothing has changed meanwhile.
pub(crate) fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Event<K>, WatchError>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let begin = move || watcher::watcher(api.clone(), config.clone()).boxed();
    let next = move |running: Option<BoxStream<'static, _>>| {
        let mut running = running.unwrap_or_else(&begin);
        async move {
            let event = running.next().await?;
            let running = event.is_ok().then_some(running);
            Some((event, running))
        }
    };
    stream::unfold(None, next).default_backoff()
}

/// What the server says of a watch that has failed, if it has answered.
pub(crate) fn answer(error: &WatchError) -> Option<&Status> {
    match error {
        WatchError::InitialListFailed(kube::Error::Api(status))
        | WatchError::WatchStartFailed(kube::Error::Api(status))
        | WatchError::WatchError(status) => Some(status),
        _ => None,
    }
}

/// Whether a watch is refused for good.
fn is_refused(error: &WatchError) -> bool {
    answer(error).is_some_and(|it| matches!(it.code, 401 | 403))
}

/// What interrupts a watch, which goes on by itself. Fails where it would fail again however often it
/// is tried.
pub(crate) fn interruption(error: WatchError) -> Result<Error, Error> {
    let is_final = is_final(&error);
    let error = Error::Watch(Box::new(error));
    if is_final { Err(error) } else { Ok(error) }
}

/// Whether a watch fails for good: it is refused, or tells what cannot be read.
fn is_final(error: &WatchError) -> bool {
    let is_unreadable = match error {
        WatchError::InitialListFailed(error)
        | WatchError::WatchStartFailed(error)
        | WatchError::WatchFailed(error) => is_unreadable(error),
        WatchError::WatchError(_) | WatchError::NoResourceVersion => false,
    };
    is_unreadable || is_refused(error)
}

/// Whether the answer cannot be read, and will not be when it is asked for again.
pub(crate) fn is_unreadable(error: &kube::Error) -> bool {
    matches!(error, kube::Error::SerdeError(_))
}

/// What cannot be seen at present, since when and why.
#[derive(Debug, Default)]
pub(crate) struct Interruptions {
    present: BTreeMap<&'static str, Interruption>,
    is_told: bool,
}

#[derive(Debug)]
struct Interruption {
    since: Timestamp,
    error: String,
}

impl Interruptions {
    /// Notes that `what` cannot be seen.
    pub(crate) fn begin(&mut self, what: &'static str, error: &Error, now: Timestamp) {
        let error = error.told();
        let known = self.present.entry(what);
        known
            .and_modify(|it| it.error.clone_from(&error))
            .or_insert(Interruption { since: now, error });
    }

    /// Notes that `what` is seen.
    pub(crate) fn end(&mut self, what: &str) {
        self.present.remove(what);
    }

    /// The line that tells of the longest one, unless that may still pass.
    pub(crate) fn warning(&self, now: Timestamp) -> Option<String> {
        let Interruption { since, error } = self.present.values().min_by_key(|it| it.since)?;
        let lasts = now.duration_since(*since) >= PATIENCE;
        lasts.then(|| format!("Warning: not up to date since {}: {error}", age(*since, now)))
    }

    /// The same, once until all is seen again.
    pub(crate) fn new_warning(&mut self, now: Timestamp) -> Option<String> {
        let warning = self.warning(now);
        let was_told = std::mem::replace(&mut self.is_told, warning.is_some());
        warning.filter(|_| !was_told)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;
    use crate::test_server;

    #[tokio::test(start_paused = true)]
    async fn objects_are_listed_again_after_a_failure() {
        let asked = Arc::new(Mutex::new(0));
        // Each list is followed by a watch that fails.
        let connection = test_server::connection(move |_, _| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            if *asked % 2 == 0 {
                return test_server::refusal(503, "ServiceUnavailable", "no leader");
            }
            (200, json!({"metadata": {"resourceVersion": "1"}, "items": []}))
        });
        let events = watch(connection.api::<Pod>(), watcher::Config::default()).take(6);
        let told: Vec<_> = events
            .map(|it| match it {
                Ok(Event::Init) => "begins",
                Ok(Event::InitDone) => "listed",
                Err(WatchError::WatchStartFailed(_)) => "failed",
                other => panic!("{other:?}"),
            })
            .collect()
            .await;
        assert_eq!(told, ["begins", "listed", "failed", "begins", "listed", "failed"]);
    }

    #[test]
    fn what_fails_for_good_is_told_from_what_passes() {
        let api = |code| {
            let status = Status::failure("no", "Reason").with_code(code);
            WatchError::WatchStartFailed(kube::Error::Api(Box::new(status)))
        };
        let unreadable = serde_json::from_str::<u8>("x").unwrap_err();
        for (error, expected) in [
            (api(401), true),
            (api(403), true),
            (api(410), false),
            (api(503), false),
            (WatchError::NoResourceVersion, false),
            (WatchError::WatchFailed(kube::Error::SerdeError(unreadable)), true),
        ] {
            assert_eq!(is_final(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn the_longest_interruption_is_told_until_it_ends() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let error = |text: &str| Error::Refused(text.to_owned());
        let mut interruptions = Interruptions::default();
        assert_eq!(interruptions.warning(at(9)), None);
        interruptions.begin("pods", &error("first"), at(10));
        interruptions.begin("events", &error("of events"), at(11));
        interruptions.begin("pods", &error("second"), at(12));
        assert_eq!(interruptions.warning(at(12)), None, "it may pass");
        let told = |second: i64, error: &str| {
            Some(format!("Warning: not up to date since {second}s: error: {error}"))
        };
        assert_eq!(interruptions.warning(at(22)), told(12, "second"));
        assert_eq!(interruptions.new_warning(at(22)), told(12, "second"));
        assert_eq!(interruptions.new_warning(at(23)), None, "it was told");
        interruptions.end("pods");
        assert_eq!(interruptions.warning(at(22)), told(11, "of events"));
        interruptions.end("events");
        assert_eq!(interruptions.new_warning(at(99)), None);
        interruptions.begin("pods", &error("third"), at(100));
        assert_eq!(interruptions.new_warning(at(104)), told(4, "third"));
    }
}

//! `status --watch`: the report again whenever it changes: watches tell of objects, and the clock of
//! what time alone brings about. Nothing is polled.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, Stream, StreamExt as _, future};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Resource;
use kube::runtime::reflector::{self, Store, store::Writer};
use kube::runtime::watcher::{self, Error as WatchError};
use lws_api_types::{LeaderWorkerSet, keys};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Report, render, report, show};
use crate::cluster::{Events, selector};
use crate::connection::Connection;
use crate::error::Error;
use crate::output::{self, Output};
use crate::snapshot::{Parts, Snapshot};
use crate::watches::{self, Interruptions};

/// How long to wait for more changes after one: one event changes several objects.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long nothing has to change until the report is made anew from what is known: troubles end and
/// patience does by themselves, and ages are shown in seconds.
const BEAT: Duration = Duration::from_secs(1);

/// What has been seen so far.
struct Watched {
    sets: Store<LeaderWorkerSet>,
    stateful_sets: Store<StatefulSet>,
    pods: Store<Pod>,
    revisions: Store<ControllerRevision>,
    events: Store<Event>,
}

/// What is told by the watch of one kind of objects.
#[derive(Debug)]
enum News {
    /// One of them has changed, or all are known again.
    Seen(&'static str),
    /// They cannot be seen for now.
    Interrupted(&'static str, Error),
}

/// What watches tell, or why there will be no more of it.
type AllNews = BoxStream<'static, Result<News, Error>>;

/// What was shown last.
struct Shown {
    output: Output,
    report: Option<Report>,
    /// On a terminal: the report with ages that grow.
    text: String,
}

impl Shown {
    /// Shows how the set stands, where that is new, in place of what was shown before if possible.
    fn show(
        &mut self,
        snapshot: &Snapshot,
        interruptions: &mut Interruptions,
    ) -> Result<(), Error> {
        let (report, now) = (report(snapshot), snapshot.now);
        if let Some(screen) = self.output.screen() {
            let warning = interruptions.warning(now);
            let paint = self.output.paint();
            let text = render::fitted(&report, warning.as_deref(), now, paint, screen);
            if text != self.text {
                output::redraw(&text)?;
                self.text = text;
            }
            return Ok(());
        }
        if let Some(warning) = interruptions.new_warning(now) {
            output::complain(&warning);
        }
        if self.report.as_ref() != Some(&report) {
            show(&report, now, self.output)?;
            self.report = Some(report);
        }
        Ok(())
    }
}

/// Shows the set until it is gone.
pub(super) async fn run(connection: &Connection, name: &str, output: Output) -> Result<(), Error> {
    // What cannot be read at all fails here rather than being tried for ever.
    let mut snapshot = connection.snapshot(name, Events::Refusals).await?;
    connection.look_up_lost([&mut snapshot]).await?;
    let (watched, mut news) = watch(connection, name);
    let mut interruptions = Interruptions::default();
    let mut shown = Shown { output, report: None, text: String::new() };
    let mut is_outdated = true;
    loop {
        shown.show(&snapshot, &mut interruptions)?;
        let Some(is_changed) = settle(&mut news, &mut interruptions).await? else {
            return Ok(());
        };
        is_outdated |= is_changed;
        if is_outdated && watched.is_complete() {
            let Some(mut next) = watched.snapshot()? else {
                return output::print(&format!("{name} is gone\n"));
            };
            next.nodes = snapshot.nodes;
            next.nodes_refused = snapshot.nodes_refused;
            is_outdated = !look_up_nodes(connection, &mut next, &mut interruptions).await?;
            snapshot = next;
        }
        snapshot.now = Timestamp::now();
    }
}

/// Adds the labels of new nodes, and which do not answer; tells whether that is done, rather than to
/// be tried again.
async fn look_up_nodes(
    connection: &Connection,
    snapshot: &mut Snapshot,
    interruptions: &mut Interruptions,
) -> Result<bool, Error> {
    let looked_up = async {
        connection.look_up_nodes(snapshot).await?;
        connection.look_up_lost([&mut *snapshot]).await
    };
    match looked_up.await {
        Ok(()) => {
            interruptions.end("nodes");
            Ok(true)
        }
        Err(Error::Request(error)) if !watches::is_unreadable(&error) => {
            interruptions.begin("nodes", &Error::Request(error), snapshot.now);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Waits until the clock beats, or nothing has been told for a moment; tells whether anything has
/// changed. `None` when nothing will be told any more.
async fn settle(
    news: &mut AllNews,
    interruptions: &mut Interruptions,
) -> Result<Option<bool>, Error> {
    let mut end = Instant::now() + BEAT;
    let mut is_changed = false;
    loop {
        match tokio::time::timeout_at(end, news.next()).await {
            Err(_) => return Ok(Some(is_changed)),
            Ok(None) => return Ok(None),
            Ok(Some(news)) => match news? {
                News::Seen(what) => {
                    interruptions.end(what);
                    is_changed = true;
                }
                News::Interrupted(what, error) => {
                    interruptions.begin(what, &error, Timestamp::now());
                }
            },
        }
        end = end.min(Instant::now() + PATIENCE);
    }
}

fn watch(connection: &Connection, name: &str) -> (Watched, AllNews) {
    let of_set = || watcher::Config::default().labels(&selector(name));
    let mut of_events = watcher::Config::default();
    if let Some(selector) = Events::Refusals.selector() {
        of_events = of_events.fields(selector);
    }
    let this = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (sets, of_sets) = stored(connection, keys::PLURAL, this);
    let (stateful_sets, of_stateful_sets) = stored(connection, "statefulsets", of_set());
    let (pods, of_pods) = stored(connection, "pods", of_set());
    let (revisions, of_revisions) = stored(connection, "controllerrevisions", of_set());
    let (events, of_events) = stored(connection, "events", of_events);
    let of_events = dispensable("events", of_events);
    let news = stream::select_all([of_sets, of_stateful_sets, of_pods, of_revisions, of_events]);
    (Watched { sets, stateful_sets, pods, revisions, events }, news.boxed())
}

/// What there is of one kind, and what its watch tells.
fn stored<K>(
    connection: &Connection,
    what: &'static str,
    config: watcher::Config,
) -> (Store<K>, AllNews)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let writer = Writer::default();
    let store = writer.as_reader();
    let events = reflector::reflector(writer, watches::watch(connection.api::<K>(), config));
    (store, news(what, events).boxed())
}

/// What events tell; an error where the watch fails for good.
fn news<K>(
    what: &'static str,
    events: impl Stream<Item = Result<watcher::Event<K>, WatchError>>,
) -> impl Stream<Item = Result<News, Error>> {
    events.filter_map(move |event| {
        future::ready(match event {
            // What is listed counts once all of it is.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
            Ok(_) => Some(Ok(News::Seen(what))),
            Err(error) => Some(watches::interruption(error).map(|it| News::Interrupted(what, it))),
        })
    })
}

/// Ends where the watch fails for good, with a warning, and leaves the rest to go on.
fn dispensable(what: &'static str, news: AllNews) -> AllNews {
    let goes_on = move |is_listed: &mut bool, news: Result<News, Error>| {
        let error = match news {
            Ok(news) => {
                *is_listed |= matches!(news, News::Seen(_));
                return future::ready(Some(Ok(news)));
            }
            Err(error) => error,
        };
        // That objects may not even be listed was told with the first report.
        let is_known = !*is_listed
            && matches!(&error, Error::Watch(it) if matches!(**it, WatchError::InitialListFailed(_)));
        if !is_known {
            output::complain(&format!(
                "Warning: shown without changes of {what}: {}",
                error.told()
            ));
        }
        future::ready(None)
    };
    // What is given up is not waited for.
    let end = stream::once(future::ready(Ok(News::Seen(what))));
    news.scan(false, goes_on).chain(end).boxed()
}

impl Watched {
    /// Whether everything has been listed once, or never will be.
    fn is_complete(&self) -> bool {
        self.sets.wait_until_ready().now_or_never().is_some()
            && self.stateful_sets.wait_until_ready().now_or_never().is_some()
            && self.pods.wait_until_ready().now_or_never().is_some()
            && self.revisions.wait_until_ready().now_or_never().is_some()
            && self.events.wait_until_ready().now_or_never().is_some()
    }

    /// The present state; `None` when the set is gone.
    fn snapshot(&self) -> Result<Option<Snapshot>, Error> {
        let Some(set) = self.sets.state().into_iter().next() else { return Ok(None) };
        let parts = Parts {
            stateful_sets: owned(&self.stateful_sets),
            pods: owned(&self.pods),
            revisions: owned(&self.revisions),
            events: owned(&self.events),
            ..Parts::default()
        };
        Snapshot::new((*set).clone(), parts, Timestamp::now()).map(Some)
    }
}

fn owned<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>) -> Vec<K> {
    store.state().iter().map(|it| (**it).clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use kube::core::Status;
    use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
    use serde_json::json;

    use super::*;
    use crate::test_objects::Objects;
    use crate::test_server;

    fn refusal() -> WatchError {
        let status = Status::failure("events is forbidden", "Forbidden").with_code(403);
        WatchError::WatchStartFailed(kube::Error::Api(Box::new(status)))
    }

    fn told(news: Result<News, Error>) -> String {
        match news {
            Ok(News::Seen(what)) => what.to_owned(),
            Ok(News::Interrupted(what, error)) => format!("{what} interrupted: {}", error.told()),
            Err(error) => error.told(),
        }
    }

    #[tokio::test]
    async fn an_interruption_is_told_and_what_may_not_be_watched_ends() {
        use watcher::Event::{Init, InitDone};
        let events = || {
            let lost = Err(WatchError::NoResourceVersion);
            let all = [Ok(Init::<Event>), Ok(InitDone), lost, Err(refusal()), Ok(InitDone)];
            news("events", stream::iter(all)).boxed()
        };
        let interrupted = "events interrupted: error: watch of the server's objects: ";
        let refused = "Error from server (Forbidden): events is forbidden";
        let vital: Vec<_> = events().map(told).collect().await;
        assert!(vital[1].starts_with(interrupted), "{vital:?}");
        assert_eq!([&vital[0], &vital[2], &vital[3]], ["events", refused, "events"]);
        let dispensable: Vec<_> = dispensable("events", events()).map(told).collect().await;
        assert_eq!(dispensable[..2], vital[..2]);
        assert_eq!(dispensable[2..], ["events"], "nothing is waited for");
    }

    #[tokio::test]
    async fn nodes_that_may_not_be_read_are_asked_for_once_and_those_that_fail_again() {
        for (code, expected) in [(403, 1), (503, 2), (200, 1)] {
            let asked = Arc::new(Mutex::new(0));
            let seen = asked.clone();
            let connection = test_server::connection(move |_, path| {
                *seen.lock().unwrap() += 1;
                let name = path.rsplit('/').next().unwrap();
                match code {
                    200 => (200, json!({"metadata": {"name": name}})),
                    code => test_server::refusal(code, "Reason", "no"),
                }
            });
            let mut objects = Objects::ready(1, 1);
            objects.set["metadata"]["annotations"] = json!({EXCLUSIVE_TOPOLOGY: "rack"});
            let mut snapshot = objects.snapshot();
            let mut interruptions = Interruptions::default();
            for _ in 0..2 {
                let done = look_up_nodes(&connection, &mut snapshot, &mut interruptions).await;
                assert_eq!(done.unwrap(), code != 503, "{code}");
            }
            let later = snapshot.now + jiff::SignedDuration::from_mins(1);
            assert_eq!(interruptions.warning(later).is_some(), code == 503, "{code}");
            assert_eq!(*asked.lock().unwrap(), expected, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_interruption_lasts_until_the_same_kind_is_seen() {
        let lost = || Error::Watch(Box::new(WatchError::NoResourceVersion));
        let mut interruptions = Interruptions::default();
        let later = Timestamp::now() + jiff::SignedDuration::from_mins(1);
        let mut settled = async |news: Vec<Result<News, Error>>| {
            let mut news = stream::iter(news).chain(stream::pending()).boxed();
            let is_changed = settle(&mut news, &mut interruptions).await.unwrap();
            (is_changed, interruptions.warning(later).is_some())
        };
        let interrupted = Ok(News::Interrupted("pods", lost()));
        assert_eq!(settled(vec![]).await, (Some(false), false));
        assert_eq!(settled(vec![interrupted, Ok(News::Seen("events"))]).await, (Some(true), true));
        assert_eq!(settled(vec![]).await, (Some(false), true));
        assert_eq!(settled(vec![Ok(News::Seen("pods"))]).await, (Some(true), false));
        let mut ended = stream::iter([Err(lost())]).boxed();
        assert!(settle(&mut ended, &mut interruptions).await.is_err());
    }
}

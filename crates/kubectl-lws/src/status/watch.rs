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
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store, store::Writer};
use kube::runtime::watcher::{self, Error as WatchError};
use lws_api_types::LeaderWorkerSet;
use serde::de::DeserializeOwned;

use super::{Report, render, report, show};
use crate::cluster::{Events, is_refused, selector};
use crate::connection::Connection;
use crate::error::Error;
use crate::output::{self, Output};
use crate::snapshot::{Parts, Snapshot};

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

/// A change of any object, or why there will be no more of them.
type Changes = BoxStream<'static, Result<(), Error>>;

/// What is shown: the report, and on a terminal the text with ages that grow.
#[derive(PartialEq, Eq)]
struct Shown {
    report: Report,
    text: Option<String>,
}

impl Shown {
    fn of(snapshot: &Snapshot, output: Output) -> Self {
        let report = report(snapshot);
        let text = output.is_redrawn();
        let text = text.then(|| render::text(&report, snapshot.now, output.paint()));
        Self { report, text }
    }

    /// Shows it in place of what was shown before, where that is possible.
    fn draw(&self, now: Timestamp, output: Output) -> Result<(), Error> {
        match &self.text {
            Some(text) => output::redraw(text),
            None => show(&self.report, now, output),
        }
    }
}

/// Shows the set until it is gone.
pub(super) async fn run(connection: &Connection, name: &str, output: Output) -> Result<(), Error> {
    // What cannot be read at all fails here rather than being tried for ever.
    let first = connection.snapshot(name, Events::Refusals).await?;
    let (watched, mut changes) = watch(connection, name);
    let mut shown = Shown::of(&first, output);
    shown.draw(first.now, output)?;
    let mut nodes = first.nodes;
    loop {
        let is_changed = match tokio::time::timeout(BEAT, changes.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(change)) => {
                change?;
                settle(&mut changes).await?;
                true
            }
            Err(_) => false,
        };
        if !watched.is_complete() {
            continue;
        }
        let Some(mut snapshot) = watched.snapshot()? else {
            return output::print(&format!("{name} is gone\n"));
        };
        snapshot.nodes.append(&mut nodes);
        // Time brings no pod to another node.
        if is_changed {
            connection.look_up_nodes(&mut snapshot).await?;
        }
        nodes.clone_from(&snapshot.nodes);
        let next = Shown::of(&snapshot, output);
        if next != shown {
            next.draw(snapshot.now, output)?;
            shown = next;
        }
    }
}

/// Waits until nothing has changed for a moment.
async fn settle(changes: &mut Changes) -> Result<(), Error> {
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some(change)) = tokio::time::timeout_at(end, changes.next()).await {
        change?;
    }
    Ok(())
}

fn watch(connection: &Connection, name: &str) -> (Watched, Changes) {
    let of_set = || watcher::Config::default().labels(&selector(name));
    let mut of_events = watcher::Config::default();
    if let Some(selector) = Events::Refusals.selector() {
        of_events = of_events.fields(selector);
    }
    let this = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (sets, of_sets) = stored(connection, this);
    let (stateful_sets, of_stateful_sets) = stored(connection, of_set());
    let (pods, of_pods) = stored(connection, of_set());
    let (revisions, of_revisions) = stored(connection, of_set());
    let (events, of_events) = stored(connection, of_events);
    let of_events = dispensable("events", of_events);
    let changes = stream::select_all([of_sets, of_stateful_sets, of_pods, of_revisions, of_events]);
    (Watched { sets, stateful_sets, pods, revisions, events }, changes.boxed())
}

/// What there is of one kind, and a stream that tells of changes. It goes on after an interruption.
fn stored<K>(connection: &Connection, config: watcher::Config) -> (Store<K>, Changes)
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
    let changes = watcher::watcher(connection.api::<K>(), config).default_backoff();
    let changes = reflector::reflector(writer, changes);
    (store, permitted(changes).boxed())
}

/// Goes on after what passes by itself; ends with what the server refuses.
fn permitted<K>(
    changes: impl Stream<Item = Result<watcher::Event<K>, WatchError>>,
) -> impl Stream<Item = Result<(), Error>> {
    changes.filter_map(async |change| match change {
        Ok(_) => Some(Ok(())),
        Err(error) if is_refused(&error) => Some(Err(Error::Watch(Box::new(error)))),
        Err(_) => None,
    })
}

/// Ends where the server refuses it, with a warning, and leaves the rest to go on.
fn dispensable(what: &'static str, changes: Changes) -> Changes {
    let goes_on = move |(): &mut (), change: Result<(), Error>| {
        let Err(error) = change else { return future::ready(Some(Ok(()))) };
        // That objects may not even be listed was told with the first report.
        if !matches!(&error, Error::Watch(it) if matches!(**it, WatchError::InitialListFailed(_))) {
            output::complain(&format!(
                "Warning: shown without changes of {what}: {}",
                error.told()
            ));
        }
        future::ready(None)
    };
    changes.scan((), goes_on).boxed()
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
    use kube::core::Status;

    use super::*;

    #[tokio::test]
    async fn what_may_not_be_watched_ends_and_only_that() {
        let refusal = || {
            let status = Status::failure("events is forbidden", "Forbidden").with_code(403);
            WatchError::WatchStartFailed(kube::Error::Api(Box::new(status)))
        };
        let events = || {
            let all = [Ok(watcher::Event::<Event>::InitDone), Err(refusal())];
            let interrupted = Err(WatchError::NoResourceVersion);
            let all = all.into_iter().chain([interrupted, Ok(watcher::Event::InitDone)]);
            permitted(stream::iter(all)).boxed()
        };
        let vital: Vec<_> = events().map(|it| it.map_err(|error| error.told())).collect().await;
        let refused = Err("Error from server (Forbidden): events is forbidden".to_owned());
        assert_eq!(vital, [Ok(()), refused, Ok(())]);
        let dispensable: Vec<_> = dispensable("events", events()).collect().await;
        assert!(matches!(dispensable.as_slice(), [Ok(())]), "{dispensable:?}");
    }
}

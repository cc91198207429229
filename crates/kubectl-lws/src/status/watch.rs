//! `status --watch`: the report again whenever something changes, told by watches, without polling.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, Stream, StreamExt as _};
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

use super::{Report, report, show};
use crate::cluster::{Events, is_refused, selector};
use crate::connection::Connection;
use crate::error::Error;
use crate::output::{self, Output};
use crate::snapshot::{Parts, Snapshot};

/// How long to wait for more changes after one: one event changes several objects.
const PATIENCE: Duration = Duration::from_millis(200);

/// What has been seen so far.
struct Watched {
    sets: Store<LeaderWorkerSet>,
    stateful_sets: Store<StatefulSet>,
    pods: Store<Pod>,
    revisions: Store<ControllerRevision>,
    events: Store<Event>,
}

/// A change of any object, or why there will be no more of them.
type Changes = BoxStream<'static, Result<(), WatchError>>;

/// Shows the set until it is gone.
pub(super) async fn run(connection: &Connection, name: &str, output: Output) -> Result<(), Error> {
    // What cannot be read at all fails here rather than being tried for ever.
    let first = connection.snapshot(name, Events::Refusals).await?;
    let (watched, mut changes) = watch(connection, name);
    let mut shown = report(&first);
    draw(&shown, first.now, output)?;
    let mut nodes = first.nodes;
    while let Some(change) = changes.next().await {
        change.map_err(|error| Error::Watch(Box::new(error)))?;
        settle(&mut changes).await?;
        if !watched.is_complete() {
            continue;
        }
        let Some(mut snapshot) = watched.snapshot()? else {
            return output::print(&format!("{name} is gone\n"));
        };
        snapshot.nodes.append(&mut nodes);
        connection.look_up_nodes(&mut snapshot).await?;
        nodes.clone_from(&snapshot.nodes);
        let next = report(&snapshot);
        if next != shown {
            draw(&next, snapshot.now, output)?;
            shown = next;
        }
    }
    Ok(())
}

/// Waits until nothing has changed for a moment.
async fn settle(changes: &mut Changes) -> Result<(), Error> {
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some(change)) = tokio::time::timeout_at(end, changes.next()).await {
        change.map_err(|error| Error::Watch(Box::new(error)))?;
    }
    Ok(())
}

/// Shows a report in place of the one before, where that is possible.
fn draw(report: &Report, now: Timestamp, output: Output) -> Result<(), Error> {
    if output.is_for_people() {
        output::print(output::clear())?;
    }
    show(report, now, output)
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
) -> impl Stream<Item = Result<(), WatchError>> {
    changes.filter_map(async |change| match change {
        Ok(_) => Some(Ok(())),
        Err(error) if is_refused(&error) => Some(Err(error)),
        Err(_) => None,
    })
}

impl Watched {
    /// Whether everything has been listed once.
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

//! Watch streams: one a kind, restricted by the server to objects that carry a set's name label.
//!
//! A watch may lag behind by any time, and nothing in it tells by how much. So whoever begins to
//! lead has everything listed anew first ([`Synced::anew`]): a list without a resource version
//! shows at least what had been written when it was asked for, the writes of the former leader
//! among it.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::core::Status;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use lws_api_types::keys::labels;
use lws_runtime::config::GangScheduler;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::index::{Concerned, Index, Indexed};
use super::views::{PodGroupView, PodView, RevisionView, ServiceView, SetView, StatefulSetView};

/// Receives whom an observation concerns.
pub type Notify = Arc<dyn Fn(Concerned) + Send + Sync>;

/// How far the watch of each kind has come; by default nothing is watched.
#[derive(Clone, Debug, Default)]
pub struct Synced {
    kinds: Vec<Kind>,
    /// The watch of `PodGroup`s, where a gang scheduler is configured.
    pod_groups: Option<watch::Receiver<Progress>>,
    /// How often everything has been wanted anew.
    round: watch::Sender<u64>,
}

/// Whether groups get `PodGroup`s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodGroups {
    /// No gang scheduler is configured.
    #[default]
    Unwanted,
    /// They do, and those that there are are known.
    Watched,
    /// They should, but the API server does not know the kind.
    NotInstalled,
    /// They should, but this process may not list and watch them.
    Forbidden,
}

#[derive(Clone, Debug)]
struct Kind {
    resource: String,
    /// Without its watch the controller learns of these objects when it creates them.
    is_optional: bool,
    progress: watch::Receiver<Progress>,
    failures: Arc<AtomicU64>,
}

/// How the watch of a kind stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchState {
    /// Plural name of the kind.
    pub resource: String,
    /// Whether everything that there is of it is known.
    pub is_synced: bool,
    /// How often it has failed and was begun anew.
    pub failures: u64,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    state: State,
    /// For which round it was begun.
    round: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Listing,
    Listed,
    Forbidden,
    NotInstalled,
}

impl Progress {
    fn is_sufficient(self, is_optional: bool, round: u64) -> bool {
        match self.state {
            State::Listing => false,
            State::Listed => self.round == round,
            State::Forbidden | State::NotInstalled => is_optional,
        }
    }

    fn is_hindered(self) -> bool {
        matches!(self.state, State::Forbidden | State::NotInstalled)
    }
}

impl Synced {
    /// Has everything listed anew, and waits until every kind that decisions need has been.
    pub async fn anew(&mut self) {
        self.round.send_modify(|round| *round += 1);
        let round = *self.round.borrow();
        for kind in &mut self.kinds {
            let is_optional = kind.is_optional;
            let sufficient = |progress: &Progress| progress.is_sufficient(is_optional, round);
            // An error means that the stream's task has ended, and the process with it.
            let _ = kind.progress.wait_for(sufficient).await;
        }
    }

    /// What is still missing, in words for people; empty once [`Self::anew`] completes.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let round = *self.round.borrow();
        let missing = self
            .kinds
            .iter()
            .filter(|kind| !kind.progress.borrow().is_sufficient(kind.is_optional, round));
        missing
            .map(|kind| match kind.progress.borrow().state {
                State::Forbidden => format!("not permitted to list {}", kind.resource),
                State::NotInstalled => format!("{} not installed", kind.resource),
                State::Listing => format!("{} not listed yet", kind.resource),
                State::Listed => format!("{} not listed anew yet", kind.resource),
            })
            .collect()
    }

    /// How the watch of each kind stands.
    #[must_use]
    pub fn watches(&self) -> Vec<WatchState> {
        let round = *self.round.borrow();
        let state = |kind: &Kind| WatchState {
            resource: kind.resource.clone(),
            is_synced: kind.progress.borrow().is_sufficient(false, round),
            failures: kind.failures.load(Ordering::Relaxed),
        };
        self.kinds.iter().map(state).collect()
    }

    /// Whether groups get `PodGroup`s, as things stand.
    #[must_use]
    pub fn pod_groups(&self) -> PodGroups {
        match self.pod_groups.as_ref().map(|progress| progress.borrow().state) {
            None => PodGroups::Unwanted,
            Some(State::Listing | State::Listed) => PodGroups::Watched,
            Some(State::NotInstalled) => PodGroups::NotInstalled,
            Some(State::Forbidden) => PodGroups::Forbidden,
        }
    }
}

/// Starts a stream for every kind, `PodGroup`s only for a gang scheduler. The streams run until
/// `tasks` is dropped or aborted.
pub fn start(
    client: &Client,
    index: &Arc<Index>,
    notify: &Notify,
    gang_scheduler: Option<GangScheduler>,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Synced {
    let labelled = watcher::Config::default().labels(labels::NAME);
    // StatefulSets keep revisions of their own under the labels of their pods.
    let own_revisions =
        format!("{},!{},!{}", labels::NAME, labels::WORKER_INDEX, labels::GROUP_INDEX);
    let round = watch::Sender::new(0);
    let mut streams = Streams { client, index, notify, tasks, round, kinds: Vec::new() };
    streams.start::<SetView>(watcher::Config::default(), false);
    streams.start::<StatefulSetView>(labelled.clone(), false);
    streams.start::<PodView>(labelled.clone(), false);
    streams.start::<ServiceView>(labelled.clone(), true);
    streams.start::<RevisionView>(watcher::Config::default().labels(&own_revisions), false);
    let pod_groups =
        gang_scheduler.map(|GangScheduler::Volcano| streams.start::<PodGroupView>(labelled, true));
    Synced { kinds: streams.kinds, pod_groups, round: streams.round }
}

struct Streams<'a> {
    client: &'a Client,
    index: &'a Arc<Index>,
    notify: &'a Notify,
    tasks: &'a mut tokio::task::JoinSet<()>,
    round: watch::Sender<u64>,
    kinds: Vec<Kind>,
}

impl Streams<'_> {
    fn start<V>(&mut self, config: watcher::Config, is_optional: bool) -> watch::Receiver<Progress>
    where
        V: Indexed + Resource<DynamicType = ()> + DeserializeOwned + Debug,
    {
        let (sender, progress) =
            watch::channel(Progress { state: State::Listing, round: *self.round.borrow() });
        let resource = V::plural(&()).into_owned();
        let failures = Arc::<AtomicU64>::default();
        self.kinds.push(Kind {
            resource,
            is_optional,
            progress: progress.clone(),
            failures: failures.clone(),
        });
        let api = Api::<V>::all(self.client.clone());
        let stage = Stage {
            index: self.index.clone(),
            notify: self.notify.clone(),
            is_optional,
            progress: sender,
            failures,
        };
        self.tasks.spawn(follow_rounds(api, config, stage, self.round.subscribe()));
        progress
    }
}

/// How far one stream has come, and who is told.
struct Stage {
    index: Arc<Index>,
    notify: Notify,
    is_optional: bool,
    progress: watch::Sender<Progress>,
    failures: Arc<AtomicU64>,
}

impl Stage {
    /// The list failed. What is known of a kind that decisions need stays in use, once it has been
    /// listed in this round.
    fn hindered(&self, progress: Progress) {
        let listed = Progress { state: State::Listed, ..progress };
        if self.is_optional || *self.progress.borrow() != listed {
            self.advance(progress);
        }
    }

    /// Sets that a kind stood in the way of are looked at again when that changes.
    fn advance(&self, progress: Progress) {
        let before = self.progress.send_replace(progress);
        if before.state != progress.state && (before.is_hindered() || progress.is_hindered()) {
            (self.notify)(Concerned { sets: self.index.sets(), may_wait: false });
        }
    }
}

/// Follows a kind until nobody asks for it any more; each round begins with a new list.
async fn follow_rounds<V>(
    api: Api<V>,
    config: watcher::Config,
    stage: Stage,
    mut wanted: watch::Receiver<u64>,
) where
    V: Indexed + Resource<DynamicType = ()> + DeserializeOwned + Debug,
{
    loop {
        let round = *wanted.borrow_and_update();
        tokio::select! {
            biased;
            next = wanted.changed() => if next.is_err() { return },
            () = follow(api.clone(), config.clone(), &stage, round) => return,
        }
    }
}

/// Follows one stream for ever. Failures are reported and retried with backoff; meanwhile the
/// controller goes on with what it knows of the other kinds.
async fn follow<V>(api: Api<V>, config: watcher::Config, stage: &Stage, round: u64)
where
    V: Indexed + Resource<DynamicType = ()> + DeserializeOwned + Debug,
{
    let resource = V::plural(&());
    let mut events = std::pin::pin!(changes(api, config).default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                let is_listed = matches!(event, watcher::Event::InitDone);
                (stage.notify)(apply(&stage.index, event));
                if is_listed {
                    stage.advance(Progress { state: State::Listed, round });
                }
            }
            Ok(None) => return,
            Err(error) => {
                stage.failures.fetch_add(1, Ordering::Relaxed);
                if let Some(state) = report(&resource, &error) {
                    stage.hindered(Progress { state, round });
                }
            }
        }
    }
}

/// All changes, for ever. Where the server refuses to begin a watch because its resource version is
/// too old, the library would ask for that version again and again; a new stream lists first.
fn changes<V>(api: Api<V>, config: watcher::Config) -> impl Stream<Item = Change<V>> + Send
where
    V: Indexed + Resource<DynamicType = ()> + DeserializeOwned + Debug,
{
    futures::stream::unfold(None, move |stream: Option<BoxStream<'static, Change<V>>>| {
        let mut stream = stream.unwrap_or_else(|| watcher(api.clone(), config.clone()).boxed());
        async move {
            let change = stream.next().await?;
            let goes_on = !matches!(&change, Err(error) if is_expired(error));
            Some((change, goes_on.then_some(stream)))
        }
    })
}

type Change<V> = watcher::Result<watcher::Event<V>>;

fn is_expired(error: &watcher::Error) -> bool {
    status(error).is_some_and(|status| status.code == 410)
}

fn apply<V: Indexed>(index: &Index, event: watcher::Event<V>) -> Concerned {
    match event {
        watcher::Event::Init => {
            index.relist_started::<V>();
            Concerned::default()
        }
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => index.observed(object),
        watcher::Event::InitDone => index.relist_done::<V>(),
        watcher::Event::Delete(object) => index.deleted(&object),
    }
}

/// A missing permission is told as what to grant, a missing kind as what to install, anything else
/// as the server said it; gives what is missing.
fn report(resource: &str, error: &watcher::Error) -> Option<State> {
    match status(error) {
        Some(status) if status.code == 403 => {
            let said = &status.message;
            tracing::error!(resource, "not permitted: grant list and watch on {resource}: {said}");
            Some(State::Forbidden)
        }
        Some(status) if status.code == 404 => {
            tracing::error!(resource, "the API server has no {resource}: install their definition");
            Some(State::NotInstalled)
        }
        Some(status) if status.code == 410 => {
            tracing::debug!(resource, "watch expired, relisting");
            None
        }
        _ => {
            tracing::warn!(resource, error = %error, "watch failed, retrying");
            None
        }
    }
}

/// What the server answered, if it did.
fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

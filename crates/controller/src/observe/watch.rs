//! Watch streams: one a kind, restricted by the server to objects that carry a set's name label.

use std::fmt::Debug;
use std::sync::Arc;

use futures::TryStreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use lws_api_types::keys::labels;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::index::{Index, Indexed, SetKey};
use super::views::{PodView, RevisionView, ServiceView, SetView, StatefulSetView};

/// Receives the sets that an observation concerns.
pub type Notify = Arc<dyn Fn(SetKey) + Send + Sync>;

/// Which kinds have been listed completely at least once.
#[derive(Clone, Debug)]
pub struct Synced(Vec<(&'static str, watch::Receiver<bool>)>);

impl Synced {
    /// Waits until every kind has been listed.
    pub async fn wait(&mut self) {
        for (_, synced) in &mut self.0 {
            // An error means that the stream's task has ended, and the process with it.
            let _ = synced.wait_for(|done| *done).await;
        }
    }

    /// The kinds that have not been listed yet.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = self.0.iter().filter(|(_, synced)| !*synced.borrow());
        missing.map(|(kind, _)| *kind).collect()
    }
}

/// Starts a stream for every kind. The streams run until `tasks` is dropped or aborted.
pub fn start(
    client: &Client,
    index: &Arc<Index>,
    notify: &Notify,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Synced {
    let labelled = watcher::Config::default().labels(labels::NAME);
    // StatefulSets keep revisions of their own under the labels of their pods.
    let own_revisions =
        format!("{},!{},!{}", labels::NAME, labels::WORKER_INDEX, labels::GROUP_INDEX);
    let mut kinds = Vec::new();
    let mut stream = Streams { client, index, notify, tasks, kinds: &mut kinds };
    stream.start::<SetView>(watcher::Config::default());
    stream.start::<StatefulSetView>(labelled.clone());
    stream.start::<PodView>(labelled.clone());
    stream.start::<ServiceView>(labelled);
    stream.start::<RevisionView>(watcher::Config::default().labels(&own_revisions));
    Synced(kinds)
}

struct Streams<'a> {
    client: &'a Client,
    index: &'a Arc<Index>,
    notify: &'a Notify,
    tasks: &'a mut tokio::task::JoinSet<()>,
    kinds: &'a mut Vec<(&'static str, watch::Receiver<bool>)>,
}

impl Streams<'_> {
    fn start<V>(&mut self, config: watcher::Config)
    where
        V: Indexed + Resource<DynamicType = ()> + DeserializeOwned + Debug,
    {
        let (sender, receiver) = watch::channel(false);
        let kind: &'static str = std::any::type_name::<V>().rsplit(':').next().unwrap_or_default();
        self.kinds.push((kind, receiver));
        let api = Api::<V>::all(self.client.clone());
        self.tasks.spawn(follow(api, config, self.index.clone(), self.notify.clone(), sender));
    }
}

/// Follows one stream for ever. Failures are reported and retried with backoff; meanwhile the
/// controller goes on with what it knows of the other kinds.
async fn follow<V>(
    api: Api<V>,
    config: watcher::Config,
    index: Arc<Index>,
    notify: Notify,
    synced: watch::Sender<bool>,
) where
    V: Indexed + Resource<DynamicType = ()> + DeserializeOwned + Debug,
{
    let resource = V::plural(&());
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if matches!(event, watcher::Event::InitDone) {
                    synced.send_replace(true);
                }
                for key in apply(&index, event) {
                    notify(key);
                }
            }
            Ok(None) => return,
            Err(error) => report(&resource, &error),
        }
    }
}

fn apply<V: Indexed>(index: &Index, event: watcher::Event<V>) -> Vec<SetKey> {
    match event {
        watcher::Event::Init => {
            index.relist_started::<V>();
            Vec::new()
        }
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => index.observed(object),
        watcher::Event::InitDone => index.relist_done::<V>(),
        watcher::Event::Delete(object) => index.deleted(&object).into_iter().collect(),
    }
}

/// A missing permission is told as what to grant; anything else as the server said it.
fn report(resource: &str, error: &watcher::Error) {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status {
        Some(status) if status.code == 403 => tracing::error!(
            resource,
            "not permitted: grant list and watch on {resource}: {}",
            status.message
        ),
        Some(status) if status.code == 410 => tracing::debug!(resource, "watch expired, relisting"),
        _ => tracing::warn!(resource, error = %error, "watch failed, retrying"),
    }
}

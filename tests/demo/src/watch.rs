//! The changes of a set's objects, in the order in which they happened.
//!
//! Each kind of object has a watch of its own, and nothing orders one watch against another but the resource version: in
//! one cluster it counts the writes to all objects. So every change is held back a moment, for earlier ones to overtake it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::pending;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use lws_api_types::LeaderWorkerSet;
use lws_api_types::conditions::ConditionType;
use lws_api_types::keys::labels;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use crate::board::{Change, LeaderSet, Pod, Status};

/// By how much one watch may be behind another.
const HOLD: Duration = Duration::from_millis(300);

/// How many watches there are.
const WATCHES: usize = 3;

/// A change, and when it was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) change: Change,
}

/// The changes of one set.
pub(crate) struct Changes {
    incoming: SelectAll<BoxStream<'static, Result<Incoming>>>,
    held: Held,
}

/// What a watch gives.
enum Incoming {
    /// Everything that was there at the beginning has been given.
    Listed,
    /// A change, with its resource version.
    Change(u64, Change),
}

impl Changes {
    /// Watches `set`; gives what is there now, and the changes from then on.
    pub(crate) async fn of(client: &Client, set: &LeaderWorkerSet) -> Result<(Vec<Change>, Self)> {
        let (namespace, name) = (set.namespace(), set.name());
        let named = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let labelled = watcher::Config::default().labels(&format!("{}={name}", labels::NAME));
        let sets = Api::<LeaderWorkerSet>::namespaced(client.clone(), namespace);
        let leaders = Api::<StatefulSet>::namespaced(client.clone(), namespace);
        let pods = Api::<v1::Pod>::namespaced(client.clone(), namespace);
        let mut incoming = futures::stream::select_all([
            changes(sets, named.clone(), status),
            changes(leaders, named, leader),
            changes(pods, labelled, pod),
        ]);
        let (mut present, mut listed) = (Vec::new(), 0);
        while listed < WATCHES {
            match incoming.try_next().await?.context("a watch has ended")? {
                Incoming::Listed => listed += 1,
                Incoming::Change(_, change) => present.push(change),
            }
        }
        Ok((present, Self { incoming, held: Held::default() }))
    }

    /// The next change.
    pub(crate) async fn next(&mut self) -> Result<Seen> {
        loop {
            if let Some(seen) = self.held.pop(Instant::now()) {
                return Ok(seen);
            }
            let due = self.held.due();
            let overdue = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = overdue => {}
                incoming = self.incoming.try_next() => match incoming?.context("a watch has ended")? {
                    Incoming::Listed => {}
                    Incoming::Change(version, change) => self.held.push(version, change, Instant::now()),
                },
            }
        }
    }
}

/// Changes that are held back, by resource version.
#[derive(Debug, Default)]
struct Held(BTreeMap<u64, Seen>);

impl Held {
    fn push(&mut self, version: u64, change: Change, at: Instant) {
        self.0.insert(version, Seen { at, change });
    }

    /// When the earliest change has been held back for long enough.
    fn due(&self) -> Option<Instant> {
        self.0.first_key_value().map(|(_, seen)| seen.at + HOLD)
    }

    /// The earliest change, unless an earlier one may still come.
    fn pop(&mut self, now: Instant) -> Option<Seen> {
        self.due().filter(|due| *due <= now)?;
        self.0.pop_first().map(|(_, seen)| seen)
    }
}

/// One watch. `read` gives what an object, named by itself, means now, or after it is gone.
fn changes<K>(
    api: Api<K>,
    config: watcher::Config,
    read: fn(&K, bool) -> Option<Change>,
) -> BoxStream<'static, Result<Incoming>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let incoming = move |event: Event<K>| {
        let (object, present) = match event {
            Event::Init => return Ok(None),
            Event::InitDone => return Ok(Some(Incoming::Listed)),
            Event::InitApply(object) | Event::Apply(object) => (object, true),
            Event::Delete(object) => (object, false),
        };
        let version = object.resource_version().unwrap_or_default();
        let version = version
            .parse()
            .with_context(|| format!("resource version {version:?} is not a number"))?;
        Ok(read(&object, present).map(|change| Incoming::Change(version, change)))
    };
    let events = watcher(api, config).map_err(anyhow::Error::from);
    events.try_filter_map(move |event| std::future::ready(incoming(event))).boxed()
}

fn status(set: &LeaderWorkerSet, present: bool) -> Option<Change> {
    let status = set.status.as_ref().filter(|_| present)?;
    let available = |type_: &str| type_ == ConditionType::Available.as_str();
    let mut conditions = status.conditions.iter();
    Some(Change::Status(Status {
        generation: status.observed_generation.unwrap_or_default(),
        available: conditions.any(|it| available(&it.type_) && it.status == "True"),
    }))
}

fn leader(leader: &StatefulSet, present: bool) -> Option<Change> {
    let spec = leader.spec.clone().filter(|_| present)?;
    let rolling = spec.update_strategy.and_then(|strategy| strategy.rolling_update);
    Some(Change::Leader(LeaderSet {
        revision: leader.labels().get(labels::REVISION).cloned().unwrap_or_default(),
        partition: count(rolling.and_then(|rolling| rolling.partition)),
        replicas: count(spec.replicas),
    }))
}

fn pod(pod: &v1::Pod, present: bool) -> Option<Change> {
    if !present {
        return Some(Change::PodGone(pod.name_any()));
    }
    let label = |key| pod.labels().get(key).cloned().unwrap_or_default();
    let group = label(labels::GROUP_INDEX).parse().ok()?;
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready =
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let ready = ready && pod.metadata.deletion_timestamp.is_none();
    Some(Change::Pod(pod.name_any(), Pod { group, revision: label(labels::REVISION), ready }))
}

/// A number that the API server keeps from being negative.
fn count(number: Option<i32>) -> usize {
    number.and_then(|it| it.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_are_given_in_the_order_of_their_versions() {
        let gone = |name: &str| Change::PodGone(name.to_owned());
        let first = |version, name| Ok(Incoming::Change(version, gone(name)));
        let late = futures::stream::once(async {
            tokio::time::sleep(HOLD / 2).await;
            Ok(Incoming::Change(1, Change::PodGone("a".to_owned())))
        });
        let early = futures::stream::iter([first(2, "b"), first(3, "c")]);
        let endless = futures::stream::pending();
        let incoming = futures::stream::select_all([early.boxed(), late.boxed(), endless.boxed()]);
        let mut changes = Changes { incoming, held: Held::default() };
        for name in ["a", "b", "c"] {
            assert_eq!(changes.next().await.unwrap().change, gone(name));
        }
    }

    #[test]
    fn a_pod_is_ready_until_it_is_being_deleted() {
        for (deleted, condition, ready) in
            [(false, "True", true), (false, "False", false), (true, "True", false)]
        {
            let object: v1::Pod = serde_json::from_value(json!({
                "metadata": {
                    "name": "s-3-1",
                    "labels": {labels::GROUP_INDEX: "3", labels::REVISION: "a"},
                    "deletionTimestamp": deleted.then_some("2026-01-01T00:00:00Z"),
                },
                "status": {"conditions": [{"type": "Ready", "status": condition}]},
            }))
            .unwrap();
            let expected = Pod { group: 3, revision: "a".to_owned(), ready };
            assert_eq!(pod(&object, true), Some(Change::Pod("s-3-1".to_owned(), expected)));
            assert_eq!(pod(&object, false), Some(Change::PodGone("s-3-1".to_owned())));
        }
    }

    #[test]
    fn the_leader_set_is_read() {
        let object: StatefulSet = serde_json::from_value(json!({
            "metadata": {"labels": {labels::REVISION: "a"}},
            "spec": {
                "replicas": 6,
                "selector": {},
                "serviceName": "s",
                "template": {},
                "updateStrategy": {"rollingUpdate": {"partition": 2}},
            },
        }))
        .unwrap();
        let expected = LeaderSet { revision: "a".to_owned(), partition: 2, replicas: 6 };
        assert_eq!(leader(&object, true), Some(Change::Leader(expected)));
        assert_eq!(leader(&object, false), None);
    }

    #[test]
    fn availability_is_read_with_its_generation() {
        for (condition, available) in [("True", true), ("False", false)] {
            let set: LeaderWorkerSet = serde_json::from_value(json!({
                "status": {"observedGeneration": 2, "conditions": [
                    {"type": "Available", "status": condition, "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ]},
            }))
            .unwrap();
            let expected = Status { generation: 2, available };
            assert_eq!(status(&set, true), Some(Change::Status(expected)));
            assert_eq!(status(&set, false), None);
        }
    }
}

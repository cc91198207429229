//! All groups of all sets are replaced. The sets are watched throughout; whatever a watch shows is followed at once by what is
//! due then.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Error, Result};
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _, pin_mut, stream};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use lws_api_types::keys::labels;
use lws_e2e::Namespace;
use serde_json::json;
use tokio::time::timeout;

use super::window::Window;
use super::{Model, group, is_observed, is_ready};
use crate::controller::Shape;
use crate::controller::completion::{DEADLINE, Seen, late};

/// The label of a pod that names the revision of its `StatefulSet`.
const POD_REVISION: &str = "controller-revision-hash";

/// Something that a watch has shown.
enum News {
    StatefulSet(Event<StatefulSet>),
    Leader(Event<Pod>),
}

/// A request, with the name of its object.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    /// Gives leaders their new template, which those have that are made from then on.
    Update(String),
    /// Deletes the leader of a group and its workers' `StatefulSet`.
    Delete(String),
    /// Makes the latter anew.
    Create(String),
}

/// Replaces all groups of a model that is in this namespace.
pub(super) async fn roll(model: &Model, namespace: &Namespace) -> Result<()> {
    let (stateful_sets, pods) = (namespace.stateful_sets(), namespace.pods());
    let all = watcher::Config::default();
    let leaders = watcher::Config::default().labels(&format!("{}=0", labels::WORKER_INDEX));
    let events = stream::select(
        watcher(stateful_sets.clone(), all).default_backoff().map_ok(News::StatefulSet),
        watcher(pods.clone(), leaders).default_backoff().map_ok(News::Leader),
    );
    pin_mut!(events);
    let mut rollout = Rollout::new(model);
    let mut trouble = None;
    let rolling = async {
        let mut requests: FuturesUnordered<_> = rollout
            .begin()
            .into_iter()
            .map(|act| request(model, &stateful_sets, &pods, act))
            .collect();
        while !(rollout.left() == 0 && requests.is_empty()) {
            tokio::select! {
                Some(done) = requests.next() => done?,
                news = events.next() => match news.context("a watch ended")? {
                    Ok(news) => {
                        let acts = rollout.follow(news).into_iter();
                        requests.extend(acts.map(|act| request(model, &stateful_sets, &pods, act)));
                    }
                    Err(error) => trouble = Some(error),
                },
            }
        }
        Ok::<_, Error>(())
    };
    if let Ok(outcome) = timeout(DEADLINE, rolling).await {
        return outcome;
    }
    Err(late(&format!("{} groups were not replaced", rollout.left()), trouble))
}

async fn request(
    model: &Model,
    stateful_sets: &Api<StatefulSet>,
    pods: &Api<Pod>,
    act: Act,
) -> Result<()> {
    let updated = |name: &str| {
        model.updated.get(name).with_context(|| format!("{name} was not seen after the update"))
    };
    match act {
        Act::Update(name) => {
            let spec = updated(&name)?.spec.as_ref().context("a model without content")?;
            let patch = Patch::Merge(json!({"spec": {
                "template": spec.template,
                "updateStrategy": {"type": "OnDelete", "rollingUpdate": null},
            }}));
            stateful_sets.patch(&name, &PatchParams::default(), &patch).await?;
        }
        Act::Delete(name) => {
            let (leader, workers) = (DeleteParams::default(), DeleteParams::foreground());
            tokio::try_join!(pods.delete(&name, &leader), stateful_sets.delete(&name, &workers))?;
        }
        Act::Create(name) => {
            stateful_sets.create(&PostParams::default(), updated(&name)?).await?;
        }
    }
    Ok(())
}

/// A rollout under way.
struct Rollout<'a> {
    model: &'a Model,
    /// Of each set, by its name, which its leaders' `StatefulSet` has too.
    windows: HashMap<String, Window>,
    /// The set and the number of each group, by its name, which its leader and its workers' `StatefulSet` share.
    groups: HashMap<String, (String, usize)>,
    /// Groups whose old workers' `StatefulSet` is not gone yet.
    going: HashSet<String>,
    /// The revision of each leader that is ready.
    leaders: Seen<Option<String>>,
    /// The revision of each `StatefulSet` of workers that is ready; of one of leaders, that which new leaders will have.
    stateful_sets: Seen<Option<String>>,
}

impl<'a> Rollout<'a> {
    fn new(model: &'a Model) -> Self {
        let Shape { groups, at_once, .. } = model.shape;
        let [groups, at_once] = [groups, at_once].map(|it| usize::try_from(it).unwrap_or_default());
        let window = |it: &StatefulSet| (it.name_any(), Window::new(groups, at_once));
        let of_group = |it: &StatefulSet| {
            let set = it.labels().get(labels::NAME)?;
            Some((it.name_any(), (set.clone(), group(it)?.try_into().ok()?)))
        };
        Self {
            model,
            windows: model.leaders().map(window).collect(),
            groups: model.created.iter().filter_map(of_group).collect(),
            going: HashSet::new(),
            leaders: Seen::default(),
            stateful_sets: Seen::default(),
        }
    }

    /// What comes first.
    fn begin(&self) -> Vec<Act> {
        self.windows.keys().cloned().map(Act::Update).collect()
    }

    /// How many groups were not replaced yet.
    fn left(&self) -> usize {
        self.windows.values().map(Window::left).sum()
    }

    /// Takes in what a watch has shown, and gives what is due then.
    fn follow(&mut self, news: News) -> Vec<Act> {
        let concerned = match news {
            News::StatefulSet(event) => self.stateful_sets.apply(event, standing),
            News::Leader(event) => self.leaders.apply(event, ready_revision),
        };
        if !(self.stateful_sets.is_complete() && self.leaders.is_complete()) {
            return Vec::new();
        }
        let names = match concerned {
            Some(name) => vec![name],
            None => self.groups.keys().chain(self.windows.keys()).cloned().collect(),
        };
        names.iter().flat_map(|name| self.due(name)).collect()
    }

    /// What is due because of the objects of this name.
    fn due(&mut self, name: &str) -> Vec<Act> {
        let Some((set, number)) = self.groups.get(name).cloned() else { return self.open(name) };
        if self.going.contains(name) && self.stateful_sets.get(name).is_none() {
            self.going.remove(name);
            return vec![Act::Create(name.to_owned())];
        }
        if !self.is_replaced(&set, name) {
            return Vec::new();
        }
        if let Some(window) = self.windows.get_mut(&set) {
            window.close(number);
        }
        self.open(&set)
    }

    /// Begins with as many groups of a set as may be, once new leaders will have the new template.
    fn open(&mut self, set: &str) -> Vec<Act> {
        let is_updated = revision(&self.stateful_sets, set).is_some();
        let window = self.windows.get_mut(set).filter(|_| is_updated);
        let opened = window.map(Window::open).unwrap_or_default();
        let names: Vec<_> = opened.into_iter().map(|number| format!("{set}-{number}")).collect();
        self.going.extend(names.iter().cloned());
        names.into_iter().map(Act::Delete).collect()
    }

    /// Whether the leader and the workers of a group are new and ready.
    fn is_replaced(&self, set: &str, name: &str) -> bool {
        let leader = revision(&self.leaders, name);
        let workers = revision(&self.stateful_sets, name);
        let new = self.model.updated.get(name).and_then(|it| it.labels().get(labels::REVISION));
        leader.is_some()
            && leader == revision(&self.stateful_sets, set)
            && workers.is_some()
            && workers == new
    }
}

fn revision<'a>(seen: &'a Seen<Option<String>>, name: &str) -> Option<&'a String> {
    seen.get(name)?.as_ref()
}

/// How a `StatefulSet` stands: see [`Rollout::stateful_sets`].
fn standing(stateful_set: &StatefulSet) -> Option<String> {
    if group(stateful_set).is_some() {
        let revision = stateful_set.labels().get(labels::REVISION);
        return revision.filter(|_| is_ready(stateful_set)).cloned();
    }
    let strategy = stateful_set.spec.as_ref()?.update_strategy.as_ref()?;
    // Before the template was observed, a leader would come back with the old one.
    let is_updated = strategy.type_.as_deref() == Some("OnDelete") && is_observed(stateful_set);
    is_updated.then(|| stateful_set.status.as_ref()?.update_revision.clone()).flatten()
}

/// The revision of a pod that is ready.
fn ready_revision(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let is_ready = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
    let counts = is_ready && pod.metadata.deletion_timestamp.is_none();
    counts.then(|| pod.labels().get(POD_REVISION).cloned()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One set of three groups, two of which may be unavailable.
    fn model() -> Model {
        let shape = Shape { groups: 3, at_once: 2, ..Shape::default() };
        let of = |revision: &str| (0..3).map(|it| workers(it, revision, true)).collect::<Vec<_>>();
        let mut created = of("old");
        created.push(leaders(false));
        let updated = of("new").into_iter().chain([leaders(true)]);
        let updated = updated.map(|it| (it.name_any(), it)).collect();
        Model { shape, services: Vec::new(), created, updated }
    }

    fn workers(group: i32, revision: &str, is_ready: bool) -> StatefulSet {
        let all = json!({
            labels::NAME: "s", labels::GROUP_INDEX: group.to_string(), labels::REVISION: revision,
        });
        let object = json!({
            "metadata": {"name": format!("s-{group}"), "generation": 1, "labels": all},
            "spec": {"replicas": 3, "selector": {}, "serviceName": "s", "template": {}},
            "status": {
                "observedGeneration": 1, "replicas": 3, "readyReplicas": if is_ready { 3 } else { 2 },
            },
        });
        serde_json::from_value(object).unwrap()
    }

    fn leaders(is_observed: bool) -> StatefulSet {
        let object = json!({
            "metadata": {"name": "s", "generation": 2, "labels": {labels::NAME: "s"}},
            "spec": {
                "replicas": 3, "selector": {}, "serviceName": "s", "template": {},
                "updateStrategy": {"type": "OnDelete"},
            },
            "status": {
                "observedGeneration": if is_observed { 2 } else { 1 }, "replicas": 3, "updateRevision": "new",
            },
        });
        serde_json::from_value(object).unwrap()
    }

    fn leader(group: i32, revision: &str) -> Pod {
        let object = json!({
            "metadata": {"name": format!("s-{group}"), "labels": {POD_REVISION: revision}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        serde_json::from_value(object).unwrap()
    }

    fn delete(group: i32) -> Act {
        Act::Delete(format!("s-{group}"))
    }

    fn create(group: i32) -> Act {
        Act::Create(format!("s-{group}"))
    }

    /// A rollout that was shown all old objects.
    fn begun(model: &Model) -> Rollout<'_> {
        let mut rollout = Rollout::new(model);
        assert_eq!(rollout.begin(), [Act::Update("s".to_owned())]);
        for group in 0..3 {
            let event = Event::InitApply(workers(group, "old", true));
            assert_eq!(rollout.follow(News::StatefulSet(event)), []);
            let event = Event::InitApply(leader(group, "old"));
            assert_eq!(rollout.follow(News::Leader(event)), []);
        }
        assert_eq!(rollout.follow(News::StatefulSet(Event::InitDone)), []);
        assert_eq!(rollout.follow(News::Leader(Event::InitDone)), []);
        rollout
    }

    #[test]
    fn each_group_follows_as_soon_as_it_may() {
        let model = model();
        let mut rollout = begun(&model);
        let mut sees = |event| rollout.follow(News::StatefulSet(event));
        assert_eq!(sees(Event::Apply(leaders(false))), [], "old leaders would come back");
        assert_eq!(sees(Event::Apply(leaders(true))), [delete(2), delete(1)]);
        assert_eq!(sees(Event::Apply(leaders(true))), []);
        assert_eq!(sees(Event::Delete(workers(1, "old", true))), [create(1)]);
        assert_eq!(sees(Event::Apply(workers(1, "new", false))), []);
        assert_eq!(sees(Event::Apply(workers(1, "new", true))), [], "its leader is old");
        let mut sees_leader = |it| rollout.follow(News::Leader(Event::Apply(it)));
        assert_eq!(sees_leader(leader(2, "new")), [], "its workers are old");
        assert_eq!(sees_leader(leader(1, "new")), [delete(0)]);
        assert_eq!(sees_leader(leader(1, "new")), []);
        assert_eq!(rollout.left(), 2);
    }

    #[test]
    fn what_happened_while_nobody_watched_is_made_up_for() {
        let model = model();
        let mut rollout = begun(&model);
        rollout.follow(News::StatefulSet(Event::Apply(leaders(true))));
        let mut sees = |event| rollout.follow(News::StatefulSet(event));
        assert_eq!(sees(Event::Init), []);
        for shown in [leaders(true), workers(0, "old", true), workers(1, "old", true)] {
            assert_eq!(sees(Event::InitApply(shown)), []);
        }
        assert_eq!(sees(Event::InitDone), [create(2)]);
    }
}

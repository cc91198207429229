//! The floor: the very `StatefulSet`s and headless Services that the controller makes of sets, made and replaced by this
//! program at the best moments, with the webhook and without a controller. What a controller takes longer than that is its
//! own doing.
//!
//! The Services belong to it because pods have no names in DNS without them, and because the cluster does much for each: its
//! endpoint controllers write whenever a pod changes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _, pin_mut, stream};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use lws_api_types::keys::labels;
use lws_e2e::Namespace;
use serde_json::json;

use super::completion::all_done;
use super::{CONCURRENCY, Shape, sets};

/// The objects of some sets, as the controller makes them.
pub(super) struct Model {
    shape: Shape,
    services: Vec<Service>,
    created: Vec<StatefulSet>,
    /// After the sets were updated, where that is measured.
    updated: HashMap<String, StatefulSet>,
}

impl Model {
    /// Takes the objects of sets that are created and removed again.
    pub(super) async fn of_creation(namespace: &Namespace, shape: Shape) -> Result<Self> {
        sets::create(namespace, shape).await?;
        let model = Self::of_created(namespace, shape).await?;
        sets::remove(namespace).await?;
        Ok(model)
    }

    /// Takes the objects of sets that are created, updated and removed again.
    pub(super) async fn of_rollout(namespace: &Namespace, shape: Shape) -> Result<Self> {
        sets::create(namespace, shape).await?;
        let mut model = Self::of_created(namespace, shape).await?;
        sets::roll(namespace, shape).await?;
        model.see_updated(namespace).await?;
        sets::remove(namespace).await?;
        Ok(model)
    }

    /// Takes the objects of the sets that are there.
    pub(super) async fn of_created(namespace: &Namespace, shape: Shape) -> Result<Self> {
        let services = services(namespace).await?;
        let created = stateful_sets(namespace).await?;
        Ok(Self { shape, services, created, updated: HashMap::new() })
    }

    /// Takes the objects that they have become by an update, and those that were added.
    pub(super) async fn see_updated(&mut self, namespace: &Namespace) -> Result<()> {
        let updated = stateful_sets(namespace).await?;
        self.updated = updated.into_iter().map(|it| (it.name_any(), it)).collect();
        Ok(())
    }

    /// Creates all at once, and gives how long it took until all pods were ready.
    pub(super) async fn create(&self, namespace: &Namespace) -> Result<Duration> {
        let begin = Instant::now();
        let api = namespace.stateful_sets();
        let creating = async {
            create_all(&namespace.services(), &self.services).await?;
            create_all(&api, &self.created).await
        };
        let ready = all_done(api.clone(), self.created.len(), is_ready);
        tokio::try_join!(creating, ready)?;
        Ok(begin.elapsed())
    }

    /// Replaces all groups, as many of each set at a time as may be unavailable, and gives how long it took until all were
    /// ready.
    pub(super) async fn roll(&self, namespace: &Namespace) -> Result<Duration> {
        let begin = Instant::now();
        let api = namespace.stateful_sets();
        let leaders = self.created.iter().filter(|it| group(it).is_none());
        stream::iter(leaders)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, async |it| self.update_leaders(&api, it).await)
            .await?;
        let mut from = self.shape.groups;
        while from > 0 {
            let to = from;
            from = (from - self.shape.at_once).max(0);
            self.replace(namespace, from..to).await?;
        }
        Ok(begin.elapsed())
    }

    /// Gives each updated set another number of groups, and gives how long it took until all that are wanted were ready and
    /// no others were left.
    pub(super) async fn scale(
        &self,
        namespace: &Namespace,
        from: i32,
        to: i32,
    ) -> Result<Duration> {
        let begin = Instant::now();
        let api = namespace.stateful_sets();
        let between = |it: &StatefulSet, range: &Range<i32>| {
            group(it).is_some_and(|group| range.contains(&group))
        };
        let (added, removed) = (from..to, to..from);
        let changing = async {
            let leaders = self.created.iter().filter(|it| group(it).is_none());
            stream::iter(leaders.map(kube::ResourceExt::name_any))
                .map(Ok::<_, anyhow::Error>)
                .try_for_each_concurrent(CONCURRENCY, async |name| {
                    let patch = Patch::Merge(json!({"spec": {"replicas": to}}));
                    api.patch(&name, &PatchParams::default(), &patch).await?;
                    Ok(())
                })
                .await?;
            let removed = self.updated.values().filter(|it| between(it, &removed));
            stream::iter(removed.map(kube::ResourceExt::name_any))
                .map(Ok::<_, anyhow::Error>)
                .try_for_each_concurrent(CONCURRENCY, async |name| {
                    api.delete(&name, &DeleteParams::foreground()).await?;
                    Ok(())
                })
                .await?;
            let added = self.updated.values().filter(|it| between(it, &added));
            create_all(&api, &added.cloned().collect::<Vec<_>>()).await
        };
        let wanted = self.shape.sets * usize::try_from(1 + to)?;
        let ready = all_done(api.clone(), wanted, |it| {
            is_ready(it) && (group(it).is_some() || wanted_replicas(it) == to)
        });
        tokio::try_join!(changing, ready)?;
        Ok(begin.elapsed())
    }

    /// Gives leaders their new template, which those have that are made from now on.
    async fn update_leaders(&self, api: &Api<StatefulSet>, of: &StatefulSet) -> Result<()> {
        let name = of.name_any();
        let spec = self.updated(&name)?.spec.as_ref().context("a model without content")?;
        let patch = json!({
            "spec": {"template": spec.template, "updateStrategy": {"type": "OnDelete", "rollingUpdate": null}},
        });
        api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Deletes the leaders and the worker `StatefulSet`s of some groups, makes the latter anew as soon as each is gone, and
    /// waits until all pods are ready.
    async fn replace(&self, namespace: &Namespace, groups: Range<i32>) -> Result<()> {
        let (api, pods) = (namespace.stateful_sets(), namespace.pods());
        let of_groups =
            self.created.iter().filter(|it| group(it).is_some_and(|it| groups.contains(&it)));
        let mut names: HashSet<_> = of_groups.map(kube::ResourceExt::name_any).collect();
        let ready =
            all_done(api.clone(), self.created.len(), |it| self.is_replaced(it, groups.start));
        let replacing = async {
            let events = watcher(api.clone(), watcher::Config::default());
            pin_mut!(events);
            while !matches!(events.try_next().await?, Some(Event::InitDone)) {}
            let deleting = FuturesUnordered::new();
            for name in &names {
                deleting.push(delete(&pods, &api, name));
            }
            deleting.try_collect::<()>().await?;
            let params = PostParams::default();
            let mut creating = FuturesUnordered::new();
            while !(names.is_empty() && creating.is_empty()) {
                tokio::select! {
                    event = events.try_next() => match event?.context("the watch ended")? {
                        Event::Delete(gone) if names.remove(&gone.name_any()) => {
                            creating.push(api.create(&params, self.updated(&gone.name_any())?));
                        }
                        _ => {}
                    },
                    Some(created) = creating.next() => drop(created?),
                }
            }
            Ok(())
        };
        tokio::try_join!(replacing, ready).map(drop)
    }

    fn updated(&self, name: &str) -> Result<&StatefulSet> {
        self.updated.get(name).with_context(|| format!("{name} was not seen after the update"))
    }

    /// Whether all pods are ready, and those of groups from `from` on are updated.
    fn is_replaced(&self, stateful_set: &StatefulSet, from: i32) -> bool {
        let status = stateful_set.status.as_ref();
        let updated = status.and_then(|it| it.updated_replicas).unwrap_or_default();
        let revision = |it: &StatefulSet| it.labels().get(labels::REVISION).cloned();
        let is_updated = match group(stateful_set) {
            None => updated >= self.shape.groups - from,
            Some(group) if group < from => true,
            Some(_) => self
                .updated
                .get(&stateful_set.name_any())
                .is_some_and(|it| revision(it) == revision(stateful_set)),
        };
        is_updated && is_ready(stateful_set)
    }
}

async fn create_all<K>(api: &Api<K>, objects: &[K]) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let params = PostParams::default();
    stream::iter(objects)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, async |it| api.create(&params, it).await.map(drop))
        .await?;
    Ok(())
}

/// Deletes the leader `name`, and the workers of the same name.
async fn delete(
    pods: &Api<k8s_openapi::api::core::v1::Pod>,
    sets: &Api<StatefulSet>,
    name: &str,
) -> Result<()> {
    let (leader, workers) = (DeleteParams::default(), DeleteParams::foreground());
    tokio::try_join!(pods.delete(name, &leader), sets.delete(name, &workers))?;
    Ok(())
}

/// The `StatefulSet`s of a namespace, without what belongs to that copy of them.
async fn stateful_sets(namespace: &Namespace) -> Result<Vec<StatefulSet>> {
    let all = namespace.all::<StatefulSet>().await?.into_iter();
    Ok(all.map(|it| StatefulSet { metadata: model(it.metadata), status: None, ..it }).collect())
}

/// Its Services likewise.
async fn services(namespace: &Namespace) -> Result<Vec<Service>> {
    let all = namespace.all::<Service>().await?.into_iter();
    Ok(all.map(|it| Service { metadata: model(it.metadata), status: None, ..it }).collect())
}

fn model(metadata: ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, labels, annotations, .. } = metadata;
    ObjectMeta { name, labels, annotations, ..ObjectMeta::default() }
}

/// The group whose workers these are; `None` for leaders.
fn group(stateful_set: &StatefulSet) -> Option<i32> {
    stateful_set.labels().get(labels::GROUP_INDEX)?.parse().ok()
}

fn is_ready(stateful_set: &StatefulSet) -> bool {
    let Some(status) = &stateful_set.status else {
        return false;
    };
    status.observed_generation == stateful_set.metadata.generation
        && status.ready_replicas.unwrap_or_default() == wanted_replicas(stateful_set)
}

fn wanted_replicas(stateful_set: &StatefulSet) -> i32 {
    stateful_set.spec.as_ref().and_then(|it| it.replicas).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(group: Option<&str>, revision: &str, ready: i32, updated: i32) -> StatefulSet {
        let mut all = json!({labels::REVISION: revision});
        if let Some(group) = group {
            all[labels::GROUP_INDEX] = group.into();
        }
        let object = json!({
            "metadata": {"name": "s", "uid": "u", "generation": 2, "labels": all},
            "spec": {"replicas": 3, "selector": {}, "serviceName": "s", "template": {}},
            "status": {
                "observedGeneration": 2, "replicas": 3, "readyReplicas": ready, "updatedReplicas": updated,
            },
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn only_the_groups_that_were_replaced_must_be_updated() {
        let shape = Shape { groups: 3, ..Shape::default() };
        let updated = [("s".to_owned(), seen(Some("0"), "new", 3, 3))].into();
        let model = Model { shape, services: Vec::new(), created: Vec::new(), updated };
        for (group, revision, ready, updated, from, expected) in [
            (None, "", 3, 3, 0, true),
            (None, "", 3, 1, 2, true),
            (None, "", 3, 0, 2, false),
            (None, "", 2, 1, 2, false),
            (Some("1"), "old", 3, 0, 2, true),
            (Some("2"), "old", 3, 0, 2, false),
            (Some("2"), "new", 2, 0, 2, false),
            (Some("2"), "new", 3, 0, 2, true),
        ] {
            let set = seen(group, revision, ready, updated);
            assert_eq!(
                model.is_replaced(&set, from),
                expected,
                "{group:?} {revision} {ready} {from}"
            );
        }
    }

    #[test]
    fn a_model_is_of_no_cluster() {
        let model = model(seen(Some("1"), "r", 3, 3).metadata);
        assert_eq!((model.uid, model.generation), (None, None));
        assert_eq!(model.name.as_deref(), Some("s"));
        assert!(model.labels.is_some());
    }
}

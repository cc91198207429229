//! The floor: the very `StatefulSet`s and headless Services that the controller makes of sets, made and replaced by this
//! program at the best moments, with the webhook and without a controller. What a controller takes longer than that is its
//! own doing.
//!
//! | module | owns |
//! |---|---|
//! | `roll` | replacing all groups |
//! | `window` | which of them at a time |
//!
//! The Services belong to it because pods have no names in DNS without them, and because the cluster does much for each: its
//! endpoint controllers write whenever a pod changes.

mod roll;
mod window;

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
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
        roll::roll(self, namespace).await?;
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
            stream::iter(self.leaders().map(kube::ResourceExt::name_any))
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

    /// The `StatefulSet`s of leaders, one of each set.
    fn leaders(&self) -> impl Iterator<Item = &StatefulSet> {
        self.created.iter().filter(|it| group(it).is_none())
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
    is_observed(stateful_set)
        && status.ready_replicas.unwrap_or_default() == wanted_replicas(stateful_set)
}

/// Whether its controller has seen its present content.
fn is_observed(stateful_set: &StatefulSet) -> bool {
    let observed = stateful_set.status.as_ref().and_then(|it| it.observed_generation);
    observed.is_some() && observed == stateful_set.metadata.generation
}

fn wanted_replicas(stateful_set: &StatefulSet) -> i32 {
    stateful_set.spec.as_ref().and_then(|it| it.replicas).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(observed: i64, ready: i32) -> StatefulSet {
        let object = json!({
            "metadata": {"name": "s", "uid": "u", "generation": 2, "labels": {"a": "b"}},
            "spec": {"replicas": 3, "selector": {}, "serviceName": "s", "template": {}},
            "status": {"observedGeneration": observed, "replicas": 3, "readyReplicas": ready},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_ready_is_so_at_its_present_content() {
        assert!(is_ready(&seen(2, 3)));
        assert!(!is_ready(&seen(1, 3)));
        assert!(!is_ready(&seen(2, 2)));
    }

    #[test]
    fn a_model_is_of_no_cluster() {
        let model = model(seen(2, 3).metadata);
        assert_eq!((model.uid, model.generation), (None, None));
        assert_eq!(model.name.as_deref(), Some("s"));
        assert!(model.labels.is_some());
    }
}

//! Sets, made and changed as users do.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use lws_api_types::LeaderWorkerSet;
use lws_api_types::conditions::ConditionType;
use lws_e2e::fixture::IMAGE as OLD_IMAGE;
use lws_e2e::{Fixture, Namespace, TestSet};
use lws_harness::wait;
use serde_json::Value;

use super::completion::all_done;
use super::{CONCURRENCY, IMAGE, Shape};

/// How long objects may take to go: 10 000 pods and what they belong to, on any machine.
const REMOVAL: Duration = Duration::from_mins(15);

/// Creates the sets and gives how long it took until all were available.
pub(super) async fn create(namespace: &Namespace, shape: Shape) -> Result<Duration> {
    let begin = Instant::now();
    let creating = stream::iter(shape.names("set")).map(Ok).try_for_each_concurrent(
        CONCURRENCY,
        async |name| {
            let fixture = Fixture::named(&name).replicas(shape.groups).size(shape.size);
            namespace.create_set(&fixture.max_unavailable(shape.at_once)).await.map(drop)
        },
    );
    tokio::try_join!(creating, available(namespace, shape, OLD_IMAGE))?;
    Ok(begin.elapsed())
}

/// Gives the workers of all sets [`IMAGE`], and gives how long it took until all were updated.
pub(super) async fn roll(namespace: &Namespace, shape: Shape) -> Result<Duration> {
    let begin = Instant::now();
    let changing = stream::iter(shape.names("set"))
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, async |name| {
            TestSet::named(namespace.clone(), &name).change_workers(IMAGE).await
        });
    tokio::try_join!(changing, available(namespace, shape, IMAGE))?;
    Ok(begin.elapsed())
}

/// Waits until all sets are available and have this image.
pub(super) async fn available(namespace: &Namespace, shape: Shape, image: &str) -> Result<()> {
    let done = |set: &DynamicObject| {
        let set = serde_json::to_value(set).and_then(serde_json::from_value);
        set.is_ok_and(|set| is_available(&set, shape.groups, image))
    };
    all_done(namespace.sets(), shape.sets, done).await
}

fn is_available(set: &LeaderWorkerSet, groups: i32, image: &str) -> bool {
    let template = &set.spec.leader_worker_template.worker_template;
    let container = template.spec().and_then(|spec| spec.get("containers")?.get(0));
    let seen_image = container.and_then(|it| it.get("image")).and_then(Value::as_str);
    let status = set.status.clone().unwrap_or_default();
    let holds = |wanted: ConditionType| {
        let mut conditions = status.conditions.iter();
        conditions.any(|it| it.type_ == wanted.as_str() && it.status == "True")
    };
    seen_image == Some(image)
        && status.observed_generation == set.metadata.generation
        && [status.replicas, status.ready_replicas, status.updated_replicas] == [groups; 3]
        && holds(ConditionType::Available)
        && !holds(ConditionType::UpdateInProgress)
}

/// Gives all sets, which are updated, another number of groups, and gives how long it took until all were available with it.
pub(super) async fn scale(namespace: &Namespace, shape: Shape, groups: i32) -> Result<Duration> {
    let begin = Instant::now();
    let changing = stream::iter(shape.names("set"))
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, async |name| {
            TestSet::named(namespace.clone(), &name).scale(groups).await
        });
    let scaled = Shape { groups, ..shape };
    tokio::try_join!(changing, available(namespace, scaled, IMAGE))?;
    Ok(begin.elapsed())
}

/// Deletes all sets as users do, and gives how long it took until nothing was left of them.
pub(super) async fn delete(namespace: &Namespace) -> Result<Duration> {
    let begin = Instant::now();
    namespace.sets().delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
    nothing_is_left(namespace).await?;
    Ok(begin.elapsed())
}

/// Deletes all sets, `StatefulSet`s and Services, and gives how long it took until nothing was left of them.
pub(super) async fn remove(namespace: &Namespace) -> Result<Duration> {
    let begin = Instant::now();
    let (params, all) = (DeleteParams::background(), ListParams::default());
    // The API server may end a request that deletes thousands of objects before it is done.
    wait::eventually(REMOVAL, "everything is deleted", async || {
        namespace.sets().delete_collection(&params, &all).await?;
        namespace.stateful_sets().delete_collection(&params, &all).await?;
        namespace.services().delete_collection(&params, &all).await?;
        Ok::<_, kube::Error>(Some(()))
    })
    .await?;
    nothing_is_left(namespace).await?;
    Ok(begin.elapsed())
}

async fn nothing_is_left(namespace: &Namespace) -> Result<()> {
    let one = ListParams::default().limit(1);
    wait::eventually(REMOVAL, "nothing is left of the sets", async || {
        let stateful_sets = namespace.api::<StatefulSet>().list_metadata(&one).await?;
        let pods = namespace.api::<Pod>().list_metadata(&one).await?;
        let services = namespace.services().list_metadata(&one).await?;
        let gone =
            stateful_sets.items.is_empty() && pods.items.is_empty() && services.items.is_empty();
        Ok::<_, kube::Error>(gone.then_some(()))
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_is_available_at_its_present_content() {
        let seen = |image: &str, observed: i64, ready: i32, condition: &str| {
            let template = json!({"spec": {"containers": [{"name": "c", "image": image}]}});
            let set = json!({
                "metadata": {"generation": 2},
                "spec": {"replicas": 2, "leaderWorkerTemplate": {"workerTemplate": template}},
                "status": {
                    "observedGeneration": observed, "replicas": 2, "readyReplicas": ready,
                    "updatedReplicas": 2,
                    "conditions": [{
                        "type": condition, "status": "True", "reason": "r", "message": "",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }],
                },
            });
            is_available(&serde_json::from_value(set).unwrap(), 2, "new")
        };
        assert!(seen("new", 2, 2, "Available"));
        assert!(!seen("old", 2, 2, "Available"));
        assert!(!seen("new", 1, 2, "Available"));
        assert!(!seen("new", 2, 1, "Available"));
        assert!(!seen("new", 2, 2, "UpdateInProgress"));
    }
}

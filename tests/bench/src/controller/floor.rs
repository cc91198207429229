//! The floor: the same pods by `StatefulSet`s alone, made and replaced by this program at the best moments. What a
//! controller takes longer than that is its own doing.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lws_e2e::Namespace;
use lws_e2e::fixture;
use serde_json::{Value, json};

use super::completion::all_done;
use super::{CONCURRENCY, IMAGE, Shape};

/// The group of a worker `StatefulSet`.
const GROUP: &str = "floor/group";

/// Creates the `StatefulSet`s of leaders and workers at once, and gives how long it took until all pods were ready.
pub(super) async fn create(namespace: &Namespace, shape: Shape) -> Result<Duration> {
    let begin = Instant::now();
    let api = namespace.stateful_sets();
    let objects = stream::iter(shape.names("floor").flat_map(|name| stateful_sets(&name, shape)));
    let creating = objects.map(Ok).try_for_each_concurrent(CONCURRENCY, async |object| {
        let object = serde_json::from_value(object)?;
        api.create(&PostParams::default(), &object).await?;
        Ok::<_, anyhow::Error>(())
    });
    let ready = all_done(api.clone(), shape.stateful_sets(), |it| is_ready(it, 0));
    tokio::try_join!(creating, ready)?;
    Ok(begin.elapsed())
}

/// Replaces the pods of all groups, as many of each set at a time as may be unavailable, and gives how long it took until all
/// were ready.
pub(super) async fn roll(namespace: &Namespace, shape: Shape) -> Result<Duration> {
    let begin = Instant::now();
    let api = namespace.stateful_sets();
    let template = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "worker", "image": IMAGE},
    ]}}}});
    let (params, patch) = (PatchParams::default(), Patch::Strategic(template));
    let objects = shape.names("floor").flat_map(|name| stateful_sets(&name, shape));
    let names = objects.filter_map(|it| Some(it.pointer("/metadata/name")?.as_str()?.to_owned()));
    stream::iter(names)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, async |name| {
            api.patch(&name, &params, &patch).await.map(drop)
        })
        .await?;
    let mut from = shape.groups;
    while from > 0 {
        let to = from;
        from = (from - shape.at_once).max(0);
        replace(namespace, shape, from..to).await?;
    }
    Ok(begin.elapsed())
}

/// Deletes the pods of some groups, and waits until those that take their places are ready.
async fn replace(namespace: &Namespace, shape: Shape, groups: std::ops::Range<i32>) -> Result<()> {
    let pods = namespace.pods();
    let from = groups.start;
    let leaders = shape.names("floor").flat_map(|name| {
        let leader = move |group| format!("{name}-{group}");
        groups.clone().map(leader)
    });
    let names = leaders.flat_map(|leader| {
        let workers = (1..shape.size).map(|worker| format!("{leader}-{worker}"));
        let names: Vec<String> = workers.chain([leader.clone()]).collect();
        names
    });
    let deleting = stream::iter(names).map(Ok).try_for_each_concurrent(CONCURRENCY, async |name| {
        pods.delete(&name, &DeleteParams::default()).await?;
        Ok::<_, anyhow::Error>(())
    });
    let ready = all_done(namespace.stateful_sets(), shape.stateful_sets(), |it| is_ready(it, from));
    tokio::try_join!(deleting, ready).map(drop)
}

/// Whether all pods are ready, and those of groups from `updated_from` on have the present template.
fn is_ready(stateful_set: &StatefulSet, updated_from: i32) -> bool {
    let (Some(spec), Some(status)) = (&stateful_set.spec, &stateful_set.status) else {
        return false;
    };
    let replicas = spec.replicas.unwrap_or(1);
    let updated = match stateful_set.labels().get(GROUP).map(|group| group.parse::<i32>()) {
        Some(Ok(group)) if group < updated_from => 0,
        Some(_) => replicas,
        None => replicas - updated_from,
    };
    status.observed_generation == stateful_set.metadata.generation
        && status.ready_replicas == Some(replicas)
        && status.updated_replicas.unwrap_or_default() >= updated
}

/// The `StatefulSet` of the leaders `name`, and those of the workers `name-0`, …
pub(super) fn stateful_sets(name: &str, shape: Shape) -> Vec<Value> {
    let leaders = stateful_set(name, name, &json!({}), shape.groups, 0);
    let workers = (0..shape.groups).map(|group| {
        let labels = json!({GROUP: group.to_string()});
        stateful_set(&format!("{name}-{group}"), name, &labels, shape.size - 1, 1)
    });
    [leaders].into_iter().chain(workers).collect()
}

fn stateful_set(name: &str, service: &str, labels: &Value, replicas: i32, start: i32) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "ordinals": {"start": start},
            "serviceName": service,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "worker", "image": fixture::IMAGE}]},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen((group, ready, updated, observed): (Option<&str>, i32, i32, i64)) -> StatefulSet {
        let labels = group.map_or_else(|| json!({}), |group| json!({GROUP: group}));
        let object = json!({
            "metadata": {"generation": 2, "labels": labels},
            "spec": {"replicas": 3, "selector": {}, "serviceName": "s", "template": {}},
            "status": {
                "observedGeneration": observed, "replicas": 3, "readyReplicas": ready,
                "updatedReplicas": updated,
            },
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn only_the_groups_that_were_replaced_must_be_updated() {
        for (state, updated_from, expected) in [
            ((None, 3, 3, 2), 0, true),
            ((None, 3, 1, 2), 2, true),
            ((None, 3, 0, 2), 2, false),
            ((None, 2, 1, 2), 2, false),
            ((None, 3, 3, 1), 0, false),
            ((Some("1"), 3, 0, 2), 2, true),
            ((Some("2"), 3, 0, 2), 2, false),
            ((Some("2"), 3, 3, 2), 2, true),
        ] {
            assert_eq!(is_ready(&seen(state), updated_from), expected, "{state:?} {updated_from}");
        }
    }
}

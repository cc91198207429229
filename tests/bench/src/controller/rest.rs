//! Scenarios in which there is nothing to do.

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::json;

use super::completion::all_done;
use super::world::{Options, World};
use super::{CONCURRENCY, Section, Shape, sets};
use crate::report::{Figure, count};

/// Pods of others.
const FOREIGN_PODS: usize = 3000;

/// MiB that are taken for none: an allocator takes pages when it likes.
const NO_MEMORY: f64 = 0.5;

/// 50 sets of which nothing is wanted.
pub(super) async fn settled() -> Result<Section> {
    let shape = Shape { sets: 50, groups: 2, ..Shape::default() };
    let mut world = World::start(Options { nodes: 20, gate: true }).await?;
    let namespace = world.namespace().await?;
    sets::create(&namespace, shape).await?;
    let begin = world.begin().await?;
    let spent = world.rest(&begin).await?;
    world.stop().await?;
    let figures = vec![
        Figure::at_most("requests in 10 s", count(spent.requests.total()), 0.0).existing("40"),
        Figure::plain("CPU in 10 s, s", spent.processor_time.as_secs_f64()),
        Figure::plain("memory, MiB", spent.memory.resident_mebibytes()),
    ];
    Section::tell("50 settled sets", figures)?.and_requests(&spent.requests, shape.groups())
}

/// 3000 pods that belong to no set.
pub(super) async fn foreign() -> Result<Section> {
    let shape = Shape { sets: 5, groups: 2, ..Shape::default() };
    let mut world = World::start(Options { nodes: 20, gate: true }).await?;
    let namespace = world.namespace().await?;
    sets::create(&namespace, shape).await?;
    let begin = world.begin().await?;
    let before = world.controller()?.memory()?;
    let others = world.namespace().await?;
    let pods = others.pods();
    let creating =
        stream::iter(0..FOREIGN_PODS).map(Ok).try_for_each_concurrent(CONCURRENCY, async |index| {
            let pod = serde_json::from_value(json!({
                "metadata": {"name": format!("other-{index}"), "labels": {"app": "other"}},
                "spec": {"containers": [{"name": "c", "image": "example.org/c"}]},
            }))?;
            pods.create(&PostParams::default(), &pod).await?;
            Ok::<_, anyhow::Error>(())
        });
    tokio::try_join!(creating, all_done(others.pods(), FOREIGN_PODS, is_running))?;
    let spent = world.end(&begin).await?;
    world.stop().await?;
    let more = spent.memory.resident_mebibytes() - before.resident_mebibytes();
    let figures = vec![
        Figure::at_most("more memory, MiB", more, NO_MEMORY).existing("20"),
        Figure::at_most("requests", count(spent.requests.total()), 0.0),
        Figure::plain("CPU, s", spent.processor_time.as_secs_f64()),
    ];
    Section::tell("3000 pods of others", figures)?.and_requests(&spent.requests, shape.groups())
}

fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

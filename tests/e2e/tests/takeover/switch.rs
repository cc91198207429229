//! The switch from one webhook to another.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::PostParams;
use lws_api_types::keys::{annotations, labels};
use lws_e2e::metrics::Scrape;
use lws_e2e::{DEADLINE, Fixture, TestSet};
use lws_harness::system::{Component, System, SystemOptions};
use lws_harness::wait;
use serde_json::json;
use tokio::try_join;

use crate::world::World;

/// Objects that are created before the switch and after it.
const BEFORE: u32 = 30;
const AFTER: u32 = 50;

/// How long the former webhook may take to end.
const STOP: Duration = Duration::from_secs(30);

#[tokio::test]
async fn leaves_no_gap() -> Result<()> {
    let world = World::without_controllers("switch").await?;
    let options = SystemOptions { controllers: 0, ..SystemOptions::default() };
    let mut system = System::install(&world.cluster, &options).await?;

    let (created, stopped) = (Cell::new(0), Cell::new(false));
    let load = async {
        while !stopped.get() {
            create_set(&world, created.get()).await?;
            create_pod(&world, created.get()).await?;
            created.set(created.get() + 2);
        }
        anyhow::Ok(())
    };
    let reach = async |count: u32| {
        let look = async || Ok::<_, anyhow::Error>(created.get());
        wait::until(DEADLINE, "objects are created", look, |seen| *seen >= count).await
    };
    let switch = async {
        reach(BEFORE).await?;
        let former = system.replace_webhook(&world.cluster, &options).await?;
        is_called(system.webhook()?).await?;
        reach(created.get() + AFTER / 2).await?;
        let status = former.process().stop(STOP).await?;
        ensure!(status.success(), "the former webhook ended with {status}");
        reach((created.get() + AFTER / 2).max(100)).await?;
        stopped.set(true);
        Ok(())
    };
    // The first object that is refused ends it.
    try_join!(load, switch)?;
    Ok(())
}

/// Creates a set, which must have its defaults.
async fn create_set(world: &World, number: u32) -> Result<()> {
    let mut object = Fixture::named(&format!("set-{number}")).object();
    let template = object.data.pointer_mut("/spec/leaderWorkerTemplate");
    let template = template.and_then(|it| it.as_object_mut()).context("no template")?;
    template.remove("restartPolicy");
    let created = world.namespace.sets().create(&PostParams::default(), &object).await?;
    let policy = created.data.pointer("/spec/leaderWorkerTemplate/restartPolicy");
    ensure!(policy.is_some(), "{} was not admitted", created.name_any());
    Ok(())
}

/// Creates a worker, which must learn its place.
async fn create_pod(world: &World, number: u32) -> Result<()> {
    let set = TestSet::named(world.namespace.clone(), &format!("set-{number}"));
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": set.worker(0, 1),
            "labels": {labels::NAME: set.name(), labels::GROUP_INDEX: "0"},
            "annotations": {annotations::SIZE: "2", annotations::LEADER_NAME: set.group(0)},
        },
        "spec": {"containers": [{"name": "worker", "image": "example.org/worker"}]},
    }))?;
    let created = world.namespace.pods().create(&PostParams::default(), &pod).await?;
    let index = created.labels().get(labels::WORKER_INDEX).map(String::as_str);
    ensure!(index == Some("1"), "{} has the worker index {index:?}", created.name_any());
    Ok(())
}

/// Waits until the webhook has admitted something for the API server.
async fn is_called(webhook: &Component) -> Result<()> {
    let calls = async || {
        let seen = Scrape::of(webhook).await?;
        anyhow::Ok(seen.sum("controller_runtime_webhook_requests_total{"))
    };
    wait::until(DEADLINE, "the other webhook is called", calls, |it| *it > 0.0).await?;
    Ok(())
}

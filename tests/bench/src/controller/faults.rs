//! Scenarios of failure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams};
use lws_api_types::keys::labels;
use lws_e2e::Namespace;
use lws_harness::wait;

use super::world::{Options, World};
use super::{CONCURRENCY, Section, Shape, cost, sets};
use crate::report::{Figure, count};

/// How long is waited for a group to be recreated. One that is not by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);

/// A worker of each of 10 groups is deleted without grace, and its successor is ready at once.
pub(super) async fn recreate() -> Result<Section> {
    let shape = Shape { groups: 10, ..Shape::default() };
    let mut world = World::start(Options { nodes: 20, gate: true }).await?;
    let namespace = world.namespace().await?;
    sets::create(&namespace, shape).await?;
    let before = leaders(&namespace).await?;
    let begin = world.begin().await?;
    let since = Instant::now();
    let (pods, at_once) = (namespace.pods(), DeleteParams::default().grace_period(0));
    stream::iter(before.keys().map(|leader| format!("{leader}-1")))
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, async |worker| {
            pods.delete(&worker, &at_once).await.map(drop)
        })
        .await?;
    let recreated = async || {
        let now = leaders(&namespace).await?;
        let is_new = |(name, uid): &(&String, &String)| before.get(*name) != Some(uid);
        Ok::<_, kube::Error>(now.iter().filter(is_new).count())
    };
    let all = before.len();
    let waited = wait::until(DEADLINE, "all groups are recreated", recreated, |it| *it == all);
    let complete = waited.await.is_ok();
    let took = since.elapsed();
    sets::available(&namespace, shape, lws_e2e::fixture::IMAGE).await?;
    let spent = world.end(&begin).await?;
    let missing = all.saturating_sub(recreated().await?);
    world.stop().await?;
    let mut figures =
        vec![Figure::at_most("groups not recreated, of 10", count(missing), 0.0).existing("1")];
    if complete {
        figures.push(Figure::plain("time until all leaders were new, s", took.as_secs_f64()));
    }
    // A recreated group is a new one.
    figures.extend(cost(&spent, 7.0 * shape.groups() + 12.0));
    Section::tell("Delete a worker of each of 10 groups without grace", figures)?
        .and_requests(&spent.requests, shape.groups())
}

/// The UIDs of the leaders, by name.
async fn leaders(namespace: &Namespace) -> kube::Result<BTreeMap<String, String>> {
    let leaders = ListParams::default().labels(&format!("{}=0", labels::WORKER_INDEX));
    let pods = namespace.pods().list_metadata(&leaders).await?;
    Ok(pods.into_iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect())
}

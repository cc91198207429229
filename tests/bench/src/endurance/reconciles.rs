//! News and rollouts for the controller: settled sets whose leaders become ready at another time without end, so that each
//! reconcile is one plan that finds nothing to do; in between, all are rolled out and some give way to others.
//!
//! News of pods cost the API server less than edits of sets do, whose definition is large.

use std::future::ready;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams};
use lws_e2e::{Fixture, Namespace, TestSet};
use lws_harness::system::{System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions};
use serde_json::json;
use tokio::time::sleep;

use super::samples::Samples;
use crate::counter::Counter;
use crate::process::Measured;

/// Sets of two groups of two pods.
const SETS: usize = 40;
const GROUPS: i32 = 2;

/// So many of them are deleted after each rollout, and others created: what is known of a set must go with it.
const REPLACED: usize = 10;

/// From when on leaders have been ready, as they are told to be: a second later each time.
const BEGIN: &str = "2026-01-01T00:00:00Z";

/// All sets are rolled out once for so many reconciles, and a few times however few there are.
const RECONCILES_A_ROLLOUT: u32 = 20_000;
const LEAST_ROLLOUTS: u32 = 2;

/// Requests at a time.
const CONCURRENCY: usize = 32;

/// Pause between two looks at the process.
const PAUSE: Duration = Duration::from_millis(250);

/// How a set stands once everything is done.
const DONE: &str = "available p0 r2 (2/2)";

/// Has a controller reconcile so often, and gives what it had meanwhile.
pub(super) async fn run(reconciles: u32) -> Result<Samples> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let mut system = System::install(&cluster, &SystemOptions::default()).await?;
    let namespace = Namespace::create(cluster.client(), cluster.audit(), true).await?;
    let sets = create(&namespace, 0..SETS).await?;
    let samples = work(&mut system, &namespace, sets, reconciles).await?;
    drop(system);
    cluster.stop().await?;
    Ok(samples)
}

/// Creates the sets of these numbers and waits until they are available.
async fn create(namespace: &Namespace, numbers: Range<usize>) -> Result<Vec<TestSet>> {
    let sets: Vec<_> = stream::iter(numbers)
        .map(|number| async move {
            namespace.create_set(&Fixture::named(&format!("set-{number}")).replicas(GROUPS)).await
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    all_done(&sets).await?;
    Ok(sets)
}

/// Deletes the oldest of the sets and creates as many, of numbers from `next` on.
async fn replace(sets: &mut Vec<TestSet>, next: usize) -> Result<()> {
    let old: Vec<_> = sets.drain(..REPLACED).collect();
    let namespace = old.first().context("nothing is replaced")?.namespace();
    for set in &old {
        namespace.sets().delete(set.name(), &DeleteParams::background()).await?;
    }
    sets.extend(create(namespace, next..next + REPLACED).await?);
    Ok(())
}

async fn all_done(sets: &[TestSet]) -> Result<()> {
    let waiting = stream::iter(sets).map(Ok);
    waiting.try_for_each_concurrent(CONCURRENCY, |set| set.expect(DONE)).await
}

async fn work(
    system: &mut System,
    namespace: &Namespace,
    mut sets: Vec<TestSet>,
    reconciles: u32,
) -> Result<Samples> {
    let controller = system.controllers().first().context("no controller runs")?;
    let process = Measured::new(controller.process().pid());
    let counter = Counter::of(&controller.metrics_url())?;
    let mut next = sets.len();
    let mut samples = Samples::default();
    // Buffers have their final size afterwards.
    roll(&sets, 0).await?;
    namespace.silence().await?;
    let before = counter.reconciles().await?;
    samples.look(process, 0)?;
    let rollouts = (reconciles / RECONCILES_A_ROLLOUT).max(LEAST_ROLLOUTS);
    for rollout in 1..=rollouts {
        let target = before + reconciles / rollouts * rollout;
        stir(&sets, async || {
            sleep(PAUSE).await;
            let done = counter.reconciles().await?;
            samples.look(process, done - before)?;
            Ok(done >= target)
        })
        .await?;
        roll(&sets, rollout).await?;
        replace(&mut sets, next).await?;
        next += REPLACED;
        samples.look(process, counter.reconciles().await? - before)?;
    }
    namespace.silence().await?;
    samples.look(process, counter.reconciles().await? - before)?;
    Ok(samples)
}

/// Tells news of one leader after the other until `is_enough`.
async fn stir(sets: &[TestSet], mut is_enough: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let enough = AtomicBool::new(false);
    let leaders = (0..GROUPS).flat_map(|group| sets.iter().map(move |set| (set, set.group(group))));
    let leaders: Vec<_> = leaders.collect();
    let begin: Timestamp = BEGIN.parse()?;
    let telling = stream::iter((1_i64..).zip(leaders.iter().cycle()))
        .take_while(|_| ready(!enough.load(Ordering::Relaxed)))
        .map(Ok::<_, anyhow::Error>)
        .try_for_each_concurrent(CONCURRENCY, async |(second, (set, leader))| {
            let time = begin + SignedDuration::from_secs(second);
            let news = json!({"type": "Ready", "status": "True", "lastTransitionTime": time});
            let news = Patch::Strategic(json!({"status": {"conditions": [news]}}));
            set.namespace().pods().patch_status(leader, &PatchParams::default(), &news).await?;
            Ok(())
        });
    let looking = async {
        while !is_enough().await? {}
        enough.store(true, Ordering::Relaxed);
        Ok(())
    };
    tokio::try_join!(telling, looking).map(drop)
}

/// Gives all sets the image of this number and waits until all groups have it.
async fn roll(sets: &[TestSet], number: u32) -> Result<()> {
    let image = &format!("docker.io/nginxinc/nginx-unprivileged:2.{number}");
    let changing = stream::iter(sets).map(Ok::<_, anyhow::Error>);
    changing.try_for_each_concurrent(CONCURRENCY, |set| set.change_workers(image)).await?;
    all_done(sets).await
}

//! Users change sets at random while everything fails at random; all along, promises are kept.
//!
//! | module | owns |
//! |---|---|
//! | `plan` | what happens, drawn from a seed |
//! | `world` | what it happens to |
//! | `act` | carries out a step |
//! | `run` | carries out a plan and judges it |
//! | `history` | what happened |
//! | `invariants` | what must never happen |
//! | `rest` | what there must be once everything has come to rest |
//! | `webhook` | one of two webhooks is killed under load |
//!
//! Some seeds are fixed. `CHAOS_SEED` names another one to run instead, `CHAOS_WITHOUT` numbers of its steps to leave
//! out, and `CHAOS_HOURS` how long to go on, with the seeds that follow.

mod act;
mod history;
mod invariants;
mod plan;
mod rest;
mod run;
mod webhook;
mod world;

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use lws_e2e::environment::fresh_directory;
use tokio::task::LocalSet;
use tokio::time::Instant;

use plan::Plan;
use world::World;

/// What is run without further ado. Together they have every kind of step.
const SEEDS: [u64; 2] = [78, 23791];

/// A cluster keeps all that was ever asked of it, so hours need several.
const SEEDS_OF_A_CLUSTER: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn promises_are_kept_whatever_fails() -> Result<()> {
    let seed: Option<u64> = variable("CHAOS_SEED")?;
    let hours: Option<f64> = variable("CHAOS_HOURS")?;
    let duration = hours.map(|it| Duration::try_from_secs_f64(it * 3600.0)).transpose();
    let end = duration.context("CHAOS_HOURS")?.map(|it| Instant::now() + it);
    let seeds: Box<dyn Iterator<Item = u64> + Send> = match (seed, end) {
        (first, Some(_)) => Box::new(first.unwrap_or(1)..),
        (Some(seed), None) => Box::new(std::iter::once(seed)),
        (None, None) => Box::new(SEEDS.into_iter()),
    };
    // The first one is run in any case.
    let mut is_first = true;
    let goes_on =
        |_: &u64| std::mem::take(&mut is_first) || end.is_none_or(|end| Instant::now() < end);
    let mut seeds = seeds.take_while(goes_on).peekable();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let directory = fresh_directory(target, "chaos")?;
    while let Some(first) = seeds.peek().copied() {
        let seeds = seeds.by_ref().take(SEEDS_OF_A_CLUSTER);
        let outcome = LocalSet::new().run_until(Box::pin(run_all(&directory, seeds))).await;
        if let Err(error) = outcome {
            // The next run does not find it there.
            let kept = target.join(format!("failed-chaos-{first}-{}", std::process::id()));
            std::fs::rename(&directory, &kept)?;
            return Err(anyhow!("{error:#}\nWhat happened, and all logs: {}", kept.display()));
        }
        // Nothing has failed, and logs of hours are long.
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

/// Runs these seeds on a cluster of their own.
async fn run_all(directory: &Path, seeds: impl Iterator<Item = u64>) -> Result<()> {
    let without = list("CHAOS_WITHOUT")?;
    let world = Arc::new(World::start(directory.to_owned()).await?);
    for seed in seeds {
        let plan = Plan::of(seed).without(&without);
        let began = Instant::now();
        let summary = run::run(&world, &plan).await.map_err(|error| failure(&plan, &error))?;
        #[allow(clippy::print_stdout, reason = "for people who run it with --nocapture")]
        {
            let steps = plan.steps.len();
            println!("seed {seed}: {steps} steps in {:.0?}; {summary}", began.elapsed());
        }
    }
    Ok(())
}

/// What failed, in which plan, and how to do it again.
fn failure(plan: &Plan, error: &anyhow::Error) -> anyhow::Error {
    let seed = plan.seed;
    anyhow!(
        "seed {seed}: {error:#}\n\n{plan}\nAgain: make soak SEED={seed} HOURS=0\n\
         without some of its steps: make soak SEED={seed} HOURS=0 WITHOUT=3,4"
    )
}

/// A variable of the environment, if it is set.
fn variable<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    let parsed = text.parse().map_err(|error| anyhow!("{name}={text}: {error}"))?;
    Ok(Some(parsed))
}

/// The numbers in a variable of the environment.
fn list(name: &str) -> Result<Vec<usize>> {
    let text: String = variable(name)?.unwrap_or_default();
    let numbers = text.split(',').filter(|it| !it.is_empty());
    numbers.map(|it| it.trim().parse().with_context(|| format!("{name}={text}"))).collect()
}

//! The programs at their begin and at rest: how large they are, how long they take until they listen and until the controller
//! reconciles, and how much of a processor they use while there is nothing to do.
//!
//! | module | owns |
//! |---|---|
//! | `launch` | a process from its start until it listens |
//! | `world` | a control plane with settled sets, where processes are started |

mod launch;
mod world;

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lws_harness::ClusterOptions;
use lws_harness::processes::ProcessSpec;

use crate::guide::Guide;
use crate::report::{self, Figure, count, say};
use world::World;

/// Both programs.
const PROGRAMS: [&str; 2] = ["lws-controller", "lws-webhook"];

/// How long a process may take until it listens, in milliseconds.
const LISTENING_TARGET: f64 = 50.0;

/// How long the controller may take until its first reconcile, in milliseconds.
const RECONCILE_TARGET: f64 = 1000.0;

/// How much of a processor a process may use at rest, in percent.
const IDLE_TARGET: f64 = 0.05;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often each process is started: the slowest start counts.
    #[arg(long, default_value = "20")]
    starts: NonZeroU32,
    /// How many sets there are when the controller starts.
    #[arg(long, default_value = "300")]
    sets: usize,
    /// How many of them there are at rest.
    #[arg(long, default_value = "50")]
    resting_sets: usize,
    /// For how many seconds is looked at what rests.
    #[arg(long, default_value = "90")]
    seconds: u64,
    #[command(flatten)]
    guide: Guide,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let mut figures = Vec::new();
    for name in PROGRAMS {
        let program = ProcessSpec::of_workspace(name)?.program;
        let file = program.metadata().with_context(|| format!("cannot read {name}"))?;
        figures.push(Figure::plain(format!("size of {name}, MiB"), mebibytes(file.len())));
    }
    let starts = arguments.starts.get();
    let webhook = launch::webhook(starts).await?;
    figures.extend(listening("lws-webhook", &webhook));

    let mut world = World::start(arguments.resting_sets).await?;
    let rest = Duration::from_secs(arguments.seconds);
    for (name, used) in world.rest(rest).await? {
        let part = used.as_secs_f64() / rest.as_secs_f64() * 100.0;
        let name = format!("{name} at rest with {} sets, % of a processor", arguments.resting_sets);
        figures.push(Figure::at_most(name, part, IDLE_TARGET));
    }
    world.add_sets(arguments.resting_sets..arguments.sets).await?;
    let controller = world.starts(starts).await?;
    let listened: Vec<_> = controller.iter().map(|it| it.listens).collect();
    figures.extend(listening("lws-controller", &listened));
    let after = |of: fn(&world::Start) -> Duration| controller.iter().map(of).collect::<Vec<_>>();
    let first = format!("first reconcile with {} sets", arguments.sets);
    figures.extend(slowest_and_median(&first, &after(|it| it.first), Some(RECONCILE_TARGET)));
    let all = format!("as many reconciles as sets ({})", arguments.sets);
    figures.extend(slowest_and_median(&all, &after(|it| it.all), None));
    world.stop().await?;

    let text = format!(
        "{}\n{}\n{}\n",
        report::machine(Some(&ClusterOptions::default().kubernetes_version))?,
        report::figures(&figures),
        report::verdict(&figures)
    );
    say(&text)?;
    arguments.guide.write("performance.md", "make bench-startup", &text)
}

fn listening(name: &str, times: &[Duration]) -> [Figure; 2] {
    slowest_and_median(&format!("{name} listens"), times, Some(LISTENING_TARGET))
}

fn slowest_and_median(what: &str, times: &[Duration], target: Option<f64>) -> [Figure; 2] {
    let mut times: Vec<_> = times.iter().map(|it| it.as_secs_f64() * 1e3).collect();
    times.sort_unstable_by(f64::total_cmp);
    let [slowest, median] =
        [times.last(), times.get(times.len() / 2)].map(|it| it.copied().unwrap_or(f64::MAX));
    let name = format!("{what}, slowest of {}, ms", times.len());
    let slowest = match target {
        Some(target) => Figure::at_most(name, slowest, target),
        None => Figure::plain(name, slowest),
    };
    [slowest, Figure::plain(format!("{what}, median, ms"), median)]
}

fn mebibytes(bytes: u64) -> f64 {
    count(usize::try_from(bytes / 1024).unwrap_or(usize::MAX)) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_start_counts() {
        let times = [30, 10, 20].map(Duration::from_millis);
        let [slowest, median] = slowest_and_median("x", &times, Some(25.0));
        assert_eq!((slowest.value, slowest.is_met(), median.value), (30.0, Some(false), 20.0));
        assert_eq!(slowest.name, "x, slowest of 3, ms");
    }

    #[test]
    fn sizes_are_in_mebibytes() {
        assert_eq!(report::number(mebibytes(3 * 1024 * 1024 + 512 * 1024)), "3.50");
    }
}

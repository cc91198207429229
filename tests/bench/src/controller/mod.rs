//! The controller at work: real processes on a real control plane, pods that are ready at once unless a scenario says
//! otherwise, the rights of `deploy/rbac`.
//!
//! | module | owns |
//! |---|---|
//! | `world` | the cluster, and what the controller uses there |
//! | `sets` | sets, made and changed as users do |
//! | `floor` | the same objects without a controller |
//! | `processors` | who had the processors meanwhile |
//! | `completion` | waiting for objects by watch |
//! | `speed`, `faults`, `rest` | scenarios |
//! | `scale` | sets of all sizes, and what a group costs in each |

mod completion;
mod faults;
mod floor;
mod processors;
mod rest;
pub(crate) mod scale;
mod sets;
mod speed;
mod world;

use std::num::NonZeroUsize;

use anyhow::Result;
use clap::ValueEnum;
use lws_harness::ClusterOptions;

use crate::guide::Guide;
use crate::report::{self, Figure, count, say};
use world::{Requests, Spent};

/// The image that pods get in a rollout.
const IMAGE: &str = "docker.io/nginxinc/nginx-unprivileged:1.28";

/// Requests of this program at a time.
const CONCURRENCY: usize = 32;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Scenarios to run; all when none is given.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// How often what takes seconds is measured, each time beside its floor. The median of each figure counts.
    #[arg(long, default_value = "3")]
    repeat: NonZeroUsize,
    #[command(flatten)]
    guide: Guide,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// One set of 100 groups is created.
    #[value(name = "create-100")]
    Create100,
    /// One set of 300 groups is created.
    #[value(name = "create-300")]
    Create300,
    /// One set of 1000 groups is created.
    #[value(name = "create-1000")]
    Create1000,
    /// 50 sets of 2 groups are created, then updated.
    #[value(name = "sets-50")]
    Sets50,
    /// A set of 10 groups whose pods take 1 s to become ready is updated, where `StatefulSet`s replace several pods at once.
    #[value(name = "roll-10")]
    Roll10,
    /// The same where they replace one pod at a time.
    #[value(name = "roll-10-gate-off")]
    Roll10GateOff,
    /// A worker of each of 10 groups is deleted without grace.
    Recreate,
    /// 50 sets of which nothing is wanted.
    Settled,
    /// 3000 pods of others.
    Foreign,
}

/// How many pods there are, and in which groups.
#[derive(Debug, Clone, Copy)]
struct Shape {
    sets: usize,
    groups: i32,
    size: i32,
    /// `maxUnavailable`.
    at_once: i32,
}

impl Default for Shape {
    /// One set of one group of 4.
    fn default() -> Self {
        Self { sets: 1, groups: 1, size: 4, at_once: 1 }
    }
}

impl Shape {
    fn names(self, prefix: &str) -> impl Iterator<Item = String> {
        (0..self.sets).map(move |set| format!("{prefix}-{set}"))
    }

    /// Groups of all sets.
    fn groups(self) -> f64 {
        count(self.sets) * f64::from(self.groups)
    }

    /// Pods of all sets.
    fn pods(self) -> usize {
        self.sets * usize::try_from(self.groups * self.size).unwrap_or_default()
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let scenarios = match arguments.scenarios.as_slice() {
        [] => Scenario::value_variants(),
        chosen => chosen,
    };
    let machine = report::machine(Some(&ClusterOptions::default().kubernetes_version))?;
    say(&machine)?;
    let mut all = Section::default();
    let mut growth = speed::Growth::default();
    for scenario in scenarios {
        all.append(scenario.run(arguments.repeat.get(), &mut growth).await?);
    }
    all.append(growth.tell()?);
    let verdict = report::verdict(&all.figures);
    say(&verdict)?;
    let text = format!("{machine}\n{}\n{verdict}", all.text);
    arguments.guide.write("performance.md", "make bench", &text)
}

impl Scenario {
    async fn run(self, repeat: usize, growth: &mut speed::Growth) -> Result<Section> {
        match self {
            Self::Create100 => speed::create(100, repeat, growth).await,
            Self::Create300 => speed::create(300, 1, growth).await,
            Self::Create1000 => speed::create(1000, 1, growth).await,
            Self::Sets50 => speed::many_sets(repeat).await,
            Self::Roll10 => speed::roll_slowly(true, repeat).await,
            Self::Roll10GateOff => speed::roll_slowly(false, repeat).await,
            Self::Recreate => faults::recreate().await,
            Self::Settled => rest::settled().await,
            Self::Foreign => rest::foreign().await,
        }
    }
}

/// What was measured, as it is told.
#[derive(Debug, Default)]
struct Section {
    text: String,
    /// Each with the title of its scenario.
    figures: Vec<Figure>,
}

impl Section {
    /// Tells the figures of a scenario, and gives what was told.
    fn tell(title: &str, mut figures: Vec<Figure>) -> Result<Self> {
        let text = format!("### {title}\n\n{}", report::figures(&figures));
        say(&text)?;
        for figure in &mut figures {
            figure.name = format!("{title}: {}", figure.name);
        }
        Ok(Self { text, figures })
    }

    /// Tells also which requests were made for so many groups.
    fn and_requests(mut self, requests: &Requests, groups: f64) -> Result<Self> {
        let table = requests_table(requests, groups);
        say(&table)?;
        self.text = format!("{}\n{table}", self.text);
        Ok(self)
    }

    fn append(&mut self, other: Self) {
        self.text = format!("{}\n{}", self.text, other.text);
        self.figures.extend(other.figures);
    }
}

fn requests_table(requests: &Requests, groups: f64) -> String {
    let header = ["verb", "resource", "requests", "for each group"].map(str::to_owned);
    let row = |verb: &str, resource: &str, requests: usize| {
        let share = report::number(count(requests) / groups);
        [verb.to_owned(), resource.to_owned(), requests.to_string(), share]
    };
    let kinds = requests.by_kind.iter().map(|((verb, resource), it)| row(verb, resource, *it));
    let all = row("all", "but leases", requests.total());
    let leases = row("all", "leases", requests.leases);
    report::table(&header, &kinds.chain([all, leases]).collect::<Vec<_>>())
}

/// The figures of what the controller has used.
fn cost(spent: &Spent, requests_target: f64) -> [Figure; 3] {
    [
        Figure::plain("CPU, s", spent.processor_time.as_secs_f64()),
        Figure::plain("peak memory, MiB", spent.memory.peak_mebibytes()),
        Figure::at_most("requests", count(spent.requests.total()), requests_target),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_knows_its_objects() {
        let shape = Shape { sets: 2, groups: 3, ..Shape::default() };
        assert_eq!(shape.names("x").collect::<Vec<_>>(), ["x-0", "x-1"]);
        assert_eq!((report::number(shape.groups()).as_str(), shape.pods()), ("6", 24));
    }
}

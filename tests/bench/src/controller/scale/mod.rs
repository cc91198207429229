//! What happens to sets in the course of their life, for few groups and for many: they are created, rest, are updated, get
//! more groups and fewer, and are deleted. Each is measured beside the same done without a controller.
//!
//! | module | owns |
//! |---|---|
//! | `life` | one such life, measured |
//! | `plot` | what a group costs, as pictures |

mod life;
mod plot;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use lws_harness::ClusterOptions;

use super::Shape;
use crate::guide::Guide;
use crate::report::{self, say};
use life::{Life, Part, Step};

/// The steps of which is told who had the processors, and the least share that is worth a word.
const PACED: [Step; 2] = [Step::Create, Step::Update];
const TOLD_SHARE: f64 = 0.01;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Sizes to measure; all when none is given.
    #[arg(value_enum)]
    sizes: Vec<Size>,
    #[command(flatten)]
    guide: Guide,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Size {
    /// One set of one group.
    #[value(name = "groups-1")]
    Groups1,
    /// One set of 10 groups.
    #[value(name = "groups-10")]
    Groups10,
    /// One set of 100 groups.
    #[value(name = "groups-100")]
    Groups100,
    /// One set of 1000 groups.
    #[value(name = "groups-1000")]
    Groups1000,
    /// One set of 2 groups.
    #[value(name = "sets-1")]
    Sets1,
    /// 50 sets of 2 groups.
    #[value(name = "sets-50")]
    Sets50,
    /// 300 sets of 2 groups.
    #[value(name = "sets-300")]
    Sets300,
    /// One set of 1666 groups, which gets 833 more: 9996 pods.
    #[value(name = "pods-10000")]
    Pods10000,
}

impl Size {
    fn shape(self) -> Shape {
        let (sets, groups) = match self {
            Self::Groups1 => (1, 1),
            Self::Groups10 => (1, 10),
            Self::Groups100 => (1, 100),
            Self::Groups1000 => (1, 1000),
            Self::Sets1 => (1, 2),
            Self::Sets50 => (50, 2),
            Self::Sets300 => (300, 2),
            Self::Pods10000 => (1, 1666),
        };
        // A tenth at a time, as in production.
        Shape { sets, groups, at_once: (groups / 10).max(1), ..Shape::default() }
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let sizes = match arguments.sizes.as_slice() {
        [] => Size::value_variants(),
        chosen => chosen,
    };
    let machine = report::machine(Some(&ClusterOptions::default().kubernetes_version))?;
    say(&machine)?;
    let (mut lives, mut tables, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for size in sizes {
        let name = size.to_possible_value().context("a size without a name")?.get_name().to_owned();
        let text = match Life::measure(size.shape()).await {
            Ok(life) => {
                let text = table(&life);
                lives.push(life);
                text
            }
            // What the others showed is worth having.
            Err(error) => {
                report::complain(&error);
                let text = format!("{}\n\nNot measured: {error:#}.\n", heading(size.shape()));
                failed.push(name);
                text
            }
        };
        say(&text)?;
        tables.push(text);
    }
    let pictures = plot::draw(&arguments.guide, &lives)?;
    let text = format!("{machine}\n{}\n{pictures}", tables.join("\n"));
    arguments.guide.write("performance.md", "make bench-scale", &text)?;
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

/// A life as a table under a heading.
fn table(life: &Life) -> String {
    let Life { shape, parts, .. } = life;
    let header = [
        "",
        "time, s",
        "floor, s",
        "time / floor",
        "CPU, s",
        "CPU a group, ms",
        "requests",
        "a group",
        "memory, MiB",
    ]
    .map(str::to_owned);
    let rows = parts.iter().map(|part| {
        let Part { step, took, floor, spent, .. } = part;
        let (took, processor) = (took.as_secs_f64(), spent.processor_time.as_secs_f64());
        let requests = report::count(spent.requests.total());
        let floor = floor.map(|it| it.as_secs_f64());
        let or_none = |it: Option<f64>| it.map(report::number).unwrap_or_default();
        [
            step.to_string(),
            report::number(took),
            or_none(floor),
            or_none(floor.map(|it| took / it)),
            report::number(processor),
            report::number(part.processor_milliseconds_a_group()),
            report::number(requests),
            report::number(requests / part.groups),
            report::number(spent.memory.resident_mebibytes()),
        ]
    });
    let peak = report::number(life.peak_mebibytes());
    let table = report::table(&header, &rows.collect::<Vec<_>>());
    let pace: String = parts.iter().filter(|it| PACED.contains(&it.step)).map(pace).collect();
    format!("{}\n\n{table}\nPeak memory {peak} MiB.\n{pace}", heading(*shape))
}

fn heading(shape: Shape) -> String {
    let sets = match shape.sets {
        1 => "1 set".to_owned(),
        many => format!("{many} sets"),
    };
    let groups = match shape.groups {
        1 => "1 group".to_owned(),
        many => format!("{many} groups"),
    };
    format!("#### {sets} of {groups} of {}", shape.size)
}

/// Who had the processors during a step, which tells what sets its pace.
fn pace(part: &Part) -> String {
    let percent = |share: f64| report::number((share * 100.0).round());
    let shares = part.spent.shares.iter();
    let told = shares.filter(|(_, share)| *share >= TOLD_SHARE);
    let told: Vec<_> = told.map(|(name, share)| format!("{name} {} %", percent(*share))).collect();
    format!("Processors, {}: {}.\n", part.step, told.join(", "))
}

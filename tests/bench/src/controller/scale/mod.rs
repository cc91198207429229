//! What happens to sets in the course of their life, for few groups and for many: they are created, rest, are updated, get
//! more groups and fewer, and are deleted. Each is measured beside the same done without a controller.
//!
//! | module | owns |
//! |---|---|
//! | `life` | one such life, measured |
//! | `limit` | how many pods there may be |
//! | `plot` | what a group costs, as pictures |

mod life;
mod limit;
mod plot;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use lws_harness::ClusterOptions;

use super::Shape;
use crate::guide::Guide;
use crate::report::{self, say};
use life::{Life, Part, Step};

/// The steps of which is told who had the processors, and the least share that is worth a word.
const PACED: [Step; 3] = [Step::Create, Step::Update, Step::ScaleUp];
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
    /// One set of 2500 groups, 10 000 pods, which gets no more of them.
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
            Self::Pods10000 => (1, 2500),
        };
        // A tenth at a time, as in production.
        Shape { sets, groups, at_once: (groups / 10).max(1), ..Shape::default() }
    }

    /// How many groups each set gets, and loses again.
    fn more(self) -> i32 {
        match self {
            Self::Pods10000 => 0,
            _ => (self.shape().groups + 1) / 2,
        }
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let sizes = match arguments.sizes.as_slice() {
        [] => Size::value_variants(),
        chosen => chosen,
    };
    let machine = report::machine(Some(&ClusterOptions::default().kubernetes_version))?;
    say(&machine)?;
    let (mut lives, mut texts, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for size in sizes {
        let name = size.to_possible_value().context("a size without a name")?.get_name().to_owned();
        let life = Life::measure(size.shape(), size.more()).await;
        // What the other sizes show is worth having.
        if let Some(error) = &life.failure {
            report::complain(error);
            failed.push(name);
        }
        let text = section(&life);
        say(&text)?;
        texts.push(text);
        lives.push(life);
    }
    let limit = limit::limit(&lives);
    say(&limit)?;
    texts.push(limit);
    let pictures = plot::draw(&arguments.guide, &lives)?;
    let text = format!("{machine}\n{}\n{pictures}", texts.join("\n"));
    arguments.guide.write("performance.md", "make bench-scale", &text)?;
    ensure!(failed.is_empty(), "not measured to the end: {}", failed.join(", "));
    Ok(())
}

/// A life as a table under a heading.
fn section(life: &Life) -> String {
    let Life { shape, parts, failure } = life;
    let header = [
        "",
        "time, s",
        "floor, s",
        "time / floor",
        "CPU, s",
        "CPU a group, ms",
        "requests",
        "a group",
        "creations",
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
            spent.requests.creations().to_string(),
            report::number(spent.memory.resident_mebibytes()),
        ]
    });
    let peak = report::number(life.peak_mebibytes());
    let table = report::table(&header, &rows.collect::<Vec<_>>());
    let pace: String = parts.iter().filter(|it| PACED.contains(&it.step)).map(pace).collect();
    let failure = failure.as_ref().map(|it| format!("Not measured to the end: {it:#}.\n"));
    let failure = failure.unwrap_or_default();
    format!("{}\n\n{table}\nPeak memory {peak} MiB.\n{pace}{failure}", heading(*shape))
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
    let shares = part.spent.shares.iter();
    let told = shares.filter(|(_, share)| *share >= TOLD_SHARE);
    let told: Vec<_> = told.map(|(name, share)| format!("{name} {}", percent(*share))).collect();
    format!("Processors, {}: {}.\n", part.step, told.join(", "))
}

fn percent(share: f64) -> String {
    format!("{} %", report::number((share * 100.0).round()))
}

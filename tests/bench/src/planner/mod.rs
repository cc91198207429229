//! The planner on sets of any size, without a cluster: the arithmetic of rollouts in a simulation, and whole plans.
//!
//! | module | owns |
//! |---|---|
//! | `arithmetic` | rollouts from begin to end, of which the arithmetic is measured |
//! | `whole` | whole plans of sets with all their objects |

mod arithmetic;
mod whole;

use std::num::NonZeroU32;

use anyhow::Result;

use crate::chart::{Chart, Scale};
use crate::guide::Guide;
use crate::report::{self, Figure, say};
use arithmetic::Rollouts;
use whole::Plans;

/// How long the arithmetic may take for one group in one step, in nanoseconds: it does a million of them in a second.
const GROUP_TARGET: f64 = 1000.0;

/// By how much a group of the largest set may take longer than one of any other.
const GROWTH_TARGET: f64 = 2.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Numbers of groups.
    #[arg(default_values = ["10", "100", "1000", "10000", "100000"])]
    groups: Vec<NonZeroU32>,
    #[command(flatten)]
    guide: Guide,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut sizes: Vec<u32> = arguments.groups.iter().map(|it| it.get()).collect();
    sizes.sort_unstable();
    let rollouts: Vec<_> = sizes.iter().map(|groups| Rollouts::measure(*groups)).collect();
    let plans: Vec<_> = sizes.iter().map(|groups| Plans::measure(*groups)).collect();

    let mut figures: Vec<_> = rollouts
        .iter()
        .map(|it| {
            let name = format!("ns a group-step, {} groups", it.groups);
            Figure::at_most(name, it.nanoseconds(), GROUP_TARGET)
        })
        .collect();
    if let Some(last) = rollouts.last() {
        let least = rollouts.iter().map(Rollouts::nanoseconds).fold(f64::MAX, f64::min);
        let name = format!("a group-step of {} groups / the cheapest", last.groups);
        figures.push(Figure::at_most(name, last.nanoseconds() / least, GROWTH_TARGET));
    }
    let rows: Vec<_> = rollouts.iter().map(Rollouts::cells).collect();
    let table = report::table(&arithmetic::HEADER.map(str::to_owned), &rows);
    let rows: Vec<_> = plans.iter().map(Plans::cells).collect();
    let of_plans = report::table(&whole::HEADER.map(str::to_owned), &rows);
    let verdict = report::verdict(&figures);
    let mut text =
        format!("{table}\n{}\n{verdict}\n\nWhole plans:\n\n{of_plans}", report::figures(&figures));
    say(&text)?;
    if let Some(file) = arguments.guide.picture("planner.svg") {
        let title = "what is computed for one group, ns";
        let points = |nanoseconds: &dyn Fn(usize) -> Option<f64>| {
            let all = sizes.iter().enumerate();
            all.filter_map(|(place, groups)| Some((f64::from(*groups), nanoseconds(place)?)))
                .collect()
        };
        let lines = vec![
            ("a step of a rollout".to_owned(), points(&|it| Some(rollouts.get(it)?.nanoseconds()))),
            ("a plan at rest".to_owned(), points(&|it| Some(plans.get(it)?.nanoseconds()))),
        ];
        Chart { title, over: "groups", scale: Scale::Logarithmic, lines }.draw(&file)?;
        text = format!("{text}\n![{title}](images/planner.svg)\n");
    }
    arguments.guide.write("performance.md", "make bench-planner", &text)
}

/// A count as a number that can be divided.
#[expect(clippy::cast_precision_loss, reason = "a figure of some digits")]
fn as_float(count: u64) -> f64 {
    count as f64
}

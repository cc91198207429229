//! Both processes at work for long: the webhook answers a million reviews, the controller reconciles 200 000 times on a control
//! plane. Their memory and open files are looked at all the while, and must not grow.
//!
//! | module | owns |
//! |---|---|
//! | `admissions` | reviews of all kinds for the webhook |
//! | `reconciles` | news and rollouts for the controller |
//! | `samples` | what a process has, from begin to end, and whether that grows |

mod admissions;
mod reconciles;
mod samples;

use std::num::NonZeroU32;

use anyhow::Result;
use lws_harness::ClusterOptions;

use crate::guide::Guide;
use crate::report::{self, Figure, say};
use samples::Samples;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many reviews the webhook answers.
    #[arg(long, default_value = "1000000")]
    admissions: NonZeroU32,
    /// How often the controller reconciles.
    #[arg(long, default_value = "200000")]
    reconciles: NonZeroU32,
    #[command(flatten)]
    guide: Guide,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let mut text = report::machine(Some(&ClusterOptions::default().kubernetes_version))?;
    let mut figures = Vec::new();
    let admissions = admissions::run(arguments.admissions.get()).await?;
    text += &tell("The webhook", "admissions", &admissions, arguments, &mut figures)?;
    let reconciles = Box::pin(reconciles::run(arguments.reconciles.get())).await?;
    text += &tell("The controller", "reconciles", &reconciles, arguments, &mut figures)?;
    let verdict = report::verdict(&figures);
    say(&verdict)?;
    arguments.guide.write("reliability.md", "make endurance", &format!("{text}{verdict}"))
}

/// Tells how a process fared, draws it, and adds its figures.
fn tell(
    title: &str,
    work: &str,
    samples: &Samples,
    arguments: &Arguments,
    figures: &mut Vec<Figure>,
) -> Result<String> {
    let own = samples.figures();
    let mut text = format!("\n**{title}**\n\n{}\n{}", samples.table(work), report::figures(&own));
    say(&text)?;
    let file = format!("endurance-{work}.svg");
    if let Some(path) = arguments.guide.picture(&file) {
        let title = format!("{title}: resident memory, MiB, and open files");
        samples.chart(&title, work).draw(&path)?;
        text = format!("{text}\n![{title}](images/{file})\n");
    }
    figures.extend(own.into_iter().map(|mut figure| {
        figure.name = format!("{title}: {}", figure.name);
        figure
    }));
    Ok(text)
}

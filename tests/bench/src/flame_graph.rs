//! A flame graph of the stacks that perf has sampled.

use std::io::{BufReader, stdin, stdout};

use anyhow::{Context as _, Result};
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::Folder;
use inferno::flamegraph;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What stands above it.
    #[arg(long)]
    title: String,
}

/// Reads what `perf script` has printed and writes an SVG.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut folded = Vec::new();
    Folder::default().collapse(stdin().lock(), &mut folded).context("cannot read the stacks")?;
    let mut options = flamegraph::Options::default();
    options.title.clone_from(&arguments.title);
    // What is thinner than this cannot be read, and makes the picture large.
    options.min_width = 0.2;
    flamegraph::from_reader(&mut options, BufReader::new(folded.as_slice()), stdout().lock())
        .context("cannot draw the stacks")
}

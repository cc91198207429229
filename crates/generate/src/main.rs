//! `lws-generate` writes the generated files of `deploy/` and `docs/`, or checks that they are up to date.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use lws_generate::{Definition, Published, metrics, reference};

/// Generates the files of `deploy/` and `docs/` that are not written by hand.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generates the custom resource definition of `LeaderWorkerSet`.
    Crd {
        /// Compares instead of writing, and fails on a difference.
        #[arg(long)]
        check: bool,
        /// Version of Kubernetes whose pod and claim schemas the definition holds.
        #[arg(long, default_value = "1.36.3")]
        kubernetes: String,
        /// File to write or to compare with.
        #[arg(long, default_value = "deploy/crd/leaderworkersets.leaderworkerset.x-k8s.io.yaml")]
        file: PathBuf,
    },
    /// Generates the page of the guide about the fields of `LeaderWorkerSet`.
    Reference {
        /// Compares instead of writing, and fails on a difference.
        #[arg(long)]
        check: bool,
        /// File to write or to compare with.
        #[arg(long, default_value = "docs/api-reference.md")]
        file: PathBuf,
    },
    /// Generates the page of the guide about the metrics of both processes.
    Metrics {
        /// Compares instead of writing, and fails on a difference.
        #[arg(long)]
        check: bool,
        /// File to write or to compare with.
        #[arg(long, default_value = "docs/metrics-reference.md")]
        file: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crd { check, kubernetes, file } => {
            let published = Published::of_version(&kubernetes)?;
            let generated = Definition::generate(&published)?.to_yaml()?;
            put("crd", &file, &generated, check)
        }
        Command::Reference { check, file } => {
            let generated = reference::page(&Definition::template()?);
            put("reference", &file, &generated, check)
        }
        Command::Metrics { check, file } => put("metrics", &file, &metrics::page()?, check),
    }
}

/// Writes what `command` has generated, or compares it with what is there.
fn put(command: &str, file: &Path, generated: &str, check: bool) -> anyhow::Result<()> {
    if check { compare(command, file, generated) } else { write(file, generated) }
}

fn write(file: &Path, generated: &str) -> anyhow::Result<()> {
    fs::write(file, generated).with_context(|| format!("cannot write {}", file.display()))
}

fn compare(command: &str, file: &Path, generated: &str) -> anyhow::Result<()> {
    let present =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if present == generated {
        return Ok(());
    }
    let same = present.lines().zip(generated.lines()).take_while(|(old, new)| old == new).count();
    bail!(
        "{} is not what `lws-generate {command}` writes: they differ from line {} on",
        file.display(),
        same + 1
    )
}

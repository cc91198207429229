//! `lws-generate` writes the generated files of `deploy/`, or checks that they are up to date.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use lws_generate::{Definition, Published};

/// Generates the files of `deploy/` that are not written by hand.
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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crd { check, kubernetes, file } => {
            let published = Published::of_version(&kubernetes)?;
            let generated = Definition::generate(&published)?.to_yaml()?;
            if check { compare(&file, &generated) } else { write(&file, &generated) }
        }
    }
}

fn write(file: &Path, generated: &str) -> anyhow::Result<()> {
    fs::write(file, generated).with_context(|| format!("cannot write {}", file.display()))
}

fn compare(file: &Path, generated: &str) -> anyhow::Result<()> {
    let present =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if present == generated {
        return Ok(());
    }
    let same = present.lines().zip(generated.lines()).take_while(|(old, new)| old == new).count();
    bail!(
        "{} is not what `lws-generate crd` writes: they differ from line {} on",
        file.display(),
        same + 1
    )
}

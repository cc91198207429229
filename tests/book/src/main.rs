//! `lws-book` writes the guide as a book in HTML.

use std::path::PathBuf;

use clap::Parser;
use tracing::Level;

/// Writes the guide as a book in HTML.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The folder to write it to; what is there is removed.
    #[arg(default_value = "target/book")]
    destination: PathBuf,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(Level::WARN).without_time().init();
    lws_book::build(&Arguments::parse().destination)
}

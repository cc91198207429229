//! Runs a program that dies with the thread that started it: `tether <parent pid> <program> [argument…]`.
//!
//! The kernel is asked to kill this process when its parent goes, and then this process becomes the program.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(parent), Some(program)) = (arguments.next(), arguments.next()) else {
        bail!("usage: tether <parent pid> <program> [argument…]");
    };
    let parent: i32 = parent
        .to_str()
        .context("the parent pid is no text")?
        .parse()
        .context("the parent pid is no number")?;
    set_pdeathsig(Signal::SIGKILL).context("cannot ask for the parent-death signal")?;
    // A parent that went before the line above sends no signal any more.
    if getppid().as_raw() != parent {
        bail!("the parent {parent} is gone");
    }
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

//! Taking over: clusters that the existing implementation has run, and those that another process of ours has run.
//!
//! Each test has a cluster of its own; one runs at a time.
#![allow(clippy::indexing_slicing, reason = "JSON where there is nothing is null")]

mod existing;
mod hand_back;
mod install;
mod manager;
mod permissions;
mod snapshot;
mod switch;
mod upgrade;
mod world;

use tokio::sync::Mutex;

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::const_new(());

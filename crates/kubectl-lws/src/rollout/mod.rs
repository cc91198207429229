//! `rollout`: how far a rollout is, what it can go back to, and its start, pause and return.

mod change;
mod history;
mod progress;

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use lws_api_types::{LeaderWorkerSet, keys};

use crate::arguments::Rollout;
use crate::cluster::{Events, code, is_refused};
use crate::connection::Connection;
use crate::error::Error;
use crate::output::{self, Output};
use change::{FIELD_MANAGER, Step};
use progress::Progress;

/// How often a change is tried while others change the set.
const ATTEMPTS: u32 = 5;

/// Runs one of the commands.
pub(crate) async fn run(connection: &Connection, command: &Rollout) -> Result<(), Error> {
    match command {
        Rollout::Status { name, timeout } => status(connection, name, *timeout).await,
        Rollout::History { name, format } => {
            let snapshot = connection.snapshot(name, Events::Refusals).await?;
            let output = Output::new(format.output);
            output.report(&history::report(&snapshot), |report, paint| {
                history::text(report, snapshot.now, paint)
            })
        }
        Rollout::Undo { name, to_revision } => {
            let snapshot = connection.snapshot(name, Events::Refusals).await?;
            let step = change::undo(&snapshot, *to_revision)?;
            write(connection, name, step).await
        }
        Rollout::Pause { name } => change(connection, name, change::pause).await,
        Rollout::Resume { name } => change(connection, name, change::resume).await,
        Rollout::Restart { name } => {
            change(connection, name, |set| change::restart(set, Timestamp::now())).await
        }
    }
}

/// Decides on a change and writes it, again where the set has changed meanwhile.
async fn change(
    connection: &Connection,
    name: &str,
    decide: impl Fn(&LeaderWorkerSet) -> Result<Step, Error>,
) -> Result<(), Error> {
    let mut attempts = 1;
    loop {
        let step = decide(&connection.set(name).await?)?;
        match write(connection, name, step).await {
            Err(Error::Request(error)) if code(&error) == Some(409) && attempts < ATTEMPTS => {
                attempts += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Writes a change of the set, unless it has changed meanwhile.
async fn write(connection: &Connection, name: &str, step: Step) -> Result<(), Error> {
    let api: Api<LeaderWorkerSet> = connection.api();
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = match step.patch {
        change::Patch::Merge(patch) => api.patch(name, &params, &Patch::Merge(patch)).await,
        change::Patch::Json(patch) => api.patch(name, &params, &Patch::<()>::Json(patch)).await,
    };
    written?;
    let resource = format!("{}.{}", keys::KIND.to_lowercase(), keys::GROUP);
    output::print(&format!("{resource}/{name} {}\n", step.done))
}

/// Waits until the rollout is complete and tells how far it is meanwhile; no longer than `timeout`,
/// where that is not 0.
async fn status(connection: &Connection, name: &str, timeout: Duration) -> Result<(), Error> {
    // A set that does not exist is an error at once, rather than one that may come.
    connection.set(name).await?;
    let waits = wait(connection, name);
    if timeout.is_zero() {
        return waits.await;
    }
    tokio::time::timeout(timeout, waits).await.unwrap_or(Err(Error::TimedOut))
}

async fn wait(connection: &Connection, name: &str) -> Result<(), Error> {
    let this = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let events = watcher::watcher(connection.api::<LeaderWorkerSet>(), this).default_backoff();
    let permitted = events.filter(|it| {
        let passes = it.as_ref().err().is_none_or(is_refused);
        std::future::ready(passes)
    });
    let mut events = std::pin::pin!(permitted);
    let mut told = String::new();
    while let Some(event) = events.try_next().await.map_err(|it| Error::Watch(Box::new(it)))? {
        let set = match event {
            watcher::Event::Apply(set) | watcher::Event::InitApply(set) => set,
            watcher::Event::Delete(_) => {
                return Err(Error::Refused(format!("{name} has been deleted")));
            }
            _ => continue,
        };
        let (text, is_done) = match progress::of(&set) {
            Progress::Done(text) => (text, true),
            Progress::Waiting(text) => (text, false),
        };
        if text != told {
            output::print(&format!("{text}\n"))?;
            told = text;
        }
        if is_done {
            return Ok(());
        }
    }
    Ok(())
}

//! `rollout`: how far a rollout is, what it can go back to, and its start, pause and return.

mod change;
mod history;
mod progress;
mod undo;

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{self, Error as WatchError};
use lws_api_types::{LeaderWorkerSet, keys};

use crate::arguments::Rollout;
use crate::cluster::{Events, code};
use crate::connection::Connection;
use crate::error::Error;
use crate::output::{self, Output};
use crate::watches::{self, Interruptions};
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
            let decide = async || {
                let snapshot = connection.snapshot(name, Events::Refusals).await?;
                undo::undo(&snapshot, *to_revision)
            };
            change(connection, name, decide).await
        }
        Rollout::Pause { name } => {
            change(connection, name, async || change::pause(&connection.set(name).await?)).await
        }
        Rollout::Resume { name } => {
            change(connection, name, async || change::resume(&connection.set(name).await?)).await
        }
        Rollout::Restart { name } => {
            let decide = async || change::restart(&connection.set(name).await?, Timestamp::now());
            change(connection, name, decide).await
        }
    }
}

/// Decides on a change and writes it, again where the set has changed meanwhile.
async fn change(
    connection: &Connection,
    name: &str,
    decide: impl AsyncFn() -> Result<Step, Error>,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let step = decide().await?;
        match write(connection, name, &step).await {
            Err(error) if is_outdated(connection, name, &step, &error).await? => {}
            outcome => return outcome,
        }
    }
    let why = format!("{name} is being changed by others ({ATTEMPTS} attempts): try again");
    Err(Error::Refused(why))
}

/// Writes a change of the set, unless it has changed meanwhile.
async fn write(connection: &Connection, name: &str, step: &Step) -> Result<(), Error> {
    let api: Api<LeaderWorkerSet> = connection.api();
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = match step.patch.clone() {
        change::Patch::Merge(patch) => api.patch(name, &params, &Patch::Merge(patch)).await,
        change::Patch::Json(patch) => api.patch(name, &params, &Patch::<()>::Json(patch)).await,
    };
    written?;
    let resource = format!("{}.{}", keys::KIND.to_lowercase(), keys::GROUP);
    output::print(&format!("{resource}/{name} {}\n", step.done))
}

/// Whether `step` was refused with `error` because the set has changed since it was decided on.
async fn is_outdated(
    connection: &Connection,
    name: &str,
    step: &Step,
    error: &Error,
) -> Result<bool, Error> {
    let Error::Request(error) = error else { return Ok(false) };
    match code(error) {
        Some(409) => Ok(true),
        // A test that fails and a change that is invalid are answered alike: the set tells them apart.
        Some(422) => step.is_outdated(&connection.set(name).await?),
        _ => Ok(false),
    }
}

/// Waits until the rollout is complete and tells how far it is meanwhile; no longer than `timeout`,
/// where that is not 0.
async fn status(connection: &Connection, name: &str, timeout: Duration) -> Result<(), Error> {
    let waits = async {
        // A set that does not exist is an error at once, rather than one that may come.
        let set = connection.set(name).await?;
        let this = watcher::Config::default().fields(&format!("metadata.name={name}"));
        wait(watches::watch(connection.api::<LeaderWorkerSet>(), this), &set).await
    };
    if timeout.is_zero() {
        return waits.await;
    }
    tokio::time::timeout(timeout, waits).await.unwrap_or(Err(Error::TimedOut))
}

/// Waits until `events`, which go on after an interruption, tell that the rollout of `set` is
/// complete.
async fn wait(
    events: impl Stream<Item = Result<watcher::Event<LeaderWorkerSet>, WatchError>>,
    set: &LeaderWorkerSet,
) -> Result<(), Error> {
    let mut events = std::pin::pin!(events);
    let deleted = || Err(Error::Refused(format!("{} has been deleted", set.name())));
    let mut told = String::new();
    let mut is_listed = false;
    let mut interruptions = Interruptions::default();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let error = watches::interruption(error)?;
                let now = Timestamp::now();
                interruptions.begin(keys::PLURAL, &error, now);
                if let Some(warning) = interruptions.new_warning(now) {
                    output::complain(&warning);
                }
                continue;
            }
        };
        let seen = match event {
            watcher::Event::Init => {
                is_listed = false;
                continue;
            }
            watcher::Event::Apply(seen) | watcher::Event::InitApply(seen) => seen,
            watcher::Event::InitDone if is_listed => continue,
            // The watch does not tell of what happens while it is interrupted.
            watcher::Event::InitDone | watcher::Event::Delete(_) => return deleted(),
        };
        interruptions.end(keys::PLURAL);
        if seen.uid() != set.uid() {
            return deleted();
        }
        is_listed = true;
        let (text, is_done) = match progress::of(&seen) {
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::test_objects::Objects;
    use crate::test_server;

    /// Undoes a rollout on a server that refuses the first `refused` changes because the set has
    /// another generation, or without that. Gives the number of changes sent.
    async fn undone(refused: u32, is_changed: bool) -> (Result<(), Error>, u32) {
        let mut objects = Objects::ready(2, 1);
        objects.set["spec"]["leaderWorkerTemplate"]["size"] = json!(3);
        objects.record(2);
        let sent = Arc::new(Mutex::new(0));
        let seen = sent.clone();
        let connection = test_server::connection(move |method, path| {
            if method != "PATCH" {
                return objects.answer(path);
            }
            let mut sent = seen.lock().unwrap();
            *sent += 1;
            if *sent > refused {
                return (200, objects.set.clone());
            }
            if is_changed {
                objects.set["metadata"]["generation"] = json!(1 + *sent);
            }
            test_server::refusal(422, "Invalid", "the server rejected our request")
        });
        let command = Rollout::Undo { name: "s".to_owned(), to_revision: None };
        let outcome = run(&connection, &command).await;
        let sent = *sent.lock().unwrap();
        (outcome, sent)
    }

    #[tokio::test]
    async fn a_change_that_is_overtaken_is_decided_on_again() {
        let (outcome, sent) = undone(2, true).await;
        outcome.unwrap();
        assert_eq!(sent, 3);
        let (outcome, sent) = undone(u32::MAX, true).await;
        let expected = "error: s is being changed by others (5 attempts): try again";
        assert_eq!((outcome.unwrap_err().told().as_str(), sent), (expected, ATTEMPTS));
    }

    #[tokio::test]
    async fn a_change_that_is_invalid_is_told_at_once() {
        let (outcome, sent) = undone(u32::MAX, false).await;
        let expected = "The request is invalid: the server rejected our request";
        assert_eq!((outcome.unwrap_err().told().as_str(), sent), (expected, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_not_waited_for() {
        let connection = test_server::silent();
        let outcome = status(&connection, "s", Duration::from_secs(2)).await;
        let expected = "error: timed out waiting for the condition";
        assert_eq!(outcome.unwrap_err().told(), expected);
    }

    #[tokio::test]
    async fn an_interruption_of_the_watch_is_waited_out_and_a_refusal_is_not() {
        let set: LeaderWorkerSet = serde_json::from_value(Objects::ready(2, 1).set).unwrap();
        let lost = || Err(WatchError::NoResourceVersion);
        let seen = Ok(watcher::Event::Apply(set.clone()));
        assert!(wait(futures::stream::iter([lost(), seen]), &set).await.is_ok());
        let (_, status) = test_server::refusal(403, "Forbidden", "no");
        let status = serde_json::from_value(status).unwrap();
        let refused = Err(WatchError::WatchStartFailed(kube::Error::Api(Box::new(status))));
        let outcome = wait(futures::stream::iter([lost(), refused]), &set).await;
        assert_eq!(outcome.unwrap_err().told(), "Error from server (Forbidden): no");
    }

    #[tokio::test]
    async fn a_deletion_during_an_interruption_of_the_watch_ends_the_wait() {
        use watcher::Event::{Init, InitApply, InitDone};
        let mut objects = Objects::ready(2, 1);
        objects.conditions(&["Progressing"]);
        let read = |uid: &str| -> LeaderWorkerSet {
            let mut set = objects.set.clone();
            set["metadata"]["uid"] = json!(uid);
            serde_json::from_value(set).unwrap()
        };
        let (set, another) = (read("set"), read("another"));
        let first = || [Init, InitApply(set.clone()), InitDone];
        let outcome = async |events: Vec<watcher::Event<LeaderWorkerSet>>| {
            let events = futures::stream::iter(first().into_iter().chain(events).map(Ok));
            wait(events, &set).await.map_err(|error| error.told())
        };
        let deleted = Err("error: s has been deleted".to_owned());
        assert_eq!(outcome(first().into()).await, Ok(()), "it is still there");
        assert_eq!(outcome(vec![Init, InitDone]).await, deleted);
        assert_eq!(outcome(vec![Init, InitApply(another), InitDone]).await, deleted);
    }
}

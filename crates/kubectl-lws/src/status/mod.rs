//! `status`: how a set and its groups stand, and why it is not available.

mod cause;
mod group;
mod render;
#[cfg(test)]
mod tests;
mod watch;

use std::process::ExitCode;

use jiff::Timestamp;
use lws_api_types::conditions::{ConditionType, REPLICA_FAILURE};
use lws_api_types::keys::annotations;
use serde::Serialize;

use crate::cluster::{Events, Scope};
use crate::connection::Connection;
use crate::error::Error;
use crate::output::{self, Output};
use crate::snapshot::{Snapshot, Unreadable};

pub(crate) use group::{GroupReport, State};

/// How a set stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Namespace of the set.
    pub(crate) namespace: String,
    /// Name of the set.
    pub(crate) name: String,
    /// When the set was created.
    pub(crate) created: Option<Timestamp>,
    /// Groups that are wanted.
    pub(crate) desired: i32,
    /// Groups that exist or are to be created, surge included.
    pub(crate) existing: i64,
    /// Groups that are ready, surge included.
    pub(crate) ready: i32,
    /// Groups at the current revision, surge included.
    pub(crate) updated: i32,
    /// Key of the current revision.
    pub(crate) revision: String,
    /// Conditions that are true.
    pub(crate) conditions: Vec<String>,
    /// Whether its rollout is held by `rollout pause`.
    pub(crate) paused: bool,
    /// Whether condition `Available` is true of the present content of the set.
    pub(crate) available: bool,
    /// Why it is not available, or what fails although it is.
    pub(crate) cause: Option<String>,
    /// Its groups by index.
    pub(crate) groups: Vec<GroupReport>,
}

/// Tells how the set stands, once or whenever that changes.
pub(crate) async fn run(
    connection: &Connection,
    name: &str,
    watch: bool,
    output: Output,
) -> Result<(), Error> {
    if watch {
        return watch::run(connection, name, output).await;
    }
    let mut snapshot = connection.snapshot(name, Events::Refusals).await?;
    connection.look_up_lost([&mut snapshot]).await?;
    show(&report(&snapshot), snapshot.now, output)
}

/// How one of many sets stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Listed {
    /// As it was found.
    Report(Report),
    /// Nobody knows.
    Unreadable(Unreadable),
}

/// Tells how each set stands; the exit code says whether all could be read.
pub(crate) async fn list(
    connection: &Connection,
    scope: Scope,
    output: Output,
) -> Result<ExitCode, Error> {
    let listed = listed(connection, scope).await?;
    if listed.is_empty() && output.is_for_people() {
        output::complain(&match scope {
            Scope::Namespace => format!("No sets found in {} namespace.", connection.namespace),
            Scope::Cluster => "No sets found".to_owned(),
        });
        return Ok(ExitCode::SUCCESS);
    }
    output.report(&listed, |listed, paint| render::list(listed, scope, Timestamp::now(), paint))?;
    let is_complete = listed.iter().all(|it| matches!(it, Listed::Report(_)));
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How each set stands, by namespace and name.
async fn listed(connection: &Connection, scope: Scope) -> Result<Vec<Listed>, Error> {
    let mut snapshots = connection.snapshots(scope).await?;
    connection.look_up_lost(snapshots.iter_mut().flatten()).await?;
    let listed = snapshots.into_iter().map(|it| match it {
        Ok(snapshot) => Listed::Report(report(&snapshot)),
        Err(unreadable) => Listed::Unreadable(unreadable),
    });
    Ok(listed.collect())
}

fn show(report: &Report, now: Timestamp, output: Output) -> Result<(), Error> {
    output.report(report, |report, paint| render::text(report, now, paint))
}

/// How the set stands.
pub(crate) fn report(snapshot: &Snapshot) -> Report {
    let Snapshot { set, .. } = snapshot;
    let key = snapshot.key();
    let groups = group::reports(snapshot, &key);
    let status = set.status.clone().unwrap_or_default();
    let is_true =
        |kind: &str| status.conditions.iter().any(|it| it.type_ == kind && it.status == "True");
    let known = [
        ConditionType::Available.as_str(),
        ConditionType::UpdateInProgress.as_str(),
        ConditionType::Progressing.as_str(),
        REPLICA_FAILURE,
    ];
    let available = is_true(known[0]) && status.observed_generation == set.metadata.generation;
    let count = |fits: fn(&&GroupReport) -> bool| {
        i32::try_from(groups.iter().filter(fits).count()).unwrap_or(i32::MAX)
    };
    Report {
        namespace: set.namespace().to_owned(),
        name: set.name().to_owned(),
        created: set.metadata.creation_timestamp.as_ref().map(|it| it.0),
        desired: set.spec.replicas(),
        existing: snapshot.leader_set().map_or(0, |it| it.replicas),
        ready: count(|it| it.state == State::Ready),
        updated: count(|it| it.updated),
        conditions: known.into_iter().filter(|it| is_true(it)).map(str::to_owned).collect(),
        paused: set.has_annotation(annotations::PAUSED_PARTITION),
        cause: cause::of(snapshot, available, &key, &groups),
        available,
        revision: key,
        groups,
    }
}

//! `plan`: what an apply would do, before it is done.

mod apply;
mod difference;
mod documents;
mod effects;
mod forecast;
mod render;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use lws_api_types::keys;
use lws_api_types::{LeaderWorkerSet, revision};
use lws_controller::plan::rollout::LeaderSet;
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Events, Gangs, code};
use crate::connection::Connection;
use crate::error::{Error, json};
use crate::output::{self, Output};
use crate::snapshot::{Parts, Snapshot};
use apply::Answer;
pub(crate) use apply::Mode;
use difference::Change;
use documents::{Documents, word};
use effects::{DerivedName, Effect};
use forecast::{Rollout, Stage};

/// What an apply of one set would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Namespace of the set.
    pub(crate) namespace: String,
    /// Name of the set.
    pub(crate) name: String,
    /// Whether the set would be created.
    pub(crate) created: bool,
    /// What the server warns of.
    pub(crate) warnings: Vec<String>,
    /// Fields that would change, defaults included.
    pub(crate) changes: Vec<Change>,
    /// Key of the revision that the groups are at now; absent for a new set.
    pub(crate) revision_before: Option<String>,
    /// Key of the revision that they would be brought to.
    pub(crate) revision: String,
    /// Whether that is a revision which is not stored.
    pub(crate) new_revision: bool,
    /// Objects that would be created, changed, replaced and deleted.
    pub(crate) effects: Vec<Effect>,
    /// Whether groups have `PodGroup`s; absent where that is not known.
    pub(crate) pod_groups: Option<bool>,
    /// The longest names that are made from that of the set.
    pub(crate) longest_names: Vec<DerivedName>,
    /// Stages of the rollout, if nothing fails; empty where nothing is rolled out.
    pub(crate) rollout: Vec<Stage>,
    /// Groups that are to be replaced and are not: others that are down use up the budget.
    pub(crate) left_behind: Vec<i64>,
}

/// Tells what an apply of the sets in `file` would do; `namespace` is the one that was named for it.
pub(crate) async fn run(
    connection: &Connection,
    file: &Path,
    namespace: Option<&str>,
    mode: Mode,
    gang_scheduling: bool,
    output: Output,
) -> Result<(), Error> {
    let Documents { sets, others } = documents::sort(read(file)?, file, namespace)?;
    for other in others {
        output::complain(&format!("Warning: {other} is no {}: left out", keys::KIND));
    }
    let mut reports = Vec::new();
    for document in sets {
        reports.push(planned(&connection.of(&document), document, mode, gang_scheduling).await?);
    }
    output.report(&reports, |reports, paint| {
        let texts: Vec<_> = reports.iter().map(|it| render::text(it, paint)).collect();
        texts.join("\n")
    })
}

/// The documents of `file`, of the standard input for `-`.
fn read(file: &Path) -> Result<Vec<Value>, Error> {
    let failed = |source| Error::File { path: file.to_owned(), source };
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    } else {
        text = std::fs::read_to_string(file).map_err(failed)?;
    }
    let failed = |source| Error::Document { path: file.to_owned(), source: Box::new(source) };
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(failed)?;
    Ok(documents.into_iter().filter(|it| !it.is_null()).collect())
}

impl Connection {
    /// The connection to the namespace of `document`.
    fn of(&self, document: &Value) -> Self {
        let own = word(document, "/metadata/namespace");
        let namespace = if own.is_empty() { &self.namespace } else { own };
        Self { client: self.client.clone(), namespace: namespace.to_owned() }
    }
}

/// What an apply of `document` would do. That there is gang scheduling may be known, or show.
async fn planned(
    connection: &Connection,
    document: Value,
    mode: Mode,
    gang_scheduling: bool,
) -> Result<Report, Error> {
    let name = word(&document, "/metadata/name").to_owned();
    let live = match connection.snapshot(&name, Events::Refusals).await {
        Ok(snapshot) => Some(snapshot),
        Err(Error::Request(error)) if code(&error) == Some(404) => None,
        Err(error) => return Err(error),
    };
    let stored = live.as_ref().map(|it| json("the set", &it.set)).transpose()?;
    let Answer { set, warnings } =
        apply::dry_run(connection, &document, stored.as_ref(), mode).await?;
    let is_in_gangs = |it: &Snapshot| it.entry.pods.values().any(|it| it.is_in_gang);
    let gangs = if gang_scheduling || live.as_ref().is_some_and(is_in_gangs) {
        Gangs::Shown
    } else {
        connection.gang_scheduling().await?
    };
    report(live, &set, warnings, gangs)
}

/// What changes when `live` becomes `answer`.
fn report(
    live: Option<Snapshot>,
    answer: &Value,
    warnings: Vec<String>,
    gangs: Gangs,
) -> Result<Report, Error> {
    let set = set(answer)?;
    let name = set.name().to_owned();
    let before = live.as_ref().map(|it| it.set.clone());
    let mut snapshot = match live {
        Some(snapshot) => snapshot,
        None => Snapshot::new(set.clone(), Parts::default(), Timestamp::now())?,
    };
    let revision_before = snapshot.leader_set().and_then(|it| it.revision.clone());
    snapshot.set = set;
    let (key, is_recorded) = snapshot.content();
    let changes = match &before {
        Some(before) => {
            let encode = |set: &LeaderWorkerSet| revision::encode(&set.spec);
            let differs = encode(before) != encode(&snapshot.set);
            let before = json("the set", before)?;
            difference::changes(&before, &json("the set", &snapshot.set)?, differs)
        }
        None => Vec::new(),
    };
    let rollout = rollout(&snapshot, &key);
    let mut stages = rollout.clone().map(forecast::stages).unwrap_or_default();
    let floor = snapshot.set.spec.rolling_update().partition;
    let left_behind = forecast::left_behind(&stages, floor);
    let touches_leaders = !changes.is_empty() && effects::touch_leaders(&snapshot, &key, &stages);
    // A single stage is where the set is already.
    if stages.len() == 1 {
        stages.clear();
    }
    Ok(Report {
        namespace: snapshot.set.namespace().to_owned(),
        created: before.is_none(),
        warnings,
        effects: effects::of(
            &snapshot,
            &key,
            is_recorded,
            rollout.as_ref(),
            touches_leaders,
            gangs == Gangs::Shown,
        ),
        pod_groups: match gangs {
            Gangs::Shown => Some(true),
            Gangs::Unknown => None,
            Gangs::Impossible => Some(false),
        },
        changes,
        longest_names: effects::longest_names(&snapshot.set),
        rollout: stages,
        left_behind,
        revision_before,
        new_revision: !is_recorded,
        revision: key,
        name,
    })
}

fn set(answer: &Value) -> Result<LeaderWorkerSet, Error> {
    let failed = |source| Error::Object { what: "the answer of the server".to_owned(), source };
    serde_json::from_value(answer.clone()).map_err(failed)
}

/// The rollout of the set as it would be; `None` when there is nothing of it yet.
fn rollout(snapshot: &Snapshot, key: &str) -> Option<Rollout> {
    let leader_set = snapshot.leader_set()?;
    let groups = snapshot.groups(leader_set, key);
    let existing = groups.all.iter().map(|it| it.index);
    let existing: std::collections::BTreeSet<_> = existing.collect();
    let states = groups.states(leader_set.replicas);
    let states = (0..).zip(states).map(|(index, it)| existing.contains(&index).then_some(it));
    Some(Rollout {
        groups: states.collect(),
        leader_set: LeaderSet {
            replicas: leader_set.replicas,
            partition: leader_set.partition,
            annotated_replicas: leader_set.annotated_replicas,
        },
        strategy: snapshot.set.spec.rolling_update(),
        replicas: i64::from(snapshot.set.spec.replicas()),
        changed: leader_set.revision.as_deref() != Some(key),
    })
}

//! Which objects an apply would create, change, replace and delete, and how long names get.

use lws_api_types::set::SubdomainPolicy;
use lws_api_types::{LeaderWorkerSet, names};
use lws_controller::plan::applied;
use lws_controller::plan::build::{self, LeaderRollout};
use lws_controller::plan::rollout::statefulset_max_unavailable;
use serde::Serialize;

use super::forecast::{Rollout, Stage, ranges};
use crate::snapshot::Snapshot;

/// What happens to objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Verb {
    /// They are created.
    Create,
    /// They are changed as they are.
    Change,
    /// They are deleted, and created anew.
    Replace,
    /// They are deleted.
    Delete,
}

impl Verb {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Replace => "replace",
            Self::Delete => "delete",
        }
    }
}

/// What happens to some objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Effect {
    /// What happens.
    pub(crate) verb: Verb,
    /// To which objects, in words.
    pub(crate) objects: String,
}

/// A name that is made from that of the set, and how long it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DerivedName {
    /// Kind of the object.
    pub(crate) kind: &'static str,
    /// The name.
    pub(crate) name: String,
    /// Its length.
    pub(crate) length: usize,
    /// The longest that works.
    pub(crate) limit: usize,
}

/// Whether the controller changes the leader `StatefulSet` in these stages of a rollout.
pub(super) fn touch_leaders(snapshot: &Snapshot, key: &str, stages: &[Stage]) -> bool {
    let live = snapshot.leader_set().and_then(|it| it.object.as_deref());
    let (Some(live), Some(first)) = (live, stages.first()) else { return true };
    let wanted = LeaderRollout {
        replicas: first.replicas,
        partition: first.partition,
        max_unavailable: statefulset_max_unavailable(&snapshot.set.spec.rolling_update()),
    };
    let desired = build::leader_stateful_set(&snapshot.set, key, wanted, Some(live));
    let steps = |it: &Stage| (it.replicas, it.partition) != (first.replicas, first.partition);
    !applied::is_applied(&applied::known(&desired, live), live) || stages.iter().any(steps)
}

/// What happens to the objects of the set once the controller acts on the apply. It may touch the
/// `StatefulSet` of the leaders; groups that are `in_gangs` have `PodGroup`s.
pub(super) fn of(
    snapshot: &Snapshot,
    key: &str,
    is_recorded: bool,
    rollout: Option<&Rollout>,
    touches_leaders: bool,
    in_gangs: bool,
) -> Vec<Effect> {
    let set = &snapshot.set;
    let name = set.name();
    let mut effects = Vec::new();
    let mut add = |verb, objects: String| effects.push(Effect { verb, objects });
    if !is_recorded {
        add(Verb::Create, format!("ControllerRevision with key {key}"));
    }
    let is_shared = set.spec.subdomain_policy() == SubdomainPolicy::Shared;
    if is_shared && !snapshot.entry.services.contains_key(name) {
        add(Verb::Create, format!("Service {name}"));
    }
    let wanted = i64::from(set.spec.replicas());
    let Some(rollout) = rollout else {
        add(Verb::Create, format!("StatefulSet {name}"));
        let all: Vec<_> = (0..wanted).collect();
        if !all.is_empty() {
            add(Verb::Create, groups(set, &all, in_gangs));
        }
        return effects;
    };
    if touches_leaders {
        add(Verb::Change, format!("StatefulSet {name}"));
    }
    let present: Vec<_> =
        (0..).zip(&rollout.groups).filter_map(|(index, it)| Some((index, (*it)?))).collect();
    let floor = rollout.strategy.partition;
    let fits = |fits: &dyn Fn(i64, bool) -> bool| -> Vec<i64> {
        present
            .iter()
            .filter(|(index, it)| fits(*index, it.updated))
            .map(|(index, _)| *index)
            .collect()
    };
    let added: Vec<_> =
        (0..wanted).filter(|index| present.iter().all(|(it, _)| it != index)).collect();
    for (verb, indexes) in [
        (Verb::Create, added),
        (Verb::Replace, fits(&|index, updated| index < wanted && index >= floor && !updated)),
        (Verb::Delete, fits(&|index, _| index >= wanted)),
    ] {
        if !indexes.is_empty() {
            add(verb, groups(set, &indexes, in_gangs));
        }
    }
    effects
}

/// Groups and what each consists of.
fn groups(set: &LeaderWorkerSet, indexes: &[i64], in_gangs: bool) -> String {
    let size = set.spec.leader_worker_template.size();
    let mut parts = vec![if size == 1 { "a pod".to_owned() } else { format!("{size} pods") }];
    if size > 1 {
        parts.push("a StatefulSet".to_owned());
    }
    if set.spec.subdomain_policy() == SubdomainPolicy::UniquePerReplica {
        parts.push("a Service".to_owned());
    }
    if in_gangs {
        parts.push("a PodGroup".to_owned());
    }
    let each = if indexes.len() == 1 { "" } else { " each" };
    format!("{}:{each} {}", ranges(indexes), parts.join(", "))
}

/// The longest names that are made from that of the set, surge included.
pub(super) fn longest_names(set: &LeaderWorkerSet) -> Vec<DerivedName> {
    let size = set.spec.leader_worker_template.size();
    let groups = i64::from(set.spec.replicas()) + set.spec.rolling_update().max_surge;
    let leader = names::leader_pod(set.name(), (groups - 1).max(0));
    let (stateful_set, pod) = if size > 1 {
        (leader.clone(), names::worker_pod(&leader, (size - 1).unsigned_abs()))
    } else {
        (set.name().to_owned(), leader)
    };
    let length = |kind, name: String, limit| DerivedName { kind, length: name.len(), name, limit };
    vec![
        length("StatefulSet", stateful_set, names::LONGEST_STATEFUL_SET),
        length("Pod", pod, names::LONGEST_POD),
    ]
}

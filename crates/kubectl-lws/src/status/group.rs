//! How each group stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lws_api_types::keys::annotations;
use lws_api_types::names;
use lws_controller::observe::views::StatefulSetView;
use lws_controller::plan::build;
use lws_controller::plan::group::Group;
use lws_controller::plan::history::{History, Incident};
use serde::Serialize;

use crate::output::Tone;
use crate::pods::{self, Kind, Obstacle};
use crate::snapshot::Snapshot;

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum State {
    /// A pod of it fails, and does not get better by itself.
    Failing,
    /// Pods of it cannot be created.
    Incomplete,
    /// A pod of it finds no node, or no scheduler looks for one.
    Pending,
    /// It has failed and waits for its recreation, because it keeps failing.
    Backoff,
    /// It has failed, and is being made anew.
    Recreating,
    /// It has no leader pod.
    Missing,
    /// Its workers are not created before something else has happened.
    Waiting,
    /// Its pods are starting.
    Starting,
    /// It is being replaced by one of the current revision.
    Updating,
    /// It is being deleted.
    Terminating,
    /// It serves.
    Ready,
}

impl State {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failing => "Failing",
            Self::Incomplete => "Incomplete",
            Self::Pending => "Pending",
            Self::Backoff => "Backoff",
            Self::Recreating => "Recreating",
            Self::Missing => "Missing",
            Self::Waiting => "Waiting",
            Self::Starting => "Starting",
            Self::Updating => "Updating",
            Self::Terminating => "Terminating",
            Self::Ready => "Ready",
        }
    }

    /// What a group in it is, within a sentence.
    pub(crate) fn phrase(self) -> String {
        match self {
            Self::Backoff => "in backoff".to_owned(),
            other => other.word().to_lowercase(),
        }
    }

    /// Whether it does not get better by itself, or not soon.
    pub(crate) fn is_fault(self) -> bool {
        matches!(self, Self::Failing | Self::Incomplete | Self::Pending | Self::Backoff)
    }

    /// Its colour.
    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Ready => Tone::Good,
            _ if self.is_fault() => Tone::Bad,
            _ => Tone::Busy,
        }
    }
}

/// How a group stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupReport {
    /// Its index.
    pub(crate) index: i64,
    /// How it stands.
    pub(crate) state: State,
    /// Key of its revision.
    pub(crate) revision: Option<String>,
    /// Whether that is the current one, on all its objects.
    pub(crate) updated: bool,
    /// Whether it exists beside the wanted groups for the time of a rollout.
    pub(crate) surge: bool,
    /// Its pods that are ready.
    pub(crate) ready_pods: usize,
    /// Pods that it is to have.
    pub(crate) size: i32,
    /// How often containers of its pods were restarted.
    pub(crate) restarts: i32,
    /// How often it has failed in a row.
    pub(crate) recreations: u32,
    /// Node of its leader.
    pub(crate) node: Option<String>,
    /// Topology domain that it has for itself.
    pub(crate) domain: Option<String>,
    /// When its leader was created.
    pub(crate) created: Option<Timestamp>,
    /// What is in its way, or why it failed last.
    pub(crate) cause: Option<String>,
}

/// What all groups of a set are judged by.
struct Judge<'a> {
    snapshot: &'a Snapshot,
    leader_set: &'a StatefulSetView,
    history: History,
    /// The current revision.
    key: &'a str,
}

/// Every group that exists or should, by index. `key` is the current revision.
pub(super) fn reports(snapshot: &Snapshot, key: &str) -> Vec<GroupReport> {
    let Some(leader_set) = snapshot.leader_set() else { return Vec::new() };
    let judge = Judge { snapshot, leader_set, history: snapshot.history(), key };
    let groups = snapshot.groups(leader_set, key);
    let present = groups.all.iter().map(|it| (it.index, judge.report(it)));
    let mut reports: BTreeMap<i64, GroupReport> = present.collect();
    for index in 0..leader_set.replicas {
        reports.entry(index).or_insert_with(|| judge.absent(index));
    }
    reports.into_values().collect()
}

impl Judge<'_> {
    fn report(&self, group: &Group<'_>) -> GroupReport {
        let (leader, snapshot) = (group.leader, self.snapshot);
        let members = || std::iter::once(leader.as_ref()).chain(snapshot.workers(leader));
        let pods = || members().filter_map(|it| snapshot.pods.get(it.identity.name()));
        let template = group.spec.as_deref().unwrap_or(&snapshot.set.spec);
        let size = template.leader_worker_template.size();
        let created = members().filter(|it| !it.identity.is_terminating()).count();
        let obstacle = members().filter_map(|it| snapshot.obstacle(it)).min_by_key(|it| it.kind);
        let failed = self.history.of_leader(group.index, leader.identity.uid());
        let is_short = created < usize::try_from(size).unwrap_or(0);
        let refusal = if is_short { self.refusal(leader.identity.name()) } else { None };
        let (state, cause) = self.judge(group, obstacle, failed, refusal);
        let last = self.history.of_group(group.index);
        GroupReport {
            index: group.index,
            state,
            revision: leader.revision.clone(),
            updated: group.updated,
            surge: group.index >= i64::from(snapshot.set.spec.replicas()),
            ready_pods: members().filter(|it| it.is_ready()).count(),
            size,
            restarts: pods().map(pods::restarts).sum(),
            recreations: last.map_or(0, |it| it.count),
            node: leader.node.clone(),
            domain: self.domain(leader.node.as_deref()),
            created: leader.identity.created(),
            cause: cause.or_else(|| last.map(told)),
        }
    }

    /// How a group stands that has a leader, and what is in its way.
    fn judge(
        &self,
        group: &Group<'_>,
        obstacle: Option<Obstacle>,
        failed: Option<&Incident>,
        refusal: Option<String>,
    ) -> (State, Option<String>) {
        let kind = obstacle.as_ref().map(|it| it.kind);
        let cause = obstacle.map(|it| it.told);
        if group.leader.identity.is_terminating() {
            let is_wanted = group.index < self.leader_set.replicas
                && self.snapshot.set.metadata.deletion_timestamp.is_none();
            // A node that does not answer holds it up for minutes, or for ever.
            let lost = cause.filter(|_| kind == Some(Kind::NodeLost));
            return match failed {
                _ if lost.is_some() => {
                    (if is_wanted { State::Failing } else { State::Terminating }, lost)
                }
                Some(incident) if is_wanted => (State::Recreating, Some(told(incident))),
                _ if is_wanted && self.is_old(group) => (State::Updating, None),
                _ => (State::Terminating, None),
            };
        }
        if let Some(incident) = failed {
            return (State::Backoff, Some(told(incident)));
        }
        if group.ready {
            return (State::Ready, None);
        }
        if kind.is_some_and(Kind::is_fault) {
            (State::Failing, cause)
        } else if refusal.is_some() {
            (State::Incomplete, refusal)
        } else if kind.is_some_and(Kind::lacks_node) {
            (State::Pending, cause.map(|it| it + &self.gang(group)))
        } else if let Some(wait) = self.snapshot.wait(group) {
            let wait = wait.told(group.leader.identity.name());
            (State::Waiting, Some(cause.map_or_else(|| wait.clone(), |it| format!("{it}; {wait}"))))
        } else {
            (State::Starting, cause)
        }
    }

    /// Whether the leader is of another revision than the current one.
    fn is_old(&self, group: &Group<'_>) -> bool {
        group.leader.revision.as_deref() != Some(self.key)
    }

    /// That all pods of the group get nodes at once or none does, where that is so.
    fn gang(&self, group: &Group<'_>) -> String {
        if !group.leader.is_in_gang {
            return String::new();
        }
        let name = build::pod_group_name(&self.snapshot.set, group.leader);
        format!(" (it is scheduled as a whole, by PodGroup {name})")
    }

    /// The group at an index without a leader.
    fn absent(&self, index: i64) -> GroupReport {
        let set = &self.snapshot.set;
        let last = self.history.of_group(index);
        let refusal = self.refusal(set.name());
        let rolls = self.leader_set.current_revision != self.leader_set.update_revision;
        let is_released = rolls && index >= self.leader_set.partition;
        let (state, cause) = match (refusal, last) {
            (Some(refusal), _) => (State::Incomplete, Some(refusal)),
            (None, Some(incident)) => (State::Recreating, Some(told(incident))),
            (None, None) if is_released => (State::Updating, None),
            (None, None) => {
                let pod = names::leader_pod(set.name(), index);
                (State::Missing, Some(format!("pod {pod} has not been created yet")))
            }
        };
        GroupReport {
            index,
            state,
            revision: None,
            updated: false,
            surge: index >= i64::from(set.spec.replicas()),
            ready_pods: 0,
            size: set.spec.leader_worker_template.size(),
            restarts: 0,
            recreations: last.map_or(0, |it| it.count),
            node: None,
            domain: None,
            created: None,
            cause,
        }
    }

    /// Why pods of a `StatefulSet` cannot be created.
    fn refusal(&self, stateful_set: &str) -> Option<String> {
        let stateful_set = self.snapshot.entry.stateful_sets.get(stateful_set)?;
        self.snapshot.refusal(stateful_set)?.message.clone()
    }

    fn domain(&self, node: Option<&str>) -> Option<String> {
        let key = self.snapshot.set.annotation(annotations::EXCLUSIVE_TOPOLOGY)?;
        self.snapshot.nodes.get(node?)?.get(key).cloned()
    }
}

/// Why a group failed the last time.
fn told(incident: &Incident) -> String {
    let times = match incident.count {
        0 | 1 => String::new(),
        count => format!(", {count} failures in a row"),
    };
    format!("{}{times}", incident.cause.told(&incident.pod))
}

//! What is in the way of a set: pods that do not come up, and what a failure that its status tells
//! of is about.

use std::iter;
use std::time::Duration;

use super::Scope;
use super::group::{Group, Groups, reference};
use super::history::since;
use super::ownership;
use super::task::{EventDraft, Plan};
use crate::observe::views::{Placement, PodView, Trouble};

/// How old a pod is until its troubles are told: many pass while its objects come into being.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same if it finds no node: others may be on their way out.
const PATIENCE_FOR_NODE: Duration = Duration::from_secs(30);
/// How long after its grace period a pod counts as stuck. Nodes that are only to be left by their pods (a
/// taint of an administrator) have ended it by then.
const PATIENCE_WITH_END: Duration = Duration::from_secs(10);

/// How often it is looked whether any node carries a label.
const AGAIN: Duration = Duration::from_secs(30);

const NODE_SILENT: &str = "NodeNotAnswering";
const NOT_ENDING: &str = "PodNotEnding";
const IMAGE_PULL: &str = "ImagePullFailed";
const CONTAINER_START: &str = "ContainerStartFailed";
const CRASH: &str = "ContainerCrashing";
const NO_TOPOLOGY: &str = "TopologyLabelMissing";
const UNSCHEDULABLE: &str = "Unschedulable";

/// What a failure is about. Metrics tell of it, so there are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// A quota is exceeded.
    Quota,
    /// An admission webhook does not answer.
    Webhook,
    /// An object of somebody else has a name that the set needs.
    NameTaken,
    /// No node, or not that of the leader, has the label of the topology.
    TopologyLabel,
    /// A node does not answer.
    NodeLost,
    /// A pod of a former group does not end.
    NotEnding,
    /// An image cannot be pulled.
    ImagePull,
    /// A container cannot be started.
    ContainerStart,
    /// A container ends again and again.
    Crash,
    /// The scheduler finds no node.
    Unschedulable,
    /// Anything else that the API server refuses.
    Refused,
}

impl Obstacle {
    /// All that there are.
    pub const ALL: [Self; 11] = [
        Self::Quota,
        Self::Webhook,
        Self::NameTaken,
        Self::TopologyLabel,
        Self::NodeLost,
        Self::NotEnding,
        Self::ImagePull,
        Self::ContainerStart,
        Self::Crash,
        Self::Unschedulable,
        Self::Refused,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Webhook => "webhook",
            Self::NameTaken => "name_taken",
            Self::TopologyLabel => "topology_label",
            Self::NodeLost => "node_lost",
            Self::NotEnding => "not_ending",
            Self::ImagePull => "image_pull",
            Self::ContainerStart => "container_start",
            Self::Crash => "crash",
            Self::Unschedulable => "unschedulable",
            Self::Refused => "refused",
        }
    }

    /// What condition `ReplicaFailure` with this reason and message is about.
    #[must_use]
    pub fn of_failure(reason: &str, message: &str) -> Self {
        match reason {
            NODE_SILENT => Self::NodeLost,
            NOT_ENDING => Self::NotEnding,
            IMAGE_PULL => Self::ImagePull,
            CONTAINER_START => Self::ContainerStart,
            CRASH => Self::Crash,
            NO_TOPOLOGY => Self::TopologyLabel,
            UNSCHEDULABLE => Self::Unschedulable,
            _ => Self::of_refusal(message),
        }
    }

    /// What a refusal of the API server is about: it has one code for many things.
    #[must_use]
    pub fn of_refusal(message: &str) -> Self {
        let is = |part: &str| message.contains(part);
        if is("exceeded quota") {
            Self::Quota
        } else if is("failed calling webhook") {
            Self::Webhook
        } else if is(" exists and is controlled by ") {
            Self::NameTaken
        } else if is("does not have topology label") {
            Self::TopologyLabel
        } else {
            Self::Refused
        }
    }
}

/// Whether an event with this reason tells what keeps a pod from coming up, or from ending.
pub(super) fn is_told(reason: &str) -> bool {
    matches!(
        reason,
        NODE_SILENT
            | NOT_ENDING
            | IMAGE_PULL
            | CONTAINER_START
            | CRASH
            | NO_TOPOLOGY
            | UNSCHEDULABLE
    )
}

/// Adds what keeps a pod from coming up, or the next one of its name because it does not end: of all
/// that can be told, what lasts surest, in the first group that it is in the way of.
pub(super) fn look(plan: &mut Plan, scope: &Scope<'_>, groups: &Groups<'_>) {
    let now = scope.context.now;
    let unready = groups.all.iter().filter(|it| !it.ready);
    // Those of a former leader are in the way of this one's.
    let mut pods = unready.flat_map(|group| {
        let leader = group.leader.as_ref();
        iter::once(leader).chain(scope.entry.named_like_workers(leader.identity.name()))
    });
    if let Some((pod, node)) = pods.find_map(|it| Some((it, silent(plan, scope, it)?))) {
        let note = format!(
            "pod {}: its node {node} does not answer, and has not ended it in time",
            pod.identity.name()
        );
        plan.events.push(EventDraft::warning(NODE_SILENT, "Create", note).about(reference(pod)));
        return;
    }
    let mut found: Vec<(&Group<'_>, &PodView, &Trouble)> = Vec::new();
    for group in groups.all.iter().filter(|it| !it.ready) {
        for pod in group.pods() {
            let Some(trouble) = pod.trouble_at(now) else { continue };
            if plan.waits(patience(trouble, group).saturating_sub(age(pod, scope))) {
                continue;
            }
            if let Some(rest) = trouble.lasts(now) {
                plan.recheck_after(rest);
            }
            found.push((group, pod, trouble));
        }
    }
    found.sort_by_key(|(.., trouble)| trouble.kind());
    let told = found.into_iter().find_map(|(group, pod, trouble)| {
        Some(tell(plan, scope, group, pod, trouble)?.about(reference(pod)))
    });
    plan.events.extend(told);
}

/// The node of a pod that should have ended, if it was given up.
fn silent<'a>(plan: &mut Plan, scope: &Scope<'_>, pod: &'a PodView) -> Option<&'a str> {
    let node = pod.node.as_deref().filter(|_| pod.has_lost_node())?;
    is_stuck(plan, scope, pod).then_some(node)
}

/// Whether a pod should have ended a while ago.
fn is_stuck(plan: &mut Plan, scope: &Scope<'_>, pod: &PodView) -> bool {
    let now = scope.context.now;
    pod.identity.ends().is_some_and(|end| {
        let rest = (PATIENCE_WITH_END + since(now, end)).saturating_sub(since(end, now));
        !plan.waits(rest)
    })
}

/// Adds that the workers of `leader` wait for `pod`, of the former group, once that should have ended a
/// while ago. That its node is lost is told for itself.
pub(super) fn outlasts(plan: &mut Plan, scope: &Scope<'_>, leader: &PodView, pod: &PodView) {
    // Its end is observed too; this only covers a missed one.
    plan.recheck_after(ownership::PATIENCE);
    if pod.has_lost_node() || !is_stuck(plan, scope, pod) {
        return;
    }
    let finalizers = pod.identity.meta.finalizers.as_deref().unwrap_or_default();
    let why = if finalizers.is_empty() {
        "its node has not confirmed its end".to_owned()
    } else {
        format!("it waits for finalizers {}", finalizers.join(", "))
    };
    let note = format!(
        "workers of leader pod {} cannot be created: pod {} of the former group has not ended in \
         time, {why}",
        leader.identity.name(),
        pod.identity.name(),
    );
    plan.events.push(EventDraft::warning(NOT_ENDING, "Create", note).about(reference(pod)));
}

/// A pod that does not say when it was created is old.
fn age(pod: &PodView, scope: &Scope<'_>) -> Duration {
    pod.identity.created().map_or(Duration::MAX, |it| since(it, scope.context.now))
}

/// How old a pod is until its trouble is looked into. Which nodes there are at all is known early.
fn patience(trouble: &Trouble, group: &Group<'_>) -> Duration {
    match trouble {
        Trouble::Unscheduled(_) if *group.placement == Placement::default() => PATIENCE_FOR_NODE,
        _ => PATIENCE,
    }
}

/// The event that tells of it; `None` while it is early, or something has to be read before.
fn tell(
    plan: &mut Plan,
    scope: &Scope<'_>,
    group: &Group<'_>,
    pod: &PodView,
    trouble: &Trouble,
) -> Option<EventDraft> {
    let name = pod.identity.name();
    let (reason, note) = match trouble {
        Trouble::Image { container, image } => (
            IMAGE_PULL,
            format!("pod {name}: the image {image} of container {container} cannot be pulled"),
        ),
        Trouble::Container { container, reason } => (
            CONTAINER_START,
            format!("pod {name}: container {container} cannot be started: {reason}"),
        ),
        Trouble::Crash { container, .. } => {
            (CRASH, format!("pod {name}: container {container} ends again and again"))
        }
        Trouble::Unscheduled(lacking) => homeless(plan, scope, group, pod, lacking)?,
    };
    Some(EventDraft::warning(reason, "Create", note))
}

/// What is told of a pod that finds no node, because of what nodes lack.
fn homeless(
    plan: &mut Plan,
    scope: &Scope<'_>,
    group: &Group<'_>,
    pod: &PodView,
    lacking: &str,
) -> Option<(&'static str, String)> {
    let name = pod.identity.name();
    let [unknown, missing] = [None, Some(Some(false))].map(|known| {
        group
            .placement
            .topologies()
            .find(|(_, it)| scope.context.topologies.get(*it).copied() == known)
    });
    if let Some((annotation, label)) = missing {
        // Nodes are not watched.
        plan.recheck_after(AGAIN);
        let note = format!(
            "pod {name} finds no node: none has the label {label} that annotation {annotation} names"
        );
        return Some((NO_TOPOLOGY, note));
    }
    if let Some((_, label)) = unknown {
        plan.unknown_topologies.insert(label.to_owned());
        return None;
    }
    if plan.waits(PATIENCE_FOR_NODE.saturating_sub(age(pod, scope))) {
        return None;
    }
    let colon = if lacking.is_empty() { "" } else { ": " };
    Some((UNSCHEDULABLE, format!("pod {name} finds no node{colon}{lacking}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_about_what_its_reason_or_the_server_says() {
        for (reason, message, expected) in [
            (NODE_SILENT, "", Obstacle::NodeLost),
            (NOT_ENDING, "", Obstacle::NotEnding),
            (IMAGE_PULL, "", Obstacle::ImagePull),
            (UNSCHEDULABLE, "exceeded quota", Obstacle::Unschedulable),
            ("FailedCreate", "pods \"s-0\" is forbidden: exceeded quota: q", Obstacle::Quota),
            (
                "FailedCreate",
                "Internal error occurred: failed calling webhook \"mpod.kb.io\"",
                Obstacle::Webhook,
            ),
            (
                "FailedCreate",
                "service s exists and is controlled by nobody: it is left",
                Obstacle::NameTaken,
            ),
            ("FailedCreate", "node n does not have topology label k", Obstacle::TopologyLabel),
            ("FailedUpdate", "statefulsets is forbidden", Obstacle::Refused),
        ] {
            assert_eq!(Obstacle::of_failure(reason, message), expected, "{reason}: {message}");
        }
    }

    #[test]
    fn every_reason_that_is_told_is_about_something_else() {
        let reasons = [
            NODE_SILENT,
            NOT_ENDING,
            IMAGE_PULL,
            CONTAINER_START,
            CRASH,
            NO_TOPOLOGY,
            UNSCHEDULABLE,
        ];
        let about: std::collections::BTreeSet<_> =
            reasons.map(|it| Obstacle::of_failure(it, "")).into();
        assert!(reasons.iter().all(|it| is_told(it)));
        assert_eq!(about.len(), reasons.len());
        let labels: std::collections::BTreeSet<_> = Obstacle::ALL.map(Obstacle::label).into();
        assert_eq!(labels.len(), Obstacle::ALL.len());
    }
}

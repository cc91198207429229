//! What the objects of a set show of what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Event;
use lws_api_types::keys::annotations;
use lws_controller::act::reasons::last_seen;
use lws_controller::observe::views::{Identity, PodView, TroubleKind};

use super::{Finding, failure, refusals, what};
use crate::output::age;
use crate::pods::{Kind, Obstacle};
use crate::snapshot::Snapshot;
use crate::tree::terminating;
use crate::waits::Wait;

/// Finalizer of an object that is deleted after those that it owns.
const FOREGROUND: &str = "foregroundDeletion";
/// How long after its grace period a pod counts as stuck.
const STUCK_SECONDS: i64 = 60;
/// How long a pod may run without being ready: most are a while on their way.
const PATIENCE_WITH_READINESS: SignedDuration = SignedDuration::from_secs(30);

/// Everything that is wrong, the nearest cause first.
pub(super) fn of(snapshot: &Snapshot) -> Vec<Finding> {
    let mut kinds = obstacles(snapshot);
    let set = snapshot.set.name();
    if let Some(deleted) = deleted(snapshot) {
        // Nobody sees to it any more that its pods come up, and the controller leaves it alone.
        let lost = kinds.get(&Kind::NodeLost).and_then(|it| of_pods(Kind::NodeLost, it, set));
        return [deleted].into_iter().chain(lost).chain(stuck(snapshot)).collect();
    }
    let mut findings: Vec<_> = topology(snapshot).into_iter().collect();
    let unready_pods = kinds.remove(&Kind::NotReady).unwrap_or_default();
    findings.extend(kinds.iter().filter_map(|(kind, alike)| of_pods(*kind, alike, set)));
    findings.extend(refusals::of(snapshot));
    findings.extend(strangers(snapshot));
    findings.extend(backoff(snapshot));
    findings.extend(stuck(snapshot));
    // What the controller says is mostly one of these in other words.
    let failure = failure::of(snapshot, &findings);
    findings.extend(failure);
    // That pods are not ready tells least.
    findings.extend(unready(snapshot, unready_pods));
    findings.extend(unobserved(snapshot));
    findings
}

/// A command to type, about an object of this namespace.
pub(super) fn kubectl(namespace: &str, command: &str) -> String {
    format!("kubectl {command} -n {namespace}")
}

/// Pods that do not come up, by what is in their way.
fn obstacles(snapshot: &Snapshot) -> BTreeMap<Kind, Vec<(&PodView, Obstacle)>> {
    let mut kinds: BTreeMap<Kind, Vec<(&PodView, Obstacle)>> = BTreeMap::new();
    // Where no node has the topology label, that is told, and nothing else helps.
    let is_told = |it: &Obstacle| {
        it.kind == Kind::Trouble(TroubleKind::Unscheduled) && snapshot.absent_topology.is_some()
    };
    for pod in snapshot.entry.pods.values() {
        if let Some(obstacle) = snapshot.obstacle(pod).filter(|it| !is_told(it)) {
            kinds.entry(obstacle.kind).or_default().push((pod, obstacle));
        }
    }
    kinds
}

/// One finding for all pods with one kind of obstacle.
fn of_pods(kind: Kind, alike: &[(&PodView, Obstacle)], set: &str) -> Option<Finding> {
    let (pod, first) = alike.first()?;
    let node = pod.node.as_deref();
    let (pod, namespace) = (pod.identity.name(), pod.identity.namespace());
    let describe = format!("describe pod {pod}");
    let (what, advice) = match kind {
        Kind::NodeLost => (
            what::NODE_LOST,
            format!(
                "see what is known of the node: kubectl describe node {}; where it is lost for good, \
                 delete it, and its pods are made anew on others",
                node.unwrap_or("<name>")
            ),
        ),
        Kind::Trouble(TroubleKind::Image) => (
            what::IMAGE,
            "check the name of the image, that it is in the registry, and imagePullSecrets"
                .to_owned(),
        ),
        Kind::Trouble(TroubleKind::Crash) => (
            what::CRASH,
            format!(
                "read what it has written last: {}",
                kubectl(namespace, &format!("logs {pod} --previous"))
            ),
        ),
        Kind::Trouble(TroubleKind::Container) => (
            what::CONTAINER,
            format!(
                "create what the message names, or correct the template: {}",
                kubectl(namespace, &describe)
            ),
        ),
        Kind::Failed => (
            "A pod has failed",
            format!("see what has ended it: {}", kubectl(namespace, &describe)),
        ),
        Kind::Trouble(TroubleKind::Unscheduled) => (
            what::UNSCHEDULED,
            format!(
                "add nodes, or make room on those there are; lower what pods of {set} request; or \
                 correct their selectors, tolerations and placement"
            ),
        ),
        Kind::Overlooked => (
            "No scheduler looks at a pod",
            "see whether that scheduler runs, or correct schedulerName in the templates".to_owned(),
        ),
        Kind::Gated => (
            "A pod waits behind scheduling gates",
            format!(
                "see why whoever has set the gates does not remove them; gates of Kueue wait for the \
                 admission of their Workload: {}",
                kubectl(namespace, "describe workloads.kueue.x-k8s.io")
            ),
        ),
        Kind::NotReady | Kind::Starting => return None,
    };
    let evidence = format!("{}{}", first.told, more(alike.len()));
    Some(Finding { what: what.to_owned(), evidence, advice })
}

/// How many pods there are like the one that is told, of `count` with it.
fn more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        2 => " (and 1 more pod)".to_owned(),
        count => format!(" (and {} more pods)", count - 1),
    }
}

/// Pods that have been running for a while and are not ready: leaders that workers wait for, and
/// others.
fn unready(snapshot: &Snapshot, alike: Vec<(&PodView, Obstacle)>) -> Vec<Finding> {
    let since = |it: &PodView| it.ready_changed.or(it.identity.created());
    let late = alike.into_iter().filter_map(|(pod, obstacle)| {
        let since = since(pod)?;
        let is_late = snapshot.now.duration_since(since) > PATIENCE_WITH_READINESS;
        let said = said(snapshot, pod).map(|it| format!(": {it}")).unwrap_or_default();
        let told = format!("{}, for {}{said}", obstacle.told, age(since, snapshot.now));
        is_late.then_some((pod, told))
    });
    let awaited = awaited(snapshot);
    let (leaders, others): (Vec<_>, Vec<_>) =
        late.partition(|(pod, _)| awaited.contains(pod.identity.uid()));
    let look = |pod: &str| {
        let [logs, description] = ["logs", "describe pod"]
            .map(|it| kubectl(snapshot.set.namespace(), &format!("{it} {pod}")));
        format!("{logs}; {description}")
    };
    let of_leaders = leaders.first().map(|(pod, told)| {
        let name = pod.identity.name();
        Finding {
            what: "The workers wait for their leader".to_owned(),
            evidence: format!("{told}; {}{}", Wait::Leader.told(name), more(leaders.len())),
            advice: format!(
                "see what it lacks: {}. A leader that becomes ready only with its workers needs \
                 startupPolicy LeaderCreated",
                look(name)
            ),
        }
    });
    let of_others = others.first().map(|(pod, told)| Finding {
        what: "A pod runs and does not become ready".to_owned(),
        evidence: format!("{told}{}", more(others.len())),
        advice: format!(
            "see what it lacks, and its readiness probe: {}",
            look(pod.identity.name())
        ),
    });
    of_leaders.into_iter().chain(of_others).collect()
}

/// UIDs of the leaders whose workers are not created before they are ready.
fn awaited(snapshot: &Snapshot) -> BTreeSet<String> {
    let key = snapshot.key();
    let groups = snapshot.leader_set().map(|it| snapshot.groups(it, &key).all).unwrap_or_default();
    let waits = groups.iter().filter(|it| snapshot.wait(it) == Some(Wait::Leader));
    waits.map(|it| it.leader.identity.uid().to_owned()).collect()
}

/// What the readiness probe of a pod said last.
fn said<'a>(snapshot: &'a Snapshot, pod: &PodView) -> Option<&'a str> {
    let about = |it: &&Event| {
        it.involved_object.uid.as_deref() == Some(pod.identity.uid())
            && it.reason.as_deref() == Some("Unhealthy")
    };
    let events = snapshot.events.iter().filter(about);
    events.max_by_key(|it| last_seen(it))?.message.as_deref().map(str::trim)
}

/// Objects of others that have names which the set needs.
fn strangers(snapshot: &Snapshot) -> Vec<Finding> {
    let entry = &snapshot.entry;
    let services = entry.services.values().map(|it| ("Service", &it.identity));
    let stateful_sets = entry.stateful_sets.values().map(|it| ("StatefulSet", &it.identity));
    let stranger = |(kind, identity): (&str, &Identity)| {
        let why = snapshot.stranger(kind, identity)?;
        let name = identity.name();
        Some(Finding {
            what: what::NAME_TAKEN.to_owned(),
            evidence: format!("{kind} {name} {why}"),
            advice: format!(
                "create the set under another name, or remove that object once nobody needs it: \
                 {}",
                kubectl(
                    snapshot.set.namespace(),
                    &format!("delete {} {name}", kind.to_lowercase())
                )
            ),
        })
    };
    services.chain(stateful_sets).filter_map(stranger).collect()
}

/// Exclusively placed groups for which there is no topology domain, or whose node is in none.
fn topology(snapshot: &Snapshot) -> Option<Finding> {
    absent_topology(snapshot).or_else(|| unlabelled_node(snapshot))
}

fn absent_topology(snapshot: &Snapshot) -> Option<Finding> {
    let (annotation, key) = snapshot.absent_topology.as_ref()?;
    let mut obstacles = snapshot.entry.pods.values().filter_map(|it| snapshot.obstacle(it));
    let waiting = obstacles.find(|it| it.kind.lacks_node());
    let waiting = waiting.map(|it| format!(": {}", it.told)).unwrap_or_default();
    Some(Finding {
        what: what::NO_TOPOLOGY.to_owned(),
        evidence: format!("no node has label {key}, which annotation {annotation} names{waiting}"),
        advice: format!(
            "label the nodes by the domain that each is in: kubectl label node <name> \
             {key}=<domain>; or create the set anew with the annotation corrected"
        ),
    })
}

fn unlabelled_node(snapshot: &Snapshot) -> Option<Finding> {
    let key = snapshot.set.annotation(annotations::EXCLUSIVE_TOPOLOGY)?;
    let leaders = snapshot.entry.pods.values().filter(|it| it.is_leader());
    let lacks = |node: &str| snapshot.nodes.get(node).is_some_and(|it| !it.contains_key(key));
    let found = leaders.filter_map(|it| Some((it.identity.name(), it.node.as_deref()?)));
    let (leader, node) = found.into_iter().find(|(_, node)| lacks(node))?;
    Some(Finding {
        what: what::UNLABELLED_NODE.to_owned(),
        evidence: format!(
            "node {node} of leader pod {leader} has no label {key}, which annotation {} names",
            annotations::EXCLUSIVE_TOPOLOGY
        ),
        advice: format!(
            "label the nodes (kubectl label node {node} {key}=…), or correct the annotation; then \
             delete the leader pod: {}",
            kubectl(snapshot.set.namespace(), &format!("delete pod {leader}"))
        ),
    })
}

/// Groups that keep failing.
fn backoff(snapshot: &Snapshot) -> Option<Finding> {
    let history = snapshot.history();
    let leaders = snapshot.entry.pods.values().filter(|it| it.is_leader());
    let failed = leaders.filter_map(|it| {
        let index = it.group_index.as_deref()?.parse().ok()?;
        let incident = history.of_leader(index, it.identity.uid())?;
        (!it.identity.is_terminating()).then_some((index, incident))
    });
    let (index, incident) =
        failed.max_by_key(|(index, it)| (it.count, std::cmp::Reverse(*index)))?;
    let pod = &incident.pod;
    Some(Finding {
        what: "A group keeps failing".to_owned(),
        evidence: format!(
            "group {index} has failed {} times in a row, the last time because {}: it waits for its recreation",
            incident.count,
            incident.cause.told(pod)
        ),
        advice: format!(
            "see why: {}; its pods stay as they are until the group is recreated",
            kubectl(snapshot.set.namespace(), &format!("logs {pod} --all-containers --previous"))
        ),
    })
}

/// That the set is being deleted, and what that waits for.
fn deleted(snapshot: &Snapshot) -> Option<Finding> {
    let metadata = &snapshot.set.metadata;
    let since = metadata.deletion_timestamp.as_ref()?.0;
    let how = terminating(since, metadata.finalizers.as_deref(), snapshot.now);
    Some(Finding {
        what: "The set is being deleted".to_owned(),
        evidence: format!("leaderworkerset {} {how}", snapshot.set.name()),
        advice: format!(
            "foregroundDeletion goes with the last of its objects: {}; any other finalizer goes once \
             whoever has set it removes it",
            tree(snapshot)
        ),
    })
}

/// How to see what deletions wait for.
fn tree(snapshot: &Snapshot) -> String {
    kubectl(snapshot.set.namespace(), &format!("lws tree {}", snapshot.set.name()))
}

/// A pod that does not end, although its node answers.
fn stuck(snapshot: &Snapshot) -> Option<Finding> {
    let waits_for_dependents = |it: &PodView| it.identity.has_finalizer(FOREGROUND);
    let pods = snapshot.entry.pods.values().map(AsRef::as_ref);
    let (lost, others): (Vec<&PodView>, Vec<_>) =
        pods.filter(|it| it.identity.is_terminating()).partition(|it| has_lost_node(snapshot, it));
    let late = others.into_iter().filter(|it| {
        let over = it.identity.ends().map(|ends| snapshot.now.duration_since(ends).as_secs());
        over.is_some_and(|seconds| seconds > STUCK_SECONDS)
    });
    // One that waits for what it owns is to blame last, and not at all where that is told.
    let found = late.min_by_key(|it| waits_for_dependents(it))?;
    if waits_for_dependents(found) && !lost.is_empty() {
        return None;
    }
    let name = found.identity.name();
    let ends = found.identity.ends()?;
    let node = found.node.as_deref().unwrap_or("none");
    let finalizers = found.identity.meta.finalizers.clone().unwrap_or_default();
    let (held, advice) = if finalizers.is_empty() {
        let advice = format!("see whether the node answers: kubectl describe node {node}");
        (String::new(), advice)
    } else {
        let held = format!(", and has the finalizers {}", finalizers.join(", "));
        let advice = if waits_for_dependents(found) {
            format!("it waits for the objects that it owns, see which: {}", tree(snapshot))
        } else {
            "see why whoever has set the finalizers does not remove them".to_owned()
        };
        (held, advice)
    };
    Some(Finding {
        what: what::STUCK.to_owned(),
        evidence: format!(
            "the grace period of pod {name} on node {node} ended {} ago{held}",
            age(ends, snapshot.now)
        ),
        advice,
    })
}

/// Whether that its node does not answer is told of a pod.
fn has_lost_node(snapshot: &Snapshot, pod: &PodView) -> bool {
    snapshot.obstacle(pod).is_some_and(|it| it.kind == Kind::NodeLost)
}

/// A change that the controller has not acted on, unless it says itself what it cannot do.
fn unobserved(snapshot: &Snapshot) -> Option<Finding> {
    let generation = snapshot.set.metadata.generation;
    if snapshot.failure().is_some() {
        return None;
    }
    let observed = snapshot.set.status.as_ref().and_then(|it| it.observed_generation);
    (observed != generation).then(|| Finding {
        what: "The controller has not acted on the last change".to_owned(),
        evidence: format!(
            "metadata.generation is {}, status.observedGeneration is {}",
            generation.unwrap_or(0),
            observed.map_or("absent".to_owned(), |it| it.to_string())
        ),
        advice:
            "if that lasts for more than some seconds, see whether the controller runs and what it \
                 logs"
                .to_owned(),
    })
}

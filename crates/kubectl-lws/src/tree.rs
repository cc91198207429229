//! `tree`: the objects of a set, each below its owner, and what is wrong with them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lws_api_types::keys;
use lws_controller::observe::views::{Identity, PodView, StatefulSetView, View as _};
use serde::Serialize;

use crate::connection::Connection;
use crate::error::Error;
use crate::output::{Output, Paint, Table, Tone, age};
use crate::snapshot::Snapshot;

/// An object and those that it owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Its UID.
    pub(crate) uid: String,
    /// How many of its pods are ready, `2/3`, or whether it is; `None` for what is never ready.
    pub(crate) ready: Option<String>,
    /// When it was created.
    pub(crate) created: Option<Timestamp>,
    /// What there is to know of it.
    pub(crate) note: Option<String>,
    /// What is wrong with it.
    pub(crate) problems: Vec<String>,
    /// What it owns.
    pub(crate) children: Vec<Object>,
}

/// An object, and the UID of its controller.
struct Found {
    object: Object,
    owner: Option<String>,
}

/// Tells of which objects the set consists.
pub(crate) async fn run(connection: &Connection, name: &str, output: Output) -> Result<(), Error> {
    let snapshot = connection.whole_snapshot(name).await?;
    output.report(&tree(&snapshot), |tree, paint| text(tree, snapshot.now, paint))
}

/// The set with its objects. What has a name of the set and belongs to somebody else is directly
/// below the set, as a problem.
pub(crate) fn tree(snapshot: &Snapshot) -> Object {
    let set = &snapshot.set;
    let mut found = found(snapshot);
    let mut known: BTreeSet<String> = found.iter().map(|it| it.object.uid.clone()).collect();
    known.insert(set.uid().to_owned());
    for it in &mut found {
        if it.owner.as_ref().is_none_or(|owner| !known.contains(owner)) {
            it.owner = Some(set.uid().to_owned());
        }
    }
    let status = set.status.clone().unwrap_or_default();
    let deleted = set.metadata.deletion_timestamp.as_ref();
    let mut root = Object {
        kind: keys::KIND,
        name: set.name().to_owned(),
        uid: set.uid().to_owned(),
        ready: Some(format!("{}/{}", status.ready_replicas, set.spec.replicas())),
        created: set.metadata.creation_timestamp.as_ref().map(|it| it.0),
        note: None,
        problems: deleted
            .map(|it| terminating(it.0, set.metadata.finalizers.as_deref(), snapshot.now))
            .into_iter()
            .collect(),
        children: Vec::new(),
    };
    root.children = below(&root.uid, &mut found);
    root
}

/// Takes what the object with this UID owns out of `found`.
fn below(uid: &str, found: &mut Vec<Found>) -> Vec<Object> {
    let (own, rest): (Vec<_>, Vec<_>) =
        found.drain(..).partition(|it| it.owner.as_deref() == Some(uid));
    *found = rest;
    let children = own.into_iter().map(|Found { mut object, .. }| {
        object.children = below(&object.uid, found);
        object
    });
    children.collect()
}

/// All objects: revisions, Services, `StatefulSet`s, pods, `PodGroup`s.
fn found(snapshot: &Snapshot) -> Vec<Found> {
    let entry = &snapshot.entry;
    let key = snapshot.key();
    let mut revisions: Vec<_> = entry.revisions.values().collect();
    revisions.sort_by_key(|it| it.number);
    let mut all = Vec::new();
    for it in revisions {
        let mut found = snapshot.found("ControllerRevision", &it.identity);
        let current = if it.key == key { ", current" } else { "" };
        found.object.note = Some(format!("revision {}, key {}{current}", it.number, it.key));
        // Those of StatefulSets carry the same label.
        let of_stateful_set = it.identity.owner.as_ref().is_some_and(|it| it.kind == "StatefulSet");
        if !of_stateful_set {
            all.push(found);
        }
    }
    let services = entry.services.values();
    all.extend(services.map(|it| snapshot.found("Service", &it.identity)));
    all.extend(entry.stateful_sets.values().map(|it| snapshot.stateful_set(it)));
    all.extend(entry.pods.values().map(|it| snapshot.pod(it)));
    let pod_groups = entry.pod_groups.values();
    all.extend(pod_groups.map(|it| snapshot.found("PodGroup", &it.identity)));
    all
}

impl Snapshot {
    fn found(&self, kind: &'static str, identity: &Identity) -> Found {
        let finalizers = identity.meta.finalizers.as_deref();
        let problems = identity.ends().map(|it| terminating(it, finalizers, self.now)).into_iter();
        Found {
            object: Object {
                kind,
                name: identity.name().to_owned(),
                uid: identity.uid().to_owned(),
                ready: None,
                created: identity.created(),
                note: None,
                problems: problems.chain(self.stranger(kind, identity)).collect(),
                children: Vec::new(),
            },
            owner: identity.owner.as_ref().map(|it| it.uid.clone()),
        }
    }

    fn stateful_set(&self, it: &StatefulSetView) -> Found {
        let mut found = self.found("StatefulSet", &it.identity);
        found.object.ready = Some(format!("{}/{}", it.available_replicas, it.replicas));
        if it.partition > 0 {
            found.object.note = Some(format!("partition {}", it.partition));
        }
        found.object.problems.extend(self.refusal(it).and_then(|it| it.message.clone()));
        found
    }

    fn pod(&self, it: &PodView) -> Found {
        let mut found = self.found("Pod", &it.identity);
        found.owner = self.owner(it);
        found.object.ready = Some(if it.is_ready() { "1/1" } else { "0/1" }.to_owned());
        found.object.note.clone_from(&it.node);
        found.object.problems.extend(self.obstacle(it).map(|it| it.told));
        found
    }

    /// The UID of what a pod is shown below: its owner, or, of a worker whose `StatefulSet` is gone, the
    /// leader of that name.
    fn owner(&self, pod: &PodView) -> Option<String> {
        let owner = pod.identity.owner.as_ref()?;
        let found = self.entry.stateful_sets.get(&owner.name);
        let is_there = found.is_some_and(|it| it.identity.uid() == owner.uid);
        let leader =
            self.entry.pods.get(&owner.name).filter(|_| pod.is_of_worker_set() && !is_there);
        Some(leader.map_or(&*owner.uid, |it| it.identity.uid()).to_owned())
    }

    /// What is wrong with the owner of an object; `None` when it is the set, or an object of it, or when
    /// the object is on its way out.
    pub(crate) fn stranger(&self, kind: &str, identity: &Identity) -> Option<String> {
        if identity.is_terminating() {
            return None;
        }
        let Some(owner) = &identity.owner else {
            return Some("is controlled by nobody".to_owned());
        };
        let entry = &self.entry;
        let owners = entry.pods.values().map(|it| it.identity.uid());
        let owners = owners.chain(entry.stateful_sets.values().map(|it| it.identity.uid()));
        let is_ours = owners.chain([self.set.uid()]).any(|it| it == owner.uid);
        // A former leader may be gone already.
        (!is_ours).then(|| {
            format!(
                "is controlled by {} {}, which is no object of this set: this {kind} is not used",
                owner.kind, owner.name
            )
        })
    }
}

/// Since when an object that is to have ended is being deleted, and what that waits for.
pub(crate) fn terminating(
    ends: Timestamp,
    finalizers: Option<&[String]>,
    now: Timestamp,
) -> String {
    let waits = match finalizers {
        Some(finalizers) if !finalizers.is_empty() => {
            format!(", waits for {}", finalizers.join(", "))
        }
        _ => String::new(),
    };
    let over =
        if ends < now { format!(", its time ended {} ago", age(ends, now)) } else { String::new() };
    format!("is being deleted{over}{waits}")
}

fn text(tree: &Object, now: Timestamp, paint: Paint) -> String {
    let mut table = Table::new(&["OBJECT", "READY", "AGE", "NOTE"]);
    add(&mut table, tree, "", "", now);
    table.text(paint)
}

/// Adds an object and what is below it. `first` is what is in front of its own line, `others` of the
/// lines below.
fn add(table: &mut Table, object: &Object, first: &str, others: &str, now: Timestamp) {
    let plain = |text: String| (text, Tone::Plain);
    let ready = object.ready.clone().unwrap_or_default();
    let is_ready = ready.split_once('/').is_some_and(|(ready, wanted)| ready == wanted);
    let tone = match () {
        () if ready.is_empty() => Tone::Plain,
        () if is_ready => Tone::Good,
        () => Tone::Busy,
    };
    let notes: Vec<_> = object.note.iter().chain(&object.problems).cloned().collect();
    table.row([
        plain(format!("{first}{}/{}", object.kind, object.name)),
        (ready, tone),
        plain(object.created.map(|it| age(it, now)).unwrap_or_default()),
        (notes.join("; "), if object.problems.is_empty() { Tone::Plain } else { Tone::Bad }),
    ]);
    let last = object.children.len().saturating_sub(1);
    for (position, child) in object.children.iter().enumerate() {
        let (branch, trunk) =
            if position == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        add(table, child, &format!("{others}{branch}"), &format!("{others}{trunk}"), now);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_objects::{Objects, event};

    fn drawn(objects: &Objects) -> String {
        let snapshot = objects.snapshot();
        text(&tree(&snapshot), snapshot.now, Paint::NONE)
    }

    /// The line about an object.
    fn line<'a>(text: &'a str, object: &str) -> &'a str {
        let is = |line: &&str| line.contains(&format!("{object} "));
        text.lines().find(is).unwrap_or_else(|| panic!("no {object} in\n{text}"))
    }

    #[test]
    fn each_object_is_below_its_owner() {
        let text = drawn(&Objects::ready(1, 2));
        let objects: Vec<_> = text.lines().map(|it| it.split("   ").next().unwrap()).collect();
        let [revision] = [objects[2].trim_start_matches("├─ ControllerRevision/s-")];
        assert!(revision.ends_with("-1"), "{text}");
        assert_eq!(objects[1], "LeaderWorkerSet/s");
        assert_eq!(objects[3..5], ["├─ Service/s", "└─ StatefulSet/s"]);
        for (object, indented) in
            [("Pod/s-0", "   └─ "), ("StatefulSet/s-0", "      └─ "), ("Pod/s-0-1", "         └─ ")]
        {
            assert!(line(&text, object).starts_with(&format!("{indented}{object} ")), "{text}");
        }
        assert!(line(&text, "Pod/s-0-1").contains(" 1/1 "), "{text}");
    }

    #[test]
    fn workers_that_end_are_below_the_leader_of_their_name_once_their_stateful_set_is_gone() {
        let mut objects = Objects::ready(1, 2);
        objects.stateful_sets.retain(|it| it["metadata"]["name"] != "s-0");
        objects.pod("s-0-1")["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:05:20Z");
        let text = drawn(&objects);
        let worker = line(&text, "Pod/s-0-1");
        assert!(worker.starts_with("      └─ Pod/s-0-1 "), "{text}");
        assert!(worker.ends_with(" is being deleted"), "{text}");
    }

    #[test]
    fn objects_of_others_those_that_go_and_those_that_lack_pods_are_told() {
        let mut objects = Objects::ready(1, 2);
        objects.services[0]["metadata"]["ownerReferences"] = json!([]);
        let stranger = json!([{"apiVersion": "v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true}]);
        objects.sts("s-0")["metadata"]["ownerReferences"] = stranger;
        let pod = objects.pod("s-0");
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:03:00Z");
        pod["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        objects.sts("s")["status"]["replicas"] = json!(0);
        let message = "pods \"s-0\" is forbidden: exceeded quota: q";
        objects.events.push(event("StatefulSet", "s", "leaders", "FailedCreate", message));
        let text = drawn(&objects);
        for (object, problem) in [
            ("StatefulSet/s", message),
            ("Service/s", "is controlled by nobody"),
            ("StatefulSet/s-0", "is controlled by Deployment d, which is no object of this set"),
            ("Pod/s-0", "is being deleted, its time ended 2m ago, waits for foregroundDeletion"),
        ] {
            assert!(line(&text, object).contains(problem), "{text}");
        }
    }
}

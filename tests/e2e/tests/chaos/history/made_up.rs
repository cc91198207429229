//! Made-up histories, for tests of what judges them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::object::Detail;
use super::{Change, History, Kind, Object};

/// A history of the set `s`, told change by change, one each second. It begins with groups of two pods that are ready
/// and on record, at revision `a`.
pub(crate) struct MadeUp {
    pub(crate) history: History,
    seconds: u64,
}

impl MadeUp {
    /// The set, with so many groups, of which so many may be down.
    pub(crate) fn new(groups: i32, max_unavailable: i32) -> Self {
        let mut it = Self { history: History::default(), seconds: 0 };
        it.spec(groups, max_unavailable, 0);
        it.revision("a", "RecreateGroupOnPodRestart");
        it.revision("b", "RecreateGroupOnPodRestart");
        it.leader_set("a", groups, 0);
        for group in 0..groups {
            it.group(group, "a", 1);
        }
        it.seconds = 100;
        it
    }

    /// What is wanted of the set.
    pub(crate) fn spec(&mut self, replicas: i32, max_unavailable: i32, partition: i32) {
        let set = json!({
            "metadata": {"name": "s", "uid": "set"},
            "spec": {
                "replicas": replicas,
                "leaderWorkerTemplate": {"workerTemplate": {"spec": {}}},
                "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": {
                    "maxUnavailable": max_unavailable, "maxSurge": 0, "partition": partition,
                }},
            },
        });
        self.is(Kind::Set, "s", set);
    }

    /// A revision with this policy.
    pub(crate) fn revision(&mut self, key: &str, policy: &str) {
        let name = format!("s-{key}-1");
        let mut revision =
            metadata(&name, &format!("revision-{key}"), key, Some(["LeaderWorkerSet", "s", "set"]));
        merge(
            &mut revision,
            json!({
                "data": {"spec": {"leaderWorkerTemplate": {"restartPolicy": policy}}}, "revision": 1,
            }),
        );
        self.is(Kind::Revision, &name, revision);
    }

    /// The leader `StatefulSet`; its record is of every pod there may be.
    pub(crate) fn leader_set(&mut self, key: &str, replicas: i32, partition: i32) {
        let mut it = metadata("s", "leaders", key, Some(["LeaderWorkerSet", "s", "set"]));
        let pods: Vec<_> =
            (0..9).map(|it| format!("worker-{it}").chars().take(8).collect::<String>()).collect();
        merge(
            &mut it,
            json!({
                "metadata": {"annotations": {"leaderworkerset.sigs.k8s.io/members": pods.join(",")}},
                "spec": {
                    "replicas": replicas, "selector": {}, "serviceName": "s", "template": {},
                    "updateStrategy": {"rollingUpdate": {"partition": partition}},
                },
            }),
        );
        self.is(Kind::StatefulSet, "s", it);
    }

    /// A group that is ready, the `life`th of this index.
    pub(crate) fn group(&mut self, group: i32, key: &str, life: u32) {
        self.leader(group, key, life, true);
        self.worker_set(group, key, life);
        self.worker(group, key, life, 0);
    }

    /// The leader of a group, which is ready, or is going.
    pub(crate) fn leader(&mut self, group: i32, key: &str, life: u32, stays: bool) {
        let name = format!("s-{group}");
        let uid = format!("leader-{group}-{life}");
        let pod = pod(&name, &uid, key, ["StatefulSet", "s", "leaders"], [group, 0], 0, !stays);
        self.is(Kind::Pod, &name, pod);
    }

    /// The leader of a group, which is about to be taken from its node.
    pub(crate) fn evicted_leader(&mut self, group: i32, key: &str, life: u32) {
        self.leader(group, key, life, true);
        if let Detail::Pod { evicted, .. } = &mut self.last().detail {
            *evicted = true;
        }
    }

    /// The workers of a group.
    pub(crate) fn worker_set(&mut self, group: i32, key: &str, life: u32) {
        let name = format!("s-{group}");
        let uid = format!("workers-{group}-{life}");
        let leader = format!("leader-{group}-{life}");
        let mut it = metadata(&name, &uid, key, Some(["Pod", &name, &leader]));
        merge(
            &mut it,
            json!({
                "metadata": {"labels": {"leaderworkerset.sigs.k8s.io/group-index": group.to_string()}},
                "spec": {"replicas": 1, "selector": {}, "serviceName": "s", "template": {}},
            }),
        );
        self.is(Kind::StatefulSet, &name, it);
    }

    /// The worker of a group, which is ready; a container of it was restarted so often.
    pub(crate) fn worker(&mut self, group: i32, key: &str, life: u32, restarts: i32) {
        let name = format!("s-{group}-1");
        let uid = format!("worker-{group}-{life}");
        let workers = format!("workers-{group}-{life}");
        let owner = ["StatefulSet", &*format!("s-{group}"), &*workers];
        let pod = pod(&name, &uid, key, owner, [group, 1], restarts, false);
        self.is(Kind::Pod, &name, pod);
    }

    /// A pod is gone.
    pub(crate) fn gone(&mut self, name: &str) {
        self.push(Kind::Pod, name, None);
    }

    /// A `StatefulSet` is gone.
    pub(crate) fn gone_stateful_set(&mut self, name: &str) {
        self.push(Kind::StatefulSet, name, None);
    }

    /// A group ends as one: all of it is going, then gone.
    pub(crate) fn ends(&mut self, group: i32, key: &str, life: u32) {
        self.leader(group, key, life, false);
        self.gone(&format!("s-{group}-1"));
        self.gone_stateful_set(&format!("s-{group}"));
        self.gone(&format!("s-{group}"));
    }

    /// An object is as in this JSON.
    pub(crate) fn is(&mut self, kind: Kind, name: &str, value: Value) {
        self.push(kind, name, Some(Arc::new(Object::read(kind, value).unwrap())));
    }

    /// The object that was told last, to be told otherwise.
    pub(crate) fn last(&mut self) -> &mut Object {
        let last = self.history.changes.last_mut().and_then(|it| it.object.as_mut());
        Arc::make_mut(last.unwrap())
    }

    fn push(&mut self, kind: Kind, name: &str, object: Option<Arc<Object>>) {
        let at = Duration::from_secs(self.seconds);
        self.history.changes.push(Change { at, kind, name: name.to_owned(), object });
        self.seconds += 1;
    }

    /// So many seconds pass.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.seconds += seconds;
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn metadata(name: &str, uid: &str, key: &str, owner: Option<[&str; 3]>) -> Value {
    let owners = owner.map(|[kind, name, uid]| {
        json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
    });
    json!({"metadata": {
        "name": name, "uid": uid, "ownerReferences": owners,
        "labels": {
            "leaderworkerset.sigs.k8s.io/name": "s",
            "leaderworkerset.sigs.k8s.io/template-revision-hash": key,
        },
    }})
}

fn pod(
    name: &str,
    uid: &str,
    key: &str,
    owner: [&str; 3],
    [group, worker]: [i32; 2],
    restarts: i32,
    is_going: bool,
) -> Value {
    let mut pod = metadata(name, uid, key, Some(owner));
    merge(
        &mut pod,
        json!({
            "metadata": {
                "labels": {
                    "leaderworkerset.sigs.k8s.io/group-index": group.to_string(),
                    "leaderworkerset.sigs.k8s.io/worker-index": worker.to_string(),
                },
                "annotations": {"leaderworkerset.sigs.k8s.io/size": "2"},
            },
            "spec": {"containers": [], "nodeName": "n"},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
                }],
            },
        }),
    );
    if is_going {
        merge(&mut pod, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    }
    pod
}

/// Puts the fields of one object into the other.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

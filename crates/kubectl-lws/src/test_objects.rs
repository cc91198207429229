//! A set with its objects for unit tests, as the server would give them.

use jiff::Timestamp;
use lws_api_types::keys::{annotations, labels};
use lws_api_types::{LeaderWorkerSet, names, revision};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::snapshot::{Parts, Snapshot};

/// When everything was created.
pub(crate) const CREATED: &str = "2026-01-01T12:00:00Z";
/// When it is looked at.
pub(crate) const NOW: &str = "2026-01-01T12:05:00Z";

/// Set `s` of namespace `n`, with all groups ready until a test changes something.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) set: Value,
    pub(crate) stateful_sets: Vec<Value>,
    pub(crate) pods: Vec<Value>,
    pub(crate) services: Vec<Value>,
    pub(crate) revisions: Vec<Value>,
    pub(crate) events: Vec<Value>,
}

impl Objects {
    /// So many groups of so many pods.
    pub(crate) fn ready(replicas: i32, size: i32) -> Self {
        let mut set = json!({
            "metadata": metadata("s", "set", None),
            "spec": {
                "replicas": replicas,
                "leaderWorkerTemplate": {"size": size, "workerTemplate": {"spec": {"containers": [
                    {"name": "c", "image": "i"},
                ]}}},
            },
            "status": {
                "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas,
                "observedGeneration": 1,
                "conditions": [condition("Available", "True")],
            },
        });
        set["metadata"]["generation"] = json!(1);
        set["metadata"]["resourceVersion"] = json!("1");
        let mut objects = Self {
            set,
            stateful_sets: Vec::new(),
            pods: Vec::new(),
            services: vec![
                json!({"metadata": metadata("s", "service", Some(("LeaderWorkerSet", "s", "set")))}),
            ],
            revisions: Vec::new(),
            events: Vec::new(),
        };
        objects.record(1);
        let mut leaders =
            objects.stateful_set("s", "leaders", ("LeaderWorkerSet", "s", "set"), replicas);
        leaders["metadata"]["annotations"] = json!({annotations::REPLICAS: replicas.to_string()});
        objects.stateful_sets.push(leaders);
        for index in 0..replicas {
            objects.add_group(index, size);
        }
        objects
    }

    /// The key of the present content.
    pub(crate) fn key(&self) -> String {
        let set: LeaderWorkerSet = read(&self.set);
        revision::key(&revision::encode(&set.spec))
    }

    /// Records the present content.
    pub(crate) fn record(&mut self, number: i64) {
        let set: LeaderWorkerSet = read(&self.set);
        let data: Value = serde_json::from_str(&revision::encode(&set.spec)).unwrap();
        let key = self.key();
        let name = names::revision("s", &key, number);
        let mut metadata = metadata(&name, &name, Some(("LeaderWorkerSet", "s", "set")));
        metadata["labels"][labels::REVISION] = json!(key);
        self.revisions.push(json!({"metadata": metadata, "revision": number, "data": data}));
    }

    fn add_group(&mut self, index: i32, size: i32) {
        let leader = names::leader_pod("s", index.into());
        let pod = self.pod_of(&leader, ("StatefulSet", "s", "leaders"), index, 0);
        self.pods.push(pod);
        if size == 1 {
            return;
        }
        let workers = format!("{leader}-workers");
        let of_leader = format!("{leader}-uid");
        let it = self.stateful_set(&leader, &workers, ("Pod", &leader, &of_leader), size - 1);
        self.stateful_sets.push(it);
        for worker in 1..size {
            let name = names::worker_pod(&leader, worker.unsigned_abs());
            let pod = self.pod_of(&name, ("StatefulSet", &leader, &workers), index, worker);
            self.pods.push(pod);
        }
    }

    fn stateful_set(
        &self,
        name: &str,
        uid: &str,
        owner: (&str, &str, &str),
        replicas: i32,
    ) -> Value {
        let mut metadata = metadata(name, uid, Some(owner));
        metadata["generation"] = json!(1);
        metadata["labels"][labels::REVISION] = json!(self.key());
        json!({
            "metadata": metadata,
            "spec": {"replicas": replicas, "selector": {}, "template": {}, "serviceName": "s"},
            "status": {
                "replicas": replicas, "availableReplicas": replicas, "observedGeneration": 1,
                "currentRevision": "r", "updateRevision": "r",
            },
        })
    }

    fn pod_of(&self, name: &str, owner: (&str, &str, &str), group: i32, worker: i32) -> Value {
        let mut metadata = metadata(name, &format!("{name}-uid"), Some(owner));
        metadata["labels"][labels::REVISION] = json!(self.key());
        metadata["labels"][labels::GROUP_INDEX] = json!(group.to_string());
        metadata["labels"][labels::WORKER_INDEX] = json!(worker.to_string());
        json!({
            "metadata": metadata,
            "spec": {"nodeName": format!("node-{group}"), "containers": []},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {}},
                }],
            },
        })
    }

    /// The pod `name`.
    pub(crate) fn pod(&mut self, name: &str) -> &mut Value {
        named(&mut self.pods, name)
    }

    /// The `StatefulSet` `name`.
    pub(crate) fn sts(&mut self, name: &str) -> &mut Value {
        named(&mut self.stateful_sets, name)
    }

    /// Makes a pod wait with this reason, so that its group is not ready.
    pub(crate) fn waits(&mut self, name: &str, reason: &str, message: &str) {
        let pod = self.pod(name);
        pod["status"]["phase"] = json!("Pending");
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        let container = &mut pod["status"]["containerStatuses"][0];
        container["ready"] = json!(false);
        container["state"] = json!({"waiting": {"reason": reason, "message": message}});
        let parent = names::parent_and_ordinal(name).unwrap().0.to_owned();
        self.sts(&parent)["status"]["availableReplicas"] = json!(0);
    }

    /// Makes a pod run without being ready.
    pub(crate) fn runs(&mut self, name: &str) {
        self.waits(name, "", "");
        let pod = self.pod(name);
        pod["status"]["phase"] = json!("Running");
        pod["status"]["containerStatuses"][0]["state"] = json!({"running": {}});
    }

    /// Takes the node of a pod away, of which its scheduler, `own`, has not said anything.
    pub(crate) fn waits_for_node(&mut self, name: &str) {
        self.waits(name, "", "");
        let pod = self.pod(name);
        pod["spec"] = json!({"containers": [], "schedulerName": "own"});
        pod["status"] = json!({"phase": "Pending"});
    }

    /// Removes the workers of a leader, and their `StatefulSet`.
    pub(crate) fn remove_workers(&mut self, leader: &str) {
        let prefix = format!("{leader}-");
        let name = |it: &Value| it["metadata"]["name"].as_str().map(str::to_owned).unwrap();
        self.pods.retain(|it| !name(it).starts_with(&prefix));
        self.stateful_sets.retain(|it| name(it) != leader);
    }

    /// Replaces the conditions of the set.
    pub(crate) fn conditions(&mut self, kinds: &[&str]) {
        let all: Vec<_> = kinds.iter().map(|it| condition(it, "True")).collect();
        self.set["status"]["conditions"] = json!(all);
    }

    /// The objects at [`NOW`].
    pub(crate) fn snapshot(&self) -> Snapshot {
        let parts = Parts {
            stateful_sets: self.stateful_sets.iter().map(read).collect(),
            pods: self.pods.iter().map(read).collect(),
            services: self.services.iter().map(read).collect(),
            revisions: self.revisions.iter().map(read).collect(),
            pod_groups: Vec::new(),
            events: self.events.iter().map(read).collect(),
        };
        Snapshot::new(read(&self.set), parts, NOW.parse::<Timestamp>().unwrap()).unwrap()
    }
}

/// A condition of the set.
pub(crate) fn condition(kind: &str, status: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": "Reason", "message": "message",
        "lastTransitionTime": CREATED,
    })
}

/// An event about the object with this UID.
pub(crate) fn event(kind: &str, name: &str, uid: &str, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {"name": format!("{name}.{reason}"), "namespace": "n"},
        "involvedObject": {"kind": kind, "name": name, "uid": uid},
        "reason": reason, "message": message, "type": "Warning", "lastTimestamp": NOW,
    })
}

fn metadata(name: &str, uid: &str, owner: Option<(&str, &str, &str)>) -> Value {
    let owners: Vec<_> = owner
        .iter()
        .map(|(kind, name, uid)| {
            json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true})
        })
        .collect();
    json!({
        "name": name, "namespace": "n", "uid": uid, "creationTimestamp": CREATED,
        "labels": {labels::NAME: "s"}, "ownerReferences": owners,
    })
}

fn named<'a>(objects: &'a mut [Value], name: &str) -> &'a mut Value {
    objects.iter_mut().find(|it| it["metadata"]["name"] == name).unwrap()
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

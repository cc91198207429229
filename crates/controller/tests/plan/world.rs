//! A pretend API server for one set `s` in namespace `n`: it stores what plans ask for, plays the
//! `StatefulSet` controller on request, and shows everything through the real index.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::LeaderWorkerSetStatus;
use lws_api_types::keys::labels;
use lws_api_types::revision::encode;
use lws_controller::observe::index::{Index, SetKey};
use lws_controller::observe::nodes::{Node, NodeHealth, Nodes, Topologies};
use lws_controller::observe::views::{
    PodGroupView, PodView, RevisionView, ServiceView, SetView, StatefulSetView,
};
use lws_controller::observe::watch::PodGroups;
use lws_controller::plan::history::Incidents;
use lws_controller::plan::shortage::Shortages;
use lws_controller::plan::task::{
    Action, EventDraft, Failure, Orphaned, Plan, StatusChange, Verdict,
};
use lws_controller::plan::{self, Context};
use lws_runtime::config::GroupRestartSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[derive(Default)]
pub(crate) struct World {
    index: Index,
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    pub(crate) nodes: Nodes,
    pub(crate) topologies: Topologies,
    pub(crate) pod_groups: PodGroups,
    /// What admission adds to the annotations of new pods.
    pub(crate) pod_annotations: Value,
    /// What admission makes of the annotations of applied `StatefulSet`s.
    pub(crate) forced_annotations: Value,
    pub(crate) restarts: GroupRestartSettings,
    /// What is known of `StatefulSet`s that are short of pods.
    pub(crate) shortages: Shortages,
    /// Failures that are not in the stored history.
    pub(crate) unwritten: Incidents,
    /// What a request failed with.
    pub(crate) failure: Option<Failure>,
    /// Whether a request failed that says nothing.
    pub(crate) is_open: bool,
    pub(crate) now: Timestamp,
    /// Events told so far; the revision key reads `KEY`.
    pub(crate) told: Vec<String>,
}

impl World {
    /// A set with `spec` merged over: one container of image `old`.
    pub(crate) fn with_set(spec: Value) -> Self {
        let mut set = json!({
            "kind": "LeaderWorkerSet",
            "metadata": {"name": "s", "generation": 1},
            "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {
                "containers": [{"name": "c", "image": "old"}],
            }}}},
        });
        merge(&mut set["spec"], spec);
        let mut world = Self::default();
        world.put(set);
        world
    }

    /// A set whose groups are all there and ready, with its status written.
    pub(crate) fn settled(spec: Value) -> Self {
        let mut world = Self::with_set(spec);
        world.carry_out_all();
        let set = world.get("LeaderWorkerSet", "s");
        let size = set["spec"]["leaderWorkerTemplate"]["size"].as_i64().unwrap_or(1);
        for index in 0..set["spec"]["replicas"].as_i64().unwrap_or(1) {
            world.build_group(index, size);
        }
        world.carry_out_all();
        world.told.clear();
        world
    }

    /// Creates the pods of a group and makes them ready.
    pub(crate) fn build_group(&mut self, index: i64, size: i64) {
        let name = format!("s-{index}");
        self.start_leader(index);
        self.carry_out_all();
        for worker in 1..size {
            self.start_worker(index, worker);
        }
        if size > 1 {
            self.change("StatefulSet", &name, |it| {
                it["status"] = json!({"availableReplicas": size - 1});
            });
        }
        self.make_ready(&name);
    }

    /// A group whose leader was deleted ends and is built anew.
    pub(crate) fn rebuild_group(&mut self, index: i64, size: i64) {
        let name = format!("s-{index}");
        for worker in 1..size {
            self.forget("Pod", &format!("{name}-{worker}"));
        }
        self.forget("Pod", &name);
        if size > 1 {
            self.forget("StatefulSet", &name);
        }
        self.build_group(index, size);
        self.carry_out_all();
    }

    /// Another controller begins, with the objects that there are but those named `unseen`, which
    /// are too young for its lists.
    pub(crate) fn restart_controller(&mut self, unseen: &[&str]) {
        self.index = Index::default();
        self.unwritten.clear();
        for ((kind, name), object) in self.objects.clone() {
            if !unseen.contains(&name.as_str()) {
                self.show(&kind, object);
            }
        }
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The clock is put back.
    pub(crate) fn put_back(&mut self, seconds: u64) {
        self.now -= Duration::from_secs(seconds);
    }

    /// A node has been read.
    pub(crate) fn read_node(&mut self, name: &str, labels: &[(&str, &str)], health: NodeHealth) {
        let labels = labels.iter().map(|(key, it)| ((*key).to_owned(), (*it).to_owned()));
        self.nodes.insert(name.to_owned(), Node { labels: labels.collect(), health });
    }

    /// The nodes that have to be read.
    pub(crate) fn unknown_nodes(&self) -> Vec<String> {
        self.plan().unknown_nodes.into_keys().collect()
    }

    /// The annotation of a `StatefulSet`.
    pub(crate) fn annotation(&self, stateful_set: &str, key: &str) -> Option<String> {
        let object = self.get("StatefulSet", stateful_set);
        object["metadata"]["annotations"][key].as_str().map(str::to_owned)
    }

    /// It has been read whether any node carries a label.
    pub(crate) fn read_topology(&mut self, label: &str, is_carried: Option<bool>) {
        self.topologies.insert(label.to_owned(), is_carried);
    }

    pub(crate) fn plan(&self) -> Plan {
        let key = SetKey::new("n", "s");
        let context = Context {
            nodes: &self.nodes,
            topologies: &self.topologies,
            shortages: &self.shortages,
            unwritten: &self.unwritten,
            pod_groups: self.pod_groups,
            restarts: &self.restarts,
            verdict: match &self.failure {
                Some(failure) => Verdict::Refused(failure),
                None if self.is_open => Verdict::Open,
                None => Verdict::Fine,
            },
            now: self.now,
        };
        let plan = |entry: &_| plan::plan(&self.set(), &encode(&self.set().spec), entry, &context);
        self.index.read(&key, plan).unwrap_or_default()
    }

    /// The tasks of the present plan in words.
    pub(crate) fn tasks(&self) -> Vec<String> {
        let Plan { tasks, record, .. } = self.plan();
        tasks.into_iter().chain(record).map(|task| task.action.to_string()).collect()
    }

    pub(crate) fn revision_task(&self, number: i64) -> String {
        let key = lws_api_types::revision::key(&lws_api_types::revision::encode(&self.set().spec));
        format!("create controllerrevision s-{key}-{number}")
    }

    /// Carries out the present plan.
    pub(crate) fn carry_out(&mut self) {
        if let Some(change) = self.carry_out_first(usize::MAX) {
            let status = serde_json::to_value(change.status).unwrap();
            self.change("LeaderWorkerSet", "s", |set| set["status"] = status);
        }
    }

    /// Carries out the first tasks of the present plan; gives its status.
    pub(crate) fn carry_out_first(&mut self, count: usize) -> Option<StatusChange> {
        let plan = self.plan();
        self.unwritten = plan.unwritten;
        for task in plan.tasks.into_iter().chain(plan.record).take(count) {
            self.tell(&task.done);
            self.perform(task.action);
        }
        plan.status
    }

    /// The requests of the present plan fail.
    pub(crate) fn fail(&mut self) {
        self.unwritten = self.plan().unwritten;
    }

    /// Carries out plans until nothing is left.
    pub(crate) fn carry_out_all(&mut self) {
        for _ in 0..20 {
            let plan = self.plan();
            if plan.tasks.is_empty() && plan.record.is_none() && plan.status.is_none() {
                return;
            }
            self.carry_out();
        }
        panic!("still not settled: {:?}", self.tasks());
    }

    pub(crate) fn deletes(&self, pod: &str) -> bool {
        self.tasks().contains(&format!("delete pod {pod}"))
    }

    pub(crate) fn revisions(&self) -> usize {
        self.objects.keys().filter(|(kind, _)| kind == "ControllerRevision").count()
    }

    /// The only revision.
    pub(crate) fn revision(&self) -> Value {
        let mut all = self.objects.iter().filter(|((kind, _), _)| kind == "ControllerRevision");
        let (_, revision) = all.next().unwrap();
        assert!(all.next().is_none());
        revision.clone()
    }

    pub(crate) fn change_set(&mut self, change: impl FnOnce(&mut Value)) {
        self.change("LeaderWorkerSet", "s", |set| {
            change(set);
            set["metadata"]["generation"] =
                json!(set["metadata"]["generation"].as_i64().unwrap() + 1);
        });
    }

    /// The partition of the leader `StatefulSet`.
    pub(crate) fn partition(&self) -> Value {
        let leader_set = self.get("StatefulSet", "s");
        leader_set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].clone()
    }

    pub(crate) fn change_image(&mut self, image: &str) {
        self.change_set(|set| {
            let template = &mut set["spec"]["leaderWorkerTemplate"]["workerTemplate"];
            template["spec"]["containers"][0]["image"] = json!(image);
        });
    }

    /// Creates leader pod `index` as the `StatefulSet` controller would.
    pub(crate) fn start_leader(&mut self, index: i64) {
        let set = self.get("StatefulSet", "s");
        self.start_pod(
            &set,
            &format!("s-{index}"),
            &json!({labels::GROUP_INDEX: index.to_string()}),
        );
    }

    pub(crate) fn start_worker(&mut self, index: i64, worker: i64) {
        let name = format!("s-{index}");
        let set = self.get("StatefulSet", &name);
        let label = json!({labels::WORKER_INDEX: worker.to_string()});
        self.start_pod(&set, &format!("{name}-{worker}"), &label);
        self.make_ready(&format!("{name}-{worker}"));
    }

    fn start_pod(&mut self, owner: &Value, name: &str, more_labels: &Value) {
        let template = &owner["spec"]["template"];
        let mut pod = json!({
            "kind": "Pod",
            "metadata": {
                "name": name,
                "creationTimestamp": self.now.to_string(),
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"]["annotations"],
                "ownerReferences": [{
                    "kind": "StatefulSet", "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"], "controller": true,
                }],
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        });
        // The annotation marks workers; leaders must not have it.
        merge(&mut pod["metadata"]["labels"], more_labels.clone());
        if !self.pod_annotations.is_null() {
            merge(&mut pod["metadata"]["annotations"], self.pod_annotations.clone());
        }
        self.put(pod);
    }

    pub(crate) fn make_ready(&mut self, pod: &str) {
        let now = self.now.to_string();
        self.change("Pod", pod, |it| {
            it["status"]["phase"] = json!("Running");
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
            it["status"]["conditions"] = json!([ready]);
        });
    }

    /// The pod vanishes and is back under the same name before anyone looked.
    pub(crate) fn replace_pod(&mut self, name: &str) {
        let mut pod = self.get("Pod", name);
        pod["metadata"]["uid"] = json!(null);
        self.put(pod);
    }

    /// The same, and no controller sees it.
    pub(crate) fn replace_pod_unseen(&mut self, name: &str) {
        let mut pod = self.get("Pod", name);
        pod["metadata"]["uid"] = json!(null);
        self.store(pod);
    }

    /// An object is gone, if it was there.
    pub(crate) fn forget_if_there(&mut self, kind: &str, name: &str) {
        if self.has(kind, name) {
            self.forget(kind, name);
        }
    }

    /// An object is gone.
    pub(crate) fn forget(&mut self, kind: &str, name: &str) {
        let mut object = self.objects.remove(&(kind.to_owned(), name.to_owned())).unwrap();
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        match kind {
            "Pod" => drop(self.index.deleted(&view::<PodView>(object))),
            "StatefulSet" => drop(self.index.deleted(&view::<StatefulSetView>(object))),
            "Service" => drop(self.index.deleted(&view::<ServiceView>(object))),
            "PodGroup" => drop(self.index.deleted(&view::<PodGroupView>(object))),
            other => panic!("{other}"),
        }
    }

    /// The set that the plan doubts is read anew.
    pub(crate) fn read_set(&mut self) {
        assert!(self.plan().doubts_set);
        self.index.set_confirmed(view(self.get("LeaderWorkerSet", "s")));
    }

    /// The pods that the plan doubts are read anew.
    pub(crate) fn read_pods(&mut self) {
        let doubted = self.plan().doubted_pods;
        assert!(!doubted.is_empty());
        for target in doubted {
            let found = self.objects.get(&("Pod".into(), target.name.clone())).cloned().map(view);
            self.index.confirmed(&SetKey::new("n", "s"), &target.name, &target.uid, found);
        }
    }

    pub(crate) fn change(&mut self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(kind, name);
        change(&mut object);
        self.put(object);
    }

    /// Stores an object, with a UID when it has none, and shows it to the controller's watch.
    pub(crate) fn put(&mut self, object: Value) {
        let (kind, object) = self.store(object);
        self.show(&kind, object);
    }

    fn show(&self, kind: &str, object: Value) {
        match kind {
            "LeaderWorkerSet" => drop(self.index.observed(view::<SetView>(object))),
            "StatefulSet" => drop(self.index.observed(view::<StatefulSetView>(object))),
            "Pod" => drop(self.index.observed(view::<PodView>(object))),
            "Service" => drop(self.index.observed(view::<ServiceView>(object))),
            "ControllerRevision" => drop(self.index.observed(view::<RevisionView>(object))),
            "PodGroup" => drop(self.index.observed(view::<PodGroupView>(object))),
            other => panic!("{other}"),
        }
    }

    /// Stores an object and gives its kind and how a list shows it: without saying of which kind
    /// it is.
    fn store(&mut self, mut object: Value) -> (String, Value) {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!("n");
        metadata["resourceVersion"] = json!(self.version.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("{:08}-uid", self.version));
        }
        let kind = object["kind"].as_str().unwrap().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.objects.insert((kind.clone(), name), object.clone());
        object.as_object_mut().unwrap().retain(|field, _| field != "kind" && field != "apiVersion");
        (kind, object)
    }

    /// Stores an object and gives it as the answer to the request that wrote it.
    fn answer<V: DeserializeOwned>(&mut self, object: Value) -> V {
        view(self.store(object).1)
    }

    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.objects.contains_key(&(kind.to_owned(), name.to_owned()))
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        self.objects[&(kind.to_owned(), name.to_owned())].clone()
    }

    fn set(&self) -> lws_api_types::LeaderWorkerSet {
        serde_json::from_value(self.get("LeaderWorkerSet", "s")).unwrap()
    }

    /// The stored status.
    pub(crate) fn status(&self) -> LeaderWorkerSetStatus {
        self.set().status.unwrap_or_default()
    }

    fn tell(&mut self, events: &[EventDraft]) {
        let key = lws_api_types::revision::key(&lws_api_types::revision::encode(&self.set().spec));
        for event in events {
            let kind = if event.is_warning { "Warning" } else { "Normal" };
            let note = event.note.replace(&key, "KEY");
            self.told.push(format!("{kind} {}: {note}", event.reason));
        }
    }

    /// Answers a request; the watch shows nothing of it.
    fn perform(&mut self, action: Action) {
        match action {
            Action::CreateRevision(object) => {
                let revision = self.answer::<RevisionView>(object);
                assert!(self.index.written(revision));
            }
            Action::CreateWorkerSet(object) => {
                let worker_set = self.answer::<StatefulSetView>(object);
                assert!(self.index.written(worker_set));
            }
            Action::CreateService(object) => {
                let service = self.answer::<ServiceView>(object);
                assert!(self.index.written(service));
            }
            Action::CreatePodGroup(object) => {
                let pod_group = self.answer::<PodGroupView>(object);
                assert!(self.index.written(pod_group));
            }
            Action::ApplyLeaderSet { object: desired, .. } => {
                let mut object = desired.clone();
                if let Some(live) = self.objects.get(&("StatefulSet".into(), "s".into())) {
                    // Fields that are not applied stay.
                    let mut annotations = live["metadata"]["annotations"].clone();
                    merge(&mut annotations, desired["metadata"]["annotations"].clone());
                    object["metadata"]["annotations"] = annotations;
                    object["metadata"]["uid"] = live["metadata"]["uid"].clone();
                    object["status"] = live["status"].clone();
                }
                if !self.forced_annotations.is_null() {
                    merge(&mut object["metadata"]["annotations"], self.forced_annotations.clone());
                }
                let answer = self.answer(object);
                self.index.applied(&desired, answer);
            }
            Action::Adopt { kind, target, owners } => {
                let kind = match kind {
                    Orphaned::LeaderSet => "StatefulSet",
                    Orphaned::Service => "Service",
                    Orphaned::Revision => "ControllerRevision",
                };
                self.change(kind, &target.name, |it| it["metadata"]["ownerReferences"] = owners);
            }
            Action::RaiseRevision { target, number } => {
                let mut object = self.get("ControllerRevision", &target.name);
                object["revision"] = json!(number);
                let revision = self.answer::<RevisionView>(object);
                assert!(self.index.written(revision));
            }
            Action::DeleteRevision(target) => {
                self.objects.remove(&("ControllerRevision".into(), target.name.clone())).unwrap();
                self.index.forget::<RevisionView>("n", &target.name, &target.uid);
            }
            Action::DeleteLeader(target) => {
                let mut object = self.get("Pod", &target.name);
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
                let leader = self.answer::<PodView>(object);
                assert!(self.index.written(leader));
            }
            Action::DeleteWorkerSet { target, stays: false } => {
                self.objects.remove(&("StatefulSet".into(), target.name.clone())).unwrap();
                self.index.forget::<StatefulSetView>("n", &target.name, &target.uid);
            }
            Action::DeleteWorkerSet { target, stays: true } => {
                let mut object = self.get("StatefulSet", &target.name);
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                let worker_set = self.answer::<StatefulSetView>(object);
                assert!(self.index.written(worker_set));
            }
            Action::ReleasePod(target) => {
                self.objects.remove(&("Pod".into(), target.name.clone())).unwrap();
                self.index.forget::<PodView>("n", &target.name, &target.uid);
            }
            Action::Annotate { stateful_set, key, value } => {
                let mut object = self.get("StatefulSet", &stateful_set.name);
                assert_eq!(object["metadata"]["uid"], stateful_set.uid);
                merge(&mut object["metadata"], json!({"annotations": {key: value}}));
                if value.is_none() {
                    object["metadata"]["annotations"].as_object_mut().unwrap().remove(key);
                }
                let annotated = self.answer::<StatefulSetView>(object);
                assert!(self.index.written(annotated));
            }
        }
    }
}

fn view<V: DeserializeOwned>(object: Value) -> V {
    serde_json::from_value(object).unwrap()
}

fn merge(target: &mut Value, other: Value) {
    match (target, other) {
        (Value::Object(target), Value::Object(other)) => {
            for (key, value) in other {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, other) => *target = other,
    }
}

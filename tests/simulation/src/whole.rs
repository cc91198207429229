//! A set with everything that belongs to it, as the controller's index has it, for whole plans of any size. What a plan asks
//! for is there at once; pods are made from their templates and ready.

use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::labels;
use lws_controller::observe::entry::Entry;
use lws_controller::observe::index::{Index, Indexed, SetKey};
use lws_controller::observe::nodes::{Nodes, Topologies};
use lws_controller::observe::views::{
    PodView, RevisionView, ServiceView, SetView, StatefulSetView,
};
use lws_controller::observe::watch::PodGroups;
use lws_controller::plan::history::Incidents;
use lws_controller::plan::shortage::Shortages;
use lws_controller::plan::task::{Action, Plan, Verdict};
use lws_controller::plan::{self, Context};
use lws_runtime::config::GroupRestartSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "n";
const NAME: &str = "s";

/// Plans until a set has nothing to do: its revision, its leader `StatefulSet` and Service, its worker `StatefulSet`s, the
/// record and the status. More than these means that it never will.
const MOST_PLANS: usize = 10;

/// A set and its objects.
pub struct WholeSet {
    index: Index,
    set: Value,
    /// The leader `StatefulSet`, once it is applied.
    leader_set: Value,
    version: u64,
    size: usize,
    restarts: GroupRestartSettings,
    nodes: Nodes,
    topologies: Topologies,
    shortages: Shortages,
    unwritten: Incidents,
}

impl WholeSet {
    /// A new set of so many groups with so many pods each, of which there are only the leader `StatefulSet` and the leaders.
    ///
    /// # Panics
    ///
    /// When plans do not ask for them.
    #[must_use]
    pub fn with_leaders(groups: usize, size: usize) -> Self {
        let container = json!([{"name": "c", "image": "registry.example/serving:1"}]);
        let template = json!({"spec": {"containers": container}});
        let set = json!({
            "metadata": {"name": NAME, "generation": 1},
            "spec": {
                "replicas": groups,
                "rolloutStrategy": {"rollingUpdateConfiguration": {"maxUnavailable": "2%"}},
                "leaderWorkerTemplate": {"size": size, "workerTemplate": template},
            },
        });
        let mut whole = Self {
            index: Index::default(),
            set: Value::Null,
            leader_set: Value::Null,
            version: 0,
            size,
            restarts: GroupRestartSettings::default(),
            nodes: Nodes::default(),
            topologies: Topologies::default(),
            shortages: Shortages::default(),
            unwritten: Incidents::default(),
        };
        whole.set = whole.show::<SetView>(set);
        for _ in 0..MOST_PLANS {
            if whole.leader_set.is_null() {
                whole.carry_out();
            }
        }
        assert!(
            !whole.leader_set.is_null(),
            "no leader StatefulSet: {:?}",
            whole.plan().tasks.first()
        );
        for group in 0..groups {
            let leader_set = whole.leader_set.clone();
            let label = json!({labels::GROUP_INDEX: group.to_string()});
            whole.start(&leader_set, &format!("{NAME}-{group}"), &label);
        }
        whole
    }

    /// Carries out plans until nothing is left to do.
    ///
    /// # Panics
    ///
    /// When that does not end.
    pub fn settle(&mut self) {
        for _ in 0..MOST_PLANS {
            if !self.carry_out() {
                return;
            }
        }
        panic!("still not settled: {:?}", self.plan().tasks.first());
    }

    /// The set gets another template.
    pub fn change_template(&mut self) {
        let mut set = self.set.clone();
        set["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0]["image"] =
            "registry.example/serving:2".into();
        set["metadata"]["generation"] = 2.into();
        self.set = self.show::<SetView>(set);
    }

    /// The present plan, computed as a reconcile does.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let context = Context {
            nodes: &self.nodes,
            topologies: &self.topologies,
            shortages: &self.shortages,
            unwritten: &self.unwritten,
            pod_groups: PodGroups::Unwanted,
            restarts: &self.restarts,
            verdict: Verdict::Fine,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let plan = |entry: &Entry| {
            let stored = entry.set().unwrap();
            let set: &LeaderWorkerSet = stored.set.as_ref().unwrap();
            plan::plan(set, &stored.content, entry, &context)
        };
        self.index.read(&SetKey::new(NAMESPACE, NAME), plan).unwrap()
    }

    /// Carries out the present plan; gives whether there was anything to do.
    pub fn carry_out(&mut self) -> bool {
        let Plan { tasks, record, status, .. } = self.plan();
        let is_idle = tasks.is_empty() && record.is_none() && status.is_none();
        for task in tasks.into_iter().chain(record) {
            self.perform(task.action);
        }
        if let Some(change) = status {
            let mut set = self.set.clone();
            set["status"] = serde_json::to_value(change.status).unwrap();
            self.set = self.show::<SetView>(set);
        }
        !is_idle
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::CreateRevision(object) => _ = self.show::<RevisionView>(object),
            Action::CreateService(object) => _ = self.show::<ServiceView>(object),
            Action::ApplyLeaderSet { mut object, .. } => {
                object["metadata"]["uid"] = self.leader_set["metadata"]["uid"].clone();
                self.leader_set = self.show::<StatefulSetView>(object);
            }
            Action::CreateWorkerSet(mut object) => {
                object["status"] = json!({"availableReplicas": self.size - 1});
                let worker_set = self.show::<StatefulSetView>(object);
                let leader = worker_set["metadata"]["name"].as_str().unwrap().to_owned();
                for worker in 1..self.size {
                    let label = json!({labels::WORKER_INDEX: worker.to_string()});
                    self.start(&worker_set, &format!("{leader}-{worker}"), &label);
                }
            }
            Action::Annotate { key, value, .. } => {
                let mut object = self.leader_set.clone();
                let annotations = &mut object["metadata"]["annotations"];
                annotations[key] = value.map_or(Value::Null, Value::from);
                self.leader_set = self.show::<StatefulSetView>(object);
            }
            other => panic!("{other} is not asked for while a set is made"),
        }
    }

    /// A pod is there and ready.
    fn start(&mut self, owner: &Value, name: &str, more_labels: &Value) {
        let template = &owner["spec"]["template"];
        let mut all = template["metadata"]["labels"].clone();
        let more = more_labels.as_object().into_iter().flat_map(Map::iter);
        all.as_object_mut().unwrap().extend(more.map(|(key, it)| (key.clone(), it.clone())));
        let ready = json!({
            "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        self.show::<PodView>(json!({
            "metadata": {
                "name": name,
                "labels": all,
                "annotations": template["metadata"]["annotations"],
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{
                    "kind": "StatefulSet", "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"], "controller": true,
                }],
            },
            "spec": template["spec"],
            "status": {"phase": "Running", "conditions": [ready]},
        }));
    }

    /// The watch shows an object, as the server has it.
    fn show<V: Indexed + DeserializeOwned>(&mut self, mut object: Value) -> Value {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["namespace"] = NAMESPACE.into();
        metadata["resourceVersion"] = self.version.to_string().into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("{:08}-uid", self.version).into();
        }
        let view: V = serde_json::from_value(object.clone()).unwrap();
        self.index.observed(view);
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_settles_and_is_rolled_out() {
        let mut whole = WholeSet::with_leaders(50, 4);
        let plan = whole.plan();
        let is_creation = |action: &Action| matches!(action, Action::CreateWorkerSet(_));
        assert_eq!(plan.tasks.iter().filter(|it| is_creation(&it.action)).count(), 50);
        whole.settle();
        assert_eq!(whole.set["status"]["readyReplicas"], 50);

        whole.change_template();
        assert!(whole.carry_out(), "a revision");
        let plan = whole.plan();
        let [task] = plan.tasks.as_slice() else { panic!("{:?}", plan.tasks) };
        assert!(matches!(task.action, Action::ApplyLeaderSet { .. }));
        assert!(task.action.to_string().contains("partition 50"), "{}", task.action);
    }
}

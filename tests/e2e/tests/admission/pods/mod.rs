//! Pods: labels, placement and variables that admission adds, or why it refuses.

mod gang;
mod identity;
mod placement;
mod rejections;
mod tpu;
mod variables;
mod whole;

use std::ops::Range;

use anyhow::{Context as _, Result};
use lws_api_types::keys::{TPU_RESOURCE, annotations, labels};
use lws_api_types::names;
use serde_json::{Value, json};

use crate::json::{ensure_equal, put};
use crate::world::World;

/// A pod as a StatefulSet creates it, and what it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) json: Value,
    /// `<set>-<group>`.
    leader: String,
    ordinal: u32,
    size: u32,
    /// The leader's address without the namespace.
    address: String,
}

impl Pod {
    /// The leader of group 1 of `set`.
    pub(crate) fn leader(set: &str, size: u32) -> Self {
        let leader = format!("{set}-1");
        let labels = json!({labels::NAME: set, labels::WORKER_INDEX: "0"});
        Self::new(&leader, &leader, 0, size, &labels)
    }

    /// A worker of group 1 of `set`.
    pub(crate) fn worker(set: &str, ordinal: u32, size: u32) -> Self {
        let leader = format!("{set}-1");
        let labels = json!({labels::NAME: set, labels::GROUP_INDEX: "1"});
        let pod = Self::new(&format!("{leader}-{ordinal}"), &leader, ordinal, size, &labels);
        pod.annotation(annotations::LEADER_NAME, &leader)
    }

    /// A pod of `labels` that no StatefulSet has created, so that it names no leader.
    pub(crate) fn loose(name: &str, size: u32, labels: &Value) -> Self {
        Self::new(name, name, 0, size, labels)
    }

    fn new(name: &str, leader: &str, ordinal: u32, size: u32, labels: &Value) -> Self {
        let json = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": {annotations::SIZE: size.to_string()},
            },
            "spec": {"subdomain": "default", "containers": [{"name": "worker", "image": "busybox"}]},
        });
        let address = format!("{leader}.default");
        Self { json, leader: leader.to_owned(), ordinal, size, address }
    }

    /// The same with another label.
    pub(crate) fn label(self, key: &str, value: &str) -> Self {
        self.put(&format!("/metadata/labels/{}", escape(key)), json!(value))
    }

    /// The same with another annotation.
    pub(crate) fn annotation(self, key: &str, value: &str) -> Self {
        self.put(&format!("/metadata/annotations/{}", escape(key)), json!(value))
    }

    /// The same without the label that makes it a pod of a set.
    pub(crate) fn of_no_set(self) -> Self {
        self.put(&format!("/metadata/labels/{}", escape(labels::NAME)), Value::Null)
    }

    /// The same in subgroups of this size.
    pub(crate) fn divided(self, subgroup_size: u32) -> Self {
        self.annotation(annotations::SUBGROUP_SIZE, &subgroup_size.to_string())
    }

    /// The same, of a group whose leader requests TPUs.
    pub(crate) fn of_tpu_leader(self) -> Self {
        self.annotation(annotations::LEADER_REQUESTS_TPUS, "true")
    }

    /// The same with TPUs for this container.
    pub(crate) fn tpus(self, container: usize) -> Self {
        let resources = json!({"limits": {TPU_RESOURCE: "4"}});
        self.put(&format!("/spec/containers/{container}/resources"), resources)
    }

    /// The same with another container.
    pub(crate) fn container(mut self, container: &Value) -> Self {
        if let Some(Value::Array(containers)) = self.json.pointer_mut("/spec/containers") {
            containers.push(container.clone());
        }
        self
    }

    /// The same with `value` at a JSON pointer, whose parent is an object; null removes.
    #[allow(clippy::panic, reason = "the row of a table makes no sense")]
    pub(crate) fn put(mut self, pointer: &str, value: Value) -> Self {
        put(&mut self.json, pointer, value)
            .unwrap_or_else(|error| panic!("{error}: {}", self.json));
        self
    }

    /// The same, where the leader is found at `address` and the namespace.
    pub(crate) fn led_from(self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self }
    }

    fn name(&self) -> &str {
        self.json.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }
}

/// What admission adds to a pod, beside what all pods of its group get.
#[derive(Debug, Clone, Default)]
pub(crate) struct Added {
    subgroup: Option<u32>,
    affinity: Option<Value>,
    subdomain: Option<&'static str>,
    /// The TPU variables by the position of the container.
    tpu: Vec<(usize, Tpu)>,
}

/// What a TPU container is told.
#[derive(Debug, Clone)]
pub(crate) struct Tpu {
    id: u32,
    hosts: Vec<(String, u16)>,
    port: u16,
}

impl Added {
    /// The labels of a subgroup too.
    pub(crate) fn subgroup(self, index: u32) -> Self {
        Self { subgroup: Some(index), ..self }
    }

    /// This affinity instead of the present one.
    pub(crate) fn affinity(self, affinity: Value) -> Self {
        Self { affinity: Some(affinity), ..self }
    }

    /// This subdomain instead of the present one.
    pub(crate) fn subdomain(self, subdomain: &'static str) -> Self {
        Self { subdomain: Some(subdomain), ..self }
    }

    /// The TPU variables of a pod's one TPU container, which is the first one: its id among the hosts `members`, that is,
    /// the pods with these ordinals.
    pub(crate) fn tpu(self, pod: &Pod, id: u32, members: Range<u32>) -> Self {
        self.tpus(0, id, hosts(pod, members, &[8476]), 8476)
    }

    /// The TPU variables of a container.
    pub(crate) fn tpus(
        mut self,
        container: usize,
        id: u32,
        hosts: Vec<(String, u16)>,
        port: u16,
    ) -> Self {
        self.tpu.push((container, Tpu { id, hosts, port }));
        self
    }
}

/// The hosts with these ordinals in the group of `pod`, once for each of the ports that every pod has.
pub(crate) fn hosts(pod: &Pod, ordinals: Range<u32>, ports: &[u16]) -> Vec<(String, u16)> {
    let name = |ordinal| match ordinal {
        0 => pod.leader.clone(),
        worker => format!("{}-{worker}", pod.leader),
    };
    let host =
        |ordinal| ports.iter().map(move |port| (format!("{}.default", name(ordinal)), *port));
    ordinals.flat_map(host).collect()
}

impl Tpu {
    fn variables(&self, leader: &str) -> Vec<Value> {
        let list = |text: &dyn Fn(&(String, u16)) -> String| {
            self.hosts.iter().map(text).collect::<Vec<_>>().join(",")
        };
        vec![
            variable("TPU_WORKER_HOSTNAMES", &list(&|(host, _)| host.clone())),
            variable("TPU_WORKER_ID", &self.id.to_string()),
            variable("TPU_NAME", leader),
            variable("TPU_PROCESS_ADDRESSES", &list(&|(host, port)| format!("{host}:{port}"))),
            variable("TPU_PROCESS_PORT", &self.port.to_string()),
        ]
    }
}

/// An environment variable.
pub(crate) fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// Creates `pod` in a namespace of its own, named like the first word of `case`, and says whether it got what it must:
/// the labels of its place, the variables of its group, what `added` names, and nothing else.
pub(crate) async fn admit(world: &World, case: &str, pod: &Pod, added: &Added) -> Result<()> {
    let namespace = namespace(case);
    let mut changes = vec![];
    let mut label = |key: &str, value: String| {
        changes.push((format!("/metadata/labels/{}", escape(key)), json!(value)));
    };
    label(labels::WORKER_INDEX, pod.ordinal.to_string());
    if pod.ordinal == 0 {
        label(labels::GROUP_INDEX, "1".to_owned());
        label(labels::GROUP_KEY, names::group_key(&namespace, &pod.leader));
    }
    if let Some(index) = added.subgroup {
        label(labels::SUBGROUP_INDEX, index.to_string());
        label(labels::SUBGROUP_KEY, names::subgroup_key(&pod.leader, &index.to_string()));
    }
    changes.extend(added.affinity.iter().map(|it| ("/spec/affinity".to_owned(), it.clone())));
    changes.extend(added.subdomain.iter().map(|it| ("/spec/subdomain".to_owned(), json!(it))));
    let first = [
        variable("LWS_LEADER_ADDRESS", &format!("{}.{namespace}", pod.address)),
        variable("LWS_GROUP_SIZE", &pod.size.to_string()),
        variable("LWS_WORKER_INDEX", &pod.ordinal.to_string()),
    ];
    let containers = pod.json.pointer("/spec/containers").and_then(Value::as_array);
    for (position, container) in containers.context("no containers")?.iter().enumerate() {
        let own = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
        let tpu = added.tpu.iter().find(|(container, _)| *container == position);
        let last = tpu.map(|(_, tpu)| tpu.variables(&pod.leader)).unwrap_or_default();
        let env = [first.to_vec(), own, last].concat();
        changes.push((format!("/spec/containers/{position}/env"), json!(env)));
    }
    admit_with(world, case, pod, changes).await
}

/// Creates `pod` as [`admit`] does, and says whether admission has put `changes` into it and nothing else.
pub(crate) async fn admit_with(
    world: &World,
    case: &str,
    pod: &Pod,
    changes: Vec<(String, Value)>,
) -> Result<()> {
    let namespace = namespace(case);
    world.namespace(&namespace).await?;
    let pods = world.pods(&namespace);
    // From this one sees what the API server adds to pods by itself.
    let other = pod.clone().of_no_set().json;
    let mut expected = pods.try_create(&other).await?.object().context("without set")?;
    let set = pod.json.pointer("/metadata/labels").and_then(|it| it.get(labels::NAME));
    let set = set.context("a pod of no set")?.clone();
    put(&mut expected, &format!("/metadata/labels/{}", escape(labels::NAME)), set)?;
    for (pointer, value) in changes {
        put(&mut expected, &pointer, value)?;
    }
    let created = pods.create(&pod.json).await?.object()?;
    ensure_equal(&decided(&created), &decided(&expected))
}

/// What admission decides on.
fn decided(pod: &Value) -> Value {
    let field = |pointer| pod.pointer(pointer).cloned().unwrap_or_default();
    json!({
        "labels": field("/metadata/labels"),
        "annotations": field("/metadata/annotations"),
        "spec": field("/spec"),
    })
}

/// The first word of `case` as a namespace.
pub(crate) fn namespace(case: &str) -> String {
    case.split(' ').next().unwrap_or(case).to_lowercase()
}

/// A key as a segment of a JSON pointer.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

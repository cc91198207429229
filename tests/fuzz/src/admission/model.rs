//! What a member of a group must look like once it is stored: the documented rules, one after the
//! other, on the whole object. It knows nothing of patches, and is right for what the controller
//! makes only.

use std::collections::HashSet;

use lws_api_types::keys::{TPU_FIRST_PORT, TPU_RESOURCE, annotations, env, labels};
use lws_api_types::names;
use serde_json::{Map, Value, json};

/// A member of a group of set `test` in namespace `default`.
struct Member<'a> {
    name: &'a str,
    leader: &'a str,
    ordinal: u32,
    size: u32,
    annotations: &'a Map<String, Value>,
}

/// `pod` as it is stored.
#[must_use]
pub fn stored(pod: &Value, gang_scheduling: bool) -> Value {
    let member = Member::of(pod);
    let mut stored = pod.clone();
    member.label(&mut stored);
    if member.ordinal == 0 && member.annotation(annotations::SUBDOMAIN_POLICY).is_some() {
        stored["spec"]["subdomain"] = member.name.into();
    }
    let group = stored["metadata"]["labels"][labels::GROUP_INDEX].clone();
    if gang_scheduling {
        let revision = pod["metadata"]["labels"][labels::REVISION].as_str().unwrap_or_default();
        let name = format!("test-{}-{revision}", group.as_str().expect("an index"));
        stored["metadata"]["annotations"][annotations::POD_GROUP_NAME] = name.into();
    }
    member.place(&mut stored);
    member.tell(&mut stored);
    stored
}

impl<'a> Member<'a> {
    fn of(pod: &'a Value) -> Self {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let annotations = pod["metadata"]["annotations"].as_object().expect("annotations");
        let (parent, ordinal) = names::parent_and_ordinal(name).expect("an ordinal");
        let (leader, ordinal) = if parent == "test" { (name, 0) } else { (parent, ordinal) };
        let size = annotations[annotations::SIZE].as_str().expect("a size");
        Self { name, leader, ordinal, size: size.parse().expect("a number"), annotations }
    }

    fn annotation(&self, key: &str) -> Option<&'a str> {
        self.annotations.get(key)?.as_str()
    }

    /// Subgroup of the pod with this ordinal, where there is one.
    fn subgroup(&self, ordinal: u32) -> Option<u32> {
        let size: u32 = self.annotation(annotations::SUBGROUP_SIZE)?.parse().expect("a number");
        let policy = self.annotation(annotations::SUBGROUP_POLICY_TYPE);
        if ordinal == 0 {
            return (policy == Some("LeaderWorker")).then_some(0);
        }
        let leader_is_extra =
            (self.size - 1).is_multiple_of(size) && !self.size.is_multiple_of(size);
        Some((ordinal - u32::from(leader_is_extra)) / size)
    }

    fn label(&self, pod: &mut Value) {
        let labels = pod["metadata"]["labels"].as_object_mut().expect("labels");
        let mut set = |key: &str, value: String| labels.insert(key.to_owned(), value.into());
        set(labels::WORKER_INDEX, self.ordinal.to_string());
        if self.ordinal == 0 {
            let (_, group) = names::parent_and_ordinal(self.name).expect("an ordinal");
            set(labels::GROUP_INDEX, group.to_string());
            set(labels::GROUP_KEY, names::group_key("default", self.name));
        }
        if let Some(index) = self.subgroup(self.ordinal) {
            set(labels::SUBGROUP_INDEX, index.to_string());
            set(labels::SUBGROUP_KEY, names::subgroup_key(self.leader, &index.to_string()));
        } else if self.annotation(annotations::SUBGROUP_SIZE).is_some() {
            labels.remove(labels::SUBGROUP_INDEX);
            labels.remove(labels::SUBGROUP_KEY);
        }
    }

    /// Adds the terms of exclusive placement.
    fn place(&self, pod: &mut Value) {
        let before = pod["spec"].get("affinity").cloned().unwrap_or_default();
        for (key, topology, concerned) in [
            (labels::GROUP_KEY, annotations::EXCLUSIVE_TOPOLOGY, self.ordinal == 0),
            (
                labels::SUBGROUP_KEY,
                annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY,
                self.subgroup(self.ordinal).is_some(),
            ),
        ] {
            let Some(topology) = self.annotation(topology).filter(|_| concerned) else { continue };
            if KINDS
                .iter()
                .all(|kind| terms(&before[kind]).iter().any(|it| concerns(it, topology, key)))
            {
                continue;
            }
            let value = &pod["metadata"]["labels"][key];
            let only = json!([{"key": key, "operator": "In", "values": [value]}]);
            let no_other = json!([
                {"key": key, "operator": "Exists"},
                {"key": key, "operator": "NotIn", "values": [value]},
            ]);
            for (kind, expressions) in KINDS.into_iter().zip([only, no_other]) {
                let list = &mut pod["spec"]["affinity"][kind][REQUIRED];
                let mut all = list.as_array().cloned().unwrap_or_default();
                let selector = json!({"matchExpressions": expressions});
                all.push(json!({"labelSelector": selector, "topologyKey": topology}));
                *list = all.into();
            }
        }
    }

    /// Gives the containers their variables.
    fn tell(&self, pod: &mut Value) {
        let subdomain = pod["spec"]["subdomain"].as_str().unwrap_or_default().to_owned();
        let group = pod["metadata"]["labels"][labels::GROUP_INDEX].as_str().expect("an index");
        let first = [
            variable(env::LEADER_ADDRESS, &format!("test-{group}.{subdomain}.default")),
            variable(env::GROUP_SIZE, &self.size.to_string()),
            variable(env::WORKER_INDEX, &self.ordinal.to_string()),
        ];
        let tpu_containers = containers(pod).filter(|it| requests_tpus(it));
        let ports: Vec<_> = tpu_containers.zip(TPU_FIRST_PORT..).map(port).collect();
        let hosts = self.hosts(&subdomain, ports.len());
        let addresses = hosts.iter().zip(ports.iter().cycle());
        let addresses: Vec<_> = addresses.map(|(host, port)| format!("{host}:{port}")).collect();
        let own = format!("{}.{subdomain}", self.name);
        let first_id = hosts.iter().position(|host| *host == own).unwrap_or_default();
        let mut position = 0;
        for list in LISTS {
            for container in
                pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
            {
                let mut last = Vec::new();
                if requests_tpus(container) {
                    if !names_hosts(container) {
                        last = vec![
                            variable(env::TPU_WORKER_HOSTNAMES, &hosts.join(",")),
                            variable(env::TPU_WORKER_ID, &(first_id + position).to_string()),
                            variable(env::TPU_NAME, self.leader),
                            variable(env::TPU_PROCESS_ADDRESSES, &addresses.join(",")),
                            variable(env::TPU_PROCESS_PORT, &ports[position]),
                        ];
                    }
                    position += 1;
                }
                let users = container.get("env").and_then(Value::as_array).cloned();
                let users = users.unwrap_or_default();
                container["env"] = first_of_each_name([first.to_vec(), users, last].concat());
            }
        }
    }

    /// The hosts of the TPU group, each `times`.
    fn hosts(&self, subdomain: &str, times: usize) -> Vec<String> {
        let leader_requests =
            self.ordinal == 0 || self.annotation(annotations::LEADER_REQUESTS_TPUS).is_some();
        let own = self.subgroup(self.ordinal);
        (u32::from(!leader_requests)..self.size)
            .filter(|ordinal| self.subgroup(*ordinal) == own)
            .map(|ordinal| match ordinal {
                0 => format!("{}.{subdomain}", self.leader),
                worker => format!("{}-{worker}.{subdomain}", self.leader),
            })
            .flat_map(|host| std::iter::repeat_n(host, times))
            .collect()
    }
}

const KINDS: [&str; 2] = ["podAffinity", "podAntiAffinity"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const LISTS: [&str; 2] = ["containers", "initContainers"];

fn terms(pod_affinity: &Value) -> &[Value] {
    pod_affinity[REQUIRED].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a term counts as one over `topology` that is about label `key`.
fn concerns(term: &Value, topology: &str, key: &str) -> bool {
    let selector = &term["labelSelector"];
    let by_expression =
        || selector["matchExpressions"].as_array()?.iter().find(|it| it["key"] == key);
    term["topologyKey"] == topology
        && (selector.is_null()
            || selector["matchLabels"].get(key).is_some()
            || by_expression().is_some())
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    LISTS.into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

fn requests_tpus(container: &Value) -> bool {
    let amounts = ["limits", "requests"].map(|list| &container["resources"][list][TPU_RESOURCE]);
    amounts.into_iter().any(|amount| *amount == "4" || *amount == 4)
}

fn named<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container["env"].as_array()?.iter().find(|it| it["name"] == name)
}

fn names_hosts(container: &Value) -> bool {
    [env::TPU_WORKER_HOSTNAMES, env::TPU_WORKER_ID]
        .iter()
        .any(|name| named(container, name).is_some())
}

/// The port of a TPU container, which has a port by default.
fn port((container, default): (&Value, usize)) -> String {
    let own = named(container, env::TPU_PROCESS_PORT).filter(|it| it["valueFrom"].is_null());
    let own = own.and_then(|it| it["value"].as_str()).filter(|port| !port.is_empty());
    own.map_or_else(|| default.to_string(), str::to_owned)
}

fn first_of_each_name(variables: Vec<Value>) -> Value {
    let mut names = HashSet::new();
    variables.into_iter().filter(|variable| names.insert(variable["name"].to_string())).collect()
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

//! Pods with the keys and texts that decide something, in any combination.

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};

const PREFIX: &str = "leaderworkerset.sigs.k8s.io";
const LABELS: [&str; 7] = [
    "name",
    "template-revision-hash",
    "group-index",
    "group-key",
    "worker-index",
    "subgroup-index",
    "subgroup-key",
];
const ANNOTATIONS: [&str; 8] = [
    "size",
    "leader-name",
    "leader-requests-tpus",
    "subdomainPolicy",
    "subgroup-size",
    "subgroup-policy-type",
    "exclusive-topology",
    "subgroup-exclusive-topology",
];
const VARIABLES: [&str; 9] = [
    "LWS_LEADER_ADDRESS",
    "LWS_GROUP_SIZE",
    "LWS_WORKER_INDEX",
    "TPU_WORKER_HOSTNAMES",
    "TPU_WORKER_ID",
    "TPU_NAME",
    "TPU_PROCESS_ADDRESSES",
    "TPU_PROCESS_PORT",
    "OTHER",
];

/// A text that means something somewhere, or any.
#[derive(Arbitrary, Debug)]
pub enum Text {
    Zero,
    Number(u16),
    Leader,
    Worker,
    Topology,
    Excluded,
    Unique,
    True,
    Any(String),
}

impl Text {
    fn json(&self) -> Value {
        match self {
            Self::Zero => "0".into(),
            Self::Number(number) => number.to_string().into(),
            Self::Leader => "test-0".into(),
            Self::Worker => "test-0-1".into(),
            Self::Topology => "rack".into(),
            Self::Excluded => "LeaderExcluded".into(),
            Self::Unique => "UniquePerReplica".into(),
            Self::True => "true".into(),
            Self::Any(text) => text.as_str().into(),
        }
    }
}

/// A variable of a container: one of the known names, and a value or a source.
#[derive(Arbitrary, Debug)]
pub struct Variable {
    name: u8,
    value: Option<Text>,
    from: bool,
}

/// A container.
#[derive(Arbitrary, Debug)]
pub struct Container {
    env: Option<Vec<Variable>>,
    tpus: Option<Text>,
    requests: bool,
}

/// A term of pod affinity.
#[derive(Arbitrary, Debug)]
pub struct Term {
    topology: Text,
    label: Option<u8>,
    expression: bool,
}

/// A pod; what the arrays hold stands for the keys in order.
#[derive(Arbitrary, Debug)]
pub struct AnyPod {
    name: Text,
    labels: [Option<Text>; 7],
    annotations: [Option<Text>; 8],
    more: Vec<(String, Text)>,
    subdomain: Option<Text>,
    containers: Vec<Container>,
    init_containers: Option<Vec<Container>>,
    affinity: Option<[Option<Option<Vec<Term>>>; 2]>,
}

impl AnyPod {
    /// The review of its creation.
    #[must_use]
    pub fn review(&self) -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "operation": "CREATE",
                "namespace": "default",
                "object": {"metadata": self.metadata(), "spec": self.spec()},
            },
        })
    }

    fn metadata(&self) -> Value {
        let keys = |keys: &[&str], values: &[Option<Text>]| -> Map<String, Value> {
            let present = keys.iter().zip(values).filter_map(|(key, value)| {
                Some((format!("{PREFIX}/{key}"), value.as_ref()?.json()))
            });
            let more = self.more.iter().map(|(key, value)| (key.clone(), value.json()));
            more.chain(present).collect()
        };
        json!({
            "name": self.name.json(),
            "labels": keys(&LABELS, &self.labels),
            "annotations": keys(&ANNOTATIONS, &self.annotations),
        })
    }

    fn spec(&self) -> Value {
        let mut spec = json!({
            "containers": self.containers.iter().map(container).collect::<Vec<_>>(),
        });
        if let Some(subdomain) = &self.subdomain {
            spec["subdomain"] = subdomain.json();
        }
        if let Some(containers) = &self.init_containers {
            spec["initContainers"] = containers.iter().map(container).collect();
        }
        if let Some([near, far]) = &self.affinity {
            let mut affinity = Map::new();
            for (kind, list) in [("podAffinity", near), ("podAntiAffinity", far)] {
                if let Some(list) = list {
                    let terms = list.as_ref().map(|list| list.iter().map(term).collect());
                    let terms: Value = terms.unwrap_or_default();
                    let required = "requiredDuringSchedulingIgnoredDuringExecution";
                    affinity.insert(kind.to_owned(), json!({required: terms}));
                }
            }
            spec["affinity"] = affinity.into();
        }
        spec
    }
}

fn container(container: &Container) -> Value {
    let mut json = json!({"name": "c"});
    if let Some(env) = &container.env {
        let variables = env.iter().map(|variable| {
            let name = VARIABLES[usize::from(variable.name) % VARIABLES.len()];
            let mut json = json!({"name": name});
            if let Some(value) = &variable.value {
                json["value"] = value.json();
            }
            if variable.from {
                json["valueFrom"] = json!({"fieldRef": {"fieldPath": "metadata.name"}});
            }
            json
        });
        json["env"] = variables.collect();
    }
    if let Some(amount) = &container.tpus {
        let list = if container.requests { "requests" } else { "limits" };
        json["resources"] = json!({list: {"google.com/tpu": amount.json()}});
    }
    json
}

fn term(term: &Term) -> Value {
    let mut json = json!({"topologyKey": term.topology.json()});
    if let Some(label) = term.label {
        let key = format!("{PREFIX}/{}", LABELS[usize::from(label) % LABELS.len()]);
        json["labelSelector"] = if term.expression {
            json!({"matchExpressions": [{"key": key, "operator": "Exists"}]})
        } else {
            json!({"matchLabels": {key: "v"}})
        };
    }
    json
}

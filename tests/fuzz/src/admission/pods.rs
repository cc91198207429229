//! Pods of groups: most are members as the controller makes them, with whatever a user may write
//! into a template; the others have texts anywhere that mean something elsewhere.

use arbitrary::Arbitrary;
use lws_api_types::keys::{PREFIX, TPU_RESOURCE, annotations, env, labels};
use serde_json::{Map, Value, json};

const LABELS: [&str; 7] = [
    labels::NAME,
    labels::REVISION,
    labels::GROUP_INDEX,
    labels::GROUP_KEY,
    labels::WORKER_INDEX,
    labels::SUBGROUP_INDEX,
    labels::SUBGROUP_KEY,
];
const ANNOTATIONS: [&str; 9] = [
    annotations::SIZE,
    annotations::LEADER_NAME,
    annotations::LEADER_REQUESTS_TPUS,
    annotations::SUBDOMAIN_POLICY,
    annotations::SUBGROUP_SIZE,
    annotations::SUBGROUP_POLICY_TYPE,
    annotations::EXCLUSIVE_TOPOLOGY,
    annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY,
    annotations::POD_GROUP_NAME,
];
const VARIABLES: [&str; 9] = [
    env::LEADER_ADDRESS,
    env::GROUP_SIZE,
    env::WORKER_INDEX,
    env::TPU_WORKER_HOSTNAMES,
    env::TPU_WORKER_ID,
    env::TPU_NAME,
    env::TPU_PROCESS_ADDRESSES,
    env::TPU_PROCESS_PORT,
    "OTHER",
];

/// A text that means something somewhere, or any.
#[derive(Arbitrary, Clone, Debug)]
enum Text {
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

/// Which pod of which group a member is.
#[derive(Arbitrary, Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
struct Place {
    group: u8,
    size: u8,
    worker: Option<u8>,
    /// Which of the possible sizes of a subgroup, and whether the leader is excluded.
    subgroup: Option<(u8, bool)>,
    leader_requests_tpus: bool,
    /// One topology for groups, and for subgroups the same or another one.
    topology: bool,
    subgroup_topology: Option<bool>,
    unique_subdomain: bool,
    revision: bool,
    /// Labels that the controller does not write into the template, but a user has.
    template: [Option<u8>; 4],
}

impl Place {
    fn size(&self) -> u32 {
        1 + u32::from(self.size) % 16
    }

    /// Position in the group; 0 is the leader.
    fn ordinal(&self) -> u32 {
        let workers = self.size() - 1;
        self.worker.filter(|_| workers > 0).map_or(0, |worker| 1 + u32::from(worker) % workers)
    }

    fn leader(&self) -> String {
        format!("test-{}", self.group % 3)
    }

    fn name(&self) -> String {
        match self.ordinal() {
            0 => self.leader(),
            worker => format!("{}-{worker}", self.leader()),
        }
    }

    /// Size of a subgroup, and the policy.
    fn subgroup(&self) -> Option<(u32, &'static str)> {
        let (choice, excluded) = self.subgroup?;
        let size = self.size();
        let sizes: Vec<_> = (1..=size)
            .filter(|it| (size - 1).is_multiple_of(*it) || (size.is_multiple_of(*it) && !excluded))
            .collect();
        let policy = if excluded { "LeaderExcluded" } else { "LeaderWorker" };
        Some((sizes[usize::from(choice) % sizes.len()], policy))
    }

    fn labels(&self) -> Map<String, Value> {
        let mut labels = Map::new();
        let users =
            [labels::GROUP_INDEX, labels::GROUP_KEY, labels::SUBGROUP_INDEX, labels::SUBGROUP_KEY];
        for (key, value) in users.iter().zip(&self.template) {
            labels.extend(value.map(|value| ((*key).to_owned(), value.to_string().into())));
        }
        labels.insert(labels::NAME.to_owned(), "test".into());
        if self.revision {
            labels.insert(labels::REVISION.to_owned(), "key".into());
        }
        if self.ordinal() == 0 {
            labels.insert(labels::WORKER_INDEX.to_owned(), "0".into());
        } else {
            labels.insert(labels::GROUP_INDEX.to_owned(), (self.group % 3).to_string().into());
        }
        labels
    }

    fn annotations(&self) -> Map<String, Value> {
        let is_worker = self.ordinal() > 0;
        let subgroup = self.subgroup();
        let subgroup_topology = self.subgroup_topology.filter(|_| subgroup.is_some());
        let leader = self.leader();
        let pairs = [
            (annotations::SIZE, Some(self.size().to_string())),
            (annotations::LEADER_NAME, is_worker.then_some(leader)),
            (
                annotations::LEADER_REQUESTS_TPUS,
                (is_worker && self.leader_requests_tpus).then(|| "true".to_owned()),
            ),
            (
                annotations::SUBDOMAIN_POLICY,
                (!is_worker && self.unique_subdomain).then(|| "UniquePerReplica".to_owned()),
            ),
            (annotations::SUBGROUP_SIZE, subgroup.map(|(size, _)| size.to_string())),
            (annotations::SUBGROUP_POLICY_TYPE, subgroup.map(|(_, policy)| policy.to_owned())),
            (annotations::EXCLUSIVE_TOPOLOGY, self.topology.then(|| "rack".to_owned())),
            (
                annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY,
                subgroup_topology.map(|same| if same { "rack" } else { "host" }.to_owned()),
            ),
        ];
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect()
    }
}

/// What makes a pod no member: other texts than the controller writes, in the order of the keys.
#[derive(Arbitrary, Clone, Debug)]
struct Damage {
    name: Option<Text>,
    labels: [Option<Text>; LABELS.len()],
    annotations: [Option<Text>; ANNOTATIONS.len()],
    without: u16,
}

impl Damage {
    fn apply(&self, pod: &mut Value) {
        let metadata = &mut pod["metadata"];
        if let Some(name) = &self.name {
            metadata["name"] = name.json();
        }
        let labels = LABELS.iter().zip(&self.labels).map(|it| ("labels", it));
        let annotations = ANNOTATIONS.iter().zip(&self.annotations).map(|it| ("annotations", it));
        for (position, (field, (key, value))) in labels.chain(annotations).enumerate() {
            if let Some(value) = value {
                metadata[field][*key] = value.json();
            } else if self.without >> position & 1 == 1
                && let Some(values) = metadata[field].as_object_mut()
            {
                values.remove(*key);
            }
        }
    }
}

/// A variable of a container: one of the known names, and a value or a source.
#[derive(Arbitrary, Clone, Debug)]
struct Variable {
    name: u8,
    value: Option<Text>,
    from: bool,
}

/// A quantity.
#[derive(Arbitrary, Clone, Debug)]
enum Amount {
    Text,
    Number,
    ZeroText,
    ZeroNumber,
    ZeroWithSuffix,
}

impl Amount {
    fn json(&self) -> Value {
        match self {
            Self::Text => "4".into(),
            Self::Number => 4.into(),
            Self::ZeroText => "0".into(),
            Self::ZeroNumber => 0.into(),
            Self::ZeroWithSuffix => "0.0Ki".into(),
        }
    }
}

/// A container.
#[derive(Arbitrary, Clone, Debug)]
struct Container {
    env: Option<Vec<Variable>>,
    tpu_limit: Option<Amount>,
    tpu_request: Option<Amount>,
    unknown: bool,
}

impl Container {
    fn json(&self) -> Value {
        let mut json = json!({"name": "c"});
        if let Some(env) = &self.env {
            json["env"] = env.iter().map(Variable::json).collect();
        }
        for (list, amount) in [("limits", &self.tpu_limit), ("requests", &self.tpu_request)] {
            if let Some(amount) = amount {
                json["resources"][list] = json!({TPU_RESOURCE: amount.json()});
            }
        }
        if self.unknown {
            json["future"] = json!({"of": ["containers"]});
        }
        json
    }
}

impl Variable {
    fn json(&self) -> Value {
        let name = VARIABLES[usize::from(self.name) % VARIABLES.len()];
        let mut json = json!({"name": name});
        if let Some(value) = &self.value {
            json["value"] = value.json();
        }
        if self.from {
            json["valueFrom"] = json!({"fieldRef": {"fieldPath": "metadata.name"}});
        }
        json
    }
}

/// A term of pod affinity.
#[derive(Arbitrary, Clone, Debug)]
struct Term {
    topology: Text,
    label: Option<u8>,
    expression: bool,
}

impl Term {
    fn json(&self) -> Value {
        let mut json = json!({"topologyKey": self.topology.json()});
        if let Some(label) = self.label {
            let key = LABELS[usize::from(label) % LABELS.len()];
            json["labelSelector"] = if self.expression {
                json!({"matchExpressions": [{"key": key, "operator": "Exists"}]})
            } else {
                json!({"matchLabels": {key: "v"}})
            };
        }
        json
    }
}

/// The required terms of one kind of pod affinity, which may be null, and so may their list.
type Terms = Option<Option<Vec<Term>>>;

/// A pod of a set `test`.
#[derive(Arbitrary, Clone, Debug)]
pub struct AnyPod {
    place: Place,
    container: Container,
    more_containers: Vec<Container>,
    init_containers: Option<Vec<Container>>,
    subdomain: bool,
    affinity: Option<[Option<Terms>; 2]>,
    more: Vec<(String, Text)>,
    unknown: bool,
    damage: Damage,
    damaged: [bool; 2],
}

impl AnyPod {
    /// Whether the pod is a member of a group, as the controller makes it.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.damaged != [true, true]
    }

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
                "object": self.json(),
            },
        })
    }

    /// The pod before its admission.
    #[must_use]
    pub fn json(&self) -> Value {
        let own = |key: &str| !key.starts_with(PREFIX) && key != annotations::POD_GROUP_NAME;
        let more = self.more.iter().filter(|(key, _)| own(key));
        let more: Map<_, _> = more.map(|(key, value)| (key.clone(), value.json())).collect();
        let [labels, annotations] = [self.place.labels(), self.place.annotations()]
            .map(|keys| -> Map<_, _> { keys.into_iter().chain(more.clone()).collect() });
        let mut pod = json!({
            "metadata": {"name": self.place.name(), "labels": labels, "annotations": annotations},
            "spec": self.spec(),
        });
        if self.unknown {
            for field in ["metadata", "spec", "future"] {
                pod[field]["unknown"] = json!([{"~/": null}]);
            }
        }
        if !self.is_member() {
            self.damage.apply(&mut pod);
        }
        pod
    }

    fn spec(&self) -> Value {
        let containers = [&self.container].into_iter().chain(&self.more_containers);
        let mut spec = json!({"containers": containers.map(Container::json).collect::<Value>()});
        if self.subdomain {
            spec["subdomain"] = "test".into();
        }
        if let Some(list) = &self.init_containers {
            spec["initContainers"] = list.iter().map(Container::json).collect();
        }
        if let Some(kinds) = &self.affinity {
            let mut affinity = Map::new();
            for (kind, terms) in ["podAffinity", "podAntiAffinity"].into_iter().zip(kinds) {
                if let Some(terms) = terms {
                    let terms = terms.as_ref().map(|list| {
                        let list = list.as_ref().map(|it| it.iter().map(Term::json).collect());
                        let list: Value = list.unwrap_or_default();
                        json!({"requiredDuringSchedulingIgnoredDuringExecution": list})
                    });
                    affinity.insert(kind.to_owned(), terms.unwrap_or_default());
                }
            }
            spec["affinity"] = affinity.into();
        }
        spec
    }
}

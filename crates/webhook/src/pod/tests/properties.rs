//! What holds for every group and every object.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use lws_api_types::keys::env as env_keys;
use proptest::prelude::*;

use super::super::identity::Identity;
use super::super::tpu::Tpu;
use super::super::variables::Variable;
use super::*;

/// A group of TPU pods.
#[derive(Clone, Debug)]
struct Group {
    size: u32,
    subgroup: Option<u32>,
    excluded: bool,
    leader_tpu: bool,
    /// For each TPU container, its own port if it chooses one.
    ports: Vec<Option<u16>>,
}

impl Group {
    /// All groups of `size` pods that validation allows, with and without TPUs for the leader, with
    /// 1 to 4 TPU containers a pod, of which none or every second one chooses its port.
    fn of_size(size: u32) -> impl Iterator<Item = Self> {
        divisions(size).into_iter().flat_map(move |(subgroup, excluded)| {
            [true, false].into_iter().flat_map(move |leader_tpu| {
                (0..4_u16).flat_map(move |last| {
                    [false, true].into_iter().map(move |chosen| {
                        let port = |it: u16| (chosen && it.is_multiple_of(2)).then_some(9000 + it);
                        let ports = (0..=last).map(port).collect();
                        Self { size, subgroup, excluded, leader_tpu, ports }
                    })
                })
            })
        })
    }

    /// The pod with this ordinal before its admission. The leader may request no TPUs.
    fn pod(&self, ordinal: u32) -> Value {
        let name = if ordinal == 0 { "test-0".to_owned() } else { format!("test-0-{ordinal}") };
        let mut it = pod(&name, self.size);
        if let Some(subgroup) = self.subgroup {
            let policy = if self.excluded { "LeaderExcluded" } else { "LeaderWorker" };
            annotate(&mut it, annotations::SUBGROUP_SIZE, &subgroup.to_string());
            annotate(&mut it, annotations::SUBGROUP_POLICY_TYPE, policy);
        }
        if ordinal > 0 && self.leader_tpu {
            annotate(&mut it, annotations::LEADER_REQUESTS_TPUS, "true");
        }
        if ordinal > 0 || self.leader_tpu {
            let containers = self.ports.iter().map(|port| {
                let port = port
                    .map(|port| json!([{"name": "TPU_PROCESS_PORT", "value": port.to_string()}]));
                tpu_container(&port.unwrap_or(Value::Null))
            });
            it["spec"]["containers"] = containers.collect();
        }
        it
    }

    /// The port of the TPU container at `position`.
    fn port(&self, position: usize) -> String {
        self.ports[position].map_or_else(|| (8476 + position).to_string(), |it| it.to_string())
    }

    fn host(ordinal: u32) -> String {
        match ordinal {
            0 => "test-0.test".to_owned(),
            worker => format!("test-0-{worker}.test"),
        }
    }

    /// The hosts and addresses of these pods.
    fn lists(&self, members: &[u32]) -> (Vec<String>, Vec<String>) {
        let (mut hosts, mut addresses) = (Vec::new(), Vec::new());
        for ordinal in members {
            for position in 0..self.ports.len() {
                hosts.push(Self::host(*ordinal));
                addresses.push(format!("{}:{}", Self::host(*ordinal), self.port(position)));
            }
        }
        (hosts, addresses)
    }

    /// The TPU pods of the group, by the TPU group that they form.
    fn tpu_groups(&self) -> Vec<Vec<u32>> {
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for ordinal in u32::from(!self.leader_tpu)..self.size {
            if !groups.iter().any(|members| members.contains(&ordinal)) {
                groups.push(self.members(ordinal));
            }
        }
        groups
    }

    /// The ordinals of the pods that the label of their subgroup puts together with `ordinal`, by
    /// the published formula; without the leader where that has no TPUs.
    fn members(&self, ordinal: u32) -> Vec<u32> {
        let subgroup = |ordinal: u32| {
            let Some(subgroup) = self.subgroup else { return 0 };
            let workers_only =
                !self.size.is_multiple_of(subgroup) && (self.size - 1).is_multiple_of(subgroup);
            match ordinal {
                0 if self.excluded => -1,
                0 => 0,
                worker if workers_only => i64::from((worker - 1) / subgroup),
                worker => i64::from(worker / subgroup),
            }
        };
        let first = u32::from(!self.leader_tpu);
        (first..self.size).filter(|other| subgroup(*other) == subgroup(ordinal)).collect()
    }
}

/// Every division of a group of `size` that validation allows, and none: the size of a subgroup,
/// and whether the leader is excluded.
fn divisions(size: u32) -> Vec<(Option<u32>, bool)> {
    let mut divisions = vec![(None, false)];
    for subgroup in 1..=size {
        let workers_divide = (size - 1).is_multiple_of(subgroup);
        if size.is_multiple_of(subgroup) || workers_divide {
            divisions.push((Some(subgroup), false));
        }
        if workers_divide {
            divisions.push((Some(subgroup), true));
        }
    }
    divisions
}

/// Every TPU container of every pod of every group of up to 64 pods: all members of a TPU group are
/// told the same list, each container finds its pod there at its id, no other container of the
/// group has this id, and addresses have the ports.
#[test]
fn tpu_groups_are_consistent() {
    let next = AtomicU32::new(1);
    let groups = || {
        let mut seen = HashSet::new();
        while let size @ 1..=64 = next.fetch_add(1, Ordering::Relaxed) {
            for group in Group::of_size(size) {
                check_tpu_group(&group);
                seen.insert((
                    group.subgroup.is_some(),
                    group.excluded,
                    group.leader_tpu,
                    group.ports,
                ));
            }
        }
        seen
    };
    let seen = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(groups));
        threads.map(|it| it.join().unwrap()).into_iter().flatten().collect::<HashSet<_>>()
    });
    // Undivided, divided, and without its leader; with TPUs for the leader or not; the ports.
    assert_eq!(seen.len(), 3 * 2 * 4 * 2);
}

fn check_tpu_group(group: &Group) {
    let leader = group.pod(0).to_string();
    let worker = group.pod(1).to_string();
    let mut pods = 0;
    for members in group.tpu_groups() {
        let (hosts, addresses) = group.lists(&members);
        let lists = (hosts.join(","), addresses.join(","));
        let mut ids = HashSet::new();
        for (place, ordinal) in members.iter().enumerate() {
            let json = match ordinal {
                0 => leader.clone(),
                worker_ordinal => {
                    worker.replace("\"test-0-1\"", &format!("\"test-0-{worker_ordinal}\""))
                }
            };
            let view: Pod<'_> = decode(json.as_bytes()).unwrap();
            let identity = Identity::of(&view, "test", "default").unwrap();
            let tpu = Tpu::of(&identity, &view).unwrap().unwrap();
            for (position, (_, _, container)) in view.containers().enumerate() {
                let id = place * group.ports.len() + position;
                assert_eq!(hosts[id], Group::host(*ordinal), "{group:?}");
                assert!(ids.insert(id), "{group:?} {ordinal}: {id}");
                let (id, own_port) = (id.to_string(), group.port(position));
                let expected = [
                    (env_keys::TPU_WORKER_HOSTNAMES, lists.0.as_str()),
                    (env_keys::TPU_WORKER_ID, &id),
                    (env_keys::TPU_NAME, "test-0"),
                    (env_keys::TPU_PROCESS_ADDRESSES, &lists.1),
                    (env_keys::TPU_PROCESS_PORT, &own_port),
                ];
                // A port that the container has chosen stays where it is.
                let count = if group.ports[position].is_some() { 4 } else { 5 };
                let expected = expected.map(|(name, value)| Variable::new(name, value));
                let variables = tpu.variables(position, container);
                assert_eq!(variables, expected[..count], "{group:?} {ordinal}");
            }
            pods += 1;
        }
        assert_eq!(ids.len(), hosts.len(), "{group:?} {members:?}");
    }
    assert_eq!(pods, group.size - u32::from(!group.leader_tpu), "{group:?}");
}

/// The same by way of the protocol, for a choice of groups: labels say what the lists say, and a
/// second admission changes nothing.
#[test]
fn whole_groups_are_admitted_once() {
    for group in (1..=9).flat_map(Group::of_size).filter(|it| it.ports.len() == 2) {
        let mut members: HashMap<String, Vec<u32>> = HashMap::new();
        for ordinal in 0..group.size {
            let it = admit(&group.pod(ordinal));
            let index = label(&it, labels::SUBGROUP_INDEX).unwrap_or_default();
            let undivided = group.subgroup.is_none() || (ordinal == 0 && group.excluded);
            assert_eq!(index.is_empty(), undivided, "{group:?} {ordinal}");
            if ordinal > 0 || group.leader_tpu {
                members.entry(index).or_default().push(ordinal);
                let env = env(&it["spec"]["containers"][1]);
                let hosts = env["TPU_WORKER_HOSTNAMES"].as_str().unwrap().split(',');
                let id: usize = env["TPU_WORKER_ID"].as_str().unwrap().parse().unwrap();
                let host = format!("{}.test", it["metadata"]["name"].as_str().unwrap());
                assert_eq!(hosts.clone().nth(id), Some(host.as_str()), "{group:?} {ordinal}");
                assert_eq!(hosts.count(), 2 * group.members(ordinal).len(), "{group:?} {ordinal}");
            }
        }
        for ordinals in members.values() {
            assert_eq!(*ordinals, group.members(ordinals[0]), "{group:?}");
        }
    }
}

/// An object with some of the structure of a pod, and anything in it.
fn anything() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "metadata",
        "spec",
        "name",
        "namespace",
        "labels",
        "annotations",
        "containers",
        "initContainers",
        "env",
        "value",
        "valueFrom",
        "resources",
        "limits",
        "affinity",
        "podAffinity",
        "topologyKey",
        "subdomain",
        "labelSelector",
        "matchLabels",
        TPU_RESOURCE,
        labels::NAME,
        labels::WORKER_INDEX,
        labels::GROUP_INDEX,
        annotations::SIZE,
        annotations::SUBGROUP_SIZE,
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9~/-]{0,6}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn variables_are_ordered_whatever_the_user_sets(
        names in prop::collection::vec("LWS_GROUP_SIZE|LWS_LEADER_ADDRESS|TPU_NAME|[A-C]", 0..8),
        tpu: bool,
    ) {
        let users: Vec<_> = names.iter().map(|name| json!({"name": name, "value": "user's"})).collect();
        let mut it = pod("test-0", 2);
        let container = if tpu { tpu_container(&json!(users)) } else { json!({"name": "c", "env": users}) };
        it["spec"]["containers"] = json!([container]);
        let admitted = admit(&it);
        let mut expected = vec!["LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX"];
        let tpu_names: &[&str] = if tpu {
            &["TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID", "TPU_NAME", "TPU_PROCESS_ADDRESSES", "TPU_PROCESS_PORT"]
        } else {
            &[]
        };
        for name in names.iter().map(String::as_str).chain(tpu_names.iter().copied()) {
            if !expected.contains(&name) {
                expected.push(name);
            }
        }
        prop_assert_eq!(env_names(&admitted["spec"]["containers"][0]), expected);
    }

    #[test]
    fn any_object_is_answered(object in anything()) {
        let _ = operations(&object, Settings { gang_scheduling: true });
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = crate::review::parse(&bytes);
    }
}

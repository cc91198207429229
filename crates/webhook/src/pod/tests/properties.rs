//! What holds for every group and every object.

use std::collections::HashMap;

use proptest::prelude::*;

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
}

/// Groups that validation allows.
fn group() -> impl Strategy<Value = Group> {
    let shape = (1_u32..=64).prop_flat_map(|size| {
        let mut divisions = vec![(None, false)];
        for subgroup in 1..=size {
            let workers_divide = (size - 1) % subgroup == 0;
            if size % subgroup == 0 || workers_divide {
                divisions.push((Some(subgroup), false));
            }
            if workers_divide {
                divisions.push((Some(subgroup), true));
            }
        }
        (Just(size), prop::sample::select(divisions))
    });
    (shape, any::<bool>(), prop::collection::vec(any::<Option<u16>>(), 1..=4)).prop_map(
        |((size, (subgroup, excluded)), leader_tpu, ports)| Group {
            size,
            subgroup,
            excluded,
            leader_tpu,
            ports,
        },
    )
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

    /// Every TPU container finds itself at its id, and the members of its list see the same list.
    #[test]
    fn tpu_groups_are_consistent(group in group()) {
        let mut by_list: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for ordinal in 0..group.size {
            let it = admit(&group.pod(ordinal));
            let name = it["metadata"]["name"].as_str().unwrap();
            for (position, container) in it["spec"]["containers"].as_array().unwrap().iter().enumerate() {
                let env = env(container);
                let Some(hosts) = env.get("TPU_WORKER_HOSTNAMES") else {
                    prop_assert!(ordinal == 0 && !group.leader_tpu);
                    continue;
                };
                let text = |name: &str| env[name].as_str().unwrap();
                let id: usize = text("TPU_WORKER_ID").parse().unwrap();
                let (hosts, addresses) = (hosts.as_str().unwrap(), text("TPU_PROCESS_ADDRESSES"));
                let port = group.ports[position].map_or_else(|| (8476 + position).to_string(), |it| it.to_string());
                let host = format!("{name}.test");
                prop_assert_eq!(hosts.split(',').nth(id), Some(host.as_str()));
                let address = format!("{host}:{port}");
                prop_assert_eq!(addresses.split(',').nth(id), Some(address.as_str()));
                prop_assert_eq!(text("TPU_PROCESS_PORT"), port);
                prop_assert_eq!(text("TPU_NAME"), "test-0");
                by_list.entry((hosts.to_owned(), addresses.to_owned())).or_default().push(id);
            }
        }
        for ((hosts, _), mut ids) in by_list {
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..hosts.split(',').count()).collect::<Vec<_>>(), "{}", hosts);
        }
    }

    /// No two pods of different subgroups share a list, and labels say the same as the lists.
    #[test]
    fn subgroup_labels_match_host_lists(group in group()) {
        let mut lists: HashMap<String, String> = HashMap::new();
        for ordinal in 1..group.size {
            let it = admit(&group.pod(ordinal));
            let index = label(&it, labels::SUBGROUP_INDEX).unwrap_or_default();
            prop_assert_eq!(index.is_empty(), group.subgroup.is_none());
            let hosts = env(&it["spec"]["containers"][0])["TPU_WORKER_HOSTNAMES"].to_string();
            let seen = lists.entry(index).or_insert_with(|| hosts.clone());
            prop_assert_eq!(&*seen, &hosts);
        }
    }

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

    /// A pod with valid identity and anything else: a patch applies, a second one is empty.
    #[test]
    fn any_pod_is_patched_once(spec in anything(), more in anything(), leader: bool) {
        let mut it = pod(if leader { "test-0" } else { "test-0-1" }, 2);
        annotate(&mut it, annotations::EXCLUSIVE_TOPOLOGY, "rack");
        it["spec"]["affinity"] = spec;
        it["spec"]["containers"][0]["env"] = more;
        let _ = admit_with(&it, Settings { gang_scheduling: true });
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = crate::review::parse(&bytes);
    }
}

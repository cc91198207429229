//! Host lists and ids of TPU containers.

use super::*;

/// A TPU pod: `leader_tpu` says whether the leader of its group requests TPUs.
fn tpu_pod(name: &str, size: u32, subgroup: Option<u32>, leader_tpu: bool) -> Value {
    let mut it = pod(name, size);
    it["spec"]["subdomain"] = "s".into();
    it["spec"]["containers"] = json!([tpu_container(&json!([]))]);
    if let Some(subgroup) = subgroup {
        annotate(&mut it, annotations::SUBGROUP_SIZE, &subgroup.to_string());
    }
    if leader_tpu && it["metadata"]["labels"][labels::WORKER_INDEX].is_null() {
        annotate(&mut it, annotations::LEADER_REQUESTS_TPUS, "true");
    }
    it
}

/// Id, host ordinals and port of a container; the leader is ordinal 0.
fn seen(container: &Value) -> (usize, Vec<u32>, String) {
    let env = env(container);
    let text = |name: &str| env[name].as_str().unwrap().to_owned();
    let hosts = text("TPU_WORKER_HOSTNAMES");
    let ordinals = hosts.split(',').map(|host| {
        let pod = host.strip_suffix(".s").unwrap().strip_prefix("test-0").unwrap();
        pod.strip_prefix('-').map_or(0, |ordinal| ordinal.parse().unwrap())
    });
    assert_eq!(text("TPU_NAME"), "test-0");
    (text("TPU_WORKER_ID").parse().unwrap(), ordinals.collect(), text("TPU_PROCESS_PORT"))
}

fn name_of(ordinal: u32) -> String {
    if ordinal == 0 { "test-0".to_owned() } else { format!("test-0-{ordinal}") }
}

#[test]
fn pods_agree_on_their_group() {
    // Size, subgroup size, whether the leader requests TPUs, ordinal; id and hosts.
    for (size, subgroup, leader_tpu, ordinal, id, hosts) in [
        (3, None, true, 0, 0, vec![0, 1, 2]),
        (3, None, true, 2, 2, vec![0, 1, 2]),
        (3, None, false, 1, 0, vec![1, 2]),
        (3, None, false, 2, 1, vec![1, 2]),
        (5, None, false, 3, 2, vec![1, 2, 3, 4]),
        (1, None, true, 0, 0, vec![0]),
        (4, Some(2), true, 0, 0, vec![0, 1]),
        (4, Some(2), true, 1, 1, vec![0, 1]),
        (4, Some(2), true, 2, 0, vec![2, 3]),
        (4, Some(2), true, 3, 1, vec![2, 3]),
        (5, Some(2), false, 1, 0, vec![1, 2]),
        (5, Some(2), false, 2, 1, vec![1, 2]),
        (5, Some(2), false, 3, 0, vec![3, 4]),
        (5, Some(2), false, 4, 1, vec![3, 4]),
        (3, Some(1), true, 0, 0, vec![0]),
        (3, Some(1), true, 1, 0, vec![1]),
        (3, Some(1), false, 2, 0, vec![2]),
        (8, Some(4), true, 7, 3, vec![4, 5, 6, 7]),
        (11, Some(5), false, 7, 1, vec![6, 7, 8, 9, 10]),
        (5, Some(5), true, 0, 0, vec![0, 1, 2, 3, 4]),
        (10, Some(5), true, 3, 3, vec![0, 1, 2, 3, 4]),
        // The leader is the extra member of subgroup 0.
        (5, Some(2), true, 0, 0, vec![0, 1, 2]),
        (5, Some(2), true, 1, 1, vec![0, 1, 2]),
        (5, Some(2), true, 2, 2, vec![0, 1, 2]),
        (5, Some(2), true, 3, 0, vec![3, 4]),
        (5, Some(2), true, 4, 1, vec![3, 4]),
        // The subgroup of a leader without TPUs is one host shorter.
        (4, Some(2), false, 1, 0, vec![1]),
        (4, Some(2), false, 2, 0, vec![2, 3]),
        (4, Some(2), false, 3, 1, vec![2, 3]),
    ] {
        let it = admit(&tpu_pod(&name_of(ordinal), size, subgroup, leader_tpu));
        let case = (size, subgroup, leader_tpu, ordinal);
        let expected = (id, hosts, "8476".to_owned());
        assert_eq!(seen(&it["spec"]["containers"][0]), expected, "{case:?}");
    }
}

#[test]
fn an_excluded_leader_is_its_own_group() {
    for (ordinal, hosts) in [(0, vec![0]), (1, vec![1, 2]), (4, vec![3, 4])] {
        let mut it = tpu_pod(&name_of(ordinal), 5, Some(2), true);
        annotate(&mut it, annotations::SUBGROUP_POLICY_TYPE, "LeaderExcluded");
        let it = admit(&it);
        assert_eq!(seen(&it["spec"]["containers"][0]).1, hosts, "{ordinal}");
    }
}

#[test]
fn every_tpu_container_is_a_host() {
    for subgroup in [None, Some(2)] {
        let mut it = tpu_pod("test-0-1", 2, subgroup, true);
        it["spec"]["containers"] =
            json!([tpu_container(&json!([])), {"name": "plain"}, tpu_container(&json!([]))]);
        let admitted = admit(&it);
        let containers = &admitted["spec"]["containers"];
        assert_eq!(seen(&containers[0]), (2, vec![0, 0, 1, 1], "8476".to_owned()));
        assert_eq!(seen(&containers[2]), (3, vec![0, 0, 1, 1], "8477".to_owned()));
        assert_eq!(env(&containers[1]).len(), 3);
        assert_eq!(
            env(&containers[2])["TPU_PROCESS_ADDRESSES"],
            "test-0.s:8476,test-0.s:8477,test-0-1.s:8476,test-0-1.s:8477"
        );
    }
}

#[test]
fn init_containers_come_after_containers() {
    let mut it = tpu_pod("test-0", 1, None, true);
    it["spec"]["initContainers"] = json!([tpu_container(&json!([]))]);
    let it = admit(&it);
    assert_eq!(seen(&it["spec"]["containers"][0]).0, 0);
    assert_eq!(seen(&it["spec"]["initContainers"][0]), (1, vec![0, 0], "8477".to_owned()));
}

#[test]
fn ports_of_the_user_are_used() {
    let port = |value: &str| json!([{"name": "TPU_PROCESS_PORT", "value": value}]);
    let mut it = tpu_pod("test-0-1", 2, None, false);
    it["spec"]["containers"] = json!([tpu_container(&port("8478")), tpu_container(&port("8479"))]);
    let admitted = admit(&it);
    for container in admitted["spec"]["containers"].as_array().unwrap() {
        let addresses = &env(container)["TPU_PROCESS_ADDRESSES"];
        assert_eq!(addresses, "test-0-1.s:8478,test-0-1.s:8479");
        assert_eq!(container["env"].as_array().unwrap().len(), 8);
    }
    for port in [
        json!([{"name": "TPU_PROCESS_PORT", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]),
        port(""),
    ] {
        it["spec"]["containers"] = json!([tpu_container(&json!([])), tpu_container(&port)]);
        let admitted = admit(&it);
        let container = &admitted["spec"]["containers"][1];
        assert_eq!(env(container)["TPU_PROCESS_ADDRESSES"], "test-0-1.s:8476,test-0-1.s:8477");
        assert!(container["env"].as_array().unwrap().contains(&port[0]), "left as it is");
    }
}

#[test]
fn a_container_that_knows_its_hosts_is_skipped_alone() {
    for name in ["TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID"] {
        let mut it = tpu_pod("test-0", 2, None, true);
        let own = json!([{"name": name, "value": "x"}]);
        it["spec"]["containers"] = json!([tpu_container(&own), tpu_container(&json!([]))]);
        let it = admit(&it);
        let containers = &it["spec"]["containers"];
        assert_eq!(env(&containers[0]).len(), 4);
        assert_eq!(seen(&containers[1]), (1, vec![0, 0, 1, 1], "8477".to_owned()));
    }
}

/// Where nobody is to be told, nothing keeps the pod from being admitted.
#[test]
fn a_pod_that_knows_its_hosts_needs_no_list() {
    let own = json!([{"name": "TPU_WORKER_ID", "value": "x"}]);
    for (name, size) in [("test-0-7", 2), ("test-0-1", i32::MAX.unsigned_abs())] {
        let mut it = tpu_pod(name, size, None, true);
        it["spec"]["containers"] = json!([tpu_container(&own), {"name": "plain"}]);
        assert_eq!(env(&admit(&it)["spec"]["containers"][0]).len(), 4);
    }
}

/// The published cases of groups without subgroups, written out: set `s`, subdomain `s`.
#[test]
fn the_lists_are_those_of_the_published_table() {
    let three = "s-0.s,s-0-1.s,s-0-2.s";
    let two_each = "s-0.s,s-0.s,s-0-1.s,s-0-1.s";
    let workers_each = "s-0-1.s,s-0-1.s,s-0-2.s,s-0-2.s";
    for (size, containers, leader_tpu, ordinal, ids, hosts) in [
        (3, 1, true, 0, vec!["0"], three),
        (3, 1, true, 2, vec!["2"], three),
        (3, 1, false, 1, vec!["0"], "s-0-1.s,s-0-2.s"),
        (3, 1, false, 2, vec!["1"], "s-0-1.s,s-0-2.s"),
        (2, 2, true, 0, vec!["0", "1"], two_each),
        (2, 2, true, 1, vec!["2", "3"], two_each),
        (3, 2, false, 2, vec!["2", "3"], workers_each),
        (1, 1, true, 0, vec!["0"], "s-0.s"),
    ] {
        let mut it = tpu_pod(&name_of(ordinal), size, None, leader_tpu);
        let text = it.to_string().replace("test-0", "s-0").replace("\"test\"", "\"s\"");
        it = serde_json::from_str(&text).unwrap();
        it["spec"]["containers"] = (0..containers).map(|_| tpu_container(&json!([]))).collect();
        let it = admit(&it);
        for (position, id) in ids.iter().enumerate() {
            let port = (8476 + position).to_string();
            let mut turn = (0..containers).cycle();
            let address = |host| format!("{host}:{}", 8476 + turn.next().unwrap());
            let addresses: Vec<_> = hosts.split(',').map(address).collect();
            let expected = json!([
                {"name": "TPU_WORKER_HOSTNAMES", "value": hosts},
                {"name": "TPU_WORKER_ID", "value": id},
                {"name": "TPU_NAME", "value": "s-0"},
                {"name": "TPU_PROCESS_ADDRESSES", "value": addresses.join(",")},
                {"name": "TPU_PROCESS_PORT", "value": port},
            ]);
            let env = it["spec"]["containers"][position]["env"].as_array().unwrap();
            assert_eq!(json!(env[3..]), expected, "{size} {containers} {leader_tpu} {ordinal}");
        }
    }
}

#[test]
fn hosts_use_the_subdomain_that_the_pod_will_have() {
    let mut it = tpu_pod("test-0", 2, None, true);
    annotate(&mut it, annotations::SUBDOMAIN_POLICY, "UniquePerReplica");
    let it = admit(&it);
    let env = env(&it["spec"]["containers"][0]);
    assert_eq!(env["TPU_WORKER_HOSTNAMES"], "test-0.test-0,test-0-1.test-0");
    assert_eq!(env["LWS_LEADER_ADDRESS"], "test-0.test-0.default");
}

#[test]
fn pods_that_request_no_tpus_get_none() {
    for name in ["test-1", "test-1-2"] {
        assert_eq!(env(&admit(&pod(name, 3))["spec"]["containers"][0]).len(), 3);
    }
}

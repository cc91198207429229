//! Identity labels, subdomain, exclusive affinity and gang annotation.

use std::slice::from_ref;

use super::*;

const TOPOLOGY: &str = "rack";

fn term(key: &str, value: &str, topology: &str) -> Value {
    json!({
        "labelSelector": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]},
        "topologyKey": topology,
    })
}

fn anti_term(key: &str, value: &str, topology: &str) -> Value {
    json!({
        "labelSelector": {"matchExpressions": [
            {"key": key, "operator": "Exists"},
            {"key": key, "operator": "NotIn", "values": [value]},
        ]},
        "topologyKey": topology,
    })
}

fn required(terms: &[Value]) -> Value {
    json!({"requiredDuringSchedulingIgnoredDuringExecution": terms})
}

/// Asserts the required terms of both kinds.
fn assert_terms(pod: &Value, attract: &[Value], repel: &[Value]) {
    let affinity = &pod["spec"]["affinity"];
    assert_eq!(affinity["podAffinity"], required(attract));
    assert_eq!(affinity["podAntiAffinity"], required(repel));
}

#[test]
fn a_pod_of_no_set_is_left_alone() {
    let mut it = pod("test-0", 2);
    it["metadata"]["labels"] = json!({"app": "x"});
    assert_eq!(operations(&it, Settings { gang_scheduling: true }), Ok(json!([])));
    for it in [json!({}), json!({"metadata": {"name": "x"}}), json!({"metadata": null})] {
        assert_eq!(operations(&it, SETTINGS), Ok(json!([])), "{it}");
    }
}

#[test]
fn a_worker_gets_its_index_and_nothing_else() {
    let it = pod("test-1-1", 2);
    let variables = json!([
        {"name": "LWS_LEADER_ADDRESS", "value": "test-1.test.default"},
        {"name": "LWS_GROUP_SIZE", "value": "2"},
        {"name": "LWS_WORKER_INDEX", "value": "1"},
    ]);
    assert_eq!(
        operations(&it, SETTINGS).unwrap(),
        json!([
            {"op": "add", "path": "/metadata/labels/leaderworkerset.sigs.k8s.io~1worker-index", "value": "1"},
            {"op": "add", "path": "/spec/containers/0/env", "value": variables},
        ])
    );
    admit(&it);
}

#[test]
fn a_leader_gets_group_index_and_key() {
    let it = admit(&pod("test-1", 2));
    assert_eq!(label(&it, labels::GROUP_INDEX).unwrap(), "1");
    assert_eq!(label(&it, labels::WORKER_INDEX).unwrap(), "0");
    let key = lws_api_types::names::group_key("default", "test-1");
    assert_eq!(label(&it, labels::GROUP_KEY), Some(key));
    assert_eq!(label(&it, labels::SUBGROUP_INDEX), None);
    assert!(it["spec"]["affinity"].is_null());
    assert_eq!(it["spec"]["subdomain"], "test");
}

#[test]
fn unknown_fields_survive() {
    let mut it = pod("test-0", 1);
    it["spec"]["fromTheFuture"] = json!([1, {"a": null}]);
    it["spec"]["containers"][0]["also"] = json!({"x": 0.5});
    let admitted = admit(&it);
    assert_eq!(admitted["spec"]["fromTheFuture"], it["spec"]["fromTheFuture"]);
    assert_eq!(admitted["spec"]["containers"][0]["also"], json!({"x": 0.5}));
}

#[test]
fn identity_of_the_template_never_joins_groups() {
    let mut it = pod("test-1", 4);
    annotate(&mut it, annotations::SUBGROUP_SIZE, "2");
    for key in
        [labels::GROUP_INDEX, labels::GROUP_KEY, labels::SUBGROUP_INDEX, labels::SUBGROUP_KEY]
    {
        it["metadata"]["labels"][key] = "7".into();
    }
    let admitted = admit(&it);
    assert_eq!(label(&admitted, labels::GROUP_INDEX).unwrap(), "1");
    assert_eq!(label(&admitted, labels::GROUP_KEY).unwrap().len(), 40);
    assert_eq!(label(&admitted, labels::SUBGROUP_INDEX).unwrap(), "0");
    assert_eq!(label(&admitted, labels::SUBGROUP_KEY).unwrap().len(), 40);
    it["metadata"]["name"] = "a-pod-of-another-name".into();
    let kept = admit(&it);
    for key in [labels::GROUP_INDEX, labels::GROUP_KEY, labels::SUBGROUP_INDEX] {
        assert_eq!(label(&kept, key).unwrap(), "7", "{key}");
    }
}

#[test]
fn a_leader_without_subgroup_sheds_the_labels_of_one() {
    let mut it = pod("test-1", 5);
    annotate(&mut it, annotations::SUBGROUP_SIZE, "2");
    annotate(&mut it, annotations::SUBGROUP_POLICY_TYPE, "LeaderExcluded");
    for key in [labels::SUBGROUP_INDEX, labels::SUBGROUP_KEY] {
        it["metadata"]["labels"][key] = "7".into();
    }
    let admitted = admit(&it);
    for key in [labels::SUBGROUP_INDEX, labels::SUBGROUP_KEY] {
        assert_eq!(label(&admitted, key), None, "{key}");
    }
}

#[test]
fn subgroup_labels_follow_the_policy() {
    for (name, size, subgroup, policy, index) in [
        ("test-1", 5, "4", None, Some("0")),
        ("test-1-3", 4, "2", None, Some("1")),
        ("test-1-4", 5, "2", None, Some("1")),
        ("test-1-2", 5, "2", None, Some("0")),
        ("test-1", 5, "2", Some("LeaderExcluded"), None),
        ("test-1-2", 5, "2", Some("LeaderExcluded"), Some("0")),
        ("test-1-3", 5, "2", Some("LeaderExcluded"), Some("1")),
    ] {
        let mut it = pod(name, size);
        annotate(&mut it, annotations::SUBGROUP_SIZE, subgroup);
        if let Some(policy) = policy {
            annotate(&mut it, annotations::SUBGROUP_POLICY_TYPE, policy);
        }
        let it = admit(&it);
        assert_eq!(label(&it, labels::SUBGROUP_INDEX).as_deref(), index, "{name} of {size}");
        let key = index.map(|index| lws_api_types::names::subgroup_key("test-1", index));
        assert_eq!(label(&it, labels::SUBGROUP_KEY), key, "{name} of {size}");
    }
}

#[test]
fn a_unique_subdomain_is_the_name_of_the_leader() {
    for (policy, subdomain) in [("UniquePerReplica", "test-1"), ("Shared", "test"), ("", "test")] {
        let mut it = pod("test-1", 2);
        annotate(&mut it, annotations::SUBDOMAIN_POLICY, policy);
        let it = admit(&it);
        assert_eq!(it["spec"]["subdomain"], subdomain);
        let address = format!("test-1.{subdomain}.default");
        assert_eq!(env(&it["spec"]["containers"][0])["LWS_LEADER_ADDRESS"], address);
    }
}

#[test]
fn a_leader_gets_the_terms_of_group_and_subgroup() {
    let group = lws_api_types::names::group_key("default", "test-1");
    let subgroup = lws_api_types::names::subgroup_key("test-1", "0");
    let mut it = pod("test-1", 4);
    annotate(&mut it, annotations::EXCLUSIVE_TOPOLOGY, TOPOLOGY);
    let pair =
        (term(labels::GROUP_KEY, &group, TOPOLOGY), anti_term(labels::GROUP_KEY, &group, TOPOLOGY));
    assert_terms(&admit(&it), from_ref(&pair.0), from_ref(&pair.1));

    annotate(&mut it, annotations::SUBGROUP_SIZE, "2");
    for topology in ["host", TOPOLOGY] {
        annotate(&mut it, annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY, topology);
        assert_terms(
            &admit(&it),
            &[pair.0.clone(), term(labels::SUBGROUP_KEY, &subgroup, topology)],
            &[pair.1.clone(), anti_term(labels::SUBGROUP_KEY, &subgroup, topology)],
        );
    }
}

#[test]
fn a_worker_gets_the_terms_of_its_subgroup_only() {
    let subgroup = lws_api_types::names::subgroup_key("test-1", "1");
    let mut it = pod("test-1-3", 4);
    annotate(&mut it, annotations::EXCLUSIVE_TOPOLOGY, TOPOLOGY);
    annotate(&mut it, annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY, "host");
    assert!(admit(&it)["spec"]["affinity"].is_null(), "no subgroups");
    annotate(&mut it, annotations::SUBGROUP_SIZE, "2");
    assert_terms(
        &admit(&it),
        &[term(labels::SUBGROUP_KEY, &subgroup, "host")],
        &[anti_term(labels::SUBGROUP_KEY, &subgroup, "host")],
    );
}

#[test]
fn an_empty_topology_is_none() {
    let mut it = pod("test-1", 4);
    annotate(&mut it, annotations::EXCLUSIVE_TOPOLOGY, "");
    assert!(admit(&it)["spec"]["affinity"].is_null());
}

#[test]
fn terms_of_the_user_stay_in_front() {
    let group = lws_api_types::names::group_key("default", "test-1");
    let own = term(labels::GROUP_KEY, &group, TOPOLOGY);
    let own_anti = anti_term(labels::GROUP_KEY, &group, TOPOLOGY);
    let users = json!({
        "labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": TOPOLOGY, "future": true,
    });
    let preferred = json!([{"weight": 1}]);
    let mut it = pod("test-1", 4);
    annotate(&mut it, annotations::EXCLUSIVE_TOPOLOGY, TOPOLOGY);
    for (affinity, attract, repel) in [
        (
            json!({"podAffinity": required(from_ref(&users)), "podAntiAffinity": required(from_ref(&users))}),
            vec![users.clone(), own.clone()],
            vec![users.clone(), own_anti.clone()],
        ),
        (
            json!({"podAffinity": required(from_ref(&users))}),
            vec![users.clone(), own.clone()],
            vec![own_anti.clone()],
        ),
        (json!({"podAntiAffinity": required(&[])}), vec![own.clone()], vec![own_anti.clone()]),
        (Value::Null, vec![own.clone()], vec![own_anti.clone()]),
        (json!({"nodeAffinity": {}}), vec![own.clone()], vec![own_anti.clone()]),
    ] {
        it["spec"]["affinity"] = affinity;
        assert_terms(&admit(&it), &attract, &repel);
    }
    it["spec"]["affinity"] =
        json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}});
    let admitted = admit(&it);
    let list = &admitted["spec"]["affinity"]["podAffinity"];
    assert_eq!(list["preferredDuringSchedulingIgnoredDuringExecution"], preferred);
    assert_eq!(list["requiredDuringSchedulingIgnoredDuringExecution"], json!([own]));
}

#[test]
fn terms_that_are_there_are_not_added_again() {
    let mut it = pod("test-1", 4);
    annotate(&mut it, annotations::EXCLUSIVE_TOPOLOGY, TOPOLOGY);
    let attract = term(labels::GROUP_KEY, "another value", TOPOLOGY);
    let repel = anti_term(labels::GROUP_KEY, "another value", TOPOLOGY);
    let bare = json!({"topologyKey": TOPOLOGY});
    let by_label = json!({"labelSelector": {"matchLabels": {labels::GROUP_KEY: "v"}}, "topologyKey": TOPOLOGY});
    for (attract, repel) in [(attract, repel), (bare.clone(), bare), (by_label.clone(), by_label)] {
        let terms = json!({"podAffinity": required(from_ref(&attract)), "podAntiAffinity": required(from_ref(&repel))});
        it["spec"]["affinity"] = terms.clone();
        assert_eq!(admit(&it)["spec"]["affinity"], terms);
        // One list alone is not enough: then both terms are appended.
        it["spec"]["affinity"] = json!({"podAffinity": required(&[attract])});
        let admitted = admit(&it);
        let list = &admitted["spec"]["affinity"]["podAffinity"];
        assert_eq!(
            list["requiredDuringSchedulingIgnoredDuringExecution"].as_array().unwrap().len(),
            2
        );
    }
}

#[test]
fn gang_scheduled_pods_name_their_pod_group() {
    let gang = Settings { gang_scheduling: true };
    for (name, remove, expected) in [
        ("test-0", None, "test-0-key"),
        ("test-3-1", None, "test-3-key"),
        ("test-3", Some(labels::REVISION), "test-3-"),
    ] {
        let mut it = pod(name, 2);
        if let Some(key) = remove {
            it["metadata"]["labels"].as_object_mut().unwrap().remove(key);
        }
        let admitted = admit_with(&it, gang).unwrap();
        assert_eq!(admitted["metadata"]["annotations"][annotations::POD_GROUP_NAME], expected);
        assert!(admit(&it)["metadata"]["annotations"][annotations::POD_GROUP_NAME].is_null());
    }
}

#[test]
fn a_pod_without_spec_is_survived() {
    let mut it = pod("test-1", 2);
    it.as_object_mut().unwrap().remove("spec");
    annotate(&mut it, annotations::EXCLUSIVE_TOPOLOGY, TOPOLOGY);
    annotate(&mut it, annotations::SUBDOMAIN_POLICY, "UniquePerReplica");
    assert_eq!(admit(&it)["spec"]["subdomain"], "test-1");
}

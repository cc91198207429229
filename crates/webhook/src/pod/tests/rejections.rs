//! Every text with which a pod is rejected, and the rule that stands for it.

use std::collections::HashSet;

use lws_documentation::{cells, messages, says};

use super::*;
use crate::pod::Rejection;

fn rejection(pod: &Value) -> String {
    operations(pod, SETTINGS).unwrap_err()
}

#[test]
fn the_size_must_be_there_and_a_number() {
    let mut it = pod("test-0", 2);
    for (size, expected) in [
        ("two", r#"strconv.Atoi: parsing "two": invalid syntax"#),
        ("", r#"strconv.Atoi: parsing "": invalid syntax"#),
        ("+", r#"strconv.Atoi: parsing "+": invalid syntax"#),
        ("1.5", r#"strconv.Atoi: parsing "1.5": invalid syntax"#),
        (
            "99999999999999999999",
            r#"strconv.Atoi: parsing "99999999999999999999": value out of range"#,
        ),
        ("0", "must be at least 1, is 0"),
        ("-3", "must be at least 1, is -3"),
    ] {
        annotate(&mut it, annotations::SIZE, size);
        let prefix = "annotation leaderworkerset.sigs.k8s.io/size: ";
        assert_eq!(rejection(&it), format!("{prefix}{expected}"));
    }
    it["metadata"]["annotations"] = json!({});
    let expected = "size annotation is unexpectedly missing for pod test-0";
    assert_eq!(rejection(&it), expected);
    it["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(rejection(&it), expected);
}

#[test]
fn the_subgroup_size_must_be_a_number() {
    for name in ["test-0", "test-0-1"] {
        let mut it = pod(name, 2);
        for (size, expected) in [
            ("x", r#"strconv.Atoi: parsing "x": invalid syntax"#),
            ("0", "must be at least 1, is 0"),
        ] {
            annotate(&mut it, annotations::SUBGROUP_SIZE, size);
            let prefix = "annotation leaderworkerset.sigs.k8s.io/subgroup-size: ";
            assert_eq!(rejection(&it), format!("{prefix}{expected}"));
        }
    }
}

#[test]
fn the_name_must_end_in_an_ordinal() {
    for name in ["leader", "leader-", "leader-2147483648"] {
        let mut leader = pod("test-0", 2);
        leader["metadata"]["name"] = name.into();
        assert_eq!(rejection(&leader), format!("parsing pod ordinal for pod {name}"));
        leader["metadata"]["labels"][labels::GROUP_INDEX] = "0".into();
        admit(&leader);
        let mut worker = pod("test-0-1", 2);
        worker["metadata"]["name"] = name.into();
        assert_eq!(rejection(&worker), format!("parsing pod ordinal for pod {name}"));
    }
}

/// What a `ReplicaSet` or a `Job` creates, whose template has the label of a set.
#[test]
fn a_pod_without_a_name_is_told_what_to_do() {
    let cure = "it has no name yet, but label leaderworkerset.sigs.k8s.io/name makes it a pod of \
        LeaderWorkerSet \"test\", which names its pods: remove the label, or let the \
        LeaderWorkerSet create the pod";
    for (generate_name, called) in
        [(json!("web-5d4-"), "web-5d4-…"), (Value::Null, "without a name")]
    {
        let nameless = |mut it: Value| {
            it["metadata"]["name"] = Value::Null;
            it["metadata"]["generateName"] = generate_name.clone();
            it
        };
        let mut stray = nameless(pod("test-0-1", 2));
        assert_eq!(rejection(&stray), format!("parsing pod ordinal for pod {called}: {cure}"));
        let leader = nameless(pod("test-0", 2));
        assert_eq!(rejection(&leader), format!("parsing pod ordinal for pod {called}: {cure}"));
        annotate(&mut stray, annotations::SIZE, "x");
        let reason = "annotation leaderworkerset.sigs.k8s.io/size: strconv.Atoi: parsing \"x\": \
            invalid syntax";
        assert_eq!(rejection(&stray), format!("{reason}: {cure}"));
        stray["metadata"]["annotations"] = json!({});
        let reason = format!("size annotation is unexpectedly missing for pod {called}");
        assert_eq!(rejection(&stray), format!("{reason}: {cure}"));
        let json = serde_json::to_vec(&stray).unwrap();
        let broken = mutate(&decode(&json).unwrap(), "default", SETTINGS).unwrap_err();
        assert_eq!(broken.rule(), Some("size-missing"));
        stray["metadata"]["labels"] = json!({"app": "web"});
        assert_eq!(operations(&stray, SETTINGS), Ok(json!([])));
    }
    // One that says which group it is in needs no name for it.
    let mut leader = pod("test-0", 2);
    leader["metadata"]["name"] = Value::Null;
    leader["metadata"]["labels"][labels::GROUP_INDEX] = "0".into();
    admit(&leader);
}

#[test]
fn a_worker_is_no_second_leader() {
    let mut it = pod("test-0-1", 2);
    it["metadata"]["name"] = "test-0-0".into();
    let expected = "pod test-0-0 cannot be a worker: its ordinal is 0, which is that of the leader";
    assert_eq!(rejection(&it), expected);
    // Workers of StatefulSets name their leader; without that, the pod is none of them.
    let mut loose = pod("test-0-1", 2);
    loose["metadata"]["name"] = "test-pod-0".into();
    loose["metadata"]["annotations"] = json!({annotations::SIZE: "2"});
    loose["metadata"]["labels"][labels::GROUP_INDEX] = "0".into();
    let gang = Settings { gang_scheduling: true };
    let changes = operations(&loose, gang).unwrap();
    let change = |end: &str| {
        let mut found = changes.as_array().unwrap().iter();
        found.find(|it| it["path"].as_str().unwrap().ends_with(end)).map(|it| it["value"].clone())
    };
    assert_eq!(change("~1worker-index"), Some(json!("0")));
    assert_eq!(change("~1group-name"), Some(json!("test-0-key")));
    assert_eq!(change("~1group-key"), None, "it is no leader either");
}

#[test]
fn every_rule_is_named_by_what_breaks_it() {
    let worker = |name: &str| {
        let mut it = pod("test-0-1", 2);
        it["metadata"]["name"] = name.into();
        it["spec"]["containers"] = json!([tpu_container(&json!([]))]);
        it
    };
    let sized = |size: &str| {
        let mut it = worker("test-0-1");
        annotate(&mut it, annotations::SIZE, size);
        it
    };
    let mut crowded = worker("test-0-1");
    crowded["spec"]["containers"] = vec![json!({}); 20_000].into();
    let without = |field: &str, key: &str| {
        let mut it = worker("test-0-1");
        it["metadata"][field].as_object_mut().unwrap().remove(key);
        it
    };
    let mut seen = HashSet::new();
    for (pod, rule) in [
        (without("annotations", annotations::SIZE), "size-missing"),
        (sized("x"), "not-a-number"),
        (sized("99999999999"), "not-a-number"),
        (sized("0"), "not-positive"),
        (worker("test"), "no-ordinal"),
        (worker("test-0-0"), "no-worker"),
        (worker("-1"), "no-parent"),
        (without("labels", labels::GROUP_INDEX), "no-group-index"),
        (worker("test-0-2"), "outside-group"),
        (sized("2000000000"), "host-lists-too-long"),
        (crowded, "patch-too-long"),
    ] {
        let json = serde_json::to_vec(&pod).unwrap();
        let rejection = mutate(&decode(&json).unwrap(), "default", SETTINGS).unwrap_err();
        assert_eq!(rejection.rule(), Some(rule), "{rejection}");
        assert!(is_documented(&rejection.to_string(), rule), "{rejection}");
        seen.insert(rule);
    }
    assert_eq!(seen, Rejection::RULES.iter().copied().collect::<HashSet<_>>());
}

/// Whether the documentation has a message like this in a row of the rule.
fn is_documented(text: &str, rule: &str) -> bool {
    let documentation = include_str!("../../../../../docs/admission.md");
    let rule = format!("`{rule}`");
    let mut rows = documentation.lines().filter_map(cells);
    rows.any(|row| row[1..].contains(&&*rule) && messages(row[0]).any(|it| says(text, it)))
}

#[test]
fn a_tpu_worker_needs_a_leader_and_a_place() {
    let mut it = pod("test-0-1", 2);
    it["spec"]["containers"] = json!([tpu_container(&json!([]))]);
    it["metadata"]["name"] = "-1".into();
    assert_eq!(rejection(&it), "parsing parent name from pod -1");
    it["metadata"]["name"] = "test-0-2".into();
    assert_eq!(
        rejection(&it),
        "pod test-0-2 cannot be a TPU host: its ordinal is 2, and annotation \
         leaderworkerset.sigs.k8s.io/size says 2"
    );
}

#[test]
fn host_lists_are_bounded() {
    let mut it = pod("test-0-1", i32::MAX.unsigned_abs());
    it["spec"]["containers"] = json!([tpu_container(&json!([]))]);
    let expected = "the TPU host lists of pod test-0-1 would take about";
    assert!(rejection(&it).starts_with(expected), "{}", rejection(&it));
    annotate(&mut it, annotations::SIZE, "10000");
    admit(&it);
}

#[test]
fn a_worker_needs_the_index_of_its_group() {
    let mut it = pod("test-0-1", 2);
    it["metadata"]["labels"].as_object_mut().unwrap().remove(labels::GROUP_INDEX);
    assert_eq!(
        rejection(&it),
        "Failure constructing environment variables, no group index label found for pod \
         default/test-0-1"
    );
}

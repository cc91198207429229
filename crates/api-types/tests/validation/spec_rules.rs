//! Rules for the spec: on create and on update alike, in order, with exact texts.

use serde_json::{Value, json};

use super::*;

const MU: &str = "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable: Invalid value: ";
const MS: &str = "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge: Invalid value: ";
const SG: &str = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize: ";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' \
    (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// Asserts the answer to a create, and to an update that brings about the same object.
fn check(changes: &[(&str, Value)], expected: &[String]) {
    let object = set_with(changes);
    let text = match expected {
        [one] => one.clone(),
        [] => String::new(),
        several => format!("[{}]", several.join(", ")),
    };
    assert_eq!(create(&object), text, "create {changes:?}");
    let mut old = object.clone();
    // Any change of the spec that no rule for updates is about.
    change(&mut old, "/spec/other", json!(1));
    assert_eq!(update(&object, &old), text, "update {changes:?}");
}

#[test]
fn groups_and_pods_are_bounded() {
    let negative = "spec.replicas: Invalid value: -1: replicas must be equal or greater than 0";
    let many = "spec.replicas: Invalid value: 1000001: replicas must be equal or less than 1000000";
    let product = |replicas: i64| {
        format!(
            "spec.replicas: Invalid value: {replicas}: the product of replicas and worker \
             replicas must not exceed 2147483647"
        )
    };
    let size = |size: i64| {
        format!(
            "spec.leaderWorkerTemplate.size: Invalid value: {size}: size must be equal or greater \
             than 1"
        )
    };
    for (replicas, group_size, expected) in [
        (json!(-1), json!(2), vec![negative.into()]),
        (json!(0), json!(2), vec![]),
        (json!(1_000_000), json!(2147), vec![]),
        (json!(1_000_000), json!(2148), vec![product(1_000_000)]),
        (json!(1_000_001), json!(2), vec![many.into()]),
        (json!(1_000_001), json!(2148), vec![many.into(), product(1_000_001)]),
        (json!(i32::MAX), json!(1), vec![many.replace("1000001", "2147483647")]),
        (json!(2), json!(0), vec![size(0)]),
        (json!(2), json!(-1), vec![size(-1)]),
        (json!(-1), json!(-1), vec![negative.into(), size(-1)]),
        (json!(100_000), json!(1_000_000), vec![product(100_000)]),
        // Absent ones count as 1.
        (Value::Null, json!(i32::MAX), vec![]),
        (json!(1_000_000), Value::Null, vec![]),
        (Value::Null, Value::Null, vec![]),
    ] {
        check(&[(REPLICAS, replicas), (SIZE, group_size)], &expected);
    }
}

#[test]
fn group_counts_are_numbers_or_percentages() {
    let negative = "must be greater than or equal to 0";
    let too_much = "must not be greater than 100%";
    let invalid = "invalid value";
    for (value, first, second) in [
        (json!(0), "", ""),
        (json!(10), "", ""),
        (json!("0%"), "", ""),
        (json!("100%"), "", ""),
        (json!(-1), negative, ""),
        (json!("101%"), too_much, ""),
        (json!("200%"), too_much, ""),
        (json!("99999999999999999999%"), too_much, invalid),
        (json!("5"), PERCENT, invalid),
        (json!("%"), PERCENT, invalid),
        (json!(""), PERCENT, invalid),
        (json!("1.5%"), PERCENT, invalid),
        (json!("-5%"), PERCENT, invalid),
        (json!("٣%"), PERCENT, invalid),
    ] {
        for (path, prefix, other) in
            [(MAX_UNAVAILABLE, MU, MAX_SURGE), (MAX_SURGE, MS, MAX_UNAVAILABLE)]
        {
            let expected: Vec<_> = [first, second]
                .iter()
                .filter(|detail| !detail.is_empty())
                .map(|detail| format!("{prefix}{value}: {detail}"))
                .collect();
            check(&[(path, value.clone()), (other, json!(1))], &expected);
        }
    }
}

#[test]
fn something_must_be_able_to_move() {
    let error = |value: &str| format!("{MU}{value}: must not be 0 when `maxSurge` is 0");
    for (replicas, config, expected) in [
        (2, json!({"maxUnavailable": 0, "maxSurge": 0}), vec![error("0")]),
        (2, json!({"maxUnavailable": "25%", "maxSurge": 0}), vec![error("\"25%\"")]),
        (2, json!({"maxUnavailable": "50%", "maxSurge": 0}), vec![]),
        (2, json!({"maxUnavailable": "25%", "maxSurge": "1%"}), vec![]),
        (2, json!({"maxUnavailable": 0, "maxSurge": "0%"}), vec![error("0")]),
        (2, json!({"maxUnavailable": 0, "maxSurge": 1}), vec![]),
        (0, json!({"maxUnavailable": 0, "maxSurge": 0}), vec![]),
        (0, json!({"maxUnavailable": "25%", "maxSurge": "25%"}), vec![]),
        // Absent ones are 1 and 0.
        (2, json!({}), vec![]),
        (2, json!(null), vec![]),
        (2, json!({"maxUnavailable": 0}), vec![error("0")]),
        // What cannot be scaled counts as 0.
        (
            2,
            json!({"maxUnavailable": "x", "maxSurge": 0}),
            vec![
                format!("{MU}\"x\": {PERCENT}"),
                format!("{MU}\"x\": invalid value"),
                error("\"x\""),
            ],
        ),
        (
            2,
            json!({"maxUnavailable": 0, "maxSurge": "x"}),
            vec![format!("{MS}\"x\": {PERCENT}"), format!("{MS}\"x\": invalid value"), error("0")],
        ),
        (
            2,
            json!({"maxUnavailable": "x", "maxSurge": "y", "partition": -3}),
            vec![
                format!("{MU}\"x\": {PERCENT}"),
                format!("{MS}\"y\": {PERCENT}"),
                "spec.rolloutStrategy.rollingUpdateConfiguration.partition: Invalid value: -3: \
                 must be greater than or equal to 0"
                    .into(),
                format!("{MU}\"x\": invalid value"),
                format!("{MS}\"y\": invalid value"),
                error("\"x\""),
            ],
        ),
    ] {
        check(&[(REPLICAS, json!(replicas)), (CONFIG, config)], &expected);
    }
}

#[test]
fn the_strategy_may_be_absent() {
    check(&[(STRATEGY, Value::Null)], &[]);
    check(&[(STRATEGY, json!({}))], &[]);
}

#[test]
fn the_partition_is_not_negative_and_has_no_upper_bound() {
    for (partition, expected) in [
        (json!(0), vec![]),
        (json!(10), vec![]),
        (Value::Null, vec![]),
        (
            json!(-1),
            vec![
                "spec.rolloutStrategy.rollingUpdateConfiguration.partition: Invalid value: -1: \
                 must be greater than or equal to 0"
                    .into(),
            ],
        ),
    ] {
        check(&[(PARTITION, partition)], &expected);
    }
}

#[test]
fn subgroups_divide_a_group() {
    let small = "subGroupSize must be equal or greater than 1";
    let rest = "size or size - 1 must be divisible by subGroupSize";
    let large = "subGroupSize cannot be larger than size";
    let excluded = "size-1 must be divisible by subGroupSize when using LeaderExcluded";
    let (worker, without) = (json!("LeaderWorker"), json!("LeaderExcluded"));
    for (size, sub_group_size, policy, details) in [
        (4, 2, &worker, vec![]),
        (5, 2, &worker, vec![]),
        (4, 4, &worker, vec![]),
        (1, 1, &worker, vec![]),
        (5, 2, &without, vec![]),
        (4, 2, &Value::Null, vec![]),
        (4, 2, &without, vec![excluded]),
        (2, -1, &worker, vec![small]),
        (2, 0, &worker, vec![small]),
        (2, 0, &without, vec![small]),
        (2, 3, &worker, vec![rest, large]),
        (2, 3, &without, vec![rest, large, excluded]),
        (6, 4, &worker, vec![rest]),
        (2, -3, &worker, vec![small, rest]),
        // A group of one is its leader: no worker is left over.
        (1, 2, &worker, vec![large]),
    ] {
        let policy = json!({"subGroupPolicyType": policy, "subGroupSize": sub_group_size});
        let expected: Vec<_> = details
            .iter()
            .map(|detail| format!("{SG}Invalid value: {sub_group_size}: {detail}"))
            .collect();
        check(&[(SIZE, json!(size)), (SUB_GROUP, policy)], &expected);
    }
    for policy in [json!({}), json!({"subGroupSize": null, "subGroupPolicyType": "LeaderExcluded"})]
    {
        check(&[(SUB_GROUP, policy)], &[format!("{SG}Required value")]);
    }
}

#[test]
fn a_subgroup_topology_needs_subgroups() {
    let key = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology";
    for value in ["rack", ""] {
        let annotations = json!({key: value});
        check(
            &[(ANNOTATIONS, annotations.clone())],
            &[format!(
                "metadata.annotations.{key}: Invalid value: \"{value}\": cannot have \
                 subgroup-exclusive-topology without subGroupSize set"
            )],
        );
        let policy = json!({"subGroupSize": 2});
        check(&[(ANNOTATIONS, annotations), (SUB_GROUP, policy)], &[]);
    }
}

#[test]
fn errors_of_all_rules_come_in_order() {
    check(
        &[
            (NAME, json!("2cube")),
            (REPLICAS, json!(-1)),
            (SIZE, json!(0)),
            (PARTITION, json!(-1)),
            (SUB_GROUP, json!({"subGroupSize": 0})),
        ],
        &[
            "metadata.name: Invalid value: \"2cube\": a DNS-1035 label must consist of lower case \
             alphanumeric characters or '-', start with an alphabetic character, and end with an \
             alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
             '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .into(),
            "spec.replicas: Invalid value: -1: replicas must be equal or greater than 0".into(),
            "spec.leaderWorkerTemplate.size: Invalid value: 0: size must be equal or greater than 1"
                .into(),
            "spec.rolloutStrategy.rollingUpdateConfiguration.partition: Invalid value: -1: must \
             be greater than or equal to 0"
                .into(),
            format!("{SG}Invalid value: 0: subGroupSize must be equal or greater than 1"),
        ],
    );
}

#[test]
fn a_name_must_leave_room_for_group_0() {
    let error = |name: &str, limit: usize| {
        format!(
            "metadata.name: Invalid value: \"{name}\": must be no more than {limit} characters: \
             Kubernetes labels the pods of group 0 with this name, the group index and a revision \
             hash, in at most 63 characters"
        )
    };
    for (length, size, limit) in
        [(50, 2, None), (51, 2, Some(50)), (63, 2, Some(50)), (52, 1, None), (53, 1, Some(52))]
    {
        let name = "n".repeat(length);
        let object = set_with(&[(NAME, json!(name)), (SIZE, json!(size)), (REPLICAS, json!(1))]);
        let expected = limit.map(|limit| error(&name, limit)).unwrap_or_default();
        assert_eq!(create(&object), expected, "{length} {size}");
        // A stored set stays changeable.
        let mut old = object.clone();
        change(&mut old, "/spec/other", json!(1));
        assert_eq!(update(&object, &old), "", "{length} {size}");
    }
    // What is no name at all has one error, not two.
    let name = "n".repeat(64);
    let text =
        format!("metadata.name: Invalid value: \"{name}\": must be no more than 63 characters");
    assert_eq!(create(&set_with(&[(NAME, json!(name))])), text);
}

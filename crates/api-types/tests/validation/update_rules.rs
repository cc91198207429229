//! Rules for changes, and the updates that none applies to.

use super::*;

const SG: &str = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize: ";

fn sub_group(size: impl Into<Value>) -> Value {
    json!({"subGroupPolicyType": "LeaderWorker", "subGroupSize": size.into()})
}

#[test]
fn the_division_into_subgroups_stays() {
    let immutable = format!("{SG}Invalid value: 2: field is immutable");
    let enabled = format!(
        "{SG}Invalid value: 2: cannot enable subGroupSize after the lws is already created"
    );
    let removed = format!("{SG}Invalid value: 1: cannot remove subGroupSize after enabled");
    let required = format!("{SG}Required value");
    for (old, new, expected) in [
        (sub_group(1), sub_group(1), ""),
        (sub_group(1), sub_group(2), immutable.as_str()),
        (Value::Null, sub_group(2), &enabled),
        (sub_group(1), Value::Null, &removed),
        (Value::Null, Value::Null, ""),
        // Sets that were stored without a size that can be.
        (sub_group(Value::Null), sub_group(2), ""),
        (sub_group(Value::Null), Value::Null, ""),
        (sub_group(0), sub_group(2), ""),
        (sub_group(0), Value::Null, ""),
        (sub_group(0), sub_group(Value::Null), &required),
        (sub_group(Value::Null), sub_group(Value::Null), &required),
        (sub_group(1), sub_group(Value::Null), &required),
        (Value::Null, sub_group(Value::Null), &required),
    ] {
        let before = set_with(&[(SUB_GROUP, old.clone())]);
        let after = set_with(&[(SUB_GROUP, new.clone()), (REPLICAS, json!(3))]);
        assert_eq!(update(&after, &before), expected, "{old} to {new}");
    }
    // Whether the leader takes part may change.
    let before = set_with(&[(SIZE, json!(3)), (SUB_GROUP, sub_group(2))]);
    let mut after = before.clone();
    change(
        &mut after,
        SUB_GROUP,
        json!({"subGroupPolicyType": "LeaderExcluded", "subGroupSize": 2}),
    );
    assert_eq!(update(&after, &before), "");
    // The size of groups may change as long as the division does not leave a rest.
    for (size, expected) in [
        (8, String::new()),
        (9, String::new()),
        (6, format!("{SG}Invalid value: 4: size or size - 1 must be divisible by subGroupSize")),
    ] {
        let before = set_with(&[(SIZE, json!(4)), (SUB_GROUP, sub_group(4))]);
        let after = set_with(&[(SIZE, json!(size)), (SUB_GROUP, sub_group(4))]);
        assert_eq!(update(&after, &before), expected, "{size}");
    }
    // Rules for the new object come first.
    let mut after = before.clone();
    change(&mut after, SUB_GROUP, sub_group(0));
    assert_eq!(
        update(&after, &before),
        format!(
            "[{SG}Invalid value: 0: subGroupSize must be equal or greater than 1, \
             {SG}Invalid value: 0: field is immutable]"
        )
    );
}

#[test]
fn a_network_configuration_has_a_policy() {
    let text = "spec.networkConfig.subdomainPolicy: Invalid value: null: cannot set \
        subdomainPolicy as null";
    let object = set_with(&[(NETWORK, json!({}))]);
    assert_eq!(update(&object, &stored()), text);
    assert_eq!(create(&object), "");
    let object = set_with(&[(NETWORK, Value::Null), (REPLICAS, json!(3))]);
    assert_eq!(update(&object, &stored()), "");
}

#[test]
fn claims_stay_whatever_their_spelling() {
    let claim = |storage: Value| {
        json!({
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": storage}},
            },
        })
    };
    let with = |pointer: &str, value: Value| {
        let mut it = claim(json!("1Gi"));
        change(&mut it, pointer, value);
        it
    };
    let gibibyte = || json!([claim(json!("1Gi"))]);
    for (new, same) in [
        (gibibyte(), true),
        (json!([claim(json!("1024Mi"))]), true),
        (json!([claim(json!("1073741824"))]), true),
        (json!([claim(json!(1_073_741_824))]), true),
        (json!([with("/status", json!({}))]), true),
        (json!([with("/status", json!({"phase": "Pending"}))]), true),
        (json!([with("/metadata/creationTimestamp", Value::Null)]), true),
        (json!([with("/spec/volumeMode", json!("Filesystem"))]), true),
        (json!([with("/kind", json!("PersistentVolumeClaim"))]), true),
        (json!([claim(json!("2Gi"))]), false),
        (json!([claim(json!("1G"))]), false),
        (json!([with("/metadata/name", json!("other"))]), false),
        (json!([with("/spec/accessModes", json!(["ReadWriteMany"]))]), false),
        (json!([with("/spec/storageClassName", json!(""))]), false),
        (json!([with("/spec/volumeMode", json!("Block"))]), false),
        (json!([claim(json!("1Gi")), with("/metadata/name", json!("b"))]), false),
        (json!([]), false),
        (Value::Null, false),
    ] {
        let before = set_with(&[(CLAIMS, gibibyte())]);
        let after = set_with(&[(CLAIMS, new.clone()), (REPLICAS, json!(3))]);
        let text = format!(
            "spec.leaderWorkerTemplate.volumeClaimTemplates: Invalid value: {new}: field is \
             immutable"
        );
        assert_eq!(update(&after, &before), if same { "" } else { &text }, "{new}");
        assert_eq!(create(&after), "", "{new}");
    }
    let after = set_with(&[(CLAIMS, json!([]))]);
    assert_eq!(update(&after, &stored()), "", "an empty list is none");
}

#[test]
fn what_does_not_touch_the_spec_passes() {
    let topology = "/metadata/annotations/leaderworkerset.sigs.k8s.io~1subgroup-exclusive-topology";
    let broken: &[(&str, Value)] =
        &[(REPLICAS, json!(-1)), (SIZE, json!("x")), (NAME, json!("2cube"))];
    let before = set_with(broken);
    assert_ne!(create(&before), "");

    let mut labelled = before.clone();
    change(&mut labelled, "/metadata/labels/a", json!("b"));
    change(&mut labelled, "/metadata/finalizers", json!([]));
    assert_eq!(update(&labelled, &before), "");

    let mut annotated = before.clone();
    change(&mut annotated, topology, json!("rack"));
    // A rule reads this annotation, and only that rule is asked.
    let rejection = |value: &str| {
        format!(
            "metadata.annotations.leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology: Invalid \
             value: \"{value}\": cannot have subgroup-exclusive-topology without subGroupSize set"
        )
    };
    assert_eq!(update(&annotated, &before), rejection("rack"));
    let mut other_value = annotated.clone();
    change(&mut other_value, topology, json!("zone"));
    assert_eq!(update(&other_value, &annotated), rejection("zone"));
    assert_eq!(update(&before, &annotated), "", "removing it mends the object");
    let mut labelled = annotated.clone();
    change(&mut labelled, "/metadata/labels/a", json!("b"));
    assert_eq!(update(&labelled, &annotated), "", "it was there before");

    let mut changed = before.clone();
    change(&mut changed, REPLICAS, json!(-2));
    assert_ne!(update(&changed, &before), "");
    change(&mut changed, topology, json!("rack"));
    assert!(update(&changed, &before).starts_with("spec.leaderWorkerTemplate.size: "));
    change(&mut changed, "/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"));
    assert_eq!(validate_update(&changed, &before), Verdict::default());
}

#[test]
fn defaults_are_no_change() {
    let mut before = set_with(&[(NAME, json!("2cube"))]);
    for pointer in [RESTART_POLICY, STRATEGY, NETWORK] {
        change(&mut before, pointer, Value::Null);
    }
    assert_eq!(update(&defaulted(before.clone()), &before), "");
}

//! Fields of the wrong type are named with their value, alone.

use super::*;

#[test]
fn wrong_types_are_named() {
    let (integer, range) =
        ("must be an integer", "must be between -2147483648 and 2147483647, inclusive");
    for (pointer, value, path, problem) in [
        (REPLICAS, json!("2"), "spec.replicas", integer),
        (REPLICAS, json!(2.5), "spec.replicas", integer),
        (REPLICAS, json!(2_147_483_648_i64), "spec.replicas", range),
        (SIZE, json!(u64::MAX), "spec.leaderWorkerTemplate.size", range),
        (SIZE, json!({"a": 1}), "spec.leaderWorkerTemplate.size", integer),
        (SPEC, json!([]), "spec", "must be an object"),
        (STRATEGY, json!("x"), "spec.rolloutStrategy", "must be an object"),
        (
            MAX_SURGE,
            json!(true),
            "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge",
            "must be an integer or a string",
        ),
        (
            MAX_UNAVAILABLE,
            json!(-2_147_483_649_i64),
            "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable",
            range,
        ),
        (STARTUP_POLICY, json!(1), "spec.startupPolicy", "must be a string"),
        (
            CLAIMS,
            json!({"a": 1}),
            "spec.leaderWorkerTemplate.volumeClaimTemplates",
            "must be a list",
        ),
        (
            CLAIMS,
            json!([{}, 1]),
            "spec.leaderWorkerTemplate.volumeClaimTemplates[1]",
            "must be an object",
        ),
        ("/metadata/labels/a.b~1c", json!(1), "metadata.labels[a.b/c]", "must be a string"),
        ("/metadata", json!("x"), "metadata", "must be an object"),
        ("/metadata/generation", json!("1"), "metadata.generation", integer),
        (
            "/metadata/ownerReferences",
            json!([{"controller": "yes"}]),
            "metadata.ownerReferences[0].controller",
            "must be a boolean",
        ),
    ] {
        let object = set_with(&[(pointer, value.clone())]);
        let wrong = object.pointer(pointer).unwrap();
        let wrong = if path.contains('[') { innermost(wrong) } else { wrong };
        let text = format!("{path}: Invalid value: {wrong}: {problem}");
        assert_eq!(create(&object), text);
        if pointer.starts_with(SPEC) {
            assert_eq!(update(&object, &stored()), text);
        }
    }
    assert_eq!(create(&json!(5)), "object: Invalid value: 5: must be an object");
}

/// The last item of a list, the first member of an object: where the tables put the mistake.
fn innermost(value: &Value) -> &Value {
    match value {
        Value::Array(items) => innermost(items.last().unwrap()),
        Value::Object(fields) => innermost(fields.values().next().unwrap()),
        other => other,
    }
}

#[test]
fn unknown_values_are_listed_with_the_known_ones() {
    for (pointer, path, known) in [
        (STARTUP_POLICY, "spec.startupPolicy", r#""LeaderCreated", "LeaderReady""#),
        (
            RESTART_POLICY,
            "spec.leaderWorkerTemplate.restartPolicy",
            r#""Default", "RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None""#,
        ),
        ("/spec/rolloutStrategy/type", "spec.rolloutStrategy.type", r#""RollingUpdate""#),
        (
            "/spec/networkConfig/subdomainPolicy",
            "spec.networkConfig.subdomainPolicy",
            r#""Shared", "UniquePerReplica""#,
        ),
        (
            "/spec/leaderWorkerTemplate/subGroupPolicy/subGroupPolicyType",
            "spec.leaderWorkerTemplate.subGroupPolicy.subGroupPolicyType",
            r#""LeaderWorker", "LeaderExcluded""#,
        ),
    ] {
        let object = set_with(&[(pointer, json!("invalidValue"))]);
        let text =
            format!("{path}: Unsupported value: \"invalidValue\": supported values: {known}");
        assert_eq!(create(&object), text);
        assert_eq!(update(&object, &stored()), text);
    }
}

#[test]
fn what_the_schema_requires_is_required() {
    for (pointer, path) in [
        (SPEC, "spec"),
        ("/spec/leaderWorkerTemplate", "spec.leaderWorkerTemplate"),
        ("/spec/leaderWorkerTemplate/workerTemplate", "spec.leaderWorkerTemplate.workerTemplate"),
    ] {
        let object = set_with(&[(pointer, Value::Null)]);
        assert_eq!(create(&object), format!("{path}: Required value"));
    }
}

#[test]
fn wrong_types_are_reported_together_and_hide_the_rules() {
    let object = set_with(&[(REPLICAS, json!("2")), (SIZE, json!(0)), (STARTUP_POLICY, json!(1))]);
    assert_eq!(
        create(&object),
        "[spec.replicas: Invalid value: \"2\": must be an integer, \
         spec.startupPolicy: Invalid value: 1: must be a string]"
    );
}

//! The acceptance cases for the webhooks of a set. A case is played as the API server does it:
//! defaults of the schema, defaults of the webhook, validation.

use super::*;

/// The default that the schema gives when the field is absent and its parent is there.
const SCHEMA_DEFAULTS: [(&str, &str, &str); 5] = [
    (SPEC, "replicas", "1"),
    (SPEC, "startupPolicy", "\"LeaderCreated\""),
    ("/spec/leaderWorkerTemplate", "size", "1"),
    ("/spec/leaderWorkerTemplate", "restartPolicy", "\"RecreateGroupOnPodRestart\""),
    (STRATEGY, "type", "\"RollingUpdate\""),
];

fn admitted(mut object: Value) -> Value {
    for (parent, field, value) in SCHEMA_DEFAULTS {
        if let Some(Value::Object(parent)) = object.pointer_mut(parent)
            && parent.get(field).is_none_or(Value::is_null)
        {
            parent.insert(field.to_owned(), serde_json::from_str(value).unwrap());
        }
    }
    defaulted(object)
}

#[test]
fn defaulting() {
    for (case, pointer, given, expected) in [
        ("C-054", REPLICAS, Value::Null, json!(1)),
        ("C-055", SIZE, Value::Null, json!(1)),
        ("C-056", REPLICAS, json!(2), json!(2)),
        ("C-056", SIZE, json!(2), json!(2)),
        ("C-057", RESTART_POLICY, json!(""), json!("RecreateGroupOnPodRestart")),
        ("C-058", RESTART_POLICY, json!("None"), json!("None")),
        ("C-059", RESTART_POLICY, json!("Default"), json!("None")),
        ("C-060", STARTUP_POLICY, Value::Null, json!("LeaderCreated")),
        ("C-061", STARTUP_POLICY, json!("LeaderReady"), json!("LeaderReady")),
        ("C-062", NETWORK, Value::Null, json!({"subdomainPolicy": "Shared"})),
        (
            "C-063",
            STRATEGY,
            json!({}),
            json!({
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"partition": 0, "maxUnavailable": 1, "maxSurge": 0},
            }),
        ),
        (
            "C-064",
            CONFIG,
            json!({"partition": 2, "maxUnavailable": 2, "maxSurge": 1}),
            json!({"partition": 2, "maxUnavailable": 2, "maxSurge": 1}),
        ),
    ] {
        let object = admitted(set_with(&[(pointer, given)]));
        assert_eq!(object.pointer(pointer), Some(&expected), "{case}");
        assert_eq!(object, set_with(&[(pointer, expected)]), "{case}: nothing else changes");
        assert_eq!(create(&object), "", "{case}");
    }
}

type Changes = Vec<(&'static str, Value)>;

#[test]
fn creation() {
    let two = || (SIZE, json!(2));
    let cases: Vec<(&str, Changes, bool)> = vec![
        ("C-065", vec![(NAME, json!("2cube"))], false),
        ("C-066", vec![(REPLICAS, json!(100_000)), (SIZE, json!(1_000_000))], false),
        ("C-067", vec![(SIZE, json!(-1))], false),
        ("C-068", vec![(REPLICAS, json!(-1))], false),
        ("C-069", vec![(REPLICAS, json!(1_000_001))], false),
        ("C-070", vec![(STARTUP_POLICY, json!("invalidValue"))], false),
        ("C-071", vec![two(), (SUB_GROUP, json!({"subGroupSize": -1}))], false),
        ("C-072", vec![two(), (SUB_GROUP, json!({"subGroupSize": 3}))], false),
        (
            "C-073",
            vec![
                (SIZE, json!(4)),
                (SUB_GROUP, json!({"subGroupSize": 2, "subGroupPolicyType": "LeaderExcluded"})),
            ],
            false,
        ),
        ("C-088", vec![(RESTART_POLICY, json!("None"))], true),
        ("C-089", vec![(RESTART_POLICY, json!("invalidValue"))], false),
        ("C-090", vec![("/spec/rolloutStrategy/type", json!("invalidValue"))], false),
        ("C-091", vec![(MAX_UNAVAILABLE, json!(10))], true),
        ("C-092", vec![(MAX_UNAVAILABLE, json!("200%"))], false),
        ("C-093", vec![(MAX_UNAVAILABLE, json!(-1))], false),
        ("C-094", vec![(MAX_SURGE, json!(10))], true),
        ("C-095", vec![(MAX_SURGE, json!("200%"))], false),
        ("C-096", vec![(MAX_SURGE, json!(-1))], false),
        ("C-097", vec![(MAX_UNAVAILABLE, json!(0)), (MAX_SURGE, json!(0))], false),
        ("C-098", vec![(MAX_UNAVAILABLE, json!(0)), (MAX_SURGE, json!(1))], true),
        (
            "C-099",
            vec![(REPLICAS, json!(0)), (MAX_UNAVAILABLE, json!("25%")), (MAX_SURGE, json!("25%"))],
            true,
        ),
        ("C-100", vec![(MAX_UNAVAILABLE, json!("25%")), (MAX_SURGE, json!(0))], false),
        ("C-101", vec![(PARTITION, json!(-1))], false),
        ("C-102", vec![(REPLICAS, json!(3)), (PARTITION, json!(5))], true),
        ("C-103", vec![(REPLICAS, json!(3)), (PARTITION, json!(3))], true),
        ("C-104", vec![(REPLICAS, json!(3)), (PARTITION, json!(0))], true),
        ("X-04", vec![(SUB_GROUP, json!({}))], false),
        ("X-04", vec![(SUB_GROUP, json!({"subGroupSize": 0}))], false),
        ("X-28", vec![(NAME, json!("n".repeat(63)))], false),
    ];
    for (case, changes, accepted) in cases {
        let answer = create(&admitted(set_with(&changes)));
        assert_eq!(answer.is_empty(), accepted, "{case}: {answer}");
    }
}

#[test]
fn updating() {
    let sub_group = |size: i32| (SUB_GROUP, json!({"subGroupSize": size}));
    let policy = |it: &str| (NETWORK, json!({"subdomainPolicy": it}));
    let five = || (REPLICAS, json!(5));
    let pods = |name: &str| json!({"spec": {"containers": [{"name": name}]}});
    let claims =
        |size: &str| (CLAIMS, json!([{"spec": {"resources": {"requests": {"storage": size}}}}]));
    let cases: Vec<(&str, Changes, Changes, bool)> = vec![
        ("C-074", vec![], vec![(SIZE, json!(3))], true),
        ("C-075", vec![(REPLICAS, json!(100_000))], vec![(SIZE, json!(100_000_000))], false),
        ("C-076", vec![], vec![(REPLICAS, json!(-1))], false),
        (
            "C-077",
            vec![(STARTUP_POLICY, json!("LeaderReady"))],
            vec![(STARTUP_POLICY, json!("invalidValue"))],
            false,
        ),
        ("C-078", vec![sub_group(1)], vec![sub_group(2)], false),
        ("C-079", vec![], vec![sub_group(1)], false),
        ("C-080", vec![sub_group(1)], vec![(SUB_GROUP, Value::Null)], false),
        ("C-081", vec![(REPLICAS, json!(1))], vec![(REPLICAS, json!(3))], true),
        ("C-082", vec![], vec![(REPLICAS, json!(1_000_001))], false),
        (
            "C-083",
            vec![],
            vec![
                ("/spec/leaderWorkerTemplate/leaderTemplate", pods("worker")),
                ("/spec/leaderWorkerTemplate/workerTemplate", pods("leader")),
            ],
            true,
        ),
        ("C-084", vec![policy("UniquePerReplica")], vec![policy("Shared")], true),
        ("C-085", vec![policy("Shared")], vec![policy("UniquePerReplica")], true),
        ("C-086", vec![(NETWORK, Value::Null)], vec![policy("UniquePerReplica")], true),
        (
            "C-087",
            vec![policy("UniquePerReplica")],
            vec![(NETWORK, json!({"subdomainPolicy": null}))],
            true,
        ),
        ("C-105", vec![five()], vec![(PARTITION, json!(2))], true),
        ("C-106", vec![five()], vec![(PARTITION, json!(-1))], false),
        ("C-107", vec![five()], vec![(PARTITION, json!(10))], true),
        ("C-108", vec![five()], vec![(PARTITION, json!(5))], true),
        ("C-109", vec![five(), (PARTITION, json!(2))], vec![(PARTITION, json!(0))], true),
        ("X-05", vec![claims("1Gi")], vec![claims("2Gi")], false),
        ("X-05", vec![claims("1Gi")], vec![claims("1024Mi")], true),
    ];
    for (case, before, changes, accepted) in cases {
        let before = admitted(set_with(&before));
        assert_eq!(create(&before), "", "{case}: the stored set is valid");
        let mut after = before.clone();
        for (pointer, value) in changes {
            change(&mut after, pointer, value);
        }
        let answer = update(&admitted(after), &before);
        assert_eq!(answer.is_empty(), accepted, "{case}: {answer}");
    }
}

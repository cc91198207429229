//! Revision data against what the Go libraries make of the same specs, and against what releases
//! of the existing implementation left behind in clusters.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::LazyLock;

use lws_api_types::keys::labels::REVISION;
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetSpec, revision};
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A spec as a user wrote it, and the data and key that the Go libraries give it.
#[derive(Deserialize)]
struct Vector {
    key: String,
    spec: LeaderWorkerSetSpec,
    data: String,
}

static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(|| {
    let lines = include_str!("../testdata/revisions.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
});

fn spec(value: Value) -> LeaderWorkerSetSpec {
    serde_json::from_value(value).unwrap()
}

fn json(data: &str) -> Value {
    serde_json::from_str(data).unwrap()
}

#[test]
fn data_is_that_of_the_go_types_byte_for_byte() {
    assert!(VECTORS.len() >= 300);
    for Vector { key, spec, data } in VECTORS.iter() {
        assert_eq!(revision::encode(spec), *data, "{spec:?}");
        assert_eq!(revision::key(data), *key, "{data}");
        let restored = revision::restore(spec, &json(data)).unwrap();
        assert_eq!(revision::encode(&restored), *data, "restored");
    }
}

#[test]
fn published_keys_stay() {
    let image = "docker.io/nginxinc/nginx-unprivileged:1.27";
    let quick_start = json!({
        "replicas": 3,
        "networkConfig": {"subdomainPolicy": "Shared"},
        "leaderWorkerTemplate": {
            "size": 4,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "workerTemplate": {"spec": {"containers": [{
                "name": "nginx",
                "image": "nginxinc/nginx-unprivileged:1.27",
                "resources": {"limits": {"cpu": "100m"}, "requests": {"cpu": "50m"}},
                "ports": [{"containerPort": 8080}],
            }]}},
        },
    });
    let two_templates = json!({
        "leaderWorkerTemplate": {
            "size": 2,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": {"spec": {"containers": [{"name": "leader", "image": image}]}},
            "workerTemplate": {"spec": {"containers": [{
                "name": "worker",
                "image": image,
                "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            }]}},
        },
    });
    for (value, data, key) in [
        (
            quick_start,
            r#"{"spec":{"leaderWorkerTemplate":{"$patch":"replace","restartPolicy":"RecreateGroupOnPodRestart","size":4,"workerTemplate":{"metadata":{},"spec":{"containers":[{"image":"nginxinc/nginx-unprivileged:1.27","name":"nginx","ports":[{"containerPort":8080}],"resources":{"limits":{"cpu":"100m"},"requests":{"cpu":"50m"}}}]}}},"networkConfig":{"$patch":"replace","subdomainPolicy":"Shared"}}}"#,
            "5bc6dc849d",
        ),
        (
            two_templates,
            r#"{"spec":{"leaderWorkerTemplate":{"$patch":"replace","leaderTemplate":{"metadata":{},"spec":{"containers":[{"image":"docker.io/nginxinc/nginx-unprivileged:1.27","name":"leader","resources":{}}]}},"restartPolicy":"RecreateGroupOnPodRestart","size":2,"workerTemplate":{"metadata":{},"spec":{"containers":[{"image":"docker.io/nginxinc/nginx-unprivileged:1.27","name":"worker","ports":[{"containerPort":8080,"protocol":"TCP"}],"resources":{}}]}}},"networkConfig":{"$patch":"replace","subdomainPolicy":"Shared"}}}"#,
            "7bdcf6cbd6",
        ),
    ] {
        let encoded = revision::encode(&spec(value));
        assert_eq!(encoded, data);
        assert_eq!(revision::key(&encoded), key);
    }
}

/// A set that a release of the existing implementation ran, and its `ControllerRevision`s with the
/// current one last.
struct Stored {
    set: LeaderWorkerSet,
    revisions: Vec<Value>,
}

fn stored(lines: &str) -> Vec<Stored> {
    let (sets, revisions): (Vec<_>, Vec<_>) =
        lines.lines().map(json).partition(|object| object["kind"] == "LeaderWorkerSet");
    assert_eq!(sets.len(), 11);
    sets.into_iter()
        .map(|object| {
            let set: LeaderWorkerSet = serde_json::from_value(object).unwrap();
            let is_owned = |it: &&Value| it["metadata"]["ownerReferences"][0]["uid"] == set.uid();
            let mut revisions: Vec<_> = revisions.iter().filter(is_owned).cloned().collect();
            revisions.sort_by_key(|it| it["revision"].as_i64());
            Stored { set, revisions }
        })
        .collect()
}

#[test]
fn revisions_of_v0_10_0_have_the_same_key() {
    for Stored { set, revisions } in stored(include_str!("../testdata/v0.10.0.jsonl")) {
        let name = set.name();
        let (current, older) = revisions.split_last().unwrap();
        let proposed = revision::encode(&set.spec);
        assert_eq!(current["metadata"]["labels"][REVISION], revision::key(&proposed), "{name}");
        assert!(revision::same_content(&current["data"], &proposed, &set.spec), "{name}");
        for older in older {
            assert!(!revision::same_content(&older["data"], &proposed, &set.spec), "{name}");
            let restored = revision::restore(&set.spec, &older["data"]).unwrap();
            let key = revision::key(&revision::encode(&restored));
            assert_eq!(older["metadata"]["labels"][REVISION], key, "{name}");
        }
    }
}

#[test]
fn revisions_of_v0_6_0_have_other_bytes_and_the_same_content() {
    for Stored { set, revisions } in stored(include_str!("../testdata/v0.6.0.jsonl")) {
        let name = set.name();
        let (current, older) = revisions.split_last().unwrap();
        let proposed = revision::encode(&set.spec);
        assert_ne!(current["metadata"]["labels"][REVISION], revision::key(&proposed), "{name}");
        assert!(revision::same_content(&current["data"], &proposed, &set.spec), "{name}");
        for older in older {
            assert!(!revision::same_content(&older["data"], &proposed, &set.spec), "{name}");
        }
    }
}

#[test]
fn restoring_replaces_the_recorded_parts_only() {
    let live = spec(json!({
        "replicas": 3,
        "startupPolicy": "LeaderReady",
        "rolloutStrategy": {"type": "RollingUpdate"},
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
        "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": {"hostIPC": true}}},
    }));
    let stored = json!({"spec": {
        "leaderWorkerTemplate": {"$patch": "replace", "size": 5, "workerTemplate": {}},
        "networkConfig": {"$patch": "replace", "subdomainPolicy": "Shared"},
    }});
    let expected = spec(json!({
        "replicas": 3,
        "startupPolicy": "LeaderReady",
        "rolloutStrategy": {"type": "RollingUpdate"},
        "networkConfig": {"subdomainPolicy": "Shared"},
        "leaderWorkerTemplate": {"size": 5, "workerTemplate": {}},
    }));
    assert_eq!(revision::restore(&live, &stored).unwrap(), expected);

    let older = json!({"spec": {"leaderWorkerTemplate": {"workerTemplate": {}}}});
    let restored = revision::restore(&live, &older).unwrap();
    assert_eq!(restored.network_config, live.network_config);
}

#[test]
fn data_of_something_else_is_not_restored_and_not_the_same() {
    let live = spec(json!({"leaderWorkerTemplate": {"workerTemplate": {}}}));
    let proposed = revision::encode(&live);
    for (stored, message) in [
        (json!(null), "revision data has no spec.leaderWorkerTemplate"),
        (json!({"spec": {"template": {}}}), "revision data has no spec.leaderWorkerTemplate"),
        (
            json!({"spec": {"leaderWorkerTemplate": {"size": "many"}}}),
            "cannot read spec.leaderWorkerTemplate of revision data",
        ),
        (
            json!({"spec": {"leaderWorkerTemplate": {}, "networkConfig": {"subdomainPolicy": "Own"}}}),
            "cannot read spec.networkConfig of revision data",
        ),
    ] {
        let error = revision::restore(&live, &stored).unwrap_err();
        assert_eq!(error.to_string(), message, "{stored}");
        assert!(!revision::same_content(&stored, &proposed, &live), "{stored}");
    }
}

/// JSON pointers to the strings, numbers and flags of `value` that revision data is about.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(key, _)| *key != "$patch") {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                leaves(value, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Null => {}
        _ => found.push(pointer.to_owned()),
    }
}

fn changed(leaf: &Value) -> Value {
    match leaf {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) if number.as_i64() == Some(7) => json!(8),
        Value::Number(_) => json!(7),
        other => json!(format!("{}x", other.as_str().unwrap())),
    }
}

/// JSON of any shape whose keys are those of pod templates: most of it has a wrong type.
fn wild_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}|[0-9.]{1,5}[EKMik]{0,2}|2024-01-01T00:00:0[0-9]Z".prop_map(Value::from),
    ];
    let key = proptest::sample::select(
        &[
            "metadata",
            "spec",
            "containers",
            "initContainers",
            "volumes",
            "labels",
            "name",
            "resources",
            "limits",
            "ports",
            "containerPort",
            "env",
            "ephemeral",
            "livenessProbe",
            "httpGet",
            "port",
            "emptyDir",
            "sizeLimit",
            "volumeClaimTemplate",
            "creationTimestamp",
            "priority",
            "managedFields",
            "fieldsV1",
            "status",
            "conditions",
            "hostIPC",
            "other",
        ][..],
    );
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                Value::Object(members.into_iter().map(|(key, it)| (key.to_owned(), it)).collect())
            }),
        ]
    })
}

fn wild_template() -> impl Strategy<Value = Map<String, Value>> {
    (wild_json(), wild_json()).prop_map(|(metadata, pods)| {
        Map::from_iter([("metadata".to_owned(), metadata), ("spec".to_owned(), pods)])
    })
}

proptest! {
    #[test]
    fn keys_are_short_and_safe(data in ".{0,40}") {
        let key = revision::key(&data);
        prop_assert!((1..=10).contains(&key.len()), "{}", key);
        prop_assert!(key.chars().all(|it| "456789bcdf".contains(it)), "{}", key);
    }

    #[test]
    fn what_is_encoded_is_restored_and_encoded_again(
        worker in wild_template(),
        claims in proptest::collection::vec(wild_json(), 0..3),
    ) {
        let live = spec(json!({
            "leaderWorkerTemplate": {"workerTemplate": worker, "volumeClaimTemplates": claims},
        }));
        let data = revision::encode(&live);
        let stored = json(&data);
        let restored = revision::restore(&live, &stored).unwrap();
        prop_assert_eq!(revision::encode(&restored), data.as_str());
        prop_assert!(revision::same_content(&stored, &data, &live));
    }

    #[test]
    fn every_changed_value_is_seen(vector in any::<Index>(), leaf in any::<Index>()) {
        let Vector { spec, data, .. } = &VECTORS[vector.index(VECTORS.len())];
        let mut stored = json(data);
        let mut pointers = Vec::new();
        leaves(&stored, "", &mut pointers);
        prop_assume!(!pointers.is_empty());
        let pointer = &pointers[leaf.index(pointers.len())];
        let value = stored.pointer_mut(pointer).unwrap();
        *value = changed(value);
        prop_assert!(!revision::same_content(&stored, data, spec), "{}", pointer);
    }
}

//! Defaulting and validation as the webhook uses them, by tables of exact texts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod acceptance;
mod documentation;
mod metadata_rules;
mod properties;
mod refused;
mod rules;
mod shape;
mod spec_rules;
mod tpu;
mod update_rules;
mod warnings;

use lws_api_types::defaults::{apply, defaults};
use lws_api_types::validation::{Verdict, aggregate, validate_create, validate_update};
use serde_json::{Value, json};

/// A set as it is stored: with the defaults of the schema and of the webhook.
fn stored() -> Value {
    json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "test-sample", "namespace": "default", "generation": 1},
        "spec": {
            "replicas": 2,
            "leaderWorkerTemplate": {
                "size": 2,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": {"spec": {"containers": [{"name": "leader", "image": "i"}]}},
                "workerTemplate": {"spec": {"containers": [{"name": "worker", "image": "i"}]}},
            },
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"partition": 0, "maxUnavailable": 1, "maxSurge": 0},
            },
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "Shared"},
        },
    })
}

/// [`stored`] with the given fields: each change is a JSON pointer and a value, of which the parent
/// is made when absent.
fn set_with(changes: &[(&str, Value)]) -> Value {
    let mut object = stored();
    for (pointer, value) in changes {
        change(&mut object, pointer, value.clone());
    }
    object
}

fn change(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for key in pointer.split('/').skip(1) {
        place = &mut place[key.replace("~1", "/")];
    }
    *place = value;
}

/// What the API server would answer to a create without a schema: the error text, empty when
/// allowed.
fn create(object: &Value) -> String {
    aggregate(&validate_create(object).errors)
}

fn update(object: &Value, old: &Value) -> String {
    aggregate(&validate_update(object, old).errors)
}

fn defaulted(mut object: Value) -> Value {
    let operations = defaults(&object);
    apply(&mut object, operations);
    object
}

const SPEC: &str = "/spec";
const REPLICAS: &str = "/spec/replicas";
const SIZE: &str = "/spec/leaderWorkerTemplate/size";
const RESTART_POLICY: &str = "/spec/leaderWorkerTemplate/restartPolicy";
const STRATEGY: &str = "/spec/rolloutStrategy";
const CONFIG: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration";
const PARTITION: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration/partition";
const MAX_UNAVAILABLE: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration/maxUnavailable";
const MAX_SURGE: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration/maxSurge";
const STARTUP_POLICY: &str = "/spec/startupPolicy";
const NETWORK: &str = "/spec/networkConfig";
const SUB_GROUP: &str = "/spec/leaderWorkerTemplate/subGroupPolicy";
const CLAIMS: &str = "/spec/leaderWorkerTemplate/volumeClaimTemplates";
const ANNOTATIONS: &str = "/metadata/annotations";
const NAME: &str = "/metadata/name";

#[test]
fn the_stored_set_is_complete_and_valid() {
    assert_eq!(defaults(&stored()), []);
    assert_eq!(validate_create(&stored()), Verdict::default());
    assert_eq!(validate_update(&stored(), &stored()), Verdict::default());
}

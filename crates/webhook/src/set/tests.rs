//! The patches of sets. What is in them is tested where it is decided.

use serde_json::{Value, json};

use super::mutate;
use crate::review::{Consent, Refusal, parse};

/// The answer of the mutating webhook to `operation` with a set whose only container has `limits`.
fn admit(operation: &str, limits: &Value) -> Result<Consent, Refusal> {
    let set = json!({"spec": {
        "leaderWorkerTemplate": {
            "restartPolicy": "None",
            "workerTemplate": {"spec": {"containers": [{"resources": {"limits": limits}}]}},
        },
        "rolloutStrategy": {"type": "Recreate"},
        "networkConfig": {"subdomainPolicy": "Shared"},
    }});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u", "operation": operation, "object": set, "oldObject": set},
    });
    mutate(&parse(review.to_string().as_bytes()).unwrap().1)
}

#[test]
fn fractions_of_quantities_become_texts() {
    let limits = json!({"cpu": 0.5, "memory": "1.5Gi", "example.com/gpu": 1});
    let operation = json!([{
        "op": "add",
        "path": "/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0/resources/limits/cpu",
        "value": "500m",
    }]);
    for (name, expected) in
        [("CREATE", operation.clone()), ("UPDATE", operation), ("DELETE", json!([]))]
    {
        let patch = admit(name, &limits).unwrap().patch;
        assert_eq!(serde_json::from_slice::<Value>(patch.as_json()).unwrap(), expected, "{name}");
    }
    assert!(admit("CREATE", &json!({"cpu": "500m", "memory": 1})).unwrap().patch.is_empty());
}

#[test]
fn more_fractions_than_a_patch_has_room_for_are_refused() {
    let limits = (0..40_000).map(|it| (format!("r{it}"), json!(0.5))).collect();
    let refusal = admit("CREATE", &Value::Object(limits)).unwrap_err();
    assert_eq!(refusal.code, 400);
    assert!(refusal.message.ends_with(r#"write them as texts, such as "500m""#), "{refusal:?}");
}

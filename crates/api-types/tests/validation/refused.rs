//! Pod templates and claims that Kubernetes will refuse.

use super::warnings::created;
use super::*;

#[test]
fn templates_that_no_stateful_set_accepts_are_named() {
    let long = "n".repeat(64);
    let not_a_label = |name: &str| format!("name: {name:?} is not a DNS label");
    let container = |name: &str| json!({"name": name, "image": "i"});
    for (list, containers, expected) in [
        ("containers", json!([container("a"), container("b-1")]), vec![]),
        ("containers", json!([]), vec!["containers: there must be at least one".to_owned()]),
        ("containers", Value::Null, vec!["containers: there must be at least one".to_owned()]),
        (
            "containers",
            json!([container("A")]),
            vec![format!("containers[0].{}", not_a_label("A"))],
        ),
        (
            "containers",
            json!([container("a"), container(&long)]),
            vec![format!("containers[1].{}", not_a_label(&long))],
        ),
        (
            "initContainers",
            json!([container("x"), container("x"), {"name": "a.b"}]),
            vec![
                "initContainers[1].name: \"x\" is the name of another container too".to_owned(),
                format!("initContainers[2].{}", not_a_label("a.b")),
                "initContainers[2].image: is missing".to_owned(),
            ],
        ),
        (
            "containers",
            json!([{"name": "a", "image": ""}]),
            vec!["containers[0].image: is missing".to_owned()],
        ),
    ] {
        for template in ["leaderTemplate", "workerTemplate"] {
            let path = format!("/spec/leaderWorkerTemplate/{template}/spec/{list}");
            let expected: Vec<_> = expected
                .iter()
                .map(|it| {
                    format!(
                        "spec.leaderWorkerTemplate.{template}.spec.{it}: Kubernetes will refuse \
                         the StatefulSets, and no pod will be created"
                    )
                })
                .collect();
            assert_eq!(created(&[(&path, containers.clone())]), expected, "{path}");
        }
    }
}

const NO_SET: &str = "Kubernetes will refuse the StatefulSets, and no pod will be created";

/// Checks that both templates are warned of `expected` (what follows their path) when they have
/// `value` at `pointer`.
fn check_templates(pointer: &str, value: &Value, expected: &[String]) {
    for template in ["leaderTemplate", "workerTemplate"] {
        let path = format!("/spec/leaderWorkerTemplate/{template}/{pointer}");
        let expected: Vec<_> = expected
            .iter()
            .map(|it| format!("spec.leaderWorkerTemplate.{template}.{it}: {NO_SET}"))
            .collect();
        // Without workers, so that leaders have nobody to differ from.
        let warnings = created(&[(&path, value.clone()), (SIZE, json!(1))]);
        assert_eq!(warnings, expected, "{path}: {value}");
        assert!(warnings.iter().all(|it| it.chars().count() <= 256), "{warnings:?}");
    }
}

#[test]
fn devices_are_counted_in_whole_numbers() {
    let not_whole = |list: &str, amount: &str| {
        format!("limits[google.com/tpu]: {amount} is not a whole number of 0 or more")
            .replacen("limits", list, 1)
    };
    let no_limit =
        || "requests[google.com/tpu]: there must be a limit of the same amount".to_owned();
    let tpu = |amount: Value| json!({"google.com/tpu": amount});
    for (limits, requests, expected) in [
        (tpu(json!("4")), Value::Null, vec![]),
        (tpu(json!(4)), tpu(json!("4000m")), vec![]),
        (tpu(json!("1e1")), tpu(json!(10)), vec![]),
        (tpu(json!("0")), Value::Null, vec![]),
        (tpu(Value::Null), Value::Null, vec![]),
        (tpu(json!("500m")), Value::Null, vec![not_whole("limits", "\"500m\"")]),
        (tpu(json!("-1")), Value::Null, vec![not_whole("limits", "\"-1\"")]),
        (tpu(json!(-1)), Value::Null, vec![not_whole("limits", "-1")]),
        (tpu(json!(0.5)), Value::Null, vec![not_whole("limits", "0.5")]),
        (tpu(json!("four")), Value::Null, vec![not_whole("limits", "\"four\"")]),
        (Value::Null, tpu(json!("4")), vec![no_limit()]),
        (json!({"cpu": "1"}), tpu(json!(0)), vec![no_limit()]),
        (tpu(Value::Null), tpu(json!("0.5")), vec![not_whole("requests", "\"0.5\""), no_limit()]),
        (
            tpu(json!("4")),
            tpu(json!("2")),
            vec!["requests[google.com/tpu]: 2 is not the limit, which is 4".to_owned()],
        ),
        (
            json!({"example.com/fpga": "1.5"}),
            Value::Null,
            vec!["limits[example.com/fpga]: \"1.5\" is not a whole number of 0 or more".to_owned()],
        ),
        // Kubernetes' own resources have other rules.
        (json!({"memory": "0.5"}), json!({"cpu": "500m", "kubernetes.io/x": "0.5"}), vec![]),
    ] {
        for list in ["containers", "initContainers"] {
            let resources = json!({"limits": limits, "requests": requests});
            let container = json!([{"name": "c", "image": "i", "resources": resources}]);
            let expected: Vec<_> =
                expected.iter().map(|it| format!("spec.{list}[0].resources.{it}")).collect();
            check_templates(&format!("spec/{list}"), &container, &expected);
        }
    }
}

#[test]
fn labels_that_no_pod_can_have_are_named() {
    let long = "v".repeat(64);
    let label = |field: &str, problem: String| vec![format!("{field}{problem}")];
    for field in ["metadata.labels", "spec.nodeSelector"] {
        for (labels, expected) in [
            (json!({"app": "x", "example.com/app": "", "A_b.c": "X_y.z"}), vec![]),
            (json!({"a b": "x"}), label(field, ": \"a b\" is not a valid label key".into())),
            (json!({"": "x"}), label(field, ": \"\" is not a valid label key".into())),
            (json!({"/a": "x"}), label(field, ": \"/a\" is not a valid label key".into())),
            (json!({"A.b/c": "x"}), label(field, ": \"A.b/c\" is not a valid label key".into())),
            (
                json!({"app": "a b"}),
                label(field, "[app]: \"a b\" is not a valid label value".into()),
            ),
            (
                json!({"app": long}),
                label(field, format!("[app]: \"{long}\" is not a valid label value")),
            ),
            (
                json!({"a": format!("{long}v")}),
                label(field, format!("[a]: \"{long}… is not a valid label value")),
            ),
        ] {
            check_templates(&field.replace('.', "/"), &labels, &expected);
        }
    }
    let key = "k".repeat(64);
    for (annotations, expected) in [
        (json!({"a": "any text, of any length", "A.example.com/B": ""}), vec![]),
        (
            json!({"a b": ""}),
            label("metadata.annotations", ": \"a b\" is not a valid annotation key".into()),
        ),
        (
            json!({&key: ""}),
            label("metadata.annotations", format!(": \"{key}\" is not a valid annotation key")),
        ),
    ] {
        check_templates("metadata/annotations", &annotations, &expected);
    }
    // Nodes may have such labels, but pods get ours.
    let reserved = json!({"leaderworkerset.sigs.k8s.io/a b": "x y"});
    let path = "/spec/leaderWorkerTemplate/workerTemplate/metadata/labels";
    assert_eq!(created(&[(path, reserved)]).len(), 1);
}

#[test]
fn containers_and_init_containers_share_their_names() {
    let shared = "/spec/leaderWorkerTemplate/workerTemplate/spec/initContainers";
    assert_eq!(
        created(&[(shared, json!([{"name": "worker", "image": "i"}]))]),
        ["spec.leaderWorkerTemplate.workerTemplate.spec.containers[0].name: \"worker\" is the \
             name of another container too: Kubernetes will refuse the StatefulSets, and no pod \
             will be created"]
    );
    assert_eq!(created(&[("/spec/leaderWorkerTemplate/leaderTemplate", Value::Null)]), [""; 0]);
}

#[test]
fn claims_that_kubernetes_refuses_are_named() {
    let spec = json!({"accessModes": ["a"], "resources": {"requests": {"storage": "1Gi"}}});
    let complete = json!({"metadata": {"name": "data"}, "spec": spec});
    for (claim, problems) in [
        (complete.clone(), vec![]),
        (
            json!({}),
            vec![
                "metadata.name: \"\" is not a DNS label",
                "spec.accessModes: there must be at least one",
                "spec.resources.requests.storage: is missing",
            ],
        ),
        (
            json!({"metadata": {"name": "a_b"}, "spec": spec}),
            vec!["metadata.name: \"a_b\" is not a DNS label"],
        ),
    ] {
        let expected: Vec<_> = problems
            .into_iter()
            .map(|problem| {
                format!(
                    "spec.leaderWorkerTemplate.volumeClaimTemplates[1].{problem}: Kubernetes will \
                     refuse the claims, and no pod will be created"
                )
            })
            .collect();
        assert_eq!(created(&[(CLAIMS, json!([complete, claim]))]), expected);
    }
}

/// As with violations, more than a hundred help nobody.
#[test]
fn at_most_a_hundred_warnings_are_told() {
    let many: Value = (0..5000).map(|number| json!({"name": format!("c{number}")})).collect();
    let path = "/spec/leaderWorkerTemplate/workerTemplate/spec/containers";
    assert_eq!(created(&[(path, many)]).len(), 100);
}

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

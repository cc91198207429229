use serde_json::json;

use super::*;

fn template(spec: &Value) -> PodTemplate {
    serde_json::from_value(json!({"spec": spec})).unwrap()
}

fn text(resources: &Resources) -> Value {
    let text =
        |(resource, amount): (&String, &Quantity)| (resource.clone(), json!(amount.to_string()));
    resources.iter().map(text).collect()
}

/// A container, or an init container that ends.
fn container(requests: &Value) -> Value {
    json!({"name": "c", "resources": {"requests": requests}})
}

fn cpu(amount: &str) -> Value {
    container(&json!({"cpu": amount}))
}

fn sidecar(amount: &str) -> Value {
    json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": amount}}})
}

fn limited(limits: &Value, requests: &Value) -> Value {
    json!({"name": "c", "resources": {"limits": limits, "requests": requests}})
}

/// What each pod is about, its spec, and what it needs.
fn check<const N: usize>(pods: [(&str, Value, Value); N]) {
    for (what, spec, expected) in pods {
        assert_eq!(of_pod(&template(&spec)).map(|it| text(&it)), Ok(expected), "{what}");
    }
}

#[test]
fn containers_run_at_the_same_time() {
    let first = container(&json!({"cpu": "500m", "memory": "1Gi"}));
    let second = container(&json!({"cpu": 1.5, "example.org/gpu": 4, "memory": null}));
    check([
        ("no containers", json!({}), json!({})),
        ("nothing asked for", json!({"containers": [{"name": "c", "resources": {}}]}), json!({})),
        (
            "containers",
            json!({"containers": [first, second]}),
            json!({"cpu": "2", "memory": "1Gi", "example.org/gpu": "4"}),
        ),
    ]);
}

#[test]
fn a_limit_counts_where_nothing_is_asked_for() {
    let gpus = limited(&json!({"cpu": "2", "example.org/gpu": "8"}), &json!({"cpu": "1"}));
    let nothing = limited(&json!({"cpu": "2"}), &json!({"cpu": "0"}));
    check([
        ("a limit", json!({"containers": [gpus]}), json!({"cpu": "1", "example.org/gpu": "8"})),
        ("a request of nothing", json!({"containers": [nothing]}), json!({"cpu": "0"})),
        (
            "an init container",
            json!({"initContainers": [limited(&json!({"cpu": "2"}), &json!(null))]}),
            json!({"cpu": "2"}),
        ),
    ]);
}

#[test]
fn init_containers_run_one_after_the_other_beside_earlier_sidecars() {
    let init_first = container(&json!({"cpu": "1", "memory": "1Gi"}));
    for (what, init_containers, containers, expected) in [
        ("large ones", json!([cpu("2"), cpu("3")]), json!([cpu("1")]), json!({"cpu": "3"})),
        (
            "a small one",
            json!([init_first]),
            json!([cpu("1"), cpu("1")]),
            json!({"cpu": "2", "memory": "1Gi"}),
        ),
        (
            "a sidecar",
            json!([sidecar("500m"), cpu("1")]),
            json!([cpu("1")]),
            json!({"cpu": "1500m"}),
        ),
        (
            "sidecars before a later one",
            json!([cpu("4"), sidecar("1"), sidecar("1"), cpu("3")]),
            json!([cpu("1")]),
            json!({"cpu": "5"}),
        ),
        (
            "a sidecar after it",
            json!([cpu("4"), sidecar("1")]),
            json!([cpu("1")]),
            json!({"cpu": "4"}),
        ),
    ] {
        check([(
            what,
            json!({"initContainers": init_containers, "containers": containers}),
            expected,
        )]);
    }
}

#[test]
fn what_is_said_of_the_whole_pod_counts_instead() {
    let one = container(&json!({"cpu": "2", "memory": "1Gi", "example.org/gpu": "1"}));
    let whole = json!({"cpu": "1", "hugepages-2Mi": "4Mi", "example.org/gpu": "9"});
    let limits = json!({"cpu": "4", "memory": "8Gi", "example.org/gpu": "9"});
    let pages = container(&json!({"hugepages-1Gi": "2Gi"}));
    check([
        (
            "requests",
            json!({"resources": {"requests": whole}, "containers": [one]}),
            json!({"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "4Mi", "example.org/gpu": "1"}),
        ),
        (
            "requests and limits",
            json!({
                "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                "containers": [cpu("1")],
            }),
            json!({"cpu": "1", "memory": "1Gi"}),
        ),
        (
            "limits, where containers ask for nothing",
            json!({"resources": {"limits": limits}, "containers": [cpu("2")]}),
            json!({"cpu": "2", "memory": "8Gi"}),
        ),
        (
            "huge pages, whose request is their limit",
            json!({"resources": {"limits": {"hugepages-1Gi": "4Gi"}}, "containers": [pages]}),
            json!({"hugepages-1Gi": "4Gi"}),
        ),
        (
            "overhead on top",
            json!({
                "overhead": {"cpu": "250m", "memory": "120Mi"},
                "resources": {"requests": {"cpu": "1"}},
                "containers": [cpu("2")],
            }),
            json!({"cpu": "1250m", "memory": "120Mi"}),
        ),
    ]);
}

#[test]
fn a_group_needs_its_leader_and_each_of_its_workers() {
    let leader = container(&json!({"cpu": "1", "memory": "512Mi"}));
    let leader = template(&json!({"containers": [leader]}));
    let worker = container(&json!({"cpu": "250m", "example.org/gpu": "8", "memory": "512Mi"}));
    let worker = template(&json!({"containers": [worker]}));
    for (workers, expected) in [
        (0, json!({"cpu": "1", "memory": "512Mi"})),
        (1, json!({"cpu": "1250m", "memory": "1Gi", "example.org/gpu": "8"})),
        (3, json!({"cpu": "1750m", "memory": "2Gi", "example.org/gpu": "24"})),
    ] {
        let total = of_group(&leader, &worker, workers).map(|it| text(&it));
        assert_eq!(total, Ok(expected), "{workers} workers");
    }
}

#[test]
fn what_cannot_be_added_up_is_named() {
    for amount in ["lots", "99999999999999999999999999999999999999"] {
        let pod = template(&json!({"containers": [container(&json!({"memory": amount}))]}));
        let error = of_group(&pod, &pod, 7).unwrap_err();
        assert!(error.to_string().contains("requests of memory"), "{amount}: {error}");
    }
}

//! Requests and answers through the router, as the API server sees them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lws_api_types::keys::{PREFIX, annotations, env, labels};
use lws_api_types::validation::Rule;
use lws_certs::reload::ReloadingCertificate;
use lws_documentation::{cells, messages, section};
use lws_runtime::client::requests::RequestCounter;
use lws_runtime::metrics::Registry;
use lws_webhook::hook::Hook;
use lws_webhook::{Metrics, Settings, router};
use prometheus::{Encoder as _, TextEncoder};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tower::{Layer as _, ServiceExt as _, service_fn};

const V1: &str = "admission.k8s.io/v1";
const LIMIT: usize = 7_340_032;

struct Webhook {
    router: axum::Router,
    registry: Registry,
}

impl Webhook {
    fn new() -> Self {
        let registry = lws_runtime::metrics::registry().unwrap();
        let metrics = Metrics::register(&registry).unwrap();
        Self { router: router(Settings::default(), metrics, Handle::current()), registry }
    }

    async fn send(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, Vec<u8>) {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    /// The answered review to any body.
    async fn answer(&self, hook: Hook, body: impl Into<Body>) -> Value {
        let path = format!("{}?timeout=10s", hook.path());
        let (status, body) = self.send(&path, "application/json", body).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice(&body).unwrap()
    }

    /// The `response` to a review, whose uid it must echo.
    async fn review(&self, hook: Hook, operation: &str, object: &Value, old: &Value) -> Value {
        let review = json!({
            "apiVersion": V1,
            "kind": "AdmissionReview",
            "request": {
                "uid": "u-1",
                "operation": operation,
                "namespace": "default",
                "userInfo": {"username": "someone", "groups": ["a"]},
                "object": object,
                "oldObject": old,
                "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
            },
        });
        let answer = self.answer(hook, review.to_string()).await;
        assert_eq!(answer["apiVersion"], V1);
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], "u-1");
        answer["response"].clone()
    }

    async fn create(&self, hook: Hook, object: &Value) -> Value {
        self.review(hook, "CREATE", object, &Value::Null).await
    }

    fn metrics(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }
}

fn allowed() -> Value {
    json!({"uid": "u-1", "allowed": true, "status": {"metadata": {}, "code": 200}})
}

fn refused(uid: &str, code: u16, message: &str) -> Value {
    json!({"uid": uid, "allowed": false, "status": {"metadata": {}, "code": code, "message": message}})
}

/// `object` after the patch of `response`.
fn patched(object: &Value, response: &Value) -> Value {
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).unwrap();
    object
}

fn set() -> Value {
    json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "test", "namespace": "default"},
        "spec": {"replicas": 2, "leaderWorkerTemplate": {
            "size": 2, "workerTemplate": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
        }},
    })
}

fn leader() -> Value {
    json!({
        "metadata": {
            "name": "test-1",
            "labels": {
                "leaderworkerset.sigs.k8s.io/name": "test",
                "leaderworkerset.sigs.k8s.io/worker-index": "0",
            },
            "annotations": {"leaderworkerset.sigs.k8s.io/size": "2"},
        },
        "spec": {"subdomain": "test", "containers": [{"name": "c"}]},
    })
}

#[tokio::test]
async fn bodies_that_are_no_review_are_refused() {
    let webhook = Webhook::new();
    for hook in Hook::ALL {
        let answer = webhook.answer(hook, "").await;
        assert_eq!(answer["response"], refused("", 400, "request body is empty"));
        assert_eq!(answer["apiVersion"], V1);
        let answer = webhook.answer(hook, vec![b' '; LIMIT + 1]).await;
        let message = "request entity is too large; limit is 7340032 bytes";
        assert_eq!(answer["response"], refused("", 413, message));
        for content_type in ["text/plain", "application/json; charset=utf-8"] {
            let (status, body) = webhook.send(hook.path(), content_type, "{}").await;
            assert_eq!(status, StatusCode::OK);
            let message = format!("contentType={content_type}, expected application/json");
            let answer: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(answer["response"], refused("", 400, &message));
        }
        let (_, body) = webhook.send(hook.path(), &"\"".repeat(15_000), "{}").await;
        assert!(body.len() < 2048, "only a part of it is told: {} bytes", body.len());
        for (body, expected) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("[]", "invalid type: sequence, expected an object at line 1 column 0"),
            ("{}", "the review has no request"),
            (
                r#"{"request": {"uid": 5}}"#,
                "request.uid: invalid type: integer `5`, expected a string",
            ),
            (
                r#"{"apiVersion": "v1", "kind": "Pod", "request": {}}"#,
                r#"no kind "Pod" is registered for version "v1""#,
            ),
        ] {
            let answer = webhook.answer(hook, body).await;
            let status = &answer["response"]["status"];
            assert_eq!(status["code"], 400, "{body}");
            let message = status["message"].as_str().unwrap();
            assert!(message.starts_with(expected), "{body}: {message}");
        }
    }
}

#[tokio::test]
async fn a_body_of_the_limit_is_read() {
    let webhook = Webhook::new();
    let mut body = br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": "CREATE"}}"#.to_vec();
    body.resize(LIMIT, b' ');
    let answer = webhook.answer(Hook::ValidatePod, body).await;
    assert_eq!(answer["response"]["allowed"], true);
}

#[tokio::test]
async fn the_version_of_the_review_is_answered() {
    let webhook = Webhook::new();
    let body = r#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "u-\u00e9"}}"#;
    let answer = webhook.answer(Hook::ValidatePod, body).await;
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1beta1");
    assert_eq!(answer["response"]["uid"], "u-é");
}

#[tokio::test]
async fn objects_of_the_wrong_type_are_refused_by_name() {
    let webhook = Webhook::new();
    for (object, expected) in [
        (json!({"metadata": {"labels": ["a"]}}), "metadata.labels: invalid type: sequence"),
        (Value::Null, "there is no content to decode"),
    ] {
        let response = webhook.create(Hook::MutatePod, &object).await;
        assert_eq!(response["allowed"], false);
        assert_eq!(response["status"]["code"], 400);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
    for hook in [Hook::MutateSet, Hook::ValidateSet] {
        let response = webhook.create(hook, &Value::Null).await;
        assert_eq!(response, refused("u-1", 400, "there is no content to decode"));
    }
}

#[tokio::test]
async fn what_is_no_object_is_named() {
    let webhook = Webhook::new();
    for (object, is) in [
        (json!("pod"), "a string"),
        (json!([{}]), "a list"),
        (json!(true), "a boolean"),
        (json!(-5), "a number"),
    ] {
        let expected = |field: &str| {
            refused("u-1", 400, &format!("request.{field}: expected a JSON object, got {is}"))
        };
        for hook in [Hook::MutateSet, Hook::ValidateSet, Hook::MutatePod] {
            assert_eq!(webhook.create(hook, &object).await, expected("object"), "{hook:?}");
        }
        let response = webhook.review(Hook::ValidateSet, "UPDATE", &set(), &object).await;
        assert_eq!(response, expected("oldObject"));
    }
}

#[tokio::test]
async fn unlabelled_pods_pass_both_webhooks() {
    let webhook = Webhook::new();
    let mut pod = leader();
    pod["metadata"]["labels"] = json!({"app": "x"});
    for hook in [Hook::MutatePod, Hook::ValidatePod] {
        assert_eq!(webhook.create(hook, &pod).await, allowed());
    }
}

#[tokio::test]
async fn pods_are_patched_and_rejected() {
    let webhook = Webhook::new();
    let mut pod = leader();
    let admitted = patched(&pod, &webhook.create(Hook::MutatePod, &pod).await);
    let labels = &admitted["metadata"]["labels"];
    assert_eq!(labels["leaderworkerset.sigs.k8s.io/group-index"], "1");
    // The namespace of the request counts when the pod does not name it.
    assert_eq!(
        labels["leaderworkerset.sigs.k8s.io/group-key"],
        lws_api_types::names::group_key("default", "test-1")
    );
    assert_eq!(webhook.create(Hook::MutatePod, &admitted).await, allowed());
    assert_eq!(webhook.review(Hook::MutatePod, "DELETE", &pod, &pod).await, allowed());

    pod["metadata"]["annotations"] = json!({});
    let message = "size annotation is unexpectedly missing for pod test-1";
    let mut expected = refused("u-1", 403, message);
    expected["status"]["reason"] = "Forbidden".into();
    assert_eq!(webhook.create(Hook::MutatePod, &pod).await, expected);
    assert_eq!(webhook.create(Hook::ValidatePod, &pod).await, allowed());
}

#[tokio::test]
async fn sets_are_defaulted_once() {
    let webhook = Webhook::new();
    let set = set();
    let admitted = patched(&set, &webhook.create(Hook::MutateSet, &set).await);
    let spec = &admitted["spec"];
    assert_eq!(spec["leaderWorkerTemplate"]["restartPolicy"], "RecreateGroupOnPodRestart");
    assert_eq!(spec["networkConfig"], json!({"subdomainPolicy": "Shared"}));
    assert_eq!(
        spec["rolloutStrategy"],
        json!({
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"partition": 0, "maxUnavailable": 1, "maxSurge": 0},
        })
    );
    assert_eq!(webhook.create(Hook::MutateSet, &admitted).await, allowed());
    assert_eq!(webhook.review(Hook::MutateSet, "DELETE", &Value::Null, &set).await, allowed());
}

#[tokio::test]
async fn sets_are_validated_on_create_and_update() {
    let webhook = Webhook::new();
    let old = patched(&set(), &webhook.create(Hook::MutateSet, &set()).await);
    assert_eq!(webhook.create(Hook::ValidateSet, &old).await, allowed());
    let mut new = old.clone();
    new["spec"]["leaderWorkerTemplate"]["size"] = (-1).into();
    let expected =
        "spec.leaderWorkerTemplate.size: Invalid value: -1: size must be equal or greater than 1";
    for operation in ["CREATE", "UPDATE"] {
        let response = webhook.review(Hook::ValidateSet, operation, &new, &old).await;
        assert_eq!(response["status"]["code"], 403);
        assert_eq!(response["status"]["reason"], "Forbidden");
        assert_eq!(response["status"]["message"], expected);
    }
    for operation in ["DELETE", "CONNECT"] {
        assert_eq!(webhook.review(Hook::ValidateSet, operation, &new, &old).await, allowed());
    }
    let response = webhook.review(Hook::ValidateSet, "RENAME", &new, &old).await;
    assert_eq!(response, refused("u-1", 400, r#"unknown operation "RENAME""#));
}

/// A set with so many environment variables.
fn set_with_variables(count: usize) -> Value {
    let variable = |number| json!({"name": format!("V{number:06}"), "value": "x"});
    let mut set = set();
    let container =
        &mut set["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"];
    container[0]["env"] = (0..count).map(variable).collect();
    set
}

#[tokio::test]
async fn what_could_be_created_can_be_changed_and_deleted() {
    let webhook = Webhook::new();
    let hook = Hook::ValidateSet;
    let large = set_with_variables(45_000);
    assert_eq!(webhook.create(hook, &large).await, allowed());
    let mut scaled = large.clone();
    scaled["spec"]["replicas"] = 3.into();
    assert_eq!(webhook.review(hook, "UPDATE", &scaled, &large).await, allowed());

    let complex = set_with_variables(65_000);
    for hook in [Hook::MutateSet, hook] {
        assert_eq!(webhook.create(hook, &complex).await["status"]["code"], 413);
        let changed = webhook.review(hook, "UPDATE", &complex, &large).await;
        assert_eq!(changed["status"]["code"], 413);
        let mut deleted = complex.clone();
        deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(webhook.review(hook, "UPDATE", &deleted, &complex).await, allowed());
        assert_eq!(webhook.create(hook, &deleted).await["status"]["code"], 413);
    }
}

#[tokio::test]
async fn a_change_of_an_immutable_field_is_seen() {
    let webhook = Webhook::new();
    let with = |size: u8| {
        let mut it = set();
        it["spec"]["leaderWorkerTemplate"]["subGroupPolicy"] = json!({"subGroupSize": size});
        it
    };
    let response = webhook.review(Hook::ValidateSet, "UPDATE", &with(2), &with(1)).await;
    let expected = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize: Invalid value: 2: field is immutable";
    assert_eq!(response["status"]["message"], expected);
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let webhook = Webhook::new();
    for path in ["/", "/convert", "/mutate-v1-pod", "/validate--v1-pod/x"] {
        assert_eq!(webhook.send(path, "application/json", "{}").await.0, StatusCode::NOT_FOUND);
    }
}

/// Whatever may happen is there before it has happened: an alert sees the first time.
fn assert_idle(metrics: &str) {
    let has = |line: String| assert!(metrics.contains(&line), "{line}{metrics}");
    for path in Hook::ALL.map(Hook::path) {
        for code in ["200", "500", "503"] {
            has(format!(
                "controller_runtime_webhook_requests_total{{code=\"{code}\",webhook=\"{path}\"}} 0\n"
            ));
        }
        for (operation, outcomes) in [
            ("CREATE", &["200", "patched", "400", "403", "413", "500"][..]),
            ("UPDATE", &["200", "patched", "400", "403", "413", "500"]),
            ("unknown", &["400", "413", "503", "504"]),
        ] {
            for outcome in outcomes {
                has(format!(
                    "lws_webhook_reviews_total{{operation=\"{operation}\",outcome=\"{outcome}\",\
                     webhook=\"{path}\"}} 0\n"
                ));
            }
        }
        has(format!("controller_runtime_webhook_latency_seconds_count{{webhook=\"{path}\"}} 0\n"));
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let webhook = Webhook::new();
    assert_idle(&webhook.metrics());
    webhook.create(Hook::MutatePod, &leader()).await;
    webhook.create(Hook::MutatePod, &json!({})).await;
    webhook.create(Hook::MutatePod, &json!([])).await;
    webhook.answer(Hook::MutatePod, "").await;
    let counted = webhook.metrics();
    for line in [
        r#"lws_webhook_reviews_total{operation="CREATE",outcome="patched",webhook="/mutate--v1-pod"} 1"#,
        r#"lws_webhook_reviews_total{operation="CREATE",outcome="200",webhook="/mutate--v1-pod"} 1"#,
        r#"lws_webhook_reviews_total{operation="CREATE",outcome="400",webhook="/mutate--v1-pod"} 1"#,
        r#"lws_webhook_reviews_total{operation="unknown",outcome="400",webhook="/mutate--v1-pod"} 1"#,
        r#"controller_runtime_webhook_requests_total{code="200",webhook="/mutate--v1-pod"} 4"#,
        r#"controller_runtime_webhook_latency_seconds_count{webhook="/mutate--v1-pod"} 4"#,
        r#"controller_runtime_webhook_requests_in_flight{webhook="/mutate--v1-pod"} 0"#,
        "lws_webhook_patch_operations_count 1",
        "lws_webhook_patch_operations_sum 3",
        "controller_runtime_webhook_panics_total 0",
    ] {
        assert!(counted.contains(&format!("{line}\n")), "{line}\n{counted}");
    }
}

/// The steps of the latency resolve decisions, which take microseconds.
#[tokio::test]
async fn latency_is_measured_in_fine_steps() {
    let webhook = Webhook::new();
    webhook.create(Hook::MutatePod, &leader()).await;
    let text = webhook.metrics();
    let bounds = text.lines().filter(|line| line.contains("/mutate--v1-pod")).filter_map(|line| {
        let bucket = line.strip_prefix("controller_runtime_webhook_latency_seconds_bucket{")?;
        bucket.split("le=\"").nth(1)?.split('"').next()?.parse::<f64>().ok()
    });
    let below = |limit: f64| bounds.clone().filter(|it| *it <= limit).count();
    assert!(below(0.001) >= 6, "{text}");
    assert_eq!(bounds.clone().count(), below(30.0) + 1, "the last one is infinity");
}

/// Rules that were broken, by name, and how often; those that never were are there as 0.
fn rejections(metrics: &str) -> Vec<(String, u64)> {
    let lines = metrics.lines().filter(|line| line.starts_with("lws_webhook_rejections_total{"));
    let all: Vec<_> = lines
        .map(|line| {
            let (labels, count) = line.rsplit_once(' ').unwrap();
            let rule = labels.split("rule=\"").nth(1).unwrap().split('"').next().unwrap();
            (rule.to_owned(), count.parse::<u64>().unwrap())
        })
        .collect();
    assert_eq!(all.len(), Rule::ALL.len() + 10, "{metrics}");
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn rejections_are_counted_by_rule() {
    let webhook = Webhook::new();
    assert_eq!(rejections(&webhook.metrics()), []);
    let mut broken = set();
    broken["spec"]["replicas"] = json!(-1);
    broken["spec"]["leaderWorkerTemplate"]["size"] = json!(0);
    broken["metadata"]["labels"] = json!({"a b": "c", "d e": "f"});
    webhook.create(Hook::ValidateSet, &broken).await;
    let mut pod = leader();
    pod["metadata"]["annotations"] = json!({});
    for _ in 0..2 {
        webhook.create(Hook::MutatePod, &pod).await;
    }
    // What is no object breaks no rule.
    webhook.create(Hook::MutatePod, &json!([])).await;
    let counted = rejections(&webhook.metrics());
    let expected =
        [("metadata", 1), ("replicas-minimum", 1), ("size-minimum", 1), ("size-missing", 2)];
    assert_eq!(counted, expected.map(|(rule, count)| (rule.to_owned(), count)));
}

/// The names in a column of the tables of a section.
fn documented<'a>(text: &'a str, heading: &str, column: &str) -> BTreeSet<&'a str> {
    let mut place = None;
    let mut names = BTreeSet::new();
    for line in section(text, heading).unwrap().lines() {
        let Some(cells) = cells(line) else {
            place = None;
            continue;
        };
        match place {
            None => place = cells.iter().position(|cell| *cell == column),
            Some(place) => names.extend(messages(cells[place])),
        }
    }
    assert!(!names.is_empty(), "{column}");
    names
}

/// The values of a label.
fn values<'a>(metrics: &'a str, label: &str) -> BTreeSet<&'a str> {
    let label = format!("{label}=\"");
    metrics.lines().filter_map(|line| line.split(&label).nth(1)?.split('"').next()).collect()
}

/// Every metric has the labels that its row names.
fn labels_are_documented(text: &str, heading: &str, metrics: &str) {
    for row in section(text, heading).unwrap().lines().filter_map(cells) {
        let expected: BTreeSet<_> = messages(row[2]).collect();
        for name in messages(row[0]) {
            let is_of = |it: &&str| {
                it.starts_with(&format!("{name}{{")) || it.starts_with(&format!("{name}_sum{{"))
            };
            let series = metrics.lines().find(is_of);
            let parts = series.into_iter().flat_map(|it| it.split("=\""));
            let labels = parts.filter_map(|it| it.rsplit(['{', ',']).next());
            let labels: BTreeSet<_> = labels.filter(|it| !it.contains('"')).collect();
            assert_eq!(labels, expected, "{name}");
        }
    }
}

/// What the documentation says to look for is there, and what is there is documented.
#[tokio::test]
async fn everything_is_documented() {
    let webhook = Webhook::new();
    let certificate = Arc::new(ReloadingCertificate::new("none"));
    lws_runtime::metrics::register_certificate(&webhook.registry, certificate).unwrap();
    // Of requests there is a metric once there was one.
    let requests = RequestCounter::register(&webhook.registry).unwrap();
    let server = service_fn(async |_| Ok::<_, Infallible>(http::Response::new(())));
    requests.layer(server).oneshot(Request::new(())).await.unwrap();
    let reference = include_str!("../../../docs/metrics-reference.md");
    let text = include_str!("../../../docs/admission.md");
    let metrics = webhook.metrics();
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let sections = ["Of both processes", "Of the webhook"];
    let expected = sections.into_iter().flat_map(|it| documented(reference, it, "metric"));
    assert_eq!(names.collect::<BTreeSet<_>>(), expected.collect());
    for heading in sections {
        labels_are_documented(reference, heading, &metrics);
    }
    assert_eq!(values(&metrics, "outcome"), documented(text, "Metrics", "Outcome"));
    let rules = ["Sets: rejections", "Pods: rejections"].map(|it| documented(text, it, "Rule"));
    assert_eq!(values(&metrics, "rule"), rules.into_iter().flatten().collect());
    for hook in Hook::ALL {
        assert!(text.contains(&format!("`{}`", hook.path())), "{hook:?}");
    }
    // Every key has a row of its own, where it is written without the prefix.
    let rows: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    for key in [labels::ALL, annotations::ALL, env::ALL].concat() {
        let name = format!("`{}`", key.strip_prefix(PREFIX).unwrap_or(key));
        assert!(rows.iter().any(|row| row.split(", ").any(|it| it == name)), "key {key}");
    }
}

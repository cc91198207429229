//! What the webhook's port answers to whatever comes in. A decision is an `AdmissionReview` under status 200.

use anyhow::{Context as _, Result, ensure};
use http::{Method, Request, header};
use serde_json::{Value, json};

use crate::cases::each;
use crate::requests::{get, send};
use crate::world::{World, world};

const MUTATE_SET: &str = "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset";
const VALIDATE_SET: &str = "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset";
const MUTATE_POD: &str = "/mutate--v1-pod";
const VALIDATE_POD: &str = "/validate--v1-pod";
const JSON: &str = "application/json";
const LIMIT: usize = 7_340_032;

fn review(version: &str, object: &Value) -> Value {
    json!({
        "apiVersion": format!("admission.k8s.io/{version}"),
        "kind": "AdmissionReview",
        "request": {"uid": "u-1", "operation": "CREATE", "namespace": "default", "object": object},
    })
}

/// A review of an object that takes up the rest of `bytes`.
fn review_of(bytes: usize) -> String {
    let empty = review("v1", &json!({"metadata": {"annotations": {"a": ""}}})).to_string();
    let filling = "x".repeat(bytes - empty.len());
    review("v1", &json!({"metadata": {"annotations": {"a": filling}}})).to_string()
}

async fn post(world: &World, path: &str, content_type: &str, body: String) -> Result<Value> {
    let request = Request::post(format!("{path}?timeout=10s"));
    let request = request.header(header::CONTENT_TYPE, content_type).body(body.into_bytes())?;
    let answer = send(&world.webhook, request).await?;
    ensure!(answer.code.as_u16() == 200, "{}: {}", answer.code, answer.text);
    answer.json()
}

fn answer(version: &str, response: &Value) -> Value {
    json!({"apiVersion": format!("admission.k8s.io/{version}"), "kind": "AdmissionReview", "response": response})
}

fn allowed() -> Value {
    json!({"uid": "u-1", "allowed": true, "status": {"metadata": {}, "code": 200}})
}

///
#[tokio::test]
async fn what_cannot_be_judged_is_refused() -> Result<()> {
    let ours = || review("v1", &json!({})).to_string();
    let later = review("v2", &json!({})).to_string();
    let nothing =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string();
    let strange = review("v1", &json!({"metadata": {"labels": ["a"]}})).to_string();
    let absent = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u-1", "operation": "CREATE"}});
    let cases = [
        (
            "another content type",
            "text/plain",
            ours(),
            "",
            400,
            "contentType=text/plain, expected application/json",
        ),
        (
            "a content type with parameters",
            "application/json; charset=utf-8",
            ours(),
            "",
            400,
            "contentType=application/json; charset=utf-8, expected application/json",
        ),
        ("no body", JSON, String::new(), "", 400, "request body is empty"),
        ("no body and another type", "text/plain", String::new(), "", 400, "request body is empty"),
        (
            "one byte too much",
            JSON,
            review_of(LIMIT + 1),
            "",
            413,
            "request entity is too large; limit is 7340032 bytes",
        ),
        (
            "four times too much",
            JSON,
            review_of(4 * LIMIT),
            "",
            413,
            "request entity is too large; limit is 7340032 bytes",
        ),
        (
            "no JSON",
            JSON,
            "{".to_owned(),
            "",
            400,
            "EOF while parsing an object at line 1 column 1",
        ),
        (
            "another version",
            JSON,
            later,
            "",
            400,
            "no kind \"AdmissionReview\" is registered for version \"admission.k8s.io/v2\"",
        ),
        ("no request", JSON, nothing, "", 400, "the review has no request"),
        ("no object", JSON, absent.to_string(), "u-1", 400, "there is no content to decode"),
        (
            "a wrong type",
            JSON,
            strange,
            "u-1",
            400,
            "metadata.labels: invalid type: sequence, expected an object at line 1 column ",
        ),
    ];
    let world = &world().await?;
    each(
        cases,
        async |(case, content_type, body, uid, code, message): (
            &str,
            &str,
            String,
            &str,
            u16,
            &str,
        )| {
            let answered = post(world, MUTATE_POD, content_type, body).await.context(case)?;
            let said = answered.pointer("/response/status/message").and_then(Value::as_str);
            // Where in the text the decoder stopped is its own business.
            let said = said
                .filter(|said| said.starts_with(message))
                .with_context(|| format!("{case}: {answered}"))?;
            let status = json!({"metadata": {}, "code": code, "message": said});
            let expected = answer("v1", &json!({"uid": uid, "allowed": false, "status": status}));
            ensure!(answered == expected, "{case}: {answered}\nexpected: {expected}");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_review_of_the_largest_size_is_judged() -> Result<()> {
    let world = &world().await?;
    let answered = post(world, MUTATE_POD, JSON, review_of(LIMIT)).await?;
    ensure!(answered == answer("v1", &allowed()), "{answered}");
    Ok(())
}

#[tokio::test]
async fn a_review_is_answered_in_its_version() -> Result<()> {
    let world = &world().await?;
    for version in ["v1", "v1beta1"] {
        for path in [MUTATE_POD, VALIDATE_POD] {
            let body = review(version, &json!({"metadata": {"name": "p"}})).to_string();
            let answered = post(world, path, JSON, body).await?;
            ensure!(answered == answer(version, &allowed()), "{path}: {answered}");
        }
    }
    Ok(())
}

///
#[tokio::test]
async fn a_pod_of_no_set_is_allowed_as_it_is() -> Result<()> {
    let pod = json!({
        "metadata": {"name": "test-1-1", "labels": {"leaderworkerset.sigs.k8s.io/worker-index": "0"}},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"google.com/tpu": "4"}}}]},
    });
    let world = &world().await?;
    for path in [MUTATE_POD, VALIDATE_POD] {
        let answered = post(world, path, JSON, review("v1", &pod).to_string()).await?;
        ensure!(answered == answer("v1", &allowed()), "{path}: {answered}");
    }
    Ok(())
}

#[tokio::test]
async fn other_methods_have_no_body_and_other_paths_no_webhook() -> Result<()> {
    let world = &world().await?;
    for path in [MUTATE_SET, VALIDATE_SET, MUTATE_POD, VALIDATE_POD] {
        let answered = send(&world.webhook, get(path)?).await?.json()?;
        let status = json!({"metadata": {}, "code": 400, "message": "request body is empty"});
        let expected = answer("v1", &json!({"uid": "", "allowed": false, "status": status}));
        ensure!(answered == expected, "{path}: {answered}");
    }
    for path in ["/", "/convert", "/mutate-v1-pod", "/mutate--v1-pod/"] {
        for method in [Method::GET, Method::POST] {
            let request = Request::builder().method(method.clone()).uri(path).body(Vec::new())?;
            let answered = send(&world.webhook, request).await?;
            ensure!(answered.code.as_u16() == 404, "{method} {path}: {}", answered.code);
        }
    }
    Ok(())
}

/// The API server writes `<` as six characters.
#[tokio::test]
async fn a_review_that_is_too_large_is_told_to_the_user() -> Result<()> {
    let world = &world().await?;
    let namespace = "protocol-large";
    world.namespace(namespace).await?;
    let container = json!({"name": "c", "image": "i", "args": ["<".repeat(1_400_000)]});
    let set = json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "large"},
        "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [container]}}}},
    });
    let answer = world.sets(namespace).create(&set).await?;
    ensure!(answer.code.as_u16() == 413, "{}: {}", answer.code, answer.text);
    let message = answer.message()?;
    let expected = format!(
        "admission webhook \"mleaderworkerset.kb.io\" denied the request: request entity is too large; limit is {LIMIT} bytes"
    );
    ensure!(message == expected, "{message}");
    Ok(())
}

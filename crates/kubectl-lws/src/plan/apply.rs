//! What kubectl would send to apply a document, sent as a dry run: defaults, validation and
//! admission count, and nothing is stored.

use http::header::{CONTENT_TYPE, WARNING};
use http::{Method, Request, StatusCode};
use kube::client::Body;
use kube::core::Status;
use lws_api_types::keys;
use lws_controller::plan::build::LAST_APPLIED;
use serde_json::{Map, Value, json};

use crate::connection::Connection;
use crate::error::Error;

/// What the server says to a document.
pub(super) struct Answer {
    /// The set as it would be stored.
    pub(super) set: Value,
    /// Its warnings.
    pub(super) warnings: Vec<String>,
}

/// How a document is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As `kubectl apply`.
    Client,
    /// As `kubectl apply --server-side`.
    Server,
}

/// The set as it would be after an apply of `document`, where it is `live` now.
pub(super) async fn dry_run(
    connection: &Connection,
    document: &Value,
    live: Option<&Value>,
    mode: Mode,
) -> Result<Answer, Error> {
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let all =
        format!("/apis/{}/namespaces/{}/{}", keys::API_VERSION, connection.namespace, keys::PLURAL);
    let manager = if mode == Mode::Server { "kubectl" } else { "kubectl-client-side-apply" };
    let query = format!("dryRun=All&fieldManager={manager}&fieldValidation=Strict");
    let (method, path, kind, body) = match (mode, live) {
        (Mode::Server, _) => (
            Method::PATCH,
            format!("{all}/{name}"),
            "application/apply-patch+yaml",
            document.clone(),
        ),
        (Mode::Client, None) => (Method::POST, all, "application/json", document.clone()),
        (Mode::Client, Some(live)) => {
            let patch = three_way(document, live);
            (Method::PATCH, format!("{all}/{name}"), "application/merge-patch+json", patch)
        }
    };
    let request = Request::builder().method(method).uri(format!("{path}?{query}"));
    let body = serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?;
    let request = request.header(CONTENT_TYPE, kind).body(Body::from(body));
    let response = connection.client.send(request.map_err(kube::Error::HttpError)?).await?;
    let code = response.status();
    let warnings = response.headers().get_all(WARNING).iter();
    let warnings = warnings.filter_map(|it| it.to_str().ok()).map(warning_text).collect();
    let body = response.into_body().collect_bytes().await?;
    if !code.is_success() {
        return Err(kube::Error::Api(Box::new(refusal(code, &body))).into());
    }
    let set = serde_json::from_slice(&body).map_err(kube::Error::SerdeError)?;
    Ok(Answer { set, warnings })
}

/// What an answer says that is no success. One of a proxy may be any text: it is told as the client
/// tells it.
fn refusal(code: StatusCode, body: &[u8]) -> Status {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        Status::failure(text.trim(), "Failed to parse error data").with_code(code.as_u16())
    })
}

/// The text of a warning header: `299 - "text"`.
fn warning_text(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, rest)| rest);
    text.strip_suffix('"').unwrap_or(text).replace("\\\"", "\"").replace("\\\\", "\\")
}

/// The merge patch that kubectl sends: what the document says, without what the document that was
/// applied before says and this one does not.
fn three_way(document: &Value, live: &Value) -> Value {
    let last = live.pointer("/metadata/annotations").and_then(|it| it.get(LAST_APPLIED));
    let last = last.and_then(Value::as_str).and_then(|it| serde_json::from_str(it).ok());
    let mut patch = document.clone();
    if let Some(last) = last {
        // kubectl keeps its note among them, so it never removes all.
        if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.entry("annotations").or_insert_with(|| json!({}));
        }
        remove(&mut patch, &last);
    }
    patch
}

/// Adds a removal of each field that `last` has and `patch` has not.
fn remove(patch: &mut Value, last: &Value) {
    let (Some(patch), Some(last)) = (patch.as_object_mut(), last.as_object()) else { return };
    let absent = |patch: &Map<String, Value>, key: &str| !patch.contains_key(key);
    for (key, before) in last {
        if absent(patch, key) {
            patch.insert(key.clone(), Value::Null);
        } else if let Some(now) = patch.get_mut(key) {
            remove(now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_applied_no_more_is_removed() {
        let last = json!({
            "metadata": {"name": "s", "namespace": "n", "annotations": {"a": "b"}},
            "spec": {"replicas": 2, "startupPolicy": "LeaderReady", "list": [1, 2]},
        });
        let live = json!({"metadata": {"annotations": {LAST_APPLIED: last.to_string()}}});
        let document = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"replicas": 3, "list": [1]}});
        let expected = json!({
            "metadata": {"name": "s", "namespace": "n", "annotations": {"a": null}},
            "spec": {"replicas": 3, "startupPolicy": null, "list": [1]},
        });
        assert_eq!(three_way(&document, &live), expected);
        assert_eq!(three_way(&document, &json!({})), document, "nothing was applied before");
    }

    #[test]
    fn a_refusal_that_is_no_status_is_told_as_it_is() {
        let status = json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "message": "odd", "code": 422});
        for (code, body, expected) in [
            (422, status.to_string(), "The request is invalid: odd"),
            (
                502,
                "<html>proxy</html>\n".to_owned(),
                "Error from server (Failed to parse error data): <html>proxy</html>",
            ),
        ] {
            let status = refusal(StatusCode::from_u16(code).unwrap(), body.as_bytes());
            assert_eq!(status.code, code);
            let error = Error::from(kube::Error::Api(Box::new(status)));
            assert_eq!(error.told(), expected);
        }
    }

    #[test]
    fn a_warning_is_its_text() {
        for (header, expected) in [
            ("299 - \"spec: odd\"", "spec: odd"),
            ("299 - \"say \\\"a\\\"\"", "say \"a\""),
            ("odd", "odd"),
        ] {
            assert_eq!(warning_text(header), expected);
        }
    }
}

//! Whether a pod of the set would be admitted: one is created as a dry run.

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use lws_api_types::names;
use lws_controller::plan::obstacle::Obstacle as Hindrance;
use serde_json::{Value, json};

use super::{Finding, refusals};
use crate::connection::Connection;
use crate::error::Error;
use crate::snapshot::Snapshot;

/// A leader pod as the `StatefulSet` controller would create it, at an index where there is none;
/// `None` where it would create none.
pub(super) fn pod(snapshot: &Snapshot) -> Option<Value> {
    if snapshot.set.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let leader_set = snapshot.leader_set()?;
    let object = leader_set.object.as_ref()?;
    let template = object.pointer("/spec/template")?;
    let present = snapshot.entry.pods.values().filter(|it| it.is_leader());
    let ordinals = present.filter_map(|it| names::parent_and_ordinal(it.identity.name()));
    let highest = ordinals.map(|(_, ordinal)| i64::from(ordinal)).max().unwrap_or(-1);
    let index = leader_set.replicas.max(highest + 1);
    let name = names::leader_pod(snapshot.set.name(), index);
    let mut metadata = template.get("metadata").cloned().unwrap_or_else(|| json!({}));
    metadata.as_object_mut()?.insert("name".to_owned(), json!(name));
    let mut spec = template.get("spec")?.clone();
    mount_claims(&mut spec, object.pointer("/spec/volumeClaimTemplates"), &name);
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

/// Adds the volumes that the `StatefulSet` controller gives to the pod `name`: one for each claim, in place
/// of one of that name.
fn mount_claims(spec: &mut Value, claims: Option<&Value>, name: &str) {
    let claims = claims.and_then(Value::as_array).into_iter().flatten();
    let claims: Vec<_> = claims.filter_map(|it| it.pointer("/metadata/name")?.as_str()).collect();
    if claims.is_empty() {
        return;
    }
    let mut volumes = spec.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
    volumes.retain(|it| it["name"].as_str().is_none_or(|it| !claims.contains(&it)));
    volumes.extend(claims.iter().map(|claim| {
        json!({
            "name": claim, "persistentVolumeClaim": {"claimName": format!("{claim}-{name}")},
        })
    }));
    spec["volumes"] = json!(volumes);
}

/// What the server says against a pod; `None` when nothing. Nothing is stored.
pub(super) async fn try_out(
    connection: &Connection,
    pod: &Value,
    unchecked: &mut Vec<String>,
) -> Result<Option<String>, Error> {
    let failed = |source| Error::Object { what: "the template of the leaders".to_owned(), source };
    let pod: Pod = serde_json::from_value(pod.clone()).map_err(failed)?;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match connection.api().create(&params, &pod).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if lacks_permission(&status.message) => {
            unchecked.push(format!("whether a pod is admitted: {}", status.message));
            Ok(None)
        }
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Whether the user lacks the permission, rather than the pod the admission.
fn lacks_permission(message: &str) -> bool {
    message.contains("is forbidden: User ")
}

/// What is wrong when the server refuses a pod of the set with this message. The pod is one more
/// than there are: that a quota has no room for it is wrong only where the set lacks pods.
pub(super) fn finding(snapshot: &Snapshot, message: &str) -> Option<Finding> {
    let is_quota = Hindrance::of_refusal(message) == Hindrance::Quota;
    if is_quota && !refusals::is_short(snapshot) {
        return None;
    }
    Some(Finding {
        what: refusals::kind(message).to_owned(),
        evidence: format!("a dry run of creating a pod: {message}"),
        advice: refusals::advice(message, snapshot.set.namespace()),
    })
}

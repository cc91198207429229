//! Whether a server-side apply would change anything, so that a settled set costs no request. What
//! says of which kind an object is is not compared: objects in a list do not say it.
//!
//! An apply changes something when the live object lacks a desired field, or when it still has a
//! field that an earlier apply of ours put there and that is no longer desired. The first is a
//! comparison of the two objects, the second one of the desired object with the record of our
//! fields that the server keeps in `metadata.managedFields`.

use std::borrow::Cow;

use lws_api_types::keys::FIELD_MANAGER;
use lws_api_types::quantity;
use serde_json::{Map, Value};

use super::build::LAST_APPLIED;

/// Whether applying `desired` would leave `live` as it is.
#[must_use]
pub fn is_applied(desired: &Value, live: &Value) -> bool {
    is_metadata_applied(desired, live) && is_spec_applied(desired, live)
}

/// What of the leader `StatefulSet` that is `desired` the API server stores. Where its feature
/// `MaxUnavailableStatefulSet` is off, which was the default before Kubernetes 1.37, it drops a
/// field; where it is on, no live object lacks that, by default.
#[must_use]
pub fn known<'a>(desired: &'a Value, live: &Value) -> Cow<'a, Value> {
    const ROLLING_UPDATE: &str = "/spec/updateStrategy/rollingUpdate";
    const FIELD: &str = "maxUnavailable";
    let mut known = Cow::Borrowed(desired);
    if live.pointer(ROLLING_UPDATE).is_none_or(|it| it.get(FIELD).is_none())
        && let Some(fields) =
            known.to_mut().pointer_mut(ROLLING_UPDATE).and_then(Value::as_object_mut)
    {
        fields.remove(FIELD);
    }
    known
}

/// Whether the metadata of `live` is as `desired`. Texts are compared to the letter.
#[must_use]
pub fn is_metadata_applied(desired: &Value, live: &Value) -> bool {
    let same = |live: &Value, desired: &Value| live == desired;
    contains(part(live, "metadata"), part(desired, "metadata"), same, |_| false)
        && removed_field(desired, live).is_none()
}

fn is_spec_applied(desired: &Value, live: &Value) -> bool {
    contains_spec(part(live, "spec"), part(desired, "spec"))
}

/// Whether every field of a desired spec is in `live` with the same meaning. Fields that the
/// server adds (defaults) do not matter, nor do desired fields whose value is the zero value that
/// the server leaves out, nor the form of quantities.
#[must_use]
pub fn contains_spec(live: &Value, desired: &Value) -> bool {
    contains(live, desired, same_quantity, is_zero)
}

fn part<'a>(object: &'a Value, name: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    object.get(name).unwrap_or(&NULL)
}

/// Whether every field of `desired` is in `live`, where `same` compares texts and numbers and
/// `is_nothing` tells values that may be left out.
fn contains(
    live: &Value,
    desired: &Value,
    same: fn(&Value, &Value) -> bool,
    is_nothing: fn(&Value) -> bool,
) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            desired.iter().all(|(key, desired)| match live.get(key) {
                Some(live) => contains(live, desired, same, is_nothing),
                None => is_nothing(desired),
            })
        }
        (Value::Array(live), Value::Array(desired)) => {
            let all = || live.iter().zip(desired).all(|(l, d)| contains(l, d, same, is_nothing));
            live.len() == desired.len() && all()
        }
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) => {
            live == desired || same(live, desired)
        }
        _ => live == desired || is_nothing(live) && is_nothing(desired),
    }
}

/// The server stores quantities in canonical form: what was `0.5` reads `500m`.
fn same_quantity(live: &Value, desired: &Value) -> bool {
    let canonical = |value: &Value| match value {
        Value::String(text) => quantity::canonical(text),
        other => quantity::canonical(&other.to_string()),
    };
    canonical(live).is_some_and(|live| canonical(desired).as_ref() == Some(&live))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

/// A field that we applied earlier, that is still in `live`, and that is no longer in `desired`.
fn removed_field(desired: &Value, live: &Value) -> Option<String> {
    let managers = live.pointer("/metadata/managedFields")?.as_array()?;
    managers
        .iter()
        .filter(|entry| {
            entry["manager"] == FIELD_MANAGER
                && entry["operation"] == "Apply"
                && entry.get("subresource").is_none()
        })
        .find_map(|entry| removed_below(entry["fieldsV1"].as_object()?, Some(desired), live, ""))
}

/// Walks the fields we own. `desired` is `None` below a field that is desired no more.
fn removed_below(
    owned: &Map<String, Value>,
    desired: Option<&Value>,
    live: &Value,
    path: &str,
) -> Option<String> {
    // A leaf, or an item that is owned as such: gone when it is not desired.
    let is_leaf = owned.keys().all(|key| key == ".");
    if is_leaf {
        return (desired.is_none() && (path.starts_with(".metadata") || !is_zero(live)))
            .then(|| path.to_owned());
    }
    owned.iter().find_map(|(step, below)| {
        let below = below.as_object()?;
        let (desired, live, name) = descend(step, desired, live)?;
        // `kubectl` data of the set that the existing implementation copied: harmless where it
        // is, and not worth a write of its own.
        if name == LAST_APPLIED {
            return None;
        }
        removed_below(below, desired, live, &format!("{path}.{name}"))
    })
}

/// Follows one step of a managed-fields path. `None` when the live object has nothing there.
fn descend<'a>(
    step: &'a str,
    desired: Option<&'a Value>,
    live: &'a Value,
) -> Option<(Option<&'a Value>, &'a Value, &'a str)> {
    let (kind, rest) = step.split_at_checked(2)?;
    match kind {
        "f:" => Some((desired.and_then(|it| it.get(rest)), live.get(rest)?, rest)),
        "k:" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
            // A key field that the user left out has been defaulted by the server.
            let matches = |item: &&Value, or_absent: bool| {
                keys.iter().all(|(key, value)| item.get(key).map_or(or_absent, |it| it == value))
            };
            let live = live.as_array()?.iter().find(|item| matches(item, false))?;
            let desired = desired
                .and_then(Value::as_array)
                .and_then(|items| items.iter().find(|item| matches(item, true)));
            Some((desired, live, rest))
        }
        "v:" => {
            let value: Value = serde_json::from_str(rest).ok()?;
            let live = live.as_array()?.iter().find(|item| **item == value)?;
            let desired = desired.and_then(Value::as_array);
            Some((desired.and_then(|it| it.iter().find(|item| **item == value)), live, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(labels: &Value, owned: &Value) -> Value {
        json!({
            "metadata": {
                "labels": labels,
                "managedFields": [
                    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:foreign": {}}}}},
                    {"manager": "lws", "operation": "Apply", "fieldsV1": owned},
                ],
            },
            "spec": {
                "replicas": 2,
                "template": {"spec": {"containers": [{
                    "name": "c", "resources": {"limits": {"cpu": "500m"}}, "terminationMessagePath": "/dev",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                }]}},
            },
        })
    }

    fn desired(labels: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"labels": labels},
            "spec": {
                "replicas": 2,
                "template": {"spec": {
                    "hostNetwork": false,
                    "containers": [{
                        "name": "c", "resources": {"limits": {"cpu": 0.5}}, "ports": [{"containerPort": 80}],
                    }],
                }},
            },
        })
    }

    fn owned() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:a": {}, "f:b": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"c\"}": {
                    ".": {}, "f:name": {}, "f:resources": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                },
            }}}},
        })
    }

    #[test]
    fn defaults_zero_values_and_canonical_quantities_are_no_change() {
        let labels = json!({"a": "1", "b": "2", "foreign": "x"});
        assert!(is_applied(&desired(&json!({"a": "1", "b": "2"})), &live(&labels, &owned())));
    }

    #[test]
    fn metadata_is_compared_to_the_letter() {
        for (stored, wanted) in [("1.10", "1.1"), ("0.5", "500m")] {
            let live = live(&json!({"a": stored, "b": "2"}), &owned());
            assert!(!is_applied(&desired(&json!({"a": wanted, "b": "2"})), &live), "{wanted}");
        }
        let live = live(&json!({"b": "2"}), &owned());
        assert!(!is_applied(&desired(&json!({"a": "", "b": "2"})), &live), "an empty label counts");
    }

    #[test]
    fn a_changed_or_missing_field_is_a_change() {
        let labels = json!({"a": "1", "b": "2"});
        for wanted in [json!({"a": "1", "b": "3"}), json!({"a": "1", "b": "2", "c": "4"})] {
            assert!(!is_applied(&desired(&wanted), &live(&labels, &owned())), "{wanted}");
        }
        let mut other = desired(&labels);
        other["spec"]["replicas"] = json!(3);
        assert!(!is_applied(&other, &live(&labels, &owned())));
        let mut other = desired(&labels);
        other["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] =
            json!("1");
        assert!(!is_applied(&other, &live(&labels, &owned())));
    }

    #[test]
    fn a_field_of_ours_that_is_no_longer_wanted_is_a_change() {
        let labels = json!({"a": "1", "b": "2"});
        assert!(!is_applied(&desired(&json!({"a": "1"})), &live(&labels, &owned())));
        // Somebody else has removed it already.
        assert!(is_applied(&desired(&json!({"a": "1"})), &live(&json!({"a": "1"}), &owned())));
        // Somebody else's field is none of our business.
        let labels = json!({"a": "1", "foreign": "x"});
        assert!(is_applied(&desired(&json!({"a": "1"})), &live(&labels, &owned())));
    }

    #[test]
    fn a_removed_list_item_is_a_change() {
        let labels = json!({"a": "1", "b": "2"});
        let mut other = desired(&labels);
        other["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([]);
        assert!(!is_applied(&other, &live(&labels, &owned())));
    }

    #[test]
    fn copied_kubectl_data_is_left_where_it_is() {
        let owned = json!({"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/last-applied-configuration": {}}}});
        let live = json!({"metadata": {
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}x"},
            "managedFields": [{"manager": "lws", "operation": "Apply", "fieldsV1": owned}],
        }});
        assert!(is_applied(&json!({"metadata": {}}), &live));
    }
}

//! Pod templates as the JSON the user wrote. Fields newer than this program pass through
//! unchanged; the few that decide something are read through accessors.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::keys::PREFIX;

/// A `core/v1` `PodTemplateSpec` (the API server has validated it against the schema).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Map<String, Value>);

impl PodTemplate {
    /// The value of label `key`.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata_value("labels", key)
    }

    /// The value of annotation `key`.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata_value("annotations", key)
    }

    /// Sets label `key`, overriding the user's value.
    pub fn set_label(&mut self, key: &str, value: impl Into<String>) {
        self.set_metadata_value("labels", key, value.into());
    }

    /// Sets annotation `key`, overriding the user's value.
    pub fn set_annotation(&mut self, key: &str, value: impl Into<String>) {
        self.set_metadata_value("annotations", key, value.into());
    }

    /// The pod spec; `None` when the template has none.
    #[must_use]
    pub fn spec(&self) -> Option<&Map<String, Value>> {
        self.0.get("spec").and_then(Value::as_object)
    }

    /// Adds `key: value` to `spec.nodeSelector`, overriding the user's value of the same key.
    pub fn set_node_selector(&mut self, key: &str, value: impl Into<String>) {
        let selector = object_at(object_at(&mut self.0, "spec"), "nodeSelector");
        selector.insert(key.to_owned(), Value::String(value.into()));
    }

    /// Removes the labels and annotations that are this system's to set: left in, a user's value
    /// would be taken for a decision.
    pub fn remove_reserved(&mut self) {
        let Some(Value::Object(metadata)) = self.0.get_mut("metadata") else { return };
        for field in ["labels", "annotations"] {
            if let Some(Value::Object(values)) = metadata.get_mut(field) {
                values.retain(|key, _| !key.starts_with(PREFIX));
            }
        }
    }

    fn metadata_value(&self, field: &str, key: &str) -> Option<&str> {
        self.0.get("metadata")?.get(field)?.get(key)?.as_str()
    }

    fn set_metadata_value(&mut self, field: &str, key: &str, value: String) {
        let values = object_at(object_at(&mut self.0, "metadata"), field);
        values.insert(key.to_owned(), Value::String(value));
    }
}

/// The object at `key` of `parent`, made when there is none. What is there and is no object (null
/// is the only such value that passes the schema) is replaced.
fn object_at<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    if !parent.get(key).is_some_and(Value::is_object) {
        parent.insert(key.to_owned(), Value::Object(Map::new()));
    }
    #[expect(clippy::unreachable, reason = "the lines above made it an object")]
    match parent.get_mut(key) {
        Some(Value::Object(object)) => object,
        _ => unreachable!("{key} is an object"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(value: Value) -> PodTemplate {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn setters_create_parents_and_win_over_the_user() {
        let mut it =
            template(json!({"metadata": null, "spec": {"nodeSelector": {"a": "b", "k": "old"}}}));
        it.set_label("l", "1");
        it.set_annotation("a", "2");
        it.set_node_selector("k", "v");
        assert_eq!(it.label("l"), Some("1"));
        assert_eq!(it.annotation("a"), Some("2"));
        assert_eq!(it.0["spec"], json!({"nodeSelector": {"a": "b", "k": "v"}}));
    }

    #[test]
    fn reserved_keys_are_removed_and_others_kept() {
        let mut it = template(json!({"metadata": {
            "labels": {"leaderworkerset.sigs.k8s.io/group-index": "7", "mine": "1"},
            "annotations": {"leaderworkerset.sigs.k8s.io/leader-name": "x", "mine": "2"},
        }}));
        it.remove_reserved();
        let kept = json!({"metadata": {"labels": {"mine": "1"}, "annotations": {"mine": "2"}}});
        assert_eq!(serde_json::to_value(it).unwrap(), kept);
    }
}

//! Sets as they are stored.

use std::sync::Arc;

use lws_api_types::{LeaderWorkerSet, revision};
use serde::Deserialize;
use serde_json::Value;

use super::meta::WireMeta;
use super::{Footprint, Identity, View, resource};

/// A stored set. One that cannot be read (its schema is newer than this program) is kept with the
/// reason, so that it hinders no other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub struct SetView {
    /// Who it is.
    pub identity: Identity,
    /// The set, or why it could not be read.
    pub set: Result<Arc<LeaderWorkerSet>, String>,
    /// The byte form of the content that revisions record of it; empty where it could not be read.
    pub content: Arc<str>,
}

impl View for SetView {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn set_name(&self) -> Option<&str> {
        self.identity.meta.name.as_deref()
    }
}

impl Footprint for SetView {
    fn heap(&self) -> usize {
        self.identity.heap() + self.set.heap() + self.content.heap()
    }
}

resource!(SetView, "LeaderWorkerSet", "leaderworkerset.x-k8s.io", "v1", "leaderworkersets");

impl TryFrom<Value> for SetView {
    type Error = serde_json::Error;

    fn try_from(mut object: Value) -> Result<Self, Self::Error> {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let identity = WireMeta::of(&object)?.into_identity();
        let set: Result<Arc<LeaderWorkerSet>, _> =
            serde_json::from_value(object).map(Arc::new).map_err(|error| error.to_string());
        let content = set.as_ref().map(|it| revision::encode(&it.spec)).unwrap_or_default();
        Ok(Self { identity, set, content: content.into() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_that_cannot_be_read_keeps_its_identity_and_the_reason() {
        let view: SetView = serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "n", "uid": "u"},
            "spec": {"startupPolicy": "FromTheFuture"},
        }))
        .unwrap();
        assert_eq!(view.set_name(), Some("s"));
        assert!(view.set.unwrap_err().contains("FromTheFuture"));
    }
}

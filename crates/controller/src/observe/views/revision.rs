//! `ControllerRevision`s: the contents of a set that its groups were built from.

use std::sync::Arc;

use lws_api_types::keys::labels;
use lws_api_types::{LeaderWorkerSetSpec, revision};
use serde::Deserialize;
use serde_json::Value;

use super::meta::WireMeta;
use super::{Footprint, Identity, View, resource};

/// A `ControllerRevision` that carries a set's name label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Wire")]
pub struct RevisionView {
    /// Who it is.
    pub identity: Identity,
    /// Label `name`.
    pub set: Option<String>,
    /// Label `template-revision-hash`: the key that objects built from it carry.
    pub key: String,
    /// `revision`: the highest is the newest.
    pub number: i64,
    /// The recorded content.
    pub data: Arc<Value>,
    /// Its normalised byte form, unless that is up to the live set too.
    pub content: Option<Arc<str>>,
}

impl RevisionView {
    /// Whether it records the content of `live`, whose byte form is `encoded`.
    #[must_use]
    pub fn records(&self, encoded: &str, live: &LeaderWorkerSetSpec) -> bool {
        match self.content.as_deref() {
            Some(content) => content == encoded,
            None => revision::same_content(&self.data, encoded, live),
        }
    }
}

impl View for RevisionView {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn set_name(&self) -> Option<&str> {
        self.set.as_deref()
    }
}

impl Footprint for RevisionView {
    fn heap(&self) -> usize {
        self.identity.heap()
            + self.set.heap()
            + self.key.heap()
            + self.data.heap()
            + self.content.heap()
    }
}

resource!(RevisionView, "ControllerRevision", "apps", "v1", "controllerrevisions");

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
    #[serde(default)]
    revision: i64,
    #[serde(default)]
    data: Value,
}

impl From<Wire> for RevisionView {
    fn from(Wire { mut metadata, revision: number, data }: Wire) -> Self {
        Self {
            set: metadata.take_label(labels::NAME),
            key: metadata.take_label(labels::REVISION).unwrap_or_default(),
            number,
            content: revision::content(&data).map(Into::into),
            data: Arc::new(data),
            identity: metadata.into_identity(),
        }
    }
}

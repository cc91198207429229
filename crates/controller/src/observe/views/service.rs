//! Headless Services.

use lws_api_types::keys::labels;
use serde::Deserialize;

use super::meta::WireMeta;
use super::{Identity, View, resource};

/// A Service that carries a set's name label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Wire")]
pub struct ServiceView {
    /// Who it is.
    pub identity: Identity,
    /// Label `name`.
    pub set: Option<String>,
}

impl View for ServiceView {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn set_name(&self) -> Option<&str> {
        self.set.as_deref()
    }
}

resource!(ServiceView, "Service", "", "v1", "services");

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
}

impl From<Wire> for ServiceView {
    fn from(Wire { mut metadata }: Wire) -> Self {
        Self { set: metadata.take_label(labels::NAME), identity: metadata.into_identity() }
    }
}

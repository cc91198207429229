//! Headless Services.

use std::collections::BTreeMap;

use lws_api_types::keys::labels;
use serde::Deserialize;

use super::meta::WireMeta;
use super::{Footprint, Identity, View, resource};

/// A Service that carries a set's name label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Wire")]
pub struct ServiceView {
    /// Who it is.
    pub identity: Identity,
    /// Label `name`.
    pub set: Option<String>,
    /// Whether it is headless.
    pub headless: bool,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
}

impl ServiceView {
    /// Whether it does what the Service that all groups of the set `name` share is for.
    #[must_use]
    pub fn serves_set(&self, name: &str) -> bool {
        let selects = |(key, value): (&String, &String)| key == labels::NAME && value == name;
        self.headless && self.selector.len() == 1 && self.selector.iter().all(selects)
    }
}

impl View for ServiceView {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn set_name(&self) -> Option<&str> {
        self.set.as_deref()
    }
}

impl Footprint for ServiceView {
    fn heap(&self) -> usize {
        self.identity.heap() + self.set.heap() + self.selector.heap()
    }
}

resource!(ServiceView, "Service", "", "v1", "services");

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    selector: Option<BTreeMap<String, String>>,
}

impl From<Wire> for ServiceView {
    fn from(Wire { mut metadata, spec }: Wire) -> Self {
        Self {
            set: metadata.take_label(labels::NAME),
            identity: metadata.into_identity(),
            headless: spec.cluster_ip.as_deref() == Some("None"),
            selector: spec.selector.unwrap_or_default(),
        }
    }
}

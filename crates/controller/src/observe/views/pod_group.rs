//! `PodGroup`s, by which Volcano schedules the pods of a group together.

use lws_api_types::keys::labels;
use serde::Deserialize;

use super::meta::WireMeta;
use super::{Footprint, Identity, View, resource};

/// A `PodGroup` that carries a set's name label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Wire")]
pub struct PodGroupView {
    /// Who it is.
    pub identity: Identity,
    /// Label `name`.
    pub set: Option<String>,
}

impl View for PodGroupView {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn set_name(&self) -> Option<&str> {
        self.set.as_deref()
    }
}

impl Footprint for PodGroupView {
    fn heap(&self) -> usize {
        self.identity.heap() + self.set.heap()
    }
}

resource!(PodGroupView, "PodGroup", "scheduling.volcano.sh", "v1beta1", "podgroups");

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
}

impl From<Wire> for PodGroupView {
    fn from(Wire { mut metadata }: Wire) -> Self {
        Self { set: metadata.take_label(labels::NAME), identity: metadata.into_identity() }
    }
}

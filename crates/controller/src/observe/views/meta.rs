//! The parts of object metadata that decide something.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// Who an object is. Identity is the UID: an object that was deleted and made again under its old
/// name is another one.
///
/// Two versions of an object that differ in nothing that is kept are equal.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Name, namespace, UID, resource version, generation, timestamps, grace period and finalizers;
    /// nothing else is kept.
    pub meta: ObjectMeta,
    /// Its controller, when it has one.
    pub owner: Option<Owner>,
}

/// The controller owner reference of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
    controller: bool,
}

impl Owner {
    /// A controller owner reference.
    #[must_use]
    pub fn new(kind: &str, name: &str, uid: &str) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned(), uid: uid.to_owned(), controller: true }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.meta, &other.meta);
        one.uid == two.uid
            && one.name == two.name
            && one.namespace == two.namespace
            && one.generation == two.generation
            && one.creation_timestamp == two.creation_timestamp
            && one.deletion_timestamp == two.deletion_timestamp
            && one.deletion_grace_period_seconds == two.deletion_grace_period_seconds
            && one.finalizers == two.finalizers
            && self.owner == other.owner
    }
}

impl Identity {
    /// Name of the object.
    #[must_use]
    pub fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// Namespace of the object.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    /// UID of the object.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    /// Whether the object is being deleted.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    /// Whether its deletion waits for this finalizer.
    #[must_use]
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.meta.finalizers.iter().flatten().any(|it| it == finalizer)
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.meta.creation_timestamp.as_ref().map(|it| it.0)
    }

    /// When its grace period ends, once it is being deleted.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        self.meta.deletion_timestamp.as_ref().map(|it| it.0)
    }

    /// Whether the controller of the object has this UID.
    #[must_use]
    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.uid == uid)
    }

    /// The resource version as the number it is in every API server that stores in etcd; 0 when it
    /// is none, which makes any other version newer.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.meta.resource_version.as_deref().and_then(|it| it.parse().ok()).unwrap_or(0)
    }
}

/// Object metadata as read from the server. Everything that is not listed, managed fields above
/// all, is skipped by the parser without being stored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireMeta {
    pub(super) name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    finalizers: Option<Vec<String>>,
    owner_references: Vec<Owner>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl WireMeta {
    /// The metadata of a whole object.
    pub(super) fn of(object: &Value) -> Result<Self, serde_json::Error> {
        object.get("metadata").map_or_else(|| Ok(Self::default()), Self::deserialize)
    }

    /// Takes the value of label `key`.
    pub(super) fn take_label(&mut self, key: &str) -> Option<String> {
        self.labels.remove(key)
    }

    /// The identity, once labels and annotations have been taken.
    pub(super) fn into_identity(self) -> Identity {
        Identity {
            meta: ObjectMeta {
                name: self.name,
                namespace: self.namespace,
                uid: self.uid,
                resource_version: self.resource_version,
                generation: self.generation,
                creation_timestamp: self.creation_timestamp,
                deletion_timestamp: self.deletion_timestamp,
                deletion_grace_period_seconds: self.deletion_grace_period_seconds,
                finalizers: self.finalizers,
                ..ObjectMeta::default()
            },
            owner: self.owner_references.into_iter().find(|owner| owner.controller),
        }
    }
}

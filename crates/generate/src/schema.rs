//! The keywords of a schema: what Kubernetes publishes about its own types, and the smaller set
//! that a custom resource definition may carry.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A schema. Reading refuses a keyword that is not listed here, so that a new one is noticed
/// before it silently changes what the API accepts. Fields are in the order in which the
/// keywords are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Schema {
    /// Pointer to a published schema that stands here. Never written.
    #[serde(rename = "$ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Schema of the values of a map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_properties: Option<Box<Schema>>,
    /// Wrapper around a single reference in published schemas. Never written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all_of: Vec<Schema>,
    /// Alternatives: the two types of an integer-or-string.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Schema>,
    /// Value that the API server fills in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What `kubectl explain` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The only values allowed.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// `int32`, `int64` or `date-time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Schema of the entries of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Schema>>,
    /// Longest string, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// Largest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
    /// Shortest string, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// Smallest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// Regular expression of the string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Schemas of the fields of an object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Schema>,
    /// Fields that must be present.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`; absent for an
    /// integer-or-string.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether a number and a string are both allowed.
    #[serde(rename = "x-kubernetes-int-or-string", skip_serializing_if = "Option::is_none")]
    pub int_or_string: Option<bool>,
    /// Fields that identify an entry of a list of type `map`.
    #[serde(rename = "x-kubernetes-list-map-keys", skip_serializing_if = "Vec::is_empty")]
    pub list_map_keys: Vec<String>,
    /// `atomic`, `set` or `map`: how server-side apply merges a list.
    #[serde(rename = "x-kubernetes-list-type", skip_serializing_if = "Option::is_none")]
    pub list_type: Option<String>,
    /// `atomic` or `granular`: how server-side apply merges an object.
    #[serde(rename = "x-kubernetes-map-type", skip_serializing_if = "Option::is_none")]
    pub map_type: Option<String>,
    /// Published for client-side patches, which custom resources do not have. Never written.
    #[serde(rename = "x-kubernetes-patch-merge-key", skip_serializing)]
    pub patch_merge_key: Option<IgnoredAny>,
    /// As [`Schema::patch_merge_key`].
    #[serde(rename = "x-kubernetes-patch-strategy", skip_serializing)]
    pub patch_strategy: Option<IgnoredAny>,
    /// Published for clients that look up kinds. Never written.
    #[serde(rename = "x-kubernetes-group-version-kind", skip_serializing)]
    pub group_version_kind: Option<IgnoredAny>,
    /// Published for clients that build unions. Never written.
    #[serde(rename = "x-kubernetes-unions", skip_serializing)]
    pub unions: Option<IgnoredAny>,
}

impl Schema {
    /// A schema of type `kind` and nothing else.
    #[must_use]
    pub fn of_type(kind: &str) -> Self {
        Self { kind: Some(kind.to_owned()), ..Self::default() }
    }
}

//! Reading the fields of a set from JSON, with the meaning of absent ones. Null, and a value of
//! the wrong type, reads as absent: what rules see has been checked before, and the stored side of
//! an update may hold anything.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

/// A set as JSON.
#[derive(Clone, Copy)]
pub(super) struct View<'a>(pub(super) &'a Value);

/// The division of a group into subgroups.
#[derive(Clone, Copy)]
pub(super) struct SubGroup {
    /// Pods of a subgroup.
    pub(super) size: Option<i64>,
    /// Whether the leader belongs to no subgroup.
    pub(super) leader_excluded: bool,
}

impl<'a> View<'a> {
    /// The value at a JSON pointer.
    pub(super) fn get(self, pointer: &str) -> Option<&'a Value> {
        self.0.pointer(pointer).filter(|value| !value.is_null())
    }

    /// The text at a JSON pointer; empty when absent.
    pub(super) fn text(self, pointer: &str) -> &'a str {
        self.get(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The list at a JSON pointer; empty when absent.
    pub(super) fn list(self, pointer: &str) -> &'a [Value] {
        self.get(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The keys and texts of the object at a JSON pointer; a null reads as the empty text.
    pub(super) fn texts(self, pointer: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let object = self.get(pointer).and_then(Value::as_object);
        let pairs = object.into_iter().flatten();
        pairs.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }

    /// The value of annotation `key`, with any text.
    pub(super) fn annotation(self, key: &str) -> Option<&'a str> {
        self.texts("/metadata/annotations").find_map(|(it, value)| (it == key).then_some(value))
    }

    /// Whether deletion has begun.
    pub(super) fn is_being_deleted(self) -> bool {
        self.get("/metadata/deletionTimestamp").is_some()
    }

    /// `metadata.name`; empty when absent.
    pub(super) fn name(self) -> &'a str {
        self.text("/metadata/name")
    }

    /// Number of groups.
    pub(super) fn replicas(self) -> i64 {
        self.integer("/spec/replicas").unwrap_or(1)
    }

    /// Pods of a group.
    pub(super) fn size(self) -> i64 {
        self.integer("/spec/leaderWorkerTemplate/size").unwrap_or(1)
    }

    /// Groups below this index keep their revision.
    pub(super) fn partition(self) -> i64 {
        self.integer("/spec/rolloutStrategy/rollingUpdateConfiguration/partition").unwrap_or(0)
    }

    /// Groups that may be unavailable, as the user wrote it.
    pub(super) fn max_unavailable(self) -> IntOrString {
        self.int_or_string("/spec/rolloutStrategy/rollingUpdateConfiguration/maxUnavailable", 1)
    }

    /// Groups beyond the number of replicas, as the user wrote it.
    pub(super) fn max_surge(self) -> IntOrString {
        self.int_or_string("/spec/rolloutStrategy/rollingUpdateConfiguration/maxSurge", 0)
    }

    /// The division into subgroups, when there is one.
    pub(super) fn sub_group(self) -> Option<SubGroup> {
        const POLICY: &str = "/spec/leaderWorkerTemplate/subGroupPolicy";
        self.get(POLICY)?;
        Some(SubGroup {
            size: self.integer("/spec/leaderWorkerTemplate/subGroupPolicy/subGroupSize"),
            leader_excluded: self
                .text("/spec/leaderWorkerTemplate/subGroupPolicy/subGroupPolicyType")
                == "LeaderExcluded",
        })
    }

    fn integer(self, pointer: &str) -> Option<i64> {
        self.get(pointer)?.as_i64()
    }

    fn int_or_string(self, pointer: &str, absent: i32) -> IntOrString {
        match self.get(pointer) {
            Some(Value::String(text)) => IntOrString::String(text.clone()),
            value => {
                let number = value.and_then(Value::as_i64).and_then(|it| it.try_into().ok());
                IntOrString::Int(number.unwrap_or(absent))
            }
        }
    }
}

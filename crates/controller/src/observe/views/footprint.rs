//! What views take in memory, about: the bytes that they hold themselves, without those by which the
//! allocator and the index keep them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use lws_api_types::LeaderWorkerSet;
use lws_api_types::pod_template::PodTemplate;
use serde_json::{Map, Value};

use super::{Identity, Owner, Placement};

/// What a value points to.
pub trait Footprint {
    /// The bytes that it points to, in about; its own are not among them.
    fn heap(&self) -> usize;
}

impl Footprint for str {
    fn heap(&self) -> usize {
        0
    }
}

impl Footprint for String {
    fn heap(&self) -> usize {
        self.len()
    }
}

impl<T: Footprint> Footprint for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Footprint::heap)
    }
}

impl<T: Footprint, E: Footprint> Footprint for Result<T, E> {
    fn heap(&self) -> usize {
        self.as_ref().map_or_else(Footprint::heap, Footprint::heap)
    }
}

impl<T: Footprint + ?Sized> Footprint for Box<T> {
    fn heap(&self) -> usize {
        size_of_val::<T>(self) + T::heap(self)
    }
}

/// Views share nothing with each other.
impl<T: Footprint + ?Sized> Footprint for Arc<T> {
    fn heap(&self) -> usize {
        size_of_val::<T>(self) + T::heap(self)
    }
}

impl<T: Footprint> Footprint for Vec<T> {
    fn heap(&self) -> usize {
        self.iter().map(|it| size_of::<T>() + it.heap()).sum()
    }
}

impl<T: Footprint> Footprint for BTreeMap<String, T> {
    fn heap(&self) -> usize {
        self.iter().map(|(key, it)| size_of::<(String, T)>() + key.len() + it.heap()).sum()
    }
}

impl Footprint for Map<String, Value> {
    fn heap(&self) -> usize {
        self.iter().map(|(key, it)| size_of::<(String, Value)>() + key.len() + it.heap()).sum()
    }
}

impl Footprint for Value {
    fn heap(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
            Self::String(text) => text.len(),
            Self::Array(all) => all.heap(),
            Self::Object(all) => all.heap(),
        }
    }
}

impl Footprint for ObjectMeta {
    fn heap(&self) -> usize {
        self.name.heap()
            + self.namespace.heap()
            + self.uid.heap()
            + self.resource_version.heap()
            + self.finalizers.heap()
            + self.labels.heap()
            + self.annotations.heap()
    }
}

impl Footprint for Owner {
    fn heap(&self) -> usize {
        self.kind.heap() + self.name.heap() + self.uid.heap()
    }
}

impl Footprint for Identity {
    fn heap(&self) -> usize {
        self.meta.heap() + self.owner.heap()
    }
}

impl Footprint for Placement {
    fn heap(&self) -> usize {
        self.group.heap() + self.subgroup.heap()
    }
}

impl Footprint for PodTemplate {
    fn heap(&self) -> usize {
        self.0.heap()
    }
}

impl Footprint for Condition {
    fn heap(&self) -> usize {
        self.type_.heap() + self.status.heap() + self.reason.heap() + self.message.heap()
    }
}

impl Footprint for LeaderWorkerSet {
    fn heap(&self) -> usize {
        let template = &self.spec.leader_worker_template;
        self.metadata.heap()
            + template.leader_template.heap()
            + template.worker_template.heap()
            + template.volume_claim_templates.heap()
            + self.status.as_ref().map_or(0, |it| it.conditions.heap() + it.hpa_pod_selector.heap())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_value_holds_grows_with_it() {
        let entry = size_of::<(String, Value)>();
        for (value, expected) in [
            (json!(null), 0),
            (json!(7), 0),
            (json!("four"), 4),
            (json!(["four", 1]), 4 + 2 * size_of::<Value>()),
            (json!({"key": "four"}), 7 + entry),
            (json!({"key": {"k": "v"}}), 3 + entry + 2 + entry),
        ] {
            assert_eq!(value.heap(), expected, "{value}");
        }
    }
}

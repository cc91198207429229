//! Leader and worker `StatefulSet`s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lws_api_types::keys::{annotations, labels};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::meta::WireMeta;
use super::{Footprint, Identity, Placement, View, resource};

/// A `StatefulSet` that carries a set's name label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Box<RawValue>")]
pub struct StatefulSetView {
    /// Who it is.
    pub identity: Identity,
    /// Label `name`.
    pub set: Option<String>,
    /// Label `template-revision-hash`.
    pub revision: Option<String>,
    /// Annotation `replicas` as an integer, on leader `StatefulSet`s.
    pub annotated_replicas: Option<i64>,
    /// Annotation `members`, on leader `StatefulSet`s.
    pub members: Option<String>,
    /// Annotation `group-restarts`, on leader `StatefulSet`s.
    pub group_restarts: Option<String>,
    /// `spec.replicas`; 1 when absent.
    pub replicas: i64,
    /// `spec.updateStrategy.rollingUpdate.partition`; 0 when absent.
    pub partition: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// `status.replicas`.
    pub status_replicas: i64,
    /// `status.availableReplicas`.
    pub available_replicas: i64,
    /// `status.currentRevision`.
    pub current_revision: String,
    /// `status.updateRevision`.
    pub update_revision: String,
    /// How its template places pods, on leader `StatefulSet`s.
    pub placement: Placement,
    /// The whole object, kept for leader `StatefulSet`s only: what is applied is compared with it.
    pub object: Option<Arc<Value>>,
    /// With what this version was last compared, and found to have it all.
    pub compared: Compared,
}

/// What a version of an object was last found to agree with. That takes long to find out, and is
/// asked again and again while nothing changes.
#[derive(Debug, Default)]
pub struct Compared(Mutex<Option<String>>);

impl Compared {
    /// Whether it is known to agree with what this text stands for.
    #[must_use]
    pub fn agrees(&self, with: &str) -> bool {
        self.lock().as_deref() == Some(with)
    }

    /// It agrees with what this text stands for.
    pub fn note(&self, with: String) {
        *self.lock() = Some(with);
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy may be changed.
impl Clone for Compared {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// It tells nothing that the object does not.
impl PartialEq for Compared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl StatefulSetView {
    /// The value of an annotation, on leader `StatefulSet`s.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.as_deref()?.pointer("/metadata/annotations")?.get(key)?.as_str()
    }

    /// Whether all its pods are available and on its latest revision. Two absent revisions are
    /// equal, and the generation is not compared: clients rely on both.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.replicas == self.available_replicas && self.current_revision == self.update_revision
    }
}

impl View for StatefulSetView {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn set_name(&self) -> Option<&str> {
        self.set.as_deref()
    }
    /// How many workers of a group there are, and how many are ready, matters once all are.
    fn may_wait(&self, before: Option<&Self>) -> bool {
        let is_of_workers = self.object.is_none();
        before.filter(|_| is_of_workers).is_some_and(|before| {
            let mut counted = before.clone();
            counted.observed_generation = self.observed_generation;
            counted.status_replicas = self.status_replicas;
            counted.available_replicas = self.available_replicas;
            counted == *self && before.is_ready() == self.is_ready()
        })
    }
}

impl Footprint for StatefulSetView {
    fn heap(&self) -> usize {
        self.identity.heap()
            + self.set.heap()
            + self.revision.heap()
            + self.members.heap()
            + self.group_restarts.heap()
            + self.current_revision.heap()
            + self.update_revision.heap()
            + self.placement.heap()
            + self.object.heap()
    }
}

resource!(StatefulSetView, "StatefulSet", "apps", "v1", "statefulsets");

/// What is read of every `StatefulSet`; the rest is skipped by the parser.
#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
    spec: Option<WireSpec>,
    status: Option<WireStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    replicas: Option<i64>,
    update_strategy: WireStrategy,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStrategy {
    rolling_update: Option<WireRollingUpdate>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireRollingUpdate {
    partition: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    observed_generation: i64,
    replicas: i64,
    available_replicas: i64,
    current_revision: String,
    update_revision: String,
}

impl TryFrom<Box<RawValue>> for StatefulSetView {
    type Error = serde_json::Error;

    fn try_from(object: Box<RawValue>) -> Result<Self, Self::Error> {
        let Wire { mut metadata, spec, status } = serde_json::from_str(object.get())?;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let mut view = Self {
            set: metadata.take_label(labels::NAME),
            revision: metadata.take_label(labels::REVISION),
            annotated_replicas: metadata
                .annotations
                .get(annotations::REPLICAS)
                .and_then(|value| value.parse().ok()),
            members: metadata.annotations.remove(annotations::MEMBERS),
            group_restarts: metadata.annotations.remove(annotations::GROUP_RESTARTS),
            replicas: spec.replicas.unwrap_or(1),
            partition: spec.update_strategy.rolling_update.and_then(|it| it.partition).unwrap_or(0),
            observed_generation: status.observed_generation,
            status_replicas: status.replicas,
            available_replicas: status.available_replicas,
            current_revision: status.current_revision,
            update_revision: status.update_revision,
            identity: metadata.into_identity(),
            placement: Placement::default(),
            object: None,
            compared: Compared::default(),
        };
        // Worker StatefulSets, of which there is one a group, are controlled by pods.
        if view.identity.owner.as_ref().is_none_or(|owner| owner.kind != "Pod") {
            let object = serde_json::from_str(object.get())?;
            view.placement = template_placement(&object);
            view.object = Some(Arc::new(object));
        }
        Ok(view)
    }
}

fn template_placement(object: &Value) -> Placement {
    let all = object.pointer("/spec/template/metadata/annotations");
    let annotation = |key: &str| all.and_then(|all| all.get(key)).and_then(Value::as_str);
    Placement::new(
        annotation(annotations::EXCLUSIVE_TOPOLOGY),
        annotation(annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(value: Value) -> StatefulSetView {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn absent_numbers_have_the_meaning_the_api_gives_them() {
        let it = view(json!({"metadata": {"name": "s"}, "spec": {}}));
        assert_eq!((it.replicas, it.partition, it.available_replicas), (1, 0, 0));
        assert!(!it.is_ready());
        assert_eq!(it.annotated_replicas, None);
        assert!(it.object.is_some());
    }

    #[test]
    fn ready_means_available_and_at_one_revision() {
        let it = view(json!({
            "metadata": {"name": "s-0", "generation": 2, "annotations": {annotations::REPLICAS: "7"},
                "ownerReferences": [{"kind": "Pod", "name": "s-0", "uid": "p", "controller": true}]},
            "spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            "status": {"availableReplicas": 3, "observedGeneration": 2, "updateRevision": "r", "currentRevision": "r"},
        }));
        assert!(it.is_ready());
        assert_eq!((it.partition, it.annotated_replicas), (2, Some(7)));
        assert_eq!(it.object, None, "worker StatefulSets are not kept whole");
    }
}

//! All objects of the sets in a namespace at one moment, and what differs from another moment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::ListParams;
use lws_api_types::keys::labels;
use lws_e2e::Namespace;
use serde_json::Value;

/// Kind and name.
type Key = (&'static str, String);

/// All objects of the sets in a namespace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot(BTreeMap<Key, Value>);

impl Snapshot {
    /// The objects as they are now.
    pub(crate) async fn of(namespace: &Namespace) -> Result<Self> {
        let mut objects = BTreeMap::new();
        for set in namespace.sets().list(&ListParams::default()).await?.items {
            objects.insert(("set", set.name_any()), serde_json::to_value(set)?);
        }
        for stateful_set in namespace.all::<StatefulSet>().await? {
            objects.insert(("statefulset", stateful_set.name_any()), json(&stateful_set)?);
        }
        for pod in namespace.all::<Pod>().await? {
            objects.insert(("pod", pod.name_any()), json(&pod)?);
        }
        for revision in namespace.all::<ControllerRevision>().await? {
            objects.insert(("revision", revision.name_any()), json(&revision)?);
        }
        for service in namespace.all::<Service>().await? {
            objects.insert(("service", service.name_any()), json(&service)?);
        }
        Ok(Self(objects))
    }

    /// The names of all sets.
    pub(crate) fn sets(&self) -> BTreeSet<&str> {
        let sets = self.0.keys().filter(|(kind, _)| *kind == "set");
        sets.map(|(_, name)| name.as_str()).collect()
    }

    /// One object.
    pub(crate) fn get(&self, kind: &'static str, name: &str) -> Result<&Value> {
        let object = self.0.get(&(kind, name.to_owned()));
        object.with_context(|| format!("there is no {kind} {name}"))
    }

    /// The objects of one kind that belong to a set.
    pub(crate) fn of_set<'a>(
        &'a self,
        kind: &'static str,
        set: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0.iter().filter_map(move |((its_kind, name), object)| {
            (*its_kind == kind && set_of(kind, name, object) == Some(set))
                .then_some((name.as_str(), object))
        })
    }

    /// Fails unless the objects of `set` in `later` are these. What `forgive` takes out of both sides may differ.
    pub(crate) fn same(
        &self,
        later: &Self,
        set: &str,
        forgive: impl Fn(&'static str, &str, &mut Value),
    ) -> Result<()> {
        let objects = |snapshot: &Self| -> BTreeMap<Key, Value> {
            let own =
                snapshot.0.iter().filter(|((kind, name), it)| set_of(kind, name, it) == Some(set));
            own.map(|(key, object)| {
                let mut object = object.clone();
                forgive(key.0, &key.1, &mut object);
                (key.clone(), object)
            })
            .collect()
        };
        let (before, after) = (objects(self), objects(later));
        let names =
            |objects: &BTreeMap<Key, Value>| objects.keys().cloned().collect::<BTreeSet<_>>();
        let (old, new) = (names(&before), names(&after));
        if old != new {
            let gone: Vec<_> = old.difference(&new).collect();
            let come: Vec<_> = new.difference(&old).collect();
            bail!("{set}: gone {gone:?}, come {come:?}");
        }
        for ((kind, name), object) in &before {
            let other = after.get(&(*kind, name.clone())).unwrap_or(&Value::Null);
            let mut differences = Vec::new();
            differ("", object, other, &mut differences);
            anyhow::ensure!(differences.is_empty(), "{kind} {name} has changed: {differences:#?}");
        }
        Ok(())
    }
}

/// The set that an object belongs to.
fn set_of<'a>(kind: &str, name: &'a str, object: &'a Value) -> Option<&'a str> {
    if kind == "set" { Some(name) } else { object["metadata"]["labels"][labels::NAME].as_str() }
}

fn json(object: &impl serde::Serialize) -> Result<Value> {
    Ok(serde_json::to_value(object)?)
}

/// Adds the paths at which two values differ.
fn differ(path: &str, one: &Value, other: &Value, differences: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                differ(&format!("{path}.{key}"), &one[key], &other[key], differences);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}[{index}]"), a, b, differences);
            }
        }
        _ if one == other => {}
        _ => differences.push(format!("{path}: {one} became {other}")),
    }
}

/// Takes out what says when and by whom an object was written.
pub(crate) fn without_history(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
}

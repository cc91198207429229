//! The objects of a set at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use lws_api_types::LeaderWorkerSet;
use lws_api_types::conditions::REPLICA_FAILURE;
use lws_api_types::keys::{self, annotations, labels};
use lws_api_types::revision::encode;
use lws_api_types::set::SubdomainPolicy;
use lws_controller::observe::entry::{Entry, Objects};
use lws_controller::observe::views::{PodGroupView, PodView, RevisionView, StatefulSetView, View};
use lws_controller::plan::group::Groups;
use lws_controller::plan::history::History;
use lws_controller::plan::revision::{Current, Decision, decide};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::lost::Lost;

/// Objects as the server gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    /// Leader and worker `StatefulSet`s.
    pub(crate) stateful_sets: Vec<StatefulSet>,
    /// Leader and worker pods.
    pub(crate) pods: Vec<Pod>,
    /// Headless Services.
    pub(crate) services: Vec<Service>,
    /// Revisions.
    pub(crate) revisions: Vec<ControllerRevision>,
    /// `PodGroup`s, where there are any.
    pub(crate) pod_groups: Vec<PodGroupView>,
    /// Events about them.
    pub(crate) events: Vec<Event>,
}

impl Parts {
    /// The objects of each set by its namespace and name, as their labels say it.
    pub(crate) fn by_set(self) -> BTreeMap<(String, String), Self> {
        let mut sets: BTreeMap<(String, String), Self> = BTreeMap::new();
        file(&mut sets, self.stateful_sets, |it| &mut it.stateful_sets);
        file(&mut sets, self.pods, |it| &mut it.pods);
        file(&mut sets, self.services, |it| &mut it.services);
        file(&mut sets, self.revisions, |it| &mut it.revisions);
        for it in self.pod_groups {
            let set = (it.identity.namespace().to_owned(), it.set.clone().unwrap_or_default());
            sets.entry(set).or_default().pod_groups.push(it);
        }
        // Events have no labels: they go with the object that they are about.
        let mut about: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for event in self.events {
            let uid = event.involved_object.uid.clone().unwrap_or_default();
            about.entry(uid).or_default().push(event);
        }
        for parts in sets.values_mut() {
            let uids = parts.stateful_sets.iter().filter_map(ResourceExt::uid);
            parts.events = uids.filter_map(|it| about.remove(&it)).flatten().collect();
        }
        sets
    }
}

/// Files objects under the sets that their labels name.
fn file<K: ResourceExt>(
    sets: &mut BTreeMap<(String, String), Parts>,
    objects: Vec<K>,
    place: impl Fn(&mut Parts) -> &mut Vec<K>,
) {
    for it in objects {
        let set = it.labels().get(labels::NAME).cloned().unwrap_or_default();
        let set = (it.namespace().unwrap_or_default(), set);
        place(sets.entry(set).or_default()).push(it);
    }
}

/// Names of objects that the set has not got, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// `StatefulSet`s.
    pub(crate) stateful_sets: Vec<String>,
    /// Services.
    pub(crate) services: Vec<String>,
}

/// A set that cannot be read, or has an object that cannot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unreadable {
    /// Namespace of the set.
    pub(crate) namespace: String,
    /// Name of the set.
    pub(crate) name: String,
    /// Why it cannot be read.
    pub(crate) error: String,
}

/// The objects of a set at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// The set.
    pub(crate) set: LeaderWorkerSet,
    /// Its objects, as the controller sees them.
    pub(crate) entry: Entry,
    /// Its pods as they are.
    pub(crate) pods: BTreeMap<String, Pod>,
    /// Events.
    pub(crate) events: Vec<Event>,
    /// Labels of the nodes that matter, by name.
    pub(crate) nodes: BTreeMap<String, BTreeMap<String, String>>,
    /// The nodes that do not answer, where they have been looked at.
    pub(crate) lost: Lost,
    /// Whether the user may not read nodes.
    pub(crate) nodes_refused: bool,
    /// An annotation of the set that names a topology, and the label for it, if no node has that.
    pub(crate) absent_topology: Option<(&'static str, String)>,
    /// When this was.
    pub(crate) now: Timestamp,
}

impl Snapshot {
    /// Condition `ReplicaFailure`, while it is true.
    pub(crate) fn failure(&self) -> Option<&Condition> {
        let conditions = &self.set.status.as_ref()?.conditions;
        conditions.iter().find(|it| it.type_ == REPLICA_FAILURE && it.status == "True")
    }

    /// The set with its objects. Fails when an object cannot be read.
    pub(crate) fn new(set: LeaderWorkerSet, parts: Parts, now: Timestamp) -> Result<Self, Error> {
        let mut entry = Entry::default();
        entry.stateful_sets = views(&parts.stateful_sets)?;
        entry.pods = views(&parts.pods)?;
        entry.services = views(&parts.services)?;
        entry.revisions = views(&parts.revisions)?;
        let pod_groups = parts.pod_groups.into_iter();
        entry.pod_groups = pod_groups.map(|it| (name(&it), Arc::new(it))).collect();
        Ok(Self {
            set,
            entry,
            pods: parts.pods.into_iter().map(|it| (it.name_any(), it)).collect(),
            events: parts.events,
            nodes: BTreeMap::new(),
            lost: Lost::new(),
            nodes_refused: false,
            absent_topology: None,
            now,
        })
    }

    /// Whether groups have topology domains for themselves, which the labels of nodes name.
    pub(crate) fn has_domains(&self) -> bool {
        self.set.annotation(annotations::EXCLUSIVE_TOPOLOGY).is_some()
    }

    /// When a controller last changed the status of the set, if the server tells.
    pub(crate) fn status_written(&self) -> Option<Timestamp> {
        let entries = self.set.metadata.managed_fields.iter().flatten();
        let of_controller = entries.filter(|it| {
            it.manager.as_deref() == Some(keys::FIELD_MANAGER)
                && it.subresource.as_deref() == Some("status")
        });
        of_controller.filter_map(|it| it.time.as_ref()).map(|it| it.0).max()
    }

    /// Names that the set needs and that none of its objects has.
    pub(crate) fn missing(&self) -> Missing {
        let (entry, set) = (&self.entry, &self.set);
        let leaders = || entry.pods.values().filter(|it| it.is_leader()).map(|it| name(&**it));
        let own = [set.name().to_owned()];
        let has_workers = set.spec.leader_worker_template.size() > 1;
        let sets = own.iter().cloned().chain(leaders().filter(|_| has_workers));
        let services: Vec<String> = match set.spec.subdomain_policy() {
            SubdomainPolicy::Shared => own.to_vec(),
            SubdomainPolicy::UniquePerReplica => leaders().collect(),
        };
        let is_missing = |it: &String| !entry.services.contains_key(it);
        Missing {
            stateful_sets: sets.filter(|it| !entry.stateful_sets.contains_key(it)).collect(),
            services: services.into_iter().filter(is_missing).collect(),
        }
    }

    /// Adds objects that have names which the set needs.
    pub(crate) fn add(
        &mut self,
        stateful_sets: &[StatefulSet],
        services: &[Service],
    ) -> Result<(), Error> {
        self.entry.stateful_sets.extend(views(stateful_sets)?);
        self.entry.services.extend(views(services)?);
        Ok(())
    }

    /// The leader `StatefulSet`, if it is this very set's.
    pub(crate) fn leader_set(&self) -> Option<&StatefulSetView> {
        let found = self.entry.stateful_sets.get(self.set.name());
        let is_ours = |it: &&Arc<StatefulSetView>| it.identity.is_controlled_by(self.set.uid());
        found.filter(is_ours).map(AsRef::as_ref)
    }

    /// All revisions.
    pub(crate) fn revisions(&self) -> Vec<&RevisionView> {
        self.entry.revisions.values().map(AsRef::as_ref).collect()
    }

    /// The revision key of the present content.
    pub(crate) fn key(&self) -> String {
        self.content().0
    }

    /// The revision key of the present content, and whether it is recorded.
    pub(crate) fn content(&self) -> (String, bool) {
        let content = encode(&self.set.spec);
        match decide(&self.set, &content, self.leader_set(), &self.revisions(), &self.entry.pods) {
            Decision::Current(Current { revision, .. }) | Decision::Raise { revision, .. } => {
                (revision.key.clone(), true)
            }
            Decision::Create { key, .. } => (key, false),
        }
    }

    /// The groups that have a leader, as the controller sees them.
    pub(crate) fn groups<'a>(&'a self, leader_set: &'a StatefulSetView, key: &str) -> Groups<'a> {
        Groups::of(&self.set, leader_set, key, &self.entry, &self.revisions())
    }

    /// Which groups have failed lately.
    pub(crate) fn history(&self) -> History {
        self.leader_set().map(History::of).unwrap_or_default()
    }

    /// The pods that `leader` owns.
    pub(crate) fn workers<'a>(&'a self, leader: &'a PodView) -> impl Iterator<Item = &'a PodView> {
        let uid = leader.identity.uid();
        let pods = self.entry.pods.values().map(AsRef::as_ref);
        pods.filter(move |it| {
            !it.is_leader()
                && self.entry.leader_of(it).is_some_and(|leader| leader.identity.uid() == uid)
        })
    }
}

fn name<V: View>(view: &V) -> String {
    view.identity().name().to_owned()
}

/// `objects` as the controller sees them.
fn views<K, V>(objects: &[K]) -> Result<Objects<V>, Error>
where
    K: Resource<DynamicType = ()> + Serialize,
    V: View + DeserializeOwned,
{
    let view = |object: &K| {
        let failed = |source| Error::Object {
            what: format!("{} {:?}", K::kind(&()), object.name_any()),
            source,
        };
        let value = serde_json::to_value(object).map_err(failed)?;
        let view: V = serde_json::from_value(value).map_err(failed)?;
        Ok((name(&view), Arc::new(view)))
    };
    objects.iter().map(view).collect()
}

//! Requests for the objects of a set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::future;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, Node, Pod, Service};
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, Resource, ResourceExt as _};
use lws_api_types::keys::labels;
use lws_api_types::{LeaderWorkerSet, keys};
use lws_controller::act::nodes::is_carried;
use lws_controller::observe::views::{PodGroupView, SetView, is_in_gang};
use lws_controller::plan::build;
use serde::de::DeserializeOwned;

use crate::connection::Connection;
use crate::error::Error;
use crate::output;
use crate::snapshot::{Missing, Parts, Snapshot, Unreadable};

/// Which events are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    /// Those that say why pods cannot be created.
    Refusals,
    /// All of the namespace.
    All,
}

impl Events {
    /// The field selector for them.
    pub(crate) fn selector(self) -> Option<&'static str> {
        match self {
            Self::Refusals => Some("involvedObject.kind=StatefulSet,reason=FailedCreate"),
            Self::All => None,
        }
    }
}

/// Where objects are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In the namespace that the command is about.
    Namespace,
    /// Everywhere.
    Cluster,
}

/// What the cluster tells of gang scheduling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gangs {
    /// There are `PodGroup`s of sets.
    Shown,
    /// There could be.
    Unknown,
    /// The cluster does not know that kind.
    Impossible,
}

impl Connection {
    /// The objects of one kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// All sets there are, each with its objects, by namespace and name. One that cannot be read
    /// hides no other.
    pub(crate) async fn snapshots(
        &self,
        scope: Scope,
    ) -> Result<Vec<Result<Snapshot, Unreadable>>, Error> {
        let sets: Vec<SetView> = self.all(scope, &ListParams::default()).await?;
        let parts = self.parts(scope, labels::NAME, Events::Refusals).await?;
        let now = Timestamp::now();
        let mut parts = parts.by_set();
        let snapshot = |SetView { identity, set, .. }: SetView| {
            let (namespace, name) = (identity.namespace().to_owned(), identity.name().to_owned());
            let parts = parts.remove(&(namespace.clone(), name.clone())).unwrap_or_default();
            let set = set.map(Arc::unwrap_or_clone);
            let read = |set| Snapshot::new(set, parts, now).map_err(|error| error.with_causes());
            let snapshot = set.and_then(read);
            snapshot.map_err(|error| Unreadable { namespace, name, error })
        };
        let mut snapshots: Vec<_> = sets.into_iter().map(snapshot).collect();
        self.list_nodes(snapshots.iter_mut().flatten()).await?;
        Ok(snapshots)
    }

    /// The set `name`.
    pub(crate) async fn set(&self, name: &str) -> Result<LeaderWorkerSet, Error> {
        self.api::<LeaderWorkerSet>().get(name).await.map_err(|error| match error {
            kube::Error::SerdeError(source) => {
                Error::Object { what: format!("{} {name:?}", keys::KIND), source }
            }
            error => error.into(),
        })
    }

    /// The set `name` with its objects. Of what may not be read a warning is written.
    pub(crate) async fn snapshot(&self, name: &str, events: Events) -> Result<Snapshot, Error> {
        let set = self.set(name).await?;
        let parts = self.parts(Scope::Namespace, &selector(name), events).await?;
        let mut snapshot = Snapshot::new(set, parts, Timestamp::now())?;
        self.look_up_nodes(&mut snapshot).await?;
        Ok(snapshot)
    }

    /// The same with the objects that have the names of missing ones of the set, whosever they are.
    pub(crate) async fn whole_snapshot(&self, name: &str) -> Result<Snapshot, Error> {
        let mut snapshot = self.snapshot(name, Events::All).await?;
        let Missing { stateful_sets, services } = snapshot.missing();
        let stateful_sets = self.named::<StatefulSet>(&stateful_sets).await?;
        let services = self.named::<Service>(&services).await?;
        snapshot.add(&stateful_sets, &services)?;
        Ok(snapshot)
    }

    /// The objects that `selector` selects.
    async fn parts(&self, scope: Scope, selector: &str, events: Events) -> Result<Parts, Error> {
        let of_sets = ListParams::default().labels(selector);
        let mut of_events = ListParams::default();
        if let Some(selector) = events.selector() {
            of_events = of_events.fields(selector);
        }
        let (stateful_sets, pods, services, revisions, pod_groups, events) = future::try_join(
            future::try_join3(
                self.all(scope, &of_sets),
                self.all(scope, &of_sets),
                self.permitted(scope, &of_sets),
            ),
            future::try_join3(
                self.all(scope, &of_sets),
                self.pod_groups(scope, &of_sets),
                self.permitted::<Event>(scope, &of_events),
            ),
        )
        .await
        .map(|((a, b, c), (d, e, f))| (a, b, c, d, e, f))?;
        let pod_groups = pod_groups.unwrap_or_else(|why| {
            // Without gang scheduling there are none to be missed.
            if pods.iter().any(|it: &Pod| is_in_gang(it.annotations())) {
                warn_without("podgroups", &why);
            }
            Vec::new()
        });
        Ok(Parts { stateful_sets, pods, services, revisions, pod_groups, events })
    }

    /// All `PodGroup`s; what the server says where they may not be read.
    async fn pod_groups(
        &self,
        scope: Scope,
        params: &ListParams,
    ) -> Result<Result<Vec<PodGroupView>, String>, Error> {
        let mut refusal = String::new();
        let answer = or_none(self.all(scope, params).await);
        Ok(unless_forbidden(answer, |why| refusal = why)?.ok_or(refusal))
    }

    /// Whether gang scheduling is on, as `PodGroup`s of sets show it: of those of the cluster, or of the
    /// namespace where the user may read no others.
    pub(crate) async fn gang_scheduling(&self) -> Result<Gangs, Error> {
        let any = ListParams::default().labels(labels::NAME).limit(1);
        let everywhere = self.all::<PodGroupView>(Scope::Cluster, &any).await;
        let found = match unless_forbidden(everywhere, drop) {
            // That they may not be read either is part of what is not known.
            Ok(None) => unless_forbidden(self.all(Scope::Namespace, &any).await, drop),
            answer => answer,
        };
        match found {
            Ok(Some(found)) if !found.is_empty() => Ok(Gangs::Shown),
            Ok(_) => Ok(Gangs::Unknown),
            Err(Error::Request(error)) if code(&error) == Some(404) => Ok(Gangs::Impossible),
            Err(error) => Err(error),
        }
    }

    /// The objects of one kind that have these names.
    async fn named<K>(&self, names: &[String]) -> Result<Vec<K>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api = self.api::<K>();
        let found = future::try_join_all(names.iter().map(|it| api.get_opt(it))).await;
        let found = or_warning(&K::plural(&()), found.map_err(Error::from))?;
        Ok(found.into_iter().flatten().flatten().collect())
    }

    /// All objects of one kind.
    async fn all<K>(&self, scope: Scope, params: &ListParams) -> Result<Vec<K>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api = match scope {
            Scope::Namespace => self.api(),
            Scope::Cluster => Api::all(self.client.clone()),
        };
        Ok(api.list(params).await?.items)
    }

    /// All objects of one kind; none, with a warning, where they may not be read. Kinds that the
    /// cluster does not know have none.
    async fn permitted<K>(&self, scope: Scope, params: &ListParams) -> Result<Vec<K>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let answer = or_none(self.all(scope, params).await);
        Ok(or_warning(&K::plural(&()), answer)?.unwrap_or_default())
    }

    /// Adds the labels of the nodes of the pods, where they matter and are not known yet. That they
    /// may not be read is told once and remembered.
    pub(crate) async fn look_up_nodes(&self, snapshot: &mut Snapshot) -> Result<(), Error> {
        if !snapshot.has_domains() || snapshot.nodes_refused {
            return Ok(());
        }
        let names = snapshot.entry.pods.values().filter_map(|it| it.node.clone());
        let names: BTreeSet<_> = names.filter(|it| !snapshot.nodes.contains_key(it)).collect();
        let api: Api<Node> = Api::all(self.client.clone());
        let nodes = future::try_join_all(names.iter().map(|name| api.get_opt(name))).await;
        let nodes = or_warning("nodes", nodes.map_err(Error::from))?;
        snapshot.nodes_refused = nodes.is_none();
        let labels = |it: Node| (it.name_any(), it.metadata.labels.unwrap_or_default());
        snapshot.nodes.extend(nodes.into_iter().flatten().flatten().map(labels));
        Ok(())
    }

    /// Adds the labels of the nodes of the pods of many sets, where they matter, from one list.
    async fn list_nodes<'a>(
        &self,
        snapshots: impl Iterator<Item = &'a mut Snapshot>,
    ) -> Result<(), Error> {
        let mut placed = snapshots.filter(|it| it.has_domains()).peekable();
        if placed.peek().is_none() {
            return Ok(());
        }
        let api: Api<Node> = Api::all(self.client.clone());
        let nodes = api.list_metadata(&ListParams::default()).await.map_err(Error::from);
        let nodes = or_warning("nodes", nodes)?.map(|it| it.items).unwrap_or_default();
        let labels =
            |it: PartialObjectMeta<Node>| (it.name_any(), it.metadata.labels.unwrap_or_default());
        let nodes: BTreeMap<_, _> = nodes.into_iter().map(labels).collect();
        for snapshot in placed {
            let names = snapshot.entry.pods.values().filter_map(|it| it.node.as_ref());
            let known = names.filter_map(|it| nodes.get_key_value(it));
            snapshot.nodes = known.map(|(name, it)| (name.clone(), it.clone())).collect();
        }
        Ok(())
    }

    /// Adds whether there are nodes in the topologies that the set names.
    pub(crate) async fn look_up_topologies(&self, snapshot: &mut Snapshot) -> Result<(), Error> {
        for (annotation, label) in build::placement(&snapshot.set).topologies() {
            let is_carried = is_carried(&self.client, label).await.map_err(Error::from);
            if or_warning("nodes", is_carried)? == Some(false) {
                snapshot.absent_topology = Some((annotation, label.to_owned()));
            }
        }
        Ok(())
    }
}

/// Selects the objects of a set.
pub(crate) fn selector(set: &str) -> String {
    format!("{}={set}", labels::NAME)
}

/// The status code of an answer.
pub(crate) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// The objects of a kind; none where the cluster does not know it.
fn or_none<K>(answer: Result<Vec<K>, Error>) -> Result<Vec<K>, Error> {
    match answer {
        Err(Error::Request(error)) if code(&error) == Some(404) => Ok(Vec::new()),
        answer => answer,
    }
}

/// What was read; `None` where the user lacks the permission, with what the server says of that told.
pub(crate) fn unless_forbidden<T>(
    answer: Result<T, Error>,
    tell: impl FnOnce(String),
) -> Result<Option<T>, Error> {
    match answer {
        Err(Error::Request(error)) if code(&error) == Some(403) => {
            tell(Error::Request(error).told());
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// The same; of `what` may not be read a warning is written.
fn or_warning<T>(what: &str, answer: Result<T, Error>) -> Result<Option<T>, Error> {
    unless_forbidden(answer, |why| warn_without(what, &why))
}

fn warn_without(what: &str, why: &str) {
    output::complain(&format!("Warning: shown without {what}: {why}"));
}

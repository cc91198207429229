//! What is known of an object.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::{annotations, labels};
use lws_api_types::set::RestartPolicy;
use lws_e2e::set::{partition, replicas};
use serde_json::Value;

/// What kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Set,
    StatefulSet,
    Pod,
    Service,
    Revision,
}

/// An object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Its controller.
    pub(crate) owner: Option<OwnerReference>,
    pub(crate) deleting: bool,
    pub(crate) detail: Detail,
}

/// What is known of some kinds.
#[derive(Debug, Clone)]
pub(crate) enum Detail {
    Set(Box<LeaderWorkerSet>),
    StatefulSet {
        replicas: i32,
        partition: i32,
    },
    Pod {
        ready: bool,
        restarts: i32,
        phase: Phase,
        node: String,
        /// Kubernetes takes it away, because of its node.
        evicted: bool,
    },
    /// The policy that groups of it have. Revisions of `StatefulSet`s have none.
    Revision(Option<RestartPolicy>),
    Service,
}

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Ended,
}

impl Kind {
    /// The kind of what is stored under `key`, with its name, when it is in `namespace` and of interest.
    pub(crate) fn of<'a>(key: &'a str, namespace: &str) -> Option<(Self, &'a str)> {
        let kinds = [
            (Self::Set, "leaderworkerset.x-k8s.io/leaderworkersets/"),
            (Self::StatefulSet, "statefulsets/"),
            (Self::Pod, "pods/"),
            (Self::Service, "services/specs/"),
            (Self::Revision, "controllerrevisions/"),
        ];
        kinds.into_iter().find_map(|(kind, prefix)| {
            let name = key.strip_prefix(prefix)?.strip_prefix(namespace)?.strip_prefix('/')?;
            Some((kind, name))
        })
    }
}

impl Object {
    /// Reads what is stored.
    pub(crate) fn read(kind: Kind, value: Value) -> Result<Self> {
        match kind {
            Kind::Set => {
                let set: LeaderWorkerSet = serde_json::from_value(value)?;
                Ok(Self::of(set.metadata.clone(), Detail::Set(Box::new(set))))
            }
            Kind::StatefulSet => {
                let it: StatefulSet = serde_json::from_value(value)?;
                let detail =
                    Detail::StatefulSet { replicas: replicas(&it), partition: partition(&it) };
                Ok(Self::of(it.metadata, detail))
            }
            Kind::Pod => {
                let it: Pod = serde_json::from_value(value)?;
                let detail = pod(&it);
                Ok(Self::of(it.metadata, detail))
            }
            Kind::Service => {
                let it: Service = serde_json::from_value(value)?;
                Ok(Self::of(it.metadata, Detail::Service))
            }
            Kind::Revision => {
                let it: ControllerRevision = serde_json::from_value(value)?;
                let policy = it.data.as_ref().and_then(|data| {
                    data.0.pointer("/spec/leaderWorkerTemplate/restartPolicy").cloned()
                });
                let policy = policy.map(serde_json::from_value).transpose();
                Ok(Self::of(it.metadata, Detail::Revision(policy.context("restartPolicy")?)))
            }
        }
    }

    fn of(metadata: ObjectMeta, detail: Detail) -> Self {
        let owners = metadata.owner_references.unwrap_or_default();
        Self {
            uid: metadata.uid.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            owner: owners.into_iter().find(|it| it.controller == Some(true)),
            deleting: metadata.deletion_timestamp.is_some(),
            detail,
        }
    }

    fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    /// The set that it says it is of.
    pub(crate) fn set(&self) -> &str {
        self.label(labels::NAME)
    }

    /// Its revision key.
    pub(crate) fn key(&self) -> &str {
        self.label(labels::REVISION)
    }

    /// The index of its group.
    pub(crate) fn group(&self) -> Option<i32> {
        self.label(labels::GROUP_INDEX).parse().ok()
    }

    /// How many pods its group has.
    pub(crate) fn size(&self) -> usize {
        let size = self.annotations.get(annotations::SIZE).and_then(|it| it.parse().ok());
        size.unwrap_or(1)
    }

    /// The UID of its controller; empty without one.
    pub(crate) fn owner_uid(&self) -> &str {
        self.owner.as_ref().map_or("", |it| &it.uid)
    }

    /// Whether it is the leader pod of a group.
    pub(crate) fn is_leader(&self) -> bool {
        matches!(self.detail, Detail::Pod { .. }) && self.label(labels::WORKER_INDEX) == "0"
    }

    /// Whether it is a pod that is ready and stays.
    pub(crate) fn is_ready(&self) -> bool {
        !self.deleting && matches!(self.detail, Detail::Pod { ready: true, .. })
    }

    /// How often containers of the pod were restarted.
    pub(crate) fn restarts(&self) -> i32 {
        if let Detail::Pod { restarts, .. } = self.detail { restarts } else { 0 }
    }

    /// The set, if it is one.
    pub(crate) fn as_set(&self) -> Option<&LeaderWorkerSet> {
        if let Detail::Set(set) = &self.detail { Some(set) } else { None }
    }

    /// The policy of groups of this revision, if it is one of a set.
    pub(crate) fn policy(&self) -> Option<RestartPolicy> {
        if let Detail::Revision(policy) = self.detail { policy } else { None }
    }

    /// Whether Kubernetes takes the pod away, because of its node.
    pub(crate) fn is_evicted(&self) -> bool {
        matches!(self.detail, Detail::Pod { evicted: true, .. })
    }

    /// The node of the pod.
    pub(crate) fn node(&self) -> &str {
        if let Detail::Pod { node, .. } = &self.detail { node } else { "" }
    }

    /// Replicas and partition, if it is a `StatefulSet`.
    pub(crate) fn as_stateful_set(&self) -> Option<(i32, i32)> {
        match self.detail {
            Detail::StatefulSet { replicas, partition } => Some((replicas, partition)),
            _ => None,
        }
    }
}

fn pod(pod: &Pod) -> Detail {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let containers = status.container_statuses.into_iter().flatten();
    let is = |kind: &str| conditions.iter().any(|it| it.type_ == kind && it.status == "True");
    Detail::Pod {
        ready: is("Ready"),
        evicted: is("DisruptionTarget"),
        restarts: containers.map(|it| it.restart_count).sum(),
        phase: match status.phase.as_deref() {
            Some("Running") => Phase::Running,
            Some("Succeeded" | "Failed") => Phase::Ended,
            _ => Phase::Pending,
        },
        node: pod.spec.as_ref().and_then(|it| it.node_name.clone()).unwrap_or_default(),
    }
}

impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |uid: &str| uid.chars().take(8).collect::<String>();
        write!(out, "{} of {}", short(&self.uid), short(self.owner_uid()))?;
        if !self.key().is_empty() {
            write!(out, " at {}", self.key())?;
        }
        match &self.detail {
            Detail::Set(set) => {
                let rollout = set.spec.rolling_update();
                let template = &set.spec.leader_worker_template;
                let (replicas, size) = (set.spec.replicas(), template.size());
                write!(out, " {replicas} x {size}, {rollout:?}, {:?}", template.restart_policy)?;
                if let Some(status) = &set.status {
                    let conditions = status.conditions.iter().filter(|it| it.status == "True");
                    let names: Vec<_> = conditions.map(|it| &*it.type_).collect();
                    let (ready, updated) = (status.ready_replicas, status.updated_replicas);
                    write!(out, " ({ready}/{updated}) {names:?}")?;
                }
            }
            Detail::StatefulSet { replicas, partition } => {
                write!(out, " p{partition} r{replicas}")?;
            }
            Detail::Pod { ready, restarts, phase, node, evicted } => {
                let ready = if *ready { "ready" } else { "unready" };
                let evicted = if *evicted { ", evicted" } else { "" };
                write!(out, " {phase:?} {ready} on `{node}`, {restarts} restarts{evicted}")?;
            }
            Detail::Revision(policy) => write!(out, " {policy:?}")?,
            Detail::Service => {}
        }
        if self.deleting { out.write_str(" deleting") } else { Ok(()) }
    }
}

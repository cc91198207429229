//! The requests that a plan can consist of.

use std::fmt;

use serde_json::Value;

use super::Target;

/// A request to the API server. Objects are named in the namespace of the set.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Creates a `ControllerRevision`.
    CreateRevision(Value),
    /// Gives a `ControllerRevision` a higher number.
    RaiseRevision {
        /// The revision.
        target: Target,
        /// Its new number.
        number: i64,
    },
    /// Deletes a `ControllerRevision`.
    DeleteRevision(Target),
    /// Applies the leader `StatefulSet` on the server side. When `existing` is `None` it must not
    /// exist: an apply that would take a field from another manager is refused.
    ApplyLeaderSet {
        /// The fields we own.
        object: Value,
        /// UID of the object that is applied to.
        existing: Option<String>,
    },
    /// Creates the worker `StatefulSet` of a group.
    CreateWorkerSet(Value),
    /// Makes the set the controller of an object that nobody controls.
    Adopt {
        /// Its kind.
        kind: Orphaned,
        /// The object.
        target: Target,
        /// The owner references it gets.
        owners: Value,
    },
    /// Creates a headless Service.
    CreateService(Value),
    /// Creates the `PodGroup` of a group.
    CreatePodGroup(Value),
    /// Deletes a leader pod, and with it its group.
    DeleteLeader(Target),
    /// Deletes the worker `StatefulSet` of a group, and with it its workers.
    DeleteWorkerSet {
        /// The `StatefulSet`.
        target: Target,
        /// Whether it stays until all that it owns is gone.
        stays: bool,
    },
    /// Deletes a pod whose end its node will not confirm.
    ReleasePod(Target),
    /// Sets or removes an annotation of a `StatefulSet`, and changes nothing else.
    Annotate {
        /// The `StatefulSet`.
        stateful_set: Target,
        /// Key of the annotation.
        key: &'static str,
        /// Its new value; `None` removes it.
        value: Option<String>,
    },
}

/// Kinds of objects that an orphaning deletion of a set leaves to the next one of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphaned {
    /// The leader `StatefulSet`.
    LeaderSet,
    /// The Service that all groups share.
    Service,
    /// A revision.
    Revision,
}

impl fmt::Display for Orphaned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LeaderSet => "statefulset",
            Self::Service => "service",
            Self::Revision => "controllerrevision",
        })
    }
}

impl Action {
    /// Whether more may be asked for as soon as a request of this kind has succeeded.
    pub(super) fn leads_on(&self) -> bool {
        match self {
            Self::CreateRevision(_)
            | Self::RaiseRevision { .. }
            | Self::ApplyLeaderSet { .. }
            | Self::Adopt { .. }
            | Self::CreatePodGroup(_) => true,
            Self::DeleteRevision(_)
            | Self::CreateWorkerSet(_)
            | Self::CreateService(_)
            | Self::DeleteLeader(_)
            | Self::DeleteWorkerSet { .. }
            | Self::ReleasePod(_)
            | Self::Annotate { .. } => false,
        }
    }

    /// What a request of this kind is made for, where nothing more is told of it.
    pub(super) fn purpose(&self) -> &'static str {
        match self {
            Self::CreateRevision(_) => "the content is not recorded",
            Self::RaiseRevision { .. } => "the set is back at this content",
            Self::DeleteRevision(_) => "no group is at it",
            Self::ApplyLeaderSet { .. } => "it differs from what the set wants",
            Self::CreateWorkerSet(_) => "the group has no workers",
            Self::Adopt { .. } => "a former set of this name has left it",
            Self::CreateService(_) | Self::CreatePodGroup(_) => "it is missing",
            Self::DeleteLeader(_) => "the group is replaced by one of the current revision",
            Self::DeleteWorkerSet { .. } => "the leader of the group goes without it",
            Self::ReleasePod(_) => "its node does not confirm its end",
            Self::Annotate { .. } => "what is recorded there has changed",
        }
    }
}

impl fmt::Display for Action {
    /// One line for logs: verb, resource, name.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |object: &Value| {
            object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        match self {
            Self::CreateRevision(object) => {
                write!(formatter, "create controllerrevision {}", name(object))
            }
            Self::RaiseRevision { target, number } => {
                write!(formatter, "raise controllerrevision {} to {number}", target.name)
            }
            Self::DeleteRevision(target) => {
                write!(formatter, "delete controllerrevision {}", target.name)
            }
            Self::ApplyLeaderSet { object, .. } => {
                let number = |pointer| object.pointer(pointer).unwrap_or(&Value::Null);
                write!(
                    formatter,
                    "apply statefulset {}: replicas {}, partition {}",
                    name(object),
                    number("/spec/replicas"),
                    number("/spec/updateStrategy/rollingUpdate/partition"),
                )
            }
            Self::CreateWorkerSet(object) => {
                write!(formatter, "create statefulset {}", name(object))
            }
            Self::Adopt { kind, target, .. } => {
                write!(formatter, "adopt {kind} {}", target.name)
            }
            Self::CreateService(object) => write!(formatter, "create service {}", name(object)),
            Self::CreatePodGroup(object) => write!(formatter, "create podgroup {}", name(object)),
            Self::DeleteLeader(target) => write!(formatter, "delete pod {}", target.name),
            Self::DeleteWorkerSet { target, .. } => {
                write!(formatter, "delete statefulset {}", target.name)
            }
            Self::ReleasePod(target) => write!(formatter, "delete pod {} for good", target.name),
            Self::Annotate { stateful_set, key, .. } => {
                write!(formatter, "annotate statefulset {}: {key}", stateful_set.name)
            }
        }
    }
}

//! What the controller cannot do, and a set that nobody can read.

use lws_api_types::conditions::REPLICA_FAILURE;
use lws_controller::plan::obstacle::Obstacle as Hindrance;

use super::findings::kubectl;
use super::{Finding, what};
use crate::error::Error;
use crate::snapshot::Snapshot;

/// What the controller cannot do, unless one of the findings that are `known` says the same.
pub(super) fn of(snapshot: &Snapshot, known: &[Finding]) -> Option<Finding> {
    let failure = snapshot.failure()?;
    let same = alike(Hindrance::of_failure(&failure.reason, &failure.message));
    if known.iter().any(|it| same.contains(&it.what.as_str())) {
        return None;
    }
    Some(Finding {
        what: "The controller cannot do its work".to_owned(),
        evidence: format!("condition {REPLICA_FAILURE}: {}: {}", failure.reason, failure.message),
        advice: "do what the message says; it is tried again within 30 s".to_owned(),
    })
}

/// That the set, or an object of it, cannot be read; `None` when that is not what has failed.
pub(super) fn unreadable(error: &Error, namespace: &str, name: &str) -> Option<Finding> {
    let why = match error {
        Error::Request(source) => match &**source {
            kube::Error::SerdeError(source) => source.to_string(),
            _ => return None,
        },
        Error::Object { .. } => error.with_causes(),
        _ => return None,
    };
    Some(Finding {
        what: "The set cannot be read".to_owned(),
        evidence: format!("leaderworkerset {name}: {why}"),
        advice: format!(
            "nor does a controller of this version act on it: use the version of the system that it \
             was written for, or correct what is named: {}",
            kubectl(namespace, &format!("edit leaderworkerset {name}"))
        ),
    })
}

/// The findings that are about this, too.
fn alike(hindrance: Hindrance) -> &'static [&'static str] {
    match hindrance {
        Hindrance::Quota => &[what::QUOTA],
        Hindrance::Webhook => &[what::WEBHOOK],
        Hindrance::NameTaken => &[what::NAME_TAKEN],
        Hindrance::TopologyLabel => &[what::NO_TOPOLOGY, what::UNLABELLED_NODE],
        // Without the permission to read nodes, only that the pod does not end is known.
        Hindrance::NodeLost => &[what::NODE_LOST, what::STUCK],
        Hindrance::NotEnding => &[what::STUCK],
        Hindrance::ImagePull => &[what::IMAGE],
        Hindrance::ContainerStart => &[what::CONTAINER],
        Hindrance::Crash => &[what::CRASH],
        Hindrance::Unschedulable => &[what::UNSCHEDULED, what::NO_TOPOLOGY],
        Hindrance::Refused => &[what::REFUSED],
    }
}

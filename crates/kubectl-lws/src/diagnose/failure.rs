//! What the controller cannot do.

use lws_api_types::conditions::REPLICA_FAILURE;
use lws_controller::plan::obstacle::Obstacle as Hindrance;

use super::{Finding, what};
use crate::snapshot::Snapshot;

/// What the controller cannot do, unless one of the findings that are `known` says the same.
pub(super) fn of(snapshot: &Snapshot, known: &[Finding]) -> Option<Finding> {
    let conditions = &snapshot.set.status.as_ref()?.conditions;
    let failure =
        conditions.iter().find(|it| it.type_ == REPLICA_FAILURE && it.status == "True")?;
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

/// The findings that are about this, too.
fn alike(hindrance: Hindrance) -> &'static [&'static str] {
    match hindrance {
        Hindrance::Quota => &[what::QUOTA],
        Hindrance::Webhook => &[what::WEBHOOK],
        Hindrance::NameTaken => &[what::NAME_TAKEN],
        Hindrance::TopologyLabel => &[what::NO_TOPOLOGY, what::UNLABELLED_NODE],
        Hindrance::ImagePull => &[what::IMAGE],
        Hindrance::ContainerStart => &[what::CONTAINER],
        Hindrance::Crash => &[what::CRASH],
        Hindrance::Unschedulable => &[what::UNSCHEDULED, what::NO_TOPOLOGY],
        Hindrance::Refused => &[what::REFUSED],
    }
}

//! Gang scheduling: which groups need a `PodGroup`, and whether they have it.

use lws_api_types::LeaderWorkerSetSpec;

use super::group::{Group, reference};
use super::ownership::{self, Controller, Holder};
use super::task::{Action, EventDraft, Plan, Task};
use super::{Scope, build};
use crate::observe::views::PodView;
use crate::observe::watch::PodGroups;

/// Whether `group` may get its workers: it needs no `PodGroup`, or has its own. What is to be done
/// about one that it lacks is added to `plan`. `spec` is the spec at the leader's revision.
pub(super) fn is_formed(
    plan: &mut Plan,
    scope: &Scope<'_>,
    group: &Group<'_>,
    spec: &LeaderWorkerSetSpec,
) -> bool {
    let (Scope { set, entry, .. }, leader) = (scope, group.leader);
    let pod_groups = scope.context.pod_groups;
    // A leader that was created before gang scheduling was turned on runs without.
    if pod_groups == PodGroups::Unwanted || !leader.is_in_gang {
        return true;
    }
    // The name comes from the labels: the annotation is anybody's to change.
    let name = build::pod_group_name(set, leader);
    let (found, controller) = (entry.pod_groups.get(&name), Controller::Leader(leader));
    if ownership::holder(found, controller) == Holder::Us {
        return true;
    }
    if ownership::is_held(plan, found, controller, "pod group") {
        return false;
    }
    if let Some(obstacle) = obstacle(pod_groups) {
        plan.events.push(failed(&name, leader, Some(obstacle)));
    } else if entry.is_doubted(leader.identity.uid()) {
        plan.doubt(group.target());
    } else {
        match build::pod_group(set, spec, leader) {
            Ok(object) => {
                let task = Task::new(Action::CreatePodGroup(object));
                plan.tasks.push(task.or_warned(failed(&name, leader, None)));
            }
            Err(error) => plan.events.push(failed(&name, leader, Some(&error.to_string()))),
        }
    }
    false
}

/// Why no `PodGroup` can be made now, and what helps.
fn obstacle(pod_groups: PodGroups) -> Option<&'static str> {
    match pod_groups {
        PodGroups::Unwanted | PodGroups::Watched => None,
        PodGroups::NotInstalled => Some(
            "the API server has no podgroups.scheduling.volcano.sh/v1beta1: install Volcano, or \
             remove gangSchedulingManagement from the configuration",
        ),
        PodGroups::Forbidden => Some(
            "the controller may not list and watch podgroups.scheduling.volcano.sh: grant it \
             create, get, list and watch on them",
        ),
    }
}

/// The event about a `PodGroup` that could not be created; without a reason, the server's is
/// appended.
fn failed(name: &str, leader: &PodView, reason: Option<&str>) -> EventDraft {
    let mut note =
        format!("Failed to create pod group {name} for leader pod {}", leader.identity.name());
    if let Some(reason) = reason {
        note = format!("{note}: {reason}");
    }
    EventDraft::warning("FailedCreate", "Create", note).about(reference(leader))
}

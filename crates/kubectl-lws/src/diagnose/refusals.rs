//! Pods that Kubernetes refuses to create.

use lws_controller::act::reasons::last_seen;
use lws_controller::observe::views::StatefulSetView;
use lws_controller::plan::obstacle::Obstacle as Hindrance;

use super::findings::kubectl;
use super::{Finding, what};
use crate::events::lacks_pods;
use crate::snapshot::Snapshot;

/// Pods that Kubernetes refuses to create.
pub(super) fn of(snapshot: &Snapshot) -> Option<Finding> {
    let newest = short(snapshot).filter_map(|it| snapshot.refusal(it));
    let event = newest.max_by_key(|event| last_seen(event))?;
    let message = event.message.clone().unwrap_or_default();
    let name = event.involved_object.name.clone().unwrap_or_default();
    Some(Finding {
        what: kind(&message).to_owned(),
        evidence: format!("statefulset {name}: {message}"),
        advice: advice(&message, snapshot.set.namespace()),
    })
}

/// The `StatefulSet`s of the set that lack pods.
fn short(snapshot: &Snapshot) -> impl Iterator<Item = &StatefulSetView> {
    let all = snapshot.entry.stateful_sets.values().map(AsRef::as_ref);
    all.filter(move |it: &&StatefulSetView| {
        !it.identity.is_terminating() && snapshot.stranger("StatefulSet", &it.identity).is_none()
    })
    .filter(|it| lacks_pods(it))
}

/// Whether the set lacks pods.
pub(super) fn is_short(snapshot: &Snapshot) -> bool {
    let size = i64::from(snapshot.set.spec.leader_worker_template.size());
    let wanted = snapshot.leader_set().map_or(0, |it| it.replicas * size);
    let present = i64::try_from(snapshot.entry.pods.len()).unwrap_or(i64::MAX);
    present < wanted || short(snapshot).next().is_some()
}

/// What a refusal of a pod is about.
pub(super) fn kind(message: &str) -> &'static str {
    match Hindrance::of_refusal(message) {
        Hindrance::Quota => what::QUOTA,
        Hindrance::Webhook => what::WEBHOOK,
        _ => what::REFUSED,
    }
}

/// What to do about it.
pub(super) fn advice(message: &str, namespace: &str) -> String {
    match Hindrance::of_refusal(message) {
        Hindrance::Quota => format!(
            "raise the quota, or lower replicas, size or what pods request: {}",
            kubectl(namespace, "describe quota")
        ),
        Hindrance::Webhook => {
            "see whether the pods behind the webhook run, and its certificate and Service"
                .to_owned()
        }
        _ => "do what the message says; pods are created by the StatefulSet controller from the \
              template of the set"
            .to_owned(),
    }
}

//! Settings of a set that have no effect.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::super::view::View;
use super::{Warnings, quoted};
use crate::keys::PREFIX;
use crate::keys::annotations::{
    EXCLUSIVE_TOPOLOGY, PAUSED_PARTITION, RECREATE_AFTER_START, REVISION_HISTORY_LIMIT,
    SUBGROUP_EXCLUSIVE_TOPOLOGY,
};

const ROLLING_UPDATE: &str = "spec.rolloutStrategy.rollingUpdateConfiguration";
const TEMPLATE: &str = "spec.leaderWorkerTemplate";

pub(super) fn check(view: View<'_>, warnings: &mut Warnings) {
    check_annotations(view, warnings);
    check_rolling_update(view, warnings);
    if view.size() == 1 && view.sub_group().is_some_and(|it| it.leader_excluded) {
        warnings.push(format_args!(
            "{TEMPLATE}.subGroupPolicy: has no effect: a group of size 1 has only a leader, which \
             is excluded"
        ));
    }
    check_claims(view, warnings);
}

fn check_annotations(view: View<'_>, warnings: &mut Warnings) {
    const USERS: [&str; 5] = [
        EXCLUSIVE_TOPOLOGY,
        SUBGROUP_EXCLUSIVE_TOPOLOGY,
        RECREATE_AFTER_START,
        REVISION_HISTORY_LIMIT,
        PAUSED_PARTITION,
    ];
    for (key, _) in view.texts("/metadata/annotations") {
        if key.starts_with(PREFIX) && !USERS.contains(&key) {
            warnings.push(format_args!(
                "metadata.annotations: {key:?} has no effect on a LeaderWorkerSet"
            ));
        }
    }
    let policy = view.text("/spec/leaderWorkerTemplate/restartPolicy");
    if view.annotation(RECREATE_AFTER_START).is_some() && policy == "None" {
        warnings.push(format_args!(
            "metadata.annotations.{RECREATE_AFTER_START}: has no effect with restartPolicy None"
        ));
    }
    let limit = view.annotation(REVISION_HISTORY_LIMIT).filter(|it| it.parse::<usize>().is_err());
    if let Some(limit) = limit {
        warnings.push(format_args!(
            "metadata.annotations.{REVISION_HISTORY_LIMIT}: {} is not a whole number of 0 or more: no \
             revision is kept",
            quoted(limit)
        ));
    }
}

/// A set that is scaled to nothing keeps the settings for when it is back.
fn check_rolling_update(view: View<'_>, warnings: &mut Warnings) {
    let replicas = view.replicas();
    if replicas == 0 {
        return;
    }
    let partition = view.partition();
    if partition > replicas {
        warnings.push(format_args!(
            "{ROLLING_UPDATE}.partition: {partition} is above the number of replicas, {replicas}: \
             no group will be updated"
        ));
    }
    if let IntOrString::Int(surge) = view.max_surge()
        && i64::from(surge) > replicas
    {
        warnings.push(format_args!(
            "{ROLLING_UPDATE}.maxSurge: {surge} counts as {replicas}, the number of replicas"
        ));
    }
}

fn check_claims(view: View<'_>, warnings: &mut Warnings) {
    const POLICY: &str = "/spec/leaderWorkerTemplate/persistentVolumeClaimRetentionPolicy";
    let claims = view.list("/spec/leaderWorkerTemplate/volumeClaimTemplates");
    for (index, claim) in claims.iter().enumerate() {
        let status = View(claim).get("/status").and_then(Value::as_object);
        if status.is_some_and(|status| !status.is_empty()) {
            warnings.push(format_args!(
                "{TEMPLATE}.volumeClaimTemplates[{index}].status: has no effect"
            ));
        }
    }
    let policy = view.texts(POLICY).filter(|(_, value)| !value.is_empty());
    for (field, value) in policy {
        let path = format!("{TEMPLATE}.persistentVolumeClaimRetentionPolicy.{field}");
        if !matches!(value, "Delete" | "Retain") {
            warnings.push(format_args!(
                "{path}: {} is neither Delete nor Retain: Kubernetes will refuse the StatefulSets, \
                 and no pod will be created",
                quoted(value)
            ));
        } else if claims.is_empty() {
            warnings.push(format_args!("{path}: has no effect without volumeClaimTemplates"));
        }
    }
}

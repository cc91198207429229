//! Rules for `spec`, in the order in which their errors are listed.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::field_error::FieldError;
use super::rule::{Rule, Violations};
use super::view::{SubGroup, View};
use crate::int_or_percent::{Rounding, percent, scaled};
use crate::keys::annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY;

/// Path of the subgroup size. The capital S is part of it: clients match the text.
pub(super) const SUB_GROUP_SIZE: &str = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize";

const REPLICAS: &str = "spec.replicas";
const MAX_REPLICAS: i64 = 1_000_000;
const MAX_PODS: i64 = i32::MAX as i64;
const MAX_UNAVAILABLE: GroupCount = GroupCount {
    path: "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable",
    format: Rule::MaxUnavailableFormat,
    minimum: Rule::MaxUnavailableMinimum,
    maximum: Rule::MaxUnavailableMaximum,
};
const MAX_SURGE: GroupCount = GroupCount {
    path: "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge",
    format: Rule::MaxSurgeFormat,
    minimum: Rule::MaxSurgeMinimum,
    maximum: Rule::MaxSurgeMaximum,
};
const PARTITION: &str = "spec.rolloutStrategy.rollingUpdateConfiguration.partition";
const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// A field that holds a number of groups or a percentage of them, and its rules.
struct GroupCount {
    path: &'static str,
    format: Rule,
    minimum: Rule,
    maximum: Rule,
}

/// Appends what is wrong with the spec.
pub(super) fn check(view: View<'_>, errors: &mut Violations) {
    check_groups(view, errors);
    check_rolling_update(view, errors);
    if let Some(sub_group) = view.sub_group() {
        check_sub_group(sub_group, view.size(), errors);
    }
    check_subgroup_topology(view, errors);
}

/// The rule that reads an annotation.
pub(super) fn check_subgroup_topology(view: View<'_>, errors: &mut Violations) {
    if let Some(topology) = view.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY)
        && view.sub_group().is_none()
    {
        let path = format!("metadata.annotations.{SUBGROUP_EXCLUSIVE_TOPOLOGY}");
        let detail = "cannot have subgroup-exclusive-topology without subGroupSize set";
        errors.push(Rule::SubgroupTopology.broken(FieldError::invalid(path, topology, detail)));
    }
}

fn check_groups(view: View<'_>, errors: &mut Violations) {
    let (replicas, size) = (view.replicas(), view.size());
    let mut reject = |rule: Rule, path, value: i64, detail| {
        errors.push(rule.broken(FieldError::invalid(path, value, detail)));
    };
    if replicas < 0 {
        let detail = "replicas must be equal or greater than 0";
        reject(Rule::ReplicasMinimum, REPLICAS, replicas, detail);
    }
    if replicas > MAX_REPLICAS {
        let detail = "replicas must be equal or less than 1000000";
        reject(Rule::ReplicasMaximum, REPLICAS, replicas, detail);
    }
    if size < 1 {
        let detail = "size must be equal or greater than 1";
        reject(Rule::SizeMinimum, "spec.leaderWorkerTemplate.size", size, detail);
    }
    // Both fit 32 bits, so their product fits 64.
    if replicas.saturating_mul(size) > MAX_PODS {
        let detail = "the product of replicas and worker replicas must not exceed 2147483647";
        reject(Rule::PodsMaximum, REPLICAS, replicas, detail);
    }
}

fn check_rolling_update(view: View<'_>, errors: &mut Violations) {
    let replicas = view.replicas();
    let (max_unavailable, max_surge) = (view.max_unavailable(), view.max_surge());
    MAX_UNAVAILABLE.check(&max_unavailable, errors);
    MAX_SURGE.check(&max_surge, errors);
    if view.partition() < 0 {
        let error = FieldError::invalid(PARTITION, view.partition(), NOT_NEGATIVE);
        errors.push(Rule::PartitionMinimum.broken(error));
    }
    let unavailable = scaled(&max_unavailable, replicas, Rounding::Down);
    let surge = scaled(&max_surge, replicas, Rounding::Up);
    for (count, value, groups) in
        [(MAX_UNAVAILABLE, &max_unavailable, unavailable), (MAX_SURGE, &max_surge, surge)]
    {
        if groups.is_none() {
            let error = FieldError::invalid(count.path, json(value), "invalid value");
            errors.push(Rule::RollingUpdateValue.broken(error));
        }
    }
    // What cannot be scaled counts as 0. Without groups there is nothing to roll.
    if unavailable.unwrap_or(0) == 0 && surge.unwrap_or(0) == 0 && replicas != 0 {
        let detail = "must not be 0 when `maxSurge` is 0";
        let error = FieldError::invalid(MAX_UNAVAILABLE.path, json(&max_unavailable), detail);
        errors.push(Rule::RollingUpdateStuck.broken(error));
    }
}

impl GroupCount {
    fn check(&self, value: &IntOrString, errors: &mut Violations) {
        let (rule, detail) = match value {
            IntOrString::Int(number) if *number < 0 => (self.minimum, NOT_NEGATIVE),
            IntOrString::String(text) if !is_percentage(text) => (
                self.format,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. \
                 '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ),
            // A percentage without a value has more digits than 64 bits hold.
            IntOrString::String(text) if percent(text).is_none_or(|it| it > 100) => {
                (self.maximum, "must not be greater than 100%")
            }
            IntOrString::Int(_) | IntOrString::String(_) => return,
        };
        errors.push(rule.broken(FieldError::invalid(self.path, json(value), detail)));
    }
}

fn is_percentage(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn json(value: &IntOrString) -> Value {
    match value {
        IntOrString::Int(number) => (*number).into(),
        IntOrString::String(text) => text.as_str().into(),
    }
}

fn check_sub_group(sub_group: SubGroup, size: i64, errors: &mut Violations) {
    let Some(sub_group_size) = sub_group.size else {
        let error = FieldError::required(SUB_GROUP_SIZE, "");
        errors.push(Rule::SubgroupSizeRequired.broken(error));
        return;
    };
    let mut reject = |rule: Rule, detail| {
        errors.push(rule.broken(FieldError::invalid(SUB_GROUP_SIZE, sub_group_size, detail)));
    };
    // Nothing can be said about division by a subgroup size of 0.
    let leaves_rest = |pods: i64| pods.checked_rem(sub_group_size).is_some_and(|rest| rest != 0);
    if sub_group_size < 1 {
        reject(Rule::SubgroupSizeMinimum, "subGroupSize must be equal or greater than 1");
    }
    if leaves_rest(size) && leaves_rest(size - 1) {
        reject(Rule::SubgroupSizeDivisor, "size or size - 1 must be divisible by subGroupSize");
    }
    if size < sub_group_size {
        reject(Rule::SubgroupSizeMaximum, "subGroupSize cannot be larger than size");
    }
    if sub_group.leader_excluded && leaves_rest(size - 1) {
        let detail = "size-1 must be divisible by subGroupSize when using LeaderExcluded";
        reject(Rule::SubgroupSizeLeaderExcluded, detail);
    }
}

//! Rules for `spec`, in the order in which their errors are listed.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::field_error::FieldError;
use super::view::{SubGroup, View};
use crate::int_or_percent::{Rounding, percent, scaled};
use crate::keys::annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY;

/// Path of the subgroup size. The capital S is part of it: clients match the text.
pub(super) const SUB_GROUP_SIZE: &str = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize";

const REPLICAS: &str = "spec.replicas";
const MAX_REPLICAS: i64 = 1_000_000;
const MAX_PODS: i64 = i32::MAX as i64;
const MAX_UNAVAILABLE: &str = "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable";
const MAX_SURGE: &str = "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge";
const PARTITION: &str = "spec.rolloutStrategy.rollingUpdateConfiguration.partition";
const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Appends what is wrong with the spec.
pub(super) fn check(view: View<'_>, errors: &mut Vec<FieldError>) {
    check_groups(view, errors);
    check_rolling_update(view, errors);
    match view.sub_group() {
        Some(sub_group) => check_sub_group(sub_group, view.size(), errors),
        None if view.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY).is_some() => {
            let path = format!("metadata.annotations.{SUBGROUP_EXCLUSIVE_TOPOLOGY}");
            let value = view.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY);
            let detail = "cannot have subgroup-exclusive-topology without subGroupSize set";
            errors.push(FieldError::invalid(path, value, detail));
        }
        None => {}
    }
}

fn check_groups(view: View<'_>, errors: &mut Vec<FieldError>) {
    let (replicas, size) = (view.replicas(), view.size());
    let mut reject = |path, value: i64, detail| {
        errors.push(FieldError::invalid(path, value, detail));
    };
    if replicas < 0 {
        reject(REPLICAS, replicas, "replicas must be equal or greater than 0");
    }
    if replicas > MAX_REPLICAS {
        reject(REPLICAS, replicas, "replicas must be equal or less than 1000000");
    }
    if size < 1 {
        reject("spec.leaderWorkerTemplate.size", size, "size must be equal or greater than 1");
    }
    // Both fit 32 bits, so their product fits 64.
    if replicas.saturating_mul(size) > MAX_PODS {
        let detail = "the product of replicas and worker replicas must not exceed 2147483647";
        reject(REPLICAS, replicas, detail);
    }
}

fn check_rolling_update(view: View<'_>, errors: &mut Vec<FieldError>) {
    let replicas = view.replicas();
    let (max_unavailable, max_surge) = (view.max_unavailable(), view.max_surge());
    check_group_count(MAX_UNAVAILABLE, &max_unavailable, errors);
    check_group_count(MAX_SURGE, &max_surge, errors);
    if view.partition() < 0 {
        errors.push(FieldError::invalid(PARTITION, view.partition(), NOT_NEGATIVE));
    }
    let unavailable = scaled(&max_unavailable, replicas, Rounding::Down);
    let surge = scaled(&max_surge, replicas, Rounding::Up);
    if unavailable.is_none() {
        errors.push(FieldError::invalid(MAX_UNAVAILABLE, json(&max_unavailable), "invalid value"));
    }
    if surge.is_none() {
        errors.push(FieldError::invalid(MAX_SURGE, json(&max_surge), "invalid value"));
    }
    // What cannot be scaled counts as 0. Without groups there is nothing to roll.
    if unavailable.unwrap_or(0) == 0 && surge.unwrap_or(0) == 0 && replicas != 0 {
        let detail = "must not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(MAX_UNAVAILABLE, json(&max_unavailable), detail));
    }
}

fn check_group_count(path: &'static str, value: &IntOrString, errors: &mut Vec<FieldError>) {
    let detail = match value {
        IntOrString::Int(number) if *number < 0 => NOT_NEGATIVE,
        IntOrString::String(text) if !is_percentage(text) => {
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. \
             '1%',  or '93%', regex used for validation is '[0-9]+%')"
        }
        // A percentage without a value has more digits than 64 bits hold.
        IntOrString::String(text) if percent(text).is_none_or(|it| it > 100) => {
            "must not be greater than 100%"
        }
        IntOrString::Int(_) | IntOrString::String(_) => return,
    };
    errors.push(FieldError::invalid(path, json(value), detail));
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

fn check_sub_group(sub_group: SubGroup, size: i64, errors: &mut Vec<FieldError>) {
    let Some(sub_group_size) = sub_group.size else {
        errors.push(FieldError::required(SUB_GROUP_SIZE, ""));
        return;
    };
    let mut reject = |detail| {
        errors.push(FieldError::invalid(SUB_GROUP_SIZE, sub_group_size, detail));
    };
    // Nothing can be said about division by a subgroup size of 0.
    let leaves_rest = |pods: i64| pods.checked_rem(sub_group_size).is_some_and(|rest| rest != 0);
    if sub_group_size < 1 {
        reject("subGroupSize must be equal or greater than 1");
    }
    if leaves_rest(size) && leaves_rest(size - 1) {
        reject("size or size - 1 must be divisible by subGroupSize");
    }
    if size < sub_group_size {
        reject("subGroupSize cannot be larger than size");
    }
    if sub_group.leader_excluded && leaves_rest(size - 1) {
        reject("size-1 must be divisible by subGroupSize when using LeaderExcluded");
    }
}

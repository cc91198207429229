//! Rules for changing a stored object, and which changes they concern.

use serde_json::Value;

use super::claims;
use super::field_error::FieldError;
use super::rule::{Rule, Violations};
use super::spec::SUB_GROUP_SIZE;
use super::view::View;
use crate::defaults;
use crate::keys::annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY;

const CLAIMS: &str = "/spec/leaderWorkerTemplate/volumeClaimTemplates";

/// Whether the update sets the annotation that needs a subgroup policy to another value. To remove
/// it is no change: what is wrong with it goes away.
pub(super) fn sets_subgroup_topology(view: View<'_>, old: View<'_>) -> bool {
    let topology = view.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY);
    topology.is_some() && topology != old.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY)
}

/// Whether the update changes the spec. Defaults that `old` was stored without are no change.
pub(super) fn changes_spec(view: View<'_>, old: View<'_>) -> bool {
    if view.get("/spec") == old.get("/spec") {
        return false;
    }
    let operations = defaults::defaults(old.0);
    operations.is_empty() || {
        let mut old = old.0.clone();
        defaults::apply(&mut old, operations);
        view.get("/spec") != View(&old).get("/spec")
    }
}

/// Appends what is wrong with the change.
pub(super) fn check(view: View<'_>, old: View<'_>, errors: &mut Violations) {
    check_sub_group(view, old, errors);
    let network_config = view.get("/spec/networkConfig");
    if network_config.is_some() && view.get("/spec/networkConfig/subdomainPolicy").is_none() {
        let path = "spec.networkConfig.subdomainPolicy";
        let detail = "cannot set subdomainPolicy as null";
        errors.push(Rule::SubdomainPolicyNull.broken(FieldError::invalid(
            path,
            Value::Null,
            detail,
        )));
    }
    // A StatefulSet refuses other claims: its update would fail for good.
    if !claims::same(view.list(CLAIMS), old.list(CLAIMS)) {
        let path = "spec.leaderWorkerTemplate.volumeClaimTemplates";
        let claims = view.get(CLAIMS).cloned().unwrap_or_default();
        let error = FieldError::invalid(path, claims, "field is immutable");
        errors.push(Rule::VolumeClaimsImmutable.broken(error));
    }
}

/// A missing new size has been reported as such. What was stored without a size that divides
/// anything is no division yet: it may get a size or go.
fn check_sub_group(view: View<'_>, old: View<'_>, errors: &mut Violations) {
    let (rule, value, detail) = match (view.sub_group(), old.sub_group()) {
        (_, Some(old)) if old.size.is_none_or(|size| size < 1) => return,
        (Some(new), Some(old)) if new.size.is_some() && new.size != old.size => {
            (Rule::SubgroupSizeImmutable, new.size, "field is immutable")
        }
        (Some(new), None) if new.size.is_some() => (
            Rule::SubgroupPolicyAdded,
            new.size,
            "cannot enable subGroupSize after the lws is already created",
        ),
        (None, Some(old)) => {
            (Rule::SubgroupPolicyRemoved, old.size, "cannot remove subGroupSize after enabled")
        }
        _ => return,
    };
    errors.push(rule.broken(FieldError::invalid(SUB_GROUP_SIZE, value, detail)));
}

//! Rules for changing a stored object, and which changes they concern.

use serde_json::Value;

use super::claims;
use super::field_error::FieldError;
use super::spec::SUB_GROUP_SIZE;
use super::view::View;
use crate::defaults;
use crate::keys::annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY;

const CLAIMS: &str = "/spec/leaderWorkerTemplate/volumeClaimTemplates";

/// Whether the update changes something that a rule reads: the spec, or the annotation that needs
/// a subgroup policy. Defaults that `old` was stored without are no change.
pub(super) fn is_subject_to_rules(view: View<'_>, old: View<'_>) -> bool {
    let annotation = |it: View<'_>| it.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY).is_some();
    if annotation(view) != annotation(old) {
        return true;
    }
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
pub(super) fn check(view: View<'_>, old: View<'_>, errors: &mut Vec<FieldError>) {
    check_sub_group(view, old, errors);
    let network_config = view.get("/spec/networkConfig");
    if network_config.is_some() && view.get("/spec/networkConfig/subdomainPolicy").is_none() {
        let path = "spec.networkConfig.subdomainPolicy";
        let detail = "cannot set subdomainPolicy as null";
        errors.push(FieldError::invalid(path, Value::Null, detail));
    }
    // A StatefulSet refuses other claims: its update would fail for good.
    if !claims::same(view.list(CLAIMS), old.list(CLAIMS)) {
        let path = "spec.leaderWorkerTemplate.volumeClaimTemplates";
        let claims = view.get(CLAIMS).cloned().unwrap_or_default();
        errors.push(FieldError::invalid(path, claims, "field is immutable"));
    }
}

/// A missing new size has been reported as such.
fn check_sub_group(view: View<'_>, old: View<'_>, errors: &mut Vec<FieldError>) {
    let (value, detail) = match (view.sub_group(), old.sub_group()) {
        (Some(new), Some(old)) if new.size.is_some() && new.size != old.size => {
            (new.size, "field is immutable")
        }
        (Some(new), None) if new.size.is_some() => {
            (new.size, "cannot enable subGroupSize after the lws is already created")
        }
        (None, Some(old)) => (old.size, "cannot remove subGroupSize after enabled"),
        _ => return,
    };
    errors.push(FieldError::invalid(SUB_GROUP_SIZE, value, detail));
}

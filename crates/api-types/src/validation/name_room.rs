//! How many groups the length of a set's name leaves room for.
//!
//! The name of a `StatefulSet` has [`LONGEST_STATEFUL_SET`] characters at most. The leader `StatefulSet`
//! is named like the set, that of the workers of a group `<set>-<group index>`. Nothing else binds:
//! below these limits `<set>-<group index>-<worker index>` stays within the 63 characters of a pod
//! name for every size.

use super::field_error::FieldError;
use super::formats;
use super::rule::{Rule, Violations};
use super::view::View;
use crate::int_or_percent::{Rounding, scaled};
use crate::names::LONGEST_STATEFUL_SET;

/// Rejects a valid name that leaves no room even for group 0: no pod of it could be created.
pub(super) fn check(view: View<'_>, errors: &mut Violations) {
    let name = view.name();
    if formats::dns_1035_label(name).is_empty() && first_without_room(view) == Some(0) {
        let limit = limit(view);
        let detail = format!(
            "must be no more than {limit} characters: Kubernetes labels the pods of group 0 with \
             this name, the group index and a revision hash, in at most 63 characters"
        );
        errors.push(Rule::NameRoom.broken(FieldError::invalid("metadata.name", name, detail)));
    }
}

/// Says from which group on there is no room, when the set has that many.
pub(super) fn warning(view: View<'_>) -> Option<String> {
    let first = first_without_room(view)?;
    let surge = scaled(&view.max_surge(), view.replicas(), Rounding::Up).unwrap_or(0);
    let groups = view.replicas().saturating_add(surge.min(view.replicas()));
    (first < groups).then(|| {
        format!(
            "metadata.name: {} characters leave no room for group {first} and above: their pods \
             cannot be created, since the label values derived from the name exceed 63 characters",
            view.name().len()
        )
    })
}

/// Characters of a name that leaves room for group 0.
fn limit(view: View<'_>) -> usize {
    // Without workers there is no StatefulSet with a group index, two characters for group 0.
    if view.size() > 1 { LONGEST_STATEFUL_SET - 2 } else { LONGEST_STATEFUL_SET }
}

/// The lowest index of a group whose pods cannot be created; `None` when all can.
fn first_without_room(view: View<'_>) -> Option<i64> {
    let Some(spare) = limit(view).checked_sub(view.name().len()) else { return Some(0) };
    // One digit is in the limit; `spare` more make room for the indexes below 10^(spare + 1).
    // Beyond 64 bits there are no indexes.
    if view.size() > 1 { 10_i64.checked_pow(u32::try_from(spare).ok()? + 1) } else { None }
}

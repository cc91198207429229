//! What a `LeaderWorkerSet` may look like: the rules of the validating webhook.
//!
//! Works on the JSON of the object, so that a field of the wrong type is named together with its
//! value instead of failing the decoding of the whole.
//!
//! | module | owns |
//! |---|---|
//! | `rule` | the rules by name |
//! | `field_error` | rejections and their text |
//! | `shape` | the type of every field that a rule reads |
//! | `view` | reading those fields, with the meaning of absent ones |
//! | `formats` | names, label keys and label values as Kubernetes wants them |
//! | `metadata` | rules for `metadata` |
//! | `spec` | rules for `spec` |
//! | `update` | rules for changing a stored object |
//! | `claims` | when two lists of claims are the same |
//! | `name_room` | how many groups the length of a name leaves room for |
//! | `warnings` | what is allowed, but unlikely to be meant |

mod claims;
mod field_error;
pub mod formats;
mod metadata;
mod name_room;
mod rule;
mod shape;
mod spec;
mod update;
mod view;
mod warnings;

use serde_json::Value;

pub use field_error::{FieldError, aggregate};
use rule::Violations;
pub use rule::{Rule, Violation};
use view::View;

/// What validation says about an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Why the object is rejected, in the order of the rules, at most 100 reasons; empty when it is
    /// allowed.
    pub errors: Vec<Violation>,
    /// What its author should know about an allowed object. At most 256 characters each, the
    /// length that the API server guarantees to pass on.
    pub warnings: Vec<String>,
}

/// Judges a new object, as it is after defaulting.
#[must_use]
pub fn validate_create(object: &Value) -> Verdict {
    let view = View(object);
    let mut errors = shape::check(object);
    // Rules read fields of the right type only.
    if errors.is_empty() {
        metadata::check(view, &mut errors);
        spec::check(view, &mut errors);
        name_room::check(view, &mut errors);
    }
    let warnings = if errors.is_empty() { warnings::of(view) } else { Vec::new() };
    Verdict { errors: errors.into_vec(), warnings }
}

/// Judges the change of the stored object `old` to `object`, as it is after defaulting.
///
/// An update of an object that is being deleted, and one that does not touch the spec, is allowed
/// whatever the object holds: an object stored under other rules must not keep its finalizers for
/// ever. Of metadata only the annotation that a rule reads is judged, if it is set anew: the API
/// server has judged the rest. Warnings are those that `old` did not already deserve.
#[must_use]
pub fn validate_update(object: &Value, old: &Value) -> Verdict {
    let (view, old_view) = (View(object), View(old));
    if view.is_being_deleted() {
        return Verdict::default();
    }
    let mut errors = Violations::default();
    if update::changes_spec(view, old_view) {
        errors = shape::check(object);
        if errors.is_empty() {
            metadata::check(view, &mut errors);
            spec::check(view, &mut errors);
            update::check(view, old_view, &mut errors);
        }
    } else if update::sets_subgroup_topology(view, old_view) {
        spec::check_subgroup_topology(view, &mut errors);
    }
    let mut warnings = Vec::new();
    if errors.is_empty() {
        warnings = warnings::of(view);
        if !warnings.is_empty() {
            let known = warnings::of(old_view);
            warnings.retain(|warning| !known.contains(warning));
        }
    }
    Verdict { errors: errors.into_vec(), warnings }
}

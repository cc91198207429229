//! When two lists of claims are the same: written again with other spellings of a quantity, with
//! defaults filled in, or with empty fields, a claim has not changed.

use serde_json::{Map, Value};

use crate::quantity::Quantity;

/// Whether a `StatefulSet` would take one list for the other.
pub(super) fn same(claims: &[Value], others: &[Value]) -> bool {
    claims == others
        || claims.len() == others.len()
            && claims.iter().zip(others).all(|(claim, other)| normal(claim) == normal(other))
}

/// A claim without what does not matter: type, status and empty fields, with each amount in one
/// spelling and the default volume mode.
fn normal(claim: &Value) -> Value {
    let mut claim = without_empty(claim);
    if let Value::Object(fields) = &mut claim {
        for key in ["apiVersion", "kind", "status"] {
            fields.remove(key);
        }
        if let Some(Value::Object(spec)) = fields.get_mut("spec") {
            spec.entry("volumeMode").or_insert_with(|| "Filesystem".into());
            for amounts in ["limits", "requests"] {
                let amounts = spec.get_mut("resources").and_then(|it| it.get_mut(amounts));
                let amounts = amounts.and_then(Value::as_object_mut).into_iter();
                amounts.flat_map(Map::values_mut).for_each(canonicalise);
            }
        }
    }
    claim
}

/// `value` without the members of its objects that are null, an empty object or an empty list.
/// An empty text stays: as a storage class it means something.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), without_empty(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => items.iter().map(without_empty).collect(),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null()
        || value.as_object().is_some_and(Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}

/// Writes a quantity in the one form that its amount has; what is none stays as it is.
fn canonicalise(amount: &mut Value) {
    if let Some(quantity) = Quantity::from_json(amount) {
        *amount = quantity.in_exponent_format().to_string().into();
    }
}

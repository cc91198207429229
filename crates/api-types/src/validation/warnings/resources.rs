//! Amounts of devices, such as TPUs, that Kubernetes will refuse: there are no parts of a device,
//! and none is lent.

use std::fmt::Arguments;

use serde_json::{Map, Value};

use super::super::view::View;
use super::refused::Judged;
use super::{excerpt, quoted};
use crate::quantity::Quantity;

/// `container` has its resources at `field` of its template.
pub(super) fn check(container: View<'_>, field: Arguments<'_>, judged: &mut Judged<'_>) {
    let amounts = |pointer| container.get(pointer).and_then(Value::as_object);
    let limits = amounts("/resources/limits");
    let requests = amounts("/resources/requests");
    for (list, amounts) in [("limits", limits), ("requests", requests)] {
        for (key, amount) in devices(amounts) {
            if whole(amount).is_none() {
                judged.warn(
                    format_args!("{field}.{list}[{}]", excerpt(key)),
                    format_args!("{} is not a whole number of 0 or more", quoted(amount.clone())),
                );
            }
        }
    }
    for (key, request) in devices(requests) {
        let key_shown = excerpt(key);
        let at = format_args!("{field}.requests[{key_shown}]");
        let limit = limits.and_then(|limits| limits.get(key)).filter(|limit| !limit.is_null());
        let Some(limit) = limit else {
            judged.warn(at, format_args!("there must be a limit of the same amount"));
            continue;
        };
        if let (Some(requested), Some(limited)) = (whole(request), whole(limit))
            && requested != limited
        {
            judged.warn(at, format_args!("{requested} is not the limit, which is {limited}"));
        }
    }
}

/// The amounts of devices: what Kubernetes calls extended resources.
fn devices(amounts: Option<&Map<String, Value>>) -> impl Iterator<Item = (&String, &Value)> {
    amounts.into_iter().flatten().filter(|(key, amount)| {
        let is_native = !key.contains('/') || key.contains("kubernetes.io/");
        let is_amount = amount.is_string() || amount.is_number();
        is_amount && !is_native && !key.starts_with("requests.")
    })
}

/// A number of devices.
fn whole(amount: &Value) -> Option<i128> {
    Quantity::from_json(amount)?.integer().filter(|number| *number >= 0)
}

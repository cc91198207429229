//! What makes a container a TPU container, and what its author has decided about its hosts: the
//! same for a pod that is admitted and for the template that it is made from.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::keys::{TPU_FIRST_PORT, TPU_RESOURCE, env};

/// A container, in whatever form it was read.
pub trait TpuContainer {
    /// The limit and the request of TPUs, as far as there are any.
    fn amounts(&self) -> impl Iterator<Item = Cow<'_, Value>>;

    /// The value of the first variable of this name; empty when it comes from elsewhere. `None`
    /// when it is not set.
    fn variable(&self, name: &str) -> Option<&str>;

    /// Whether the limit, or else the request, of TPUs is not zero.
    fn requests_tpus(&self) -> bool {
        self.amounts().any(|amount| !is_zero_quantity(&amount))
    }

    /// Whether its author tells it its TPU hosts.
    fn knows_tpu_hosts(&self) -> bool {
        [env::TPU_WORKER_HOSTNAMES, env::TPU_WORKER_ID]
            .into_iter()
            .any(|name| self.variable(name).is_some())
    }

    /// The port in its address, when it is the TPU container at `position` of its pod: its own if
    /// that is written out, else the default. An address without a port helps nobody, so a port
    /// that comes from elsewhere counts as the default.
    fn tpu_port(&self, position: usize) -> Cow<'_, str> {
        match self.variable(env::TPU_PROCESS_PORT) {
            None | Some("") => (TPU_FIRST_PORT + position).to_string().into(),
            Some(own) => own.into(),
        }
    }
}

/// The limit and the request of TPUs in a container's `resources`, as far as there are any.
pub fn amounts(resources: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    ["limits", "requests"].into_iter().filter_map(|list| resources.get(list)?.get(TPU_RESOURCE))
}

/// Whether the limit, or else the request, of TPUs in a container's `resources` is not zero.
#[must_use]
pub fn resources_request_tpus(resources: &Map<String, Value>) -> bool {
    amounts(resources).any(|amount| !is_zero_quantity(amount))
}

/// A quantity is zero when every digit of its number is; its suffix does not matter.
fn is_zero_quantity(quantity: &Value) -> bool {
    match quantity {
        Value::String(text) => {
            let number = text.trim_start_matches(['+', '-']);
            let end =
                number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
            number.bytes().take(end).all(|byte| matches!(byte, b'0' | b'.'))
        }
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tpus_are_found_by_limit_or_request() {
        for (resources, expected) in [
            (json!({"limits": {TPU_RESOURCE: "4"}}), true),
            (json!({"requests": {TPU_RESOURCE: 4}}), true),
            (json!({"limits": {TPU_RESOURCE: "0"}, "requests": {TPU_RESOURCE: "1"}}), true),
            (json!({"limits": {TPU_RESOURCE: "0"}}), false),
            (json!({"limits": {TPU_RESOURCE: "0.0Ki"}}), false),
            (json!({"limits": {"cpu": "1"}}), false),
            (json!({"limits": null}), false),
            (json!({}), false),
        ] {
            let found = resources_request_tpus(resources.as_object().unwrap());
            assert_eq!(found, expected, "{resources}");
        }
    }

    /// A container with one variable.
    struct With(&'static str, &'static str);

    impl TpuContainer for With {
        fn amounts(&self) -> impl Iterator<Item = Cow<'_, Value>> {
            std::iter::empty()
        }

        fn variable(&self, name: &str) -> Option<&str> {
            (self.0 == name).then_some(self.1)
        }
    }

    #[test]
    fn ports_are_written_out_or_counted() {
        for (container, expected) in [
            (With(env::TPU_PROCESS_PORT, "9000"), "9000"),
            (With(env::TPU_PROCESS_PORT, ""), "8478"),
            (With(env::TPU_NAME, "9000"), "8478"),
        ] {
            assert_eq!(container.tpu_port(2), expected);
        }
    }

    #[test]
    fn hosts_are_known_by_list_or_id() {
        for (name, expected) in [
            (env::TPU_WORKER_HOSTNAMES, true),
            (env::TPU_WORKER_ID, true),
            (env::TPU_PROCESS_ADDRESSES, false),
        ] {
            assert_eq!(With(name, "").knows_tpu_hosts(), expected, "{name}");
        }
    }
}

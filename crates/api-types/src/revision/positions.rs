//! Where a set holds quantities.

use serde_json::{Map, Value};

use super::core_v1::{PERSISTENT_VOLUME_CLAIM, POD_TEMPLATE_SPEC};
use super::typed::Kind::{self, List, Object};
use super::typed::{Field, Fields, always, present, set};
use crate::pointer::escape;

/// `LeaderWorkerSet`, as far as it has quantities.
const SET: Fields = &[always("spec", Object(SPEC))];

const SPEC: Fields = &[always("leaderWorkerTemplate", Object(LEADER_WORKER_TEMPLATE))];

const LEADER_WORKER_TEMPLATE: Fields = &[
    present("leaderTemplate", Object(POD_TEMPLATE_SPEC)),
    set("volumeClaimTemplates", List(&Object(PERSISTENT_VOLUME_CLAIM))),
    always("workerTemplate", Object(POD_TEMPLATE_SPEC)),
];

/// Shows `visit` each value of a set that Kubernetes reads as a quantity, whatever it is, with its
/// JSON pointer. Ends with the first error.
pub(crate) fn visit_quantities<E>(
    set: &Value,
    visit: impl FnMut(&str, &Value) -> Result<(), E>,
) -> Result<(), E> {
    Walk { pointer: String::new(), visit }.enter(Object(SET), set)
}

struct Walk<V> {
    /// Where the walk is.
    pointer: String,
    visit: V,
}

impl<V: FnMut(&str, &Value) -> Result<(), E>, E> Walk<V> {
    fn enter(&mut self, kind: Kind, value: &Value) -> Result<(), E> {
        match (kind, value) {
            (Kind::Quantity, it) => (self.visit)(&self.pointer, it),
            (Object(fields), Value::Object(map)) => self.fields(fields, map),
            (List(element), Value::Array(list)) => list
                .iter()
                .enumerate()
                .try_for_each(|(index, it)| self.step(&index.to_string(), *element, it)),
            (Kind::Map(member), Value::Object(map)) => {
                map.iter().try_for_each(|(key, it)| self.step(&escape(key), *member, it))
            }
            _ => Ok(()),
        }
    }

    fn fields(&mut self, fields: Fields, object: &Map<String, Value>) -> Result<(), E> {
        for Field { name, kind, .. } in fields.iter().filter(|it| may_lead_on(it.kind)) {
            if let Some(value) = object.get(*name) {
                self.step(name, *kind, value)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, segment: &str, kind: Kind, value: &Value) -> Result<(), E> {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(segment);
        self.enter(kind, value)?;
        self.pointer.truncate(length);
        Ok(())
    }
}

/// Whether there may be a quantity at or below a value of this type.
fn may_lead_on(kind: Kind) -> bool {
    match kind {
        Kind::Quantity | Object(_) => true,
        List(inner) | Kind::Map(inner) => may_lead_on(*inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::json;

    use super::*;

    fn pointers(set: &Value) -> Vec<String> {
        let mut pointers = Vec::new();
        let end: Result<(), Infallible> = visit_quantities(set, |pointer, value| {
            assert_eq!(set.pointer(pointer), Some(value), "{pointer}");
            pointers.push(pointer.to_owned());
            Ok(())
        });
        assert!(end.is_ok());
        pointers
    }

    #[test]
    fn every_quantity_is_found_and_nothing_else() {
        let claim = json!({
            "metadata": {"name": "c"},
            "spec": {"resources": {"limits": {"storage": 1}, "requests": {"storage": 2}}},
        });
        let containers = json!([{
            "name": "a",
            "env": [
                {"name": "PLAIN", "value": 7},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "cpu", "divisor": 3}}},
            ],
            "resources": {"limits": {"nvidia.com/gpu": 4, "a~b": "5"}, "requests": {"cpu": null}},
            "livenessProbe": {"httpGet": {"port": 6.5}, "periodSeconds": 1.5},
        }]);
        let template = json!({
            "metadata": {"annotations": {"limits": 8}},
            "spec": {
                "containers": containers,
                "initContainers": containers,
                "ephemeralContainers": containers,
                "overhead": {"cpu": 9},
                "resources": {"limits": {"cpu": 10}},
                "volumes": [
                    {"emptyDir": {"sizeLimit": 11}},
                    {"ephemeral": {"volumeClaimTemplate": claim}},
                    {"downwardAPI": {"items": [{"resourceFieldRef": {"divisor": 12}}]}},
                    {"projected": {"sources": [
                        {"downwardAPI": {"items": [{"resourceFieldRef": {"divisor": 13}}]}},
                    ]}},
                ],
                "unknown": {"limits": {"cpu": 14}},
            },
        });
        let of_container = [
            "env/1/valueFrom/resourceFieldRef/divisor",
            "resources/limits/a~0b",
            "resources/limits/nvidia.com~1gpu",
            "resources/requests/cpu",
        ];
        let mut of_template: Vec<_> = ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .flat_map(|list| of_container.iter().map(move |it| format!("{list}/0/{it}")))
            .collect();
        of_template.extend(
            [
                "overhead/cpu",
                "resources/limits/cpu",
                "volumes/0/emptyDir/sizeLimit",
                "volumes/1/ephemeral/volumeClaimTemplate/spec/resources/limits/storage",
                "volumes/1/ephemeral/volumeClaimTemplate/spec/resources/requests/storage",
                "volumes/2/downwardAPI/items/0/resourceFieldRef/divisor",
                "volumes/3/projected/sources/0/downwardAPI/items/0/resourceFieldRef/divisor",
            ]
            .map(str::to_owned),
        );
        let mut expected: Vec<_> = ["leaderTemplate", "workerTemplate"]
            .iter()
            .flat_map(|name| of_template.iter().map(move |it| format!("{name}/spec/{it}")))
            .collect();
        expected.extend(
            ["limits", "requests"]
                .map(|it| format!("volumeClaimTemplates/1/spec/resources/{it}/storage")),
        );
        for pointer in &mut expected {
            pointer.insert_str(0, "/spec/leaderWorkerTemplate/");
        }
        let mut found = pointers(&json!({"spec": {"leaderWorkerTemplate": {
            "size": 1.5,
            "leaderTemplate": template,
            "workerTemplate": template,
            "volumeClaimTemplates": [{}, claim],
        }}}));
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn wrong_types_lead_nowhere() {
        for set in [
            json!(null),
            json!({"spec": []}),
            json!({"spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": {
                "resources": {"limits": {"cpu": 0.5}},
            }}}}}}),
        ] {
            assert_eq!(pointers(&set), [""; 0], "{set}");
        }
    }

    #[test]
    fn the_first_error_ends_the_walk() {
        let set = json!({"spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {
            "overhead": {"a": 1, "b": 2},
        }}}}});
        let mut visited = 0;
        let end = visit_quantities(&set, |_, _| {
            visited += 1;
            Err("full")
        });
        assert_eq!((end, visited), (Err("full"), 1));
    }
}

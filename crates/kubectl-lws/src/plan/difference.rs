//! Which fields of a set differ.

use lws_api_types::keys::annotations;
use lws_controller::plan::build::LAST_APPLIED;
use serde::Serialize;
use serde_json::{Value, json};

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    /// Where it is: `spec.leaderWorkerTemplate.workerTemplate.spec.containers[nginx].image`.
    pub(crate) field: String,
    /// Its value now; absent where there is none.
    pub(crate) before: Option<Value>,
    /// Its value afterwards; absent where it is removed.
    pub(crate) after: Option<Value>,
    /// Whether it makes a new revision, so that groups are replaced.
    pub(crate) new_revision: bool,
}

/// The fields of spec, labels and annotations in which two versions of a set differ.
/// `content_differs` says whether the content that revisions record does.
pub(super) fn changes(before: &Value, after: &Value, content_differs: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    let none = json!({});
    for part in ["/spec", "/metadata/labels", "/metadata/annotations"] {
        let path = part.trim_start_matches('/').replace('/', ".");
        let [before, after] = [before, after].map(|it| it.pointer(part).or(Some(&none)));
        compare(&path, before, after, &mut changes);
    }
    changes.retain(|it| !it.field.ends_with(&format!("[{LAST_APPLIED}]")));
    for change in &mut changes {
        change.new_revision = makes_revision(&change.field, content_differs);
    }
    changes
}

fn makes_revision(field: &str, content_differs: bool) -> bool {
    let is_content = ["spec.leaderWorkerTemplate", "spec.networkConfig"]
        .iter()
        .any(|it| field == *it || field.strip_prefix(it).is_some_and(|rest| rest.starts_with('.')));
    let placements = [annotations::EXCLUSIVE_TOPOLOGY, annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY];
    let is_placement = placements.iter().any(|it| field == format!("metadata.annotations[{it}]"));
    is_content && content_differs || is_placement
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(one)), Some(Value::Object(two))) => {
            let added = two.keys().filter(|key| !one.contains_key(*key));
            for key in one.keys().chain(added) {
                compare(&member(path, key), one.get(key), two.get(key), changes);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(two))) => {
            for index in 0..one.len().max(two.len()) {
                let (before, after) = (one.get(index), two.get(index));
                let name = |it: Option<&Value>| Some(it?.get("name")?.as_str()?.to_owned());
                let names = (name(before), name(after));
                let place = match names {
                    (Some(one), Some(two)) if one == two => one,
                    (Some(it), None) | (None, Some(it)) => it,
                    _ => index.to_string(),
                };
                compare(&format!("{path}[{place}]"), before, after, changes);
            }
        }
        (before, after) => changes.push(Change {
            field: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
            new_revision: false,
        }),
    }
}

/// Labels and annotations have dots in their names.
fn member(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) { format!("{path}[{key}]") } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(image: &str, replicas: i32) -> Value {
        json!({"metadata": {"name": "s", "generation": replicas}, "spec": {
            "replicas": replicas,
            "leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [
                {"name": "c", "image": image},
            ]}}},
        }})
    }

    #[test]
    fn each_change_is_named_with_its_values() {
        let changes = changes(&set("a", 1), &set("b", 2), true);
        let told: Vec<_> = changes.iter().map(|it| (it.field.as_str(), it.new_revision)).collect();
        let image = "spec.leaderWorkerTemplate.workerTemplate.spec.containers[c].image";
        assert_eq!(told, [(image, true), ("spec.replicas", false)]);
        assert_eq!(changes[0].before, Some(json!("a")));
        assert_eq!(changes[0].after, Some(json!("b")));
    }

    #[test]
    fn what_makes_a_new_revision() {
        for (field, expected) in [
            ("spec.leaderWorkerTemplate.size", true),
            ("spec.networkConfig.subdomainPolicy", true),
            ("spec.networkConfig", true),
            ("spec.leaderWorkerTemplates", false),
            ("spec.rolloutStrategy.rollingUpdateConfiguration.partition", false),
            ("metadata.annotations[leaderworkerset.sigs.k8s.io/exclusive-topology]", true),
            ("metadata.annotations[other]", false),
        ] {
            assert_eq!(makes_revision(field, true), expected, "{field}");
        }
        assert!(!makes_revision("spec.leaderWorkerTemplate.size", false));
    }

    #[test]
    fn annotations_are_named_whole_and_those_of_kubectl_left_out() {
        let annotated = |value: &str| json!({"metadata": {"annotations": {LAST_APPLIED: value, "a.b/c": value}}});
        let changes = changes(&annotated("1"), &annotated("2"), false);
        let fields: Vec<_> = changes.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["metadata.annotations[a.b/c]"]);
        let gone = super::changes(&annotated("1"), &json!({}), false);
        assert_eq!(
            (gone[0].field.as_str(), &gone[0].after),
            ("metadata.annotations[a.b/c]", &None)
        );
    }
}

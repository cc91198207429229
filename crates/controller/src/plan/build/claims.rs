//! Claim templates of a `StatefulSet`. They are immutable there, so an existing `StatefulSet`
//! keeps the form it was created with.

use serde_json::{Map, Value, json};

use crate::plan::applied;

/// The claim templates as the user wrote them, or, when `live` (the claim templates of the existing
/// `StatefulSet`) was created by the existing implementation, in the reduced form it writes.
pub(super) fn templates(claims: &[Value], namespace: &str, live: Option<&Value>) -> Value {
    let form = |fields: &Fields| claims.iter().map(|it| fields.template(it, namespace)).collect();
    let whole = form(&WHOLE);
    match live {
        Some(live) if !applied::contains_spec(live, &whole) => form(&REDUCED),
        _ => whole,
    }
}

/// Which fields of a claim are copied. An absent list copies every field.
struct Fields {
    metadata: &'static [&'static str],
    spec: Option<&'static [&'static str]>,
    resources: Option<&'static [&'static str]>,
}

const WHOLE: Fields =
    Fields { metadata: &["name", "labels", "annotations"], spec: None, resources: None };

const REDUCED: Fields = Fields {
    metadata: &["name"],
    spec: Some(&["accessModes", "storageClassName", "volumeMode", "resources"]),
    resources: Some(&["requests", "limits"]),
};

impl Fields {
    fn template(&self, claim: &Value, namespace: &str) -> Value {
        let mut metadata = pick(&claim["metadata"], Some(self.metadata));
        metadata.insert("namespace".to_owned(), json!(namespace));
        let mut spec = pick(&claim["spec"], self.spec);
        if let Some(resources) = spec.get_mut("resources") {
            *resources = Value::Object(pick(resources, self.resources));
        }
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": spec,
        })
    }
}

/// The named fields of an object, or all of them.
fn pick(object: &Value, fields: Option<&[&str]>) -> Map<String, Value> {
    let all = object.as_object().into_iter().flatten();
    all.filter(|(field, value)| {
        !value.is_null() && fields.is_none_or(|fields| fields.contains(&field.as_str()))
    })
    .map(|(field, value)| (field.clone(), value.clone()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Value {
        json!({
            "metadata": {"name": "data", "labels": {"a": "b"}},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": "v",
            },
        })
    }

    #[test]
    fn a_new_stateful_set_gets_the_whole_claim() {
        let built = templates(&[claim()], "n", None);
        assert_eq!(built[0]["spec"]["volumeName"], "v");
        assert_eq!(
            built[0]["metadata"],
            json!({"name": "data", "namespace": "n", "labels": {"a": "b"}})
        );
    }

    #[test]
    fn an_existing_one_keeps_the_form_it_was_created_with() {
        let whole = templates(&[claim()], "n", None);
        assert_eq!(templates(&[claim()], "n", Some(&whole)), whole);
        let reduced = json!([{
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "n"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }]);
        let mut live = reduced.clone();
        live[0]["status"] = json!({"phase": "Pending"});
        assert_eq!(templates(&[claim()], "n", Some(&live)), reduced);
    }
}

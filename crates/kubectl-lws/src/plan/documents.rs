//! Which sets a file has, and what kubectl refuses of it before it asks the server.

use std::path::Path;

use lws_api_types::keys;
use lws_api_types::validation::formats;
use serde_json::Value;

use crate::error::Error;

/// What a file has.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Documents {
    /// Its sets.
    pub(super) sets: Vec<Value>,
    /// What else there is, each by its kind and name.
    pub(super) others: Vec<String>,
}

/// Sorts `documents` of `file`, which are applied to `namespace` if one was named.
pub(super) fn sort(
    documents: Vec<Value>,
    file: &Path,
    namespace: Option<&str>,
) -> Result<Documents, Error> {
    let mut sorted = Documents::default();
    for object in documents.into_iter().flat_map(unpacked) {
        let [version, kind] = ["/apiVersion", "/kind"].map(|it| word(&object, it));
        for (field, text) in [("apiVersion", version), ("kind", kind)] {
            if text.is_empty() {
                let file = file.display();
                return refused(format!("error validating \"{file}\": {field} not set"));
            }
        }
        let name = word(&object, "/metadata/name");
        if version == keys::API_VERSION && kind == keys::KIND {
            check(&object, namespace)?;
            sorted.sets.push(object);
        } else if is_meant(version, kind) {
            let own = word(&object, "/metadata/namespace");
            return refused(format!(
                "resource mapping not found for name: {name:?} namespace: {own:?} from \"{}\": no \
                 matches for kind {kind:?} in version {version:?} (expected {} in {})",
                file.display(),
                keys::KIND,
                keys::API_VERSION,
            ));
        } else {
            sorted.others.push(format!("{kind} {name}"));
        }
    }
    if sorted == Documents::default() {
        return refused("no objects passed to apply".to_owned());
    }
    Ok(sorted)
}

/// The text of `object` at `pointer`; empty where there is none.
pub(super) fn word<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The objects of a list, else the object.
fn unpacked(mut document: Value) -> Vec<Value> {
    let is_list = word(&document, "/kind").ends_with("List");
    match document.get_mut("items") {
        Some(Value::Array(items)) if is_list => {
            std::mem::take(items).into_iter().flat_map(unpacked).collect()
        }
        _ => vec![document],
    }
}

/// Whether that was to be a set.
fn is_meant(version: &str, kind: &str) -> bool {
    let group = version.split_once('/').map(|(group, _)| group);
    group == Some(keys::GROUP) || kind.eq_ignore_ascii_case(keys::KIND)
}

fn check(object: &Value, namespace: Option<&str>) -> Result<(), Error> {
    let [name, prefix, own] = ["/metadata/name", "/metadata/generateName", "/metadata/namespace"]
        .map(|it| word(object, it));
    if name.is_empty() && !prefix.is_empty() {
        return refused(format!("from {prefix}: cannot use generate name with apply"));
    }
    if name.is_empty() {
        return refused("resource name may not be empty".to_owned());
    }
    for (what, text) in [("name", name), ("namespace", own)] {
        // They become part of addresses.
        let problems = formats::dns_1123_subdomain(text);
        if !text.is_empty() && !problems.is_empty() {
            let problems = problems.join(", ");
            return refused(format!(
                "the {} {name:?} is invalid: metadata.{what}: Invalid value: {text:?}: {problems}",
                keys::KIND
            ));
        }
    }
    match namespace {
        Some(namespace) if !own.is_empty() && own != namespace => refused(format!(
            "the namespace from the provided object {own:?} does not match the namespace \
             {namespace:?}. You must pass '--namespace={own}' to perform this operation."
        )),
        _ => Ok(()),
    }
}

fn refused<T>(why: String) -> Result<T, Error> {
    Err(Error::Refused(why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(metadata: &Value) -> Value {
        json!({"apiVersion": keys::API_VERSION, "kind": keys::KIND, "metadata": metadata})
    }

    fn sorted(documents: &[Value], namespace: Option<&str>) -> Result<Documents, String> {
        let sorted = sort(documents.to_vec(), Path::new("f"), namespace);
        sorted.map_err(|error| error.told())
    }

    #[test]
    fn lists_are_unpacked_and_other_kinds_named() {
        let (a, b) = (set(&json!({"name": "a"})), set(&json!({"name": "b"})));
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [b, service]});
        let expected = Documents { sets: vec![a.clone(), b], others: vec!["Service s".to_owned()] };
        assert_eq!(sorted(&[a, list], None), Ok(expected));
    }

    #[test]
    fn what_an_apply_refuses_is_refused() {
        let misspelt =
            json!({"apiVersion": keys::API_VERSION, "kind": "LeaderWorkerset", "metadata": {}});
        let elsewhere = json!({"apiVersion": "apps/v1", "kind": keys::KIND, "metadata": {}});
        let empty_list = json!({"apiVersion": "v1", "kind": "List", "items": []});
        for (documents, expected) in [
            (vec![], "error: no objects passed to apply"),
            (vec![empty_list], "error: no objects passed to apply"),
            (vec![misspelt], "no matches for kind \"LeaderWorkerset\" in version"),
            (vec![elsewhere], "in version \"apps/v1\""),
            (vec![json!({"apiVersion": "v1"})], "error: error validating \"f\": kind not set"),
            (vec![json!({"kind": "Pod"})], "error: error validating \"f\": apiVersion not set"),
            (
                vec![set(&json!({"generateName": "s-"}))],
                "error: from s-: cannot use generate name with apply",
            ),
            (vec![set(&json!({}))], "error: resource name may not be empty"),
            (vec![set(&json!({"name": "a/b"}))], "metadata.name: Invalid value: \"a/b\""),
            (
                vec![set(&json!({"name": "a", "namespace": ".."}))],
                "metadata.namespace: Invalid value: \"..\"",
            ),
        ] {
            let told = sorted(&documents, None).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn the_namespace_that_is_named_is_that_of_the_objects() {
        let own = [set(&json!({"name": "a", "namespace": "n"}))];
        assert!(sorted(&own, None).is_ok());
        assert!(sorted(&own, Some("n")).is_ok());
        assert!(sorted(&[set(&json!({"name": "a"}))], Some("m")).is_ok());
        let expected = "error: the namespace from the provided object \"n\" does not match the \
                        namespace \"m\". You must pass '--namespace=n' to perform this operation.";
        assert_eq!(sorted(&own, Some("m")), Err(expected.to_owned()));
    }
}

//! Rules for `metadata`: Kubernetes' standard checks of object metadata, with a name that is a
//! DNS-1035 label because Services are named after the set.

use serde_json::Value;

use super::field_error::FieldError;
use super::formats;
use super::rule::{Rule, Violation, Violations};
use super::view::View;

const ANNOTATIONS_BYTES: usize = 256 * 1024;
const FIELD_MANAGER_BYTES: usize = 128;
const SUBRESOURCE_BYTES: usize = 256;

/// Appends what is wrong with the metadata.
pub(super) fn check(view: View<'_>, errors: &mut Violations) {
    check_names(view, errors);
    if let Some(generation) = view.get("/metadata/generation").and_then(Value::as_i64)
        && generation < 0
    {
        let detail = "must be greater than or equal to 0";
        errors.push(wrong(FieldError::invalid("metadata.generation", generation, detail)));
    }
    check_labels(view, errors);
    check_annotations(view, errors);
    check_owners(view, errors);
    check_finalizers(view, errors);
    check_managed_fields(view, errors);
}

fn check_names(view: View<'_>, errors: &mut Violations) {
    let generate_name = view.text("/metadata/generateName");
    if !generate_name.is_empty() {
        let problems = formats::dns_1035_prefix(generate_name);
        push_all(errors, Rule::Name, "metadata.generateName", generate_name, problems);
    }
    match view.name() {
        "" => {
            let detail = "name or generateName is required";
            errors.push(Rule::NameRequired.broken(FieldError::required("metadata.name", detail)));
        }
        name => {
            push_all(errors, Rule::Name, "metadata.name", name, formats::dns_1035_label(name));
        }
    }
    match view.text("/metadata/namespace") {
        "" => errors.push(Rule::Namespace.broken(FieldError::required("metadata.namespace", ""))),
        namespace => {
            let problems = formats::dns_1123_label(namespace);
            push_all(errors, Rule::Namespace, "metadata.namespace", namespace, problems);
        }
    }
}

fn check_labels(view: View<'_>, errors: &mut Violations) {
    const PATH: &str = "metadata.labels";
    for (key, value) in view.texts("/metadata/labels") {
        push_all(errors, Rule::Metadata, PATH, key, formats::label_key(key));
        push_all(errors, Rule::Metadata, PATH, value, formats::label_value(value));
    }
}

fn check_annotations(view: View<'_>, errors: &mut Violations) {
    const PATH: &str = "metadata.annotations";
    let mut bytes = 0;
    for (key, value) in view.texts("/metadata/annotations") {
        push_all(errors, Rule::Metadata, PATH, key, formats::annotation_key(key));
        bytes += key.len() + value.len();
    }
    if bytes > ANNOTATIONS_BYTES {
        errors.push(wrong(FieldError::too_long(PATH, ANNOTATIONS_BYTES)));
    }
}

fn check_owners(view: View<'_>, errors: &mut Violations) {
    const PATH: &str = "metadata.ownerReferences";
    let owners = view.list("/metadata/ownerReferences");
    for owner in owners {
        let owner_view = View(owner);
        let [api_version, kind, name, uid] =
            ["/apiVersion", "/kind", "/name", "/uid"].map(|field| owner_view.text(field));
        if !has_version(api_version) {
            let path = "metadata.ownerReferences.apiVersion";
            errors.push(wrong(FieldError::invalid(path, api_version, "version must not be empty")));
        }
        for (path, text) in [
            ("metadata.ownerReferences.kind", kind),
            ("metadata.ownerReferences.name", name),
            ("metadata.ownerReferences.uid", uid),
        ] {
            if text.is_empty() {
                errors.push(wrong(FieldError::invalid(path, text, "must not be empty")));
            }
        }
        if (api_version, kind) == ("v1", "Event") {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(wrong(FieldError::invalid(PATH, owner.clone(), detail)));
        }
    }
    // Told once: the list is in each such error.
    let mut controllers =
        owners.iter().map(View).filter(|it| it.get("/controller") == Some(&Value::Bool(true)));
    if let (Some(first), Some(second)) = (controllers.next(), controllers.next()) {
        let [first, second] =
            [first, second].map(|it| format!("{}/{}", it.text("/kind"), it.text("/name")));
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for \
             {first} and {second}"
        );
        errors.push(wrong(FieldError::invalid(PATH, owners.to_vec(), detail)));
    }
}

/// Whether `group/version`, or `version` alone, has a version.
fn has_version(api_version: &str) -> bool {
    let version = api_version.split_once('/').map_or(api_version, |(_, version)| version);
    !version.is_empty() && !version.contains('/')
}

fn check_finalizers(view: View<'_>, errors: &mut Violations) {
    const PATH: &str = "metadata.finalizers";
    let finalizers = view.list("/metadata/finalizers");
    for finalizer in finalizers.iter().map(|it| it.as_str().unwrap_or_default()) {
        push_all(errors, Rule::Metadata, PATH, finalizer, formats::label_key(finalizer));
    }
    if ["orphan", "foregroundDeletion"].iter().all(|one| finalizers.iter().any(|it| it == one)) {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(wrong(FieldError::invalid(PATH, finalizers.to_vec(), detail)));
    }
}

fn check_managed_fields(view: View<'_>, errors: &mut Violations) {
    for (index, entry) in view.list("/metadata/managedFields").iter().enumerate() {
        let path = |field: &str| format!("metadata.managedFields[{index}].{field}");
        let [operation, fields_type, manager, subresource] =
            ["/operation", "/fieldsType", "/manager", "/subresource"]
                .map(|field| View(entry).text(field));
        if !matches!(operation, "Apply" | "Update") {
            let detail = "must be `Apply` or `Update`";
            errors.push(wrong(FieldError::invalid(path("operation"), operation, detail)));
        }
        if !matches!(fields_type, "" | "FieldsV1") {
            let detail = "must be `FieldsV1`";
            errors.push(wrong(FieldError::invalid(path("fieldsType"), fields_type, detail)));
        }
        if manager.len() > FIELD_MANAGER_BYTES {
            errors.push(wrong(FieldError::too_long(path("manager"), FIELD_MANAGER_BYTES)));
        }
        if let Some((position, character)) = manager.char_indices().find(|(_, it)| it.is_control())
        {
            let code = u32::from(character);
            let detail = format!("invalid character U+{code:04X} (at position {position})");
            errors.push(wrong(FieldError::invalid(path("manager"), manager, detail)));
        }
        if subresource.len() > SUBRESOURCE_BYTES {
            errors.push(wrong(FieldError::too_long(path("subresource"), SUBRESOURCE_BYTES)));
        }
    }
}

fn wrong(error: FieldError) -> Violation {
    Rule::Metadata.broken(error)
}

fn push_all(
    errors: &mut Violations,
    rule: Rule,
    path: &'static str,
    value: &str,
    problems: Vec<String>,
) {
    for problem in problems {
        errors.push(rule.broken(FieldError::invalid(path, value, problem)));
    }
}

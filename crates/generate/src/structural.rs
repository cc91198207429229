//! From published schemas to structural ones, in the form that controller-gen gives the same Go
//! types: references expanded, only the keywords that a custom resource definition may have, and
//! only the defaults that the types themselves declare.

use serde_json::{Value, json};

use crate::Error;
use crate::published::Published;
use crate::schema::Schema;

const OBJECT_META: &str = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY: &str = "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const LOCAL_REFERENCE: &str = "#/components/schemas/io.k8s.api.core.v1.LocalObjectReference";
const AZURE_DISK: &str = "#/components/schemas/io.k8s.api.core.v1.AzureDiskVolumeSource";

/// Amounts such as `500m` and `1Gi`, and plain numbers.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Fields whose default the Go types declare as the name of a constant. Kubernetes resolves it,
/// controller-gen does not; a default here would change the pod templates of every stored set.
const DEFAULTS_BY_CONSTANT: [(&str, &str); 2] = [(AZURE_DISK, "cachingMode"), (AZURE_DISK, "kind")];

/// Replaces every reference in `schema`, at any depth, by the schema in `published` that it names.
/// Fails when there is none or when it has a form that no rule covers.
pub fn expand(schema: &mut Schema, published: &Published) -> Result<(), Error> {
    if let Some(reference) = take_reference(schema)? {
        let target = resolve(&reference, published)?;
        *schema = Schema {
            default: schema.default.take(),
            description: schema.description.take().or(target.description),
            ..target
        };
    }
    schema.required.sort();
    for (name, property) in &mut schema.properties {
        if is_implied(property.default.as_ref(), schema.required.contains(name)) {
            property.default = None;
        }
        expand(property, published)?;
    }
    for inner in [&mut schema.additional_properties, &mut schema.items].into_iter().flatten() {
        inner.default = None;
        expand(inner, published)?;
    }
    Ok(())
}

/// The reference of `schema`, bare or wrapped in `allOf`, if it is one.
fn take_reference(schema: &mut Schema) -> Result<Option<String>, Error> {
    match schema.all_of.as_mut_slice() {
        [] => Ok(schema.reference.take()),
        [wrapped] => Ok(wrapped.reference.take()),
        several => Err(Error::Combined { count: several.len() }),
    }
}

/// Whether a published default is only what an absent Go field reads as: the empty object of a
/// struct, and the zero of a field that is always written.
fn is_implied(default: Option<&Value>, required: bool) -> bool {
    let Some(default) = default else { return false };
    let is_zero = || [json!(""), json!(0), json!(false)].contains(default);
    *default == json!({}) || (required && is_zero())
}

/// The schema that stands for `reference`, with references of its own.
fn resolve(reference: &str, published: &Published) -> Result<Schema, Error> {
    match reference {
        OBJECT_META => return Ok(embedded_metadata()),
        QUANTITY => {
            return Ok(Schema { pattern: Some(QUANTITY_PATTERN.to_owned()), ..int_or_string() });
        }
        INT_OR_STRING => return Ok(int_or_string()),
        _ => {}
    }
    let mut schema = published.schema(reference)?;
    for (owner, field) in DEFAULTS_BY_CONSTANT {
        if let Some(property) = schema.properties.get_mut(field).filter(|_| owner == reference) {
            property.default = None;
        }
    }
    if schema.properties.contains_key("name") {
        inherit_map_type(&mut schema, &published.schema(LOCAL_REFERENCE)?);
    }
    Ok(schema)
}

/// Go types that embed the reference to a local object have its `name`, and merge like it. What
/// Kubernetes publishes shows only the field.
fn inherit_map_type(schema: &mut Schema, local_reference: &Schema) {
    if schema.properties.get("name") == local_reference.properties.get("name") {
        schema.map_type.clone_from(&local_reference.map_type);
    }
}

fn int_or_string() -> Schema {
    Schema {
        any_of: vec![Schema::of_type("integer"), Schema::of_type("string")],
        int_or_string: Some(true),
        ..Schema::default()
    }
}

/// The metadata that a template may carry: everything else of it belongs to stored objects.
fn embedded_metadata() -> Schema {
    let strings = || Some(Box::new(Schema::of_type("string")));
    let map = || Schema { additional_properties: strings(), ..Schema::of_type("object") };
    let list = Schema { items: strings(), ..Schema::of_type("array") };
    let fields = [
        ("annotations", map()),
        ("finalizers", list),
        ("labels", map()),
        ("name", Schema::of_type("string")),
        ("namespace", Schema::of_type("string")),
    ];
    Schema {
        properties: fields.map(|(name, field)| (name.to_owned(), field)).into(),
        ..Schema::of_type("object")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `schema` when Kubernetes publishes `schemas` under `core`.
    fn expanded(schema: Value, mut schemas: Value) -> Result<Value, Error> {
        schemas["LocalObjectReference"] = json!({
            "properties": {"name": {"default": "", "description": "Name.", "type": "string"}},
            "type": "object",
            "x-kubernetes-map-type": "atomic",
        });
        let prefixed = schemas
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, it)| (format!("io.k8s.api.core.v1.{name}"), it.clone()))
            .collect();
        let document = json!({"components": {"schemas": Value::Object(prefixed)}});
        let published = Published::from_document(&document.to_string())?;
        let mut schema: Schema = serde_json::from_value(schema).unwrap();
        expand(&mut schema, &published)?;
        Ok(serde_json::to_value(schema).unwrap())
    }

    fn reference(name: &str) -> Value {
        json!({"$ref": format!("#/components/schemas/io.k8s.api.core.v1.{name}")})
    }

    #[test]
    fn references_are_expanded_at_any_depth() {
        let schemas = json!({
            "Outer": {
                "description": "Outer type.",
                "properties": {
                    "bare": reference("Inner"),
                    "described": {"allOf": [reference("Inner")], "description": "Field."},
                    "list": {"items": {"allOf": [reference("Inner")], "default": {}}, "type": "array"},
                    "map": {"additionalProperties": reference("Inner"), "type": "object"},
                },
                "type": "object",
            },
            "Inner": {"description": "Inner type.", "type": "string", "format": "date-time"},
        });
        let inner = json!({"description": "Inner type.", "format": "date-time", "type": "string"});
        assert_eq!(
            expanded(reference("Outer"), schemas).unwrap(),
            json!({
                "description": "Outer type.",
                "properties": {
                    "bare": inner,
                    "described": {"description": "Field.", "format": "date-time", "type": "string"},
                    "list": {"items": inner, "type": "array"},
                    "map": {"additionalProperties": inner, "type": "object"},
                },
                "type": "object",
            })
        );
    }

    #[test]
    fn only_declared_defaults_stay() {
        for (default, required, stays) in [
            (json!({}), false, false),
            (json!(""), true, false),
            (json!(0), true, false),
            (json!(false), true, false),
            (json!(""), false, true),
            (json!(false), false, true),
            (json!("TCP"), false, true),
            (json!("RollingUpdate"), true, true),
        ] {
            let required_fields = if required { json!(["field"]) } else { json!([]) };
            let schema = json!({
                "properties": {"field": {"default": default}},
                "required": required_fields,
            });
            let result = expanded(schema, json!({})).unwrap();
            let left = result.pointer("/properties/field/default");
            assert_eq!(left, stays.then_some(&default), "{default}, required: {required}");
        }
    }

    #[test]
    fn entries_of_lists_and_maps_have_no_default() {
        let entry = json!({"default": "", "type": "string"});
        let schema = json!({"additionalProperties": entry, "items": entry});
        let bare = json!({"type": "string"});
        assert_eq!(
            expanded(schema, json!({})).unwrap(),
            json!({"additionalProperties": bare, "items": bare})
        );
    }

    #[test]
    fn defaults_that_name_a_constant_are_dropped() {
        let field = json!({"default": "Shared", "type": "string"});
        let schemas = json!({
            "AzureDiskVolumeSource": {"properties": {"cachingMode": field, "fsType": field, "kind": field}},
            "Other": {"properties": {"kind": field}},
        });
        let bare = json!({"type": "string"});
        assert_eq!(
            expanded(reference("AzureDiskVolumeSource"), schemas.clone()).unwrap(),
            json!({"properties": {"cachingMode": bare, "fsType": field, "kind": bare}})
        );
        assert_eq!(
            expanded(reference("Other"), schemas).unwrap(),
            json!({"properties": {"kind": field}})
        );
    }

    #[test]
    fn embedded_references_merge_as_one_value() {
        let name = json!({"default": "", "description": "Name.", "type": "string"});
        let schemas = json!({
            "Embeds": {"properties": {"name": name, "optional": {"type": "boolean"}}},
            "Named": {"properties": {"name": {"description": "Another.", "type": "string"}}},
        });
        let map_type = |name| {
            let result = expanded(reference(name), schemas.clone()).unwrap();
            result.get("x-kubernetes-map-type").cloned()
        };
        assert_eq!(map_type("Embeds"), Some(json!("atomic")));
        assert_eq!(map_type("LocalObjectReference"), Some(json!("atomic")));
        assert_eq!(map_type("Named"), None);
    }

    #[test]
    fn well_known_types_have_their_json_form() {
        let any = json!([{"type": "integer"}, {"type": "string"}]);
        let described = |reference: &str, default: Value| {
            let field = json!({"$ref": reference, "description": "Field.", "default": default});
            expanded(field, json!({})).unwrap()
        };
        assert_eq!(
            described(INT_OR_STRING, json!(1)),
            json!({
                "anyOf": any, "default": 1, "description": "Field.", "x-kubernetes-int-or-string": true,
            })
        );
        assert_eq!(
            described(QUANTITY, json!("1Gi")),
            json!({
                "anyOf": any, "default": "1Gi", "description": "Field.", "pattern": QUANTITY_PATTERN,
                "x-kubernetes-int-or-string": true,
            })
        );
        let metadata = expanded(json!({"$ref": OBJECT_META}), json!({})).unwrap();
        let fields: Vec<_> = metadata["properties"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["annotations", "finalizers", "labels", "name", "namespace"]);
    }

    #[test]
    fn required_fields_are_sorted_and_client_hints_dropped() {
        let schemas = json!({"Type": {
            "required": ["b", "a"],
            "x-kubernetes-group-version-kind": [{"kind": "Type"}],
            "x-kubernetes-list-map-keys": ["z", "y"],
            "x-kubernetes-patch-merge-key": "z",
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-unions": [],
        }});
        assert_eq!(
            expanded(reference("Type"), schemas).unwrap(),
            json!({"required": ["a", "b"], "x-kubernetes-list-map-keys": ["z", "y"]})
        );
    }

    #[test]
    fn forms_without_a_rule_are_refused() {
        let result = expanded(reference("Missing"), json!({}));
        assert!(
            matches!(result, Err(Error::UnknownSchema { reference }) if reference.ends_with("Missing"))
        );

        let result = expanded(reference("New"), json!({"New": {"x-kubernetes-new": true}}));
        assert!(matches!(result, Err(Error::ParseSchema { name, .. }) if name.ends_with("New")));

        let several = json!({"allOf": [reference("A"), reference("B")]});
        assert!(matches!(expanded(several, json!({})), Err(Error::Combined { count: 2 })));
    }
}

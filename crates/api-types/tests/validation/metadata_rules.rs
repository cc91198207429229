//! Rules for metadata, with the texts that Kubernetes' own validation prints for the same input.

use super::*;

const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or \
    '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
    'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const DNS_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const KEY_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
    used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Asserts the errors of `metadata.<field> = value`: on create, on an update that changes the
/// spec, and none on one that does not.
fn check(field: &str, value: &Value, expected: &[String]) {
    let object = set_with(&[(&format!("/metadata/{field}"), value.clone())]);
    let text = match expected {
        [one] => one.clone(),
        [] => String::new(),
        several => format!("[{}]", several.join(", ")),
    };
    assert_eq!(create(&object), text, "create {field} {value}");
    let mut old = object.clone();
    change(&mut old, REPLICAS, json!(7));
    assert_eq!(update(&object, &old), text, "update {field} {value}");
    assert_eq!(update(&object, &stored()), "", "update of metadata only {field} {value}");
}

fn invalid(field: &str, value: impl Into<Value>, problems: &[String]) -> Vec<String> {
    let value = value.into();
    problems.iter().map(|it| format!("metadata.{field}: Invalid value: {value}: {it}")).collect()
}

#[test]
fn names_are_labels() {
    let long = format!("A{}", "a".repeat(63));
    let too_long = "must be no more than 63 characters".to_owned();
    for (name, problems) in [
        ("a", vec![]),
        ("a-b", vec![]),
        ("2cube", vec![DNS_1035.to_owned()]),
        ("a.b", vec![DNS_1035.to_owned()]),
        ("a-", vec![DNS_1035.to_owned()]),
        ("é", vec![DNS_1035.to_owned()]),
        (&long, vec![too_long.clone(), DNS_1035.to_owned()]),
    ] {
        check("name", &json!(name), &invalid("name", name, &problems));
    }
    let required = "metadata.name: Required value: name or generateName is required".to_owned();
    for absent in [json!(""), Value::Null] {
        check("name", &absent, std::slice::from_ref(&required));
    }
    for (prefix, valid) in [
        ("x-", true),
        ("x", true),
        ("ab_-", true),
        ("a--", true),
        ("2-", true),
        ("-", false),
        ("2c-", false),
        ("é-", false),
    ] {
        let problems = if valid { vec![] } else { vec![DNS_1035.to_owned()] };
        check("generateName", &json!(prefix), &invalid("generateName", prefix, &problems));
    }
    let dotted = format!("{}a", "a.".repeat(40));
    for (namespace, problems) in [
        ("1a", vec![]),
        ("a.b", vec!["must not contain dots".to_owned()]),
        ("A_", vec![DNS_1123.to_owned()]),
        ("-a", vec![DNS_1123.to_owned()]),
        (&dotted, vec![too_long, "must not contain dots".to_owned()]),
    ] {
        check("namespace", &json!(namespace), &invalid("namespace", namespace, &problems));
    }
    check("namespace", &json!(""), &["metadata.namespace: Required value".to_owned()]);
}

#[test]
fn keys_are_qualified_names() {
    let name = format!("name part {KEY_NAME}");
    let empty = "name part must be non-empty".to_owned();
    let three_parts = format!(
        "a valid label key {KEY_NAME} with an optional DNS subdomain prefix and '/' (e.g. \
         'example.com/MyName')"
    );
    let long = "a".repeat(64);
    let long_prefix = format!("{}/x", "a".repeat(254));
    for (key, problems) in [
        ("a", vec![]),
        ("example.com/My_name.x", vec![]),
        ("", vec![empty.clone(), name.clone()]),
        ("/a", vec!["prefix part must be non-empty".to_owned()]),
        ("a/", vec![empty, name.clone()]),
        ("a b", vec![name.clone()]),
        ("-a", vec![name.clone()]),
        ("é", vec![name.clone()]),
        ("a..b/x", vec![SUBDOMAIN.to_owned()]),
        ("a/b/c", vec![three_parts]),
        (&long, vec!["name part must be no more than 63 bytes".to_owned()]),
        (&long_prefix, vec!["prefix part must be no more than 253 bytes".to_owned()]),
    ] {
        check("labels", &json!({key: "v"}), &invalid("labels", key, &problems));
        check("annotations", &json!({key: "v"}), &invalid("annotations", key, &problems));
        check("finalizers", &json!([key]), &invalid("finalizers", key, &problems));
    }
    let upper = "A.com/x";
    check("labels", &json!({upper: "v"}), &invalid("labels", upper, &[SUBDOMAIN.to_owned()]));
    check("annotations", &json!({upper: "v"}), &[]);
}

#[test]
fn label_values_are_short_texts() {
    let long = "a".repeat(64);
    for (value, problems) in [
        ("", vec![]),
        ("a_b.c", vec![]),
        ("-a", vec![LABEL_VALUE.to_owned()]),
        ("a b", vec![LABEL_VALUE.to_owned()]),
        (&long, vec!["must be no more than 63 bytes".to_owned()]),
    ] {
        check("labels", &json!({"k": value}), &invalid("labels", value, &problems));
    }
}

#[test]
fn annotations_are_bounded_together() {
    check("annotations", &json!({"k": "a".repeat(262_143)}), &[]);
    check(
        "annotations",
        &json!({"j": "a".repeat(131_072), "k": "a".repeat(131_071)}),
        &["metadata.annotations: Too long: may not be more than 262144 bytes".to_owned()],
    );
}

#[test]
fn generations_are_not_negative() {
    check("generation", &json!(0), &[]);
    check(
        "generation",
        &json!(-1),
        &["metadata.generation: Invalid value: -1: must be greater than or equal to 0".to_owned()],
    );
}

#[test]
fn owners_are_complete_and_one_is_the_controller() {
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "K", "name": name, "uid": "u"});
    let controller = |name: &str| {
        let mut it = owner(name);
        it["controller"] = json!(true);
        it
    };
    check("ownerReferences", &json!([owner("a"), controller("b")]), &[]);
    let incomplete = [
        "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
        "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
        "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
        "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
    ];
    check("ownerReferences", &json!([{}]), &incomplete.map(str::to_owned));
    for api_version in ["a/", "/", "a/b/c"] {
        let mut it = owner("a");
        it["apiVersion"] = json!(api_version);
        let problem = "version must not be empty".to_owned();
        let expected = invalid("ownerReferences.apiVersion", api_version, &[problem]);
        check("ownerReferences", &json!([it]), &expected);
    }
    let mut event = owner("a");
    event["kind"] = json!("Event");
    let problem = "/v1, Kind=Event is disallowed from being an owner".to_owned();
    check("ownerReferences", &json!([event]), &invalid("ownerReferences", event, &[problem]));
    let two = json!([controller("n"), controller("o")]);
    let problem = "Only one reference can have Controller set to true. Found \"true\" in \
        references for K/n and K/o"
        .to_owned();
    check("ownerReferences", &two, &invalid("ownerReferences", two.clone(), &[problem]));
}

#[test]
fn deletion_finalizers_exclude_each_other() {
    let both = json!(["orphan", "foregroundDeletion"]);
    let problem = "finalizer orphan and foregroundDeletion cannot be both set".to_owned();
    check("finalizers", &both, &invalid("finalizers", both.clone(), &[problem]));
    check("finalizers", &json!(["orphan", "example.com/mine"]), &[]);
}

#[test]
fn managed_fields_are_well_formed() {
    let entries = json!([
        {"operation": "X", "fieldsType": "Y", "manager": "a\u{7}b", "subresource": "a".repeat(257)},
        {"operation": "Apply", "manager": "a".repeat(129)},
        {"operation": "Update", "fieldsType": "FieldsV1", "manager": "kubectl edit"},
    ]);
    let expected = [
        "metadata.managedFields[0].operation: Invalid value: \"X\": must be `Apply` or `Update`",
        "metadata.managedFields[0].fieldsType: Invalid value: \"Y\": must be `FieldsV1`",
        "metadata.managedFields[0].manager: Invalid value: \"a\\u0007b\": invalid character U+0007 \
         (at position 1)",
        "metadata.managedFields[0].subresource: Too long: may not be more than 256 bytes",
        "metadata.managedFields[1].manager: Too long: may not be more than 128 bytes",
    ];
    check("managedFields", &entries, &expected.map(str::to_owned));
}

/// What is told of an object grows no faster than the object, however much is wrong with it.
#[test]
fn wide_metadata_is_told_in_few_words() {
    let wide = [
        ("finalizers", json!(vec!["!"; 100_000])),
        ("finalizers", json!((0..100_000).map(|it| format!("!{it}")).collect::<Vec<_>>())),
        ("ownerReferences", json!(vec![json!({"controller": true}); 20_000])),
        ("managedFields", json!([{"operation": "Apply", "manager": "\u{1}".repeat(100_000)}])),
        ("managedFields", json!(vec![json!({"manager": "\u{1}"}); 20_000])),
    ];
    for (field, value) in wide {
        let object = set_with(&[(&format!("/metadata/{field}"), value)]);
        let errors = validate_create(&object).errors;
        assert!((1..=100).contains(&errors.len()), "{field}: {}", errors.len());
        let (told, sent) = (aggregate(&errors).len(), object.to_string().len());
        assert!(told <= 100_000 + 2 * sent, "{field}: {told} bytes of {sent}");
    }
}

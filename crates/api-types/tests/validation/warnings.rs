//! What is allowed and warned about.

use super::*;

fn created(changes: &[(&str, Value)]) -> Vec<String> {
    let verdict = validate_create(&set_with(changes));
    assert_eq!(verdict.errors, []);
    verdict.warnings
}

/// The single warning for a name without room for `first`, in a set of any size.
fn no_room(length: usize, first: u32) -> String {
    format!(
        "metadata.name: {length} characters leave no room for group {first} and above: their pods \
         cannot be created, since the label values derived from the name exceed 63 characters"
    )
}

#[test]
fn long_names_have_room_for_few_groups() {
    for (length, size, replicas, surge, first) in [
        (50, 2, 10, json!(0), None),
        (50, 2, 11, json!(0), Some(10)),
        (50, 2, 10, json!(1), Some(10)),
        (50, 2, 10, json!("1%"), Some(10)),
        // Surge never exceeds the replicas.
        (50, 2, 5, json!(100), None),
        (50, 2, 0, json!(5), None),
        (49, 2, 100, json!(0), None),
        (49, 2, 101, json!(0), Some(100)),
        (45, 2, 1_000_000, json!(0), None),
        (46, 2, 1_000_000, json!(0), Some(100_000)),
        (52, 1, 1_000_000, json!(0), None),
        (1, 2, 1_000_000, json!(0), None),
    ] {
        let warnings = created(&[
            (NAME, json!("n".repeat(length))),
            (SIZE, json!(size)),
            (REPLICAS, json!(replicas)),
            (MAX_SURGE, surge),
        ]);
        let expected: Vec<_> = first.map(|first| no_room(length, first)).into_iter().collect();
        assert_eq!(warnings, expected, "{length} {size} {replicas}");
    }
}

#[test]
fn names_of_groups_are_unlucky_names_of_sets() {
    for (name, parent, ordinal) in [("x-0", "x", 0), ("a-b-12", "a-b", 12)] {
        assert_eq!(
            created(&[(NAME, json!(name))]),
            [format!(
                "metadata.name: group {ordinal} of a LeaderWorkerSet {parent} needs objects named \
                 {name} too: the two sets cannot share a namespace"
            )]
        );
    }
    for name in ["x", "x0", "x-0a"] {
        assert_eq!(created(&[(NAME, json!(name))]), [""; 0], "{name}");
    }
}

#[test]
fn topologies_are_label_keys() {
    let key = "leaderworkerset.sigs.k8s.io/exclusive-topology";
    for (value, expected) in
        [("cloud.example.com/rack", false), ("", false), ("a b", true), ("/", true)]
    {
        let warnings = created(&[(ANNOTATIONS, json!({key: value}))]);
        let text = format!(
            "metadata.annotations.{key}: no node can have a label \"{value}\", which is not a \
             valid label key: pods will not be placed"
        );
        assert_eq!(warnings, if expected { vec![text] } else { vec![] }, "{value}");
    }
    let key = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology";
    let sub_group = json!({"subGroupSize": 2});
    let warnings = created(&[(ANNOTATIONS, json!({key: "a b"})), (SUB_GROUP, sub_group)]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn reserved_keys_of_templates_are_overwritten() {
    let (label, annotation) =
        ("leaderworkerset.sigs.k8s.io/group-index", "leaderworkerset.sigs.k8s.io/leader-name");
    let metadata = json!({
        "labels": {label: "1", "example.com/mine": "x"},
        "annotations": {annotation: "x", "leaderworkerset": "x"},
    });
    let expected = |template: &str| {
        [("labels", label), ("annotations", annotation)].map(|(field, key)| {
            format!(
                "spec.leaderWorkerTemplate.{template}.metadata.{field}: \"{key}\" is reserved and \
                 will be overwritten"
            )
        })
    };
    for template in ["leaderTemplate", "workerTemplate"] {
        let pointer = format!("/spec/leaderWorkerTemplate/{template}/metadata");
        assert_eq!(created(&[(&pointer, metadata.clone())]), expected(template));
    }
}

#[test]
fn an_update_warns_about_what_is_new() {
    let old = set_with(&[(NAME, json!("x-0"))]);
    let mut new = old.clone();
    change(
        &mut new,
        "/metadata/annotations/leaderworkerset.sigs.k8s.io~1exclusive-topology",
        json!("a b"),
    );
    let verdict = validate_update(&new, &old);
    assert_eq!(verdict.errors, []);
    assert_eq!(verdict.warnings.len(), 1, "{:?}", verdict.warnings);
    assert!(verdict.warnings[0].contains("exclusive-topology"), "{:?}", verdict.warnings);
    assert_eq!(validate_update(&new, &new), Verdict::default());

    let old = set_with(&[(NAME, json!("n".repeat(50))), (REPLICAS, json!(10))]);
    let mut new = old.clone();
    change(&mut new, REPLICAS, json!(11));
    assert_eq!(validate_update(&new, &old).warnings, [no_room(50, 10)]);
}

#[test]
fn warnings_are_short_and_go_with_allowed_objects_only() {
    let key = "leaderworkerset.sigs.k8s.io/exclusive-topology";
    let long = created(&[(ANNOTATIONS, json!({key: "é ".repeat(400)}))]);
    assert_eq!(long[0].chars().count(), 256);

    let name = format!("{}-0", "n".repeat(48));
    assert_eq!(created(&[(NAME, json!(name)), (REPLICAS, json!(100))]).len(), 2);
    for text in created(&[(NAME, json!(name)), (REPLICAS, json!(100))]) {
        assert!(text.chars().count() < 256, "complete: {text}");
    }

    let verdict = validate_create(&set_with(&[(NAME, json!("x-0")), (REPLICAS, json!(-1))]));
    assert_eq!((verdict.errors.len(), verdict.warnings.len()), (1, 0));
}

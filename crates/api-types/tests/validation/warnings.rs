//! What is allowed and warned about.

use super::*;

const GROUP_TOPOLOGY: &str = "leaderworkerset.sigs.k8s.io/exclusive-topology";
const SUBGROUP_TOPOLOGY: &str = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology";

pub(crate) fn created(changes: &[(&str, Value)]) -> Vec<String> {
    let verdict = validate_create(&set_with(changes));
    assert_eq!(verdict.errors, []);
    for warning in &verdict.warnings {
        documentation::check_warning(warning);
    }
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
        let mut warnings = created(&[
            (NAME, json!("n".repeat(length))),
            (SIZE, json!(size)),
            (REPLICAS, json!(replicas)),
            (MAX_SURGE, surge),
        ]);
        warnings.retain(|warning| warning.starts_with("metadata.name: "));
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
        [("cloud.example.com/rack", false), ("a b", true), (" rack", true), ("/", true)]
    {
        let warnings = created(&[(ANNOTATIONS, json!({key: value}))]);
        let text = format!(
            "metadata.annotations.{key}: no node can have a label \"{value}\", which is not a \
             valid label key: pods will not be placed"
        );
        assert_eq!(warnings, if expected { vec![text] } else { vec![] }, "{value}");
    }
    let sub_group = json!({"subGroupSize": 2});
    for (key, changes) in
        [(GROUP_TOPOLOGY, vec![]), (SUBGROUP_TOPOLOGY, vec![(SUB_GROUP, sub_group)])]
    {
        let with = |topology: &str| {
            let mut changes = changes.clone();
            changes.push((ANNOTATIONS, json!({key: topology})));
            created(&changes)
        };
        assert_eq!(with("a b").len(), 1, "{key}");
        let text = format!("metadata.annotations.{key}: is empty, which has no effect");
        assert_eq!(with(""), [text]);
        assert_eq!(with("rack"), [""; 0]);
    }
}

#[test]
fn subgroups_do_not_share_the_domain_of_their_group_exclusively() {
    let text = |subgroups: u32| {
        format!(
            "metadata.annotations.{SUBGROUP_TOPOLOGY}: is the topology of the group too, which has \
             one \"rack\": only one of its {subgroups} subgroups will be placed"
        )
    };
    for (size, sub_group_size, policy, subgroup_topology, expected) in [
        (4, 2, "LeaderWorker", "rack", Some(2)),
        (5, 1, "LeaderExcluded", "rack", Some(4)),
        (6, 1, "LeaderWorker", "rack", Some(6)),
        (4, 2, "LeaderWorker", "host", None),
        // One subgroup, with or without the leader, has the domain to itself anyway.
        (4, 4, "LeaderWorker", "rack", None),
        (5, 4, "LeaderWorker", "rack", None),
        (5, 4, "LeaderExcluded", "rack", None),
    ] {
        let warnings = created(&[
            (SIZE, json!(size)),
            (SUB_GROUP, json!({"subGroupSize": sub_group_size, "subGroupPolicyType": policy})),
            (ANNOTATIONS, json!({GROUP_TOPOLOGY: "rack", SUBGROUP_TOPOLOGY: subgroup_topology})),
        ]);
        let expected: Vec<_> = expected.map(text).into_iter().collect();
        assert_eq!(warnings, expected, "{size} {sub_group_size} {policy}");
    }
}

#[test]
fn a_selector_leaves_one_domain() {
    let selector =
        |template: &str| format!("/spec/leaderWorkerTemplate/{template}/spec/nodeSelector");
    let (leader, worker) = (selector("leaderTemplate"), selector("workerTemplate"));
    let rack = || json!({"rack": "r1", "zone": "z1"});
    let exclusive = (ANNOTATIONS, json!({GROUP_TOPOLOGY: "rack"}));
    let bound = |template: &str, key: &str, domains: u32| {
        format!(
            "spec.leaderWorkerTemplate.{template}.spec.nodeSelector: binds the set to one \
             \"rack\", but {key} needs {domains} of them"
        )
    };
    let overwritten = "spec.leaderWorkerTemplate.workerTemplate.spec.nodeSelector: \"rack\" will \
        be overwritten: workers follow their leader";
    let no_leader_template = ("/spec/leaderWorkerTemplate/leaderTemplate", Value::Null);
    for (changes, expected) in [
        (
            vec![exclusive.clone(), (&*leader, rack())],
            vec![bound("leaderTemplate", GROUP_TOPOLOGY, 2)],
        ),
        (vec![exclusive.clone(), (&*leader, rack()), (REPLICAS, json!(1))], vec![]),
        (vec![exclusive.clone(), (&*leader, json!({"zone": "z1"}))], vec![]),
        (vec![(&*leader, rack())], vec![]),
        (vec![exclusive.clone(), (&*worker, rack())], vec![overwritten.to_owned()]),
        (
            vec![exclusive, no_leader_template, (&*worker, rack())],
            vec![bound("workerTemplate", GROUP_TOPOLOGY, 2)],
        ),
        (
            vec![
                (ANNOTATIONS, json!({SUBGROUP_TOPOLOGY: "rack"})),
                (SUB_GROUP, json!({"subGroupSize": 1})),
                (&*worker, rack()),
            ],
            vec![bound("workerTemplate", SUBGROUP_TOPOLOGY, 4)],
        ),
    ] {
        assert_eq!(created(&changes), expected, "{changes:?}");
    }
}

#[test]
fn terms_of_the_user_switch_exclusive_placement_off() {
    const AFFINITY: &str = "/spec/leaderWorkerTemplate/leaderTemplate/spec/affinity";
    let text = format!(
        "metadata.annotations.{GROUP_TOPOLOGY}: has no effect: \
         spec.leaderWorkerTemplate.leaderTemplate.spec.affinity has terms of its own over \"rack\""
    );
    let both = |term: &Value| {
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
        json!({"podAffinity": required, "podAntiAffinity": required})
    };
    let group_key = "leaderworkerset.sigs.k8s.io/group-key";
    let by_label =
        json!({"labelSelector": {"matchLabels": {group_key: "v"}}, "topologyKey": "rack"});
    let by_expression = json!({
        "labelSelector": {"matchExpressions": [{"key": group_key, "operator": "Exists"}]},
        "topologyKey": "rack",
    });
    let unrelated = json!({"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "rack"});
    let mut only_affinity = both(&by_label);
    only_affinity.as_object_mut().unwrap().remove("podAntiAffinity");
    for (affinity, switched_off) in [
        (both(&json!({"topologyKey": "rack"})), true),
        (both(&by_label), true),
        (both(&by_expression), true),
        (both(&unrelated), false),
        (both(&json!({"topologyKey": "host"})), false),
        (only_affinity, false),
    ] {
        let warnings = created(&[
            (ANNOTATIONS, json!({GROUP_TOPOLOGY: "rack"})),
            (AFFINITY, affinity.clone()),
        ]);
        let expected = if switched_off { vec![text.clone()] } else { vec![] };
        assert_eq!(warnings, expected, "{affinity}");
    }
}

#[test]
fn numbers_of_groups_have_limits_of_their_own() {
    let partition = |partition: i32, replicas: i32| {
        format!(
            "spec.rolloutStrategy.rollingUpdateConfiguration.partition: {partition} is above the \
             number of replicas, {replicas}: no group will be updated"
        )
    };
    let surge = |surge: i32, replicas: i32| {
        format!(
            "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge: {surge} counts as \
             {replicas}, the number of replicas"
        )
    };
    for (replicas, config, expected) in [
        (3, json!({"partition": 3}), vec![]),
        (3, json!({"partition": 4}), vec![partition(4, 3)]),
        (3, json!({"maxSurge": 3, "maxUnavailable": 10}), vec![]),
        (3, json!({"maxSurge": "100%"}), vec![]),
        (3, json!({"maxSurge": 4, "partition": 9}), vec![partition(9, 3), surge(4, 3)]),
        (0, json!({"maxSurge": 4, "partition": 9}), vec![]),
    ] {
        assert_eq!(created(&[(REPLICAS, json!(replicas)), (CONFIG, config)]), expected);
    }
}

#[test]
fn settings_without_effect_are_named() {
    const RETENTION: &str = "/spec/leaderWorkerTemplate/persistentVolumeClaimRetentionPolicy";
    let annotation =
        |key: &str| (ANNOTATIONS, json!({format!("leaderworkerset.sigs.k8s.io/{key}"): "x"}));
    let excluded = json!({"subGroupSize": 1, "subGroupPolicyType": "LeaderExcluded"});
    let after_start = "experimental-recreate-group-after-start";
    let claim = |status: Value| {
        let claim = |name: &str, status: Value| {
            json!({
                "metadata": {"name": name},
                "spec": {"accessModes": ["a"], "resources": {"requests": {"storage": "1"}}},
                "status": status,
            })
        };
        (CLAIMS, json!([claim("a", Value::Null), claim("b", status)]))
    };
    for (changes, expected) in [
        (
            vec![annotation("leader-name")],
            Some(
                "metadata.annotations: \"leaderworkerset.sigs.k8s.io/leader-name\" has no effect on a LeaderWorkerSet",
            ),
        ),
        (
            vec![annotation("exclusive-topolgy")],
            Some(
                "metadata.annotations: \"leaderworkerset.sigs.k8s.io/exclusive-topolgy\" has no effect on a LeaderWorkerSet",
            ),
        ),
        (vec![(ANNOTATIONS, json!({"example.com/x": "y", "volcano.sh/x": "y"}))], None),
        (
            vec![(
                ANNOTATIONS,
                json!({lws_api_types::keys::annotations::REVISION_HISTORY_LIMIT: "3"}),
            )],
            None,
        ),
        (
            vec![(ANNOTATIONS, json!({lws_api_types::keys::annotations::PAUSED_PARTITION: "0"}))],
            None,
        ),
        (
            vec![(
                ANNOTATIONS,
                json!({lws_api_types::keys::annotations::REVISION_HISTORY_LIMIT: "-1"}),
            )],
            Some(
                "metadata.annotations.leaderworkerset.sigs.k8s.io/revision-history-limit: \"-1\" is not a whole number of 0 or more: no revision is kept",
            ),
        ),
        (vec![annotation(after_start)], None),
        (
            vec![annotation(after_start), (RESTART_POLICY, json!("None"))],
            Some(
                "metadata.annotations.leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start: has no effect with restartPolicy None",
            ),
        ),
        (
            vec![(SIZE, json!(1)), (SUB_GROUP, excluded.clone())],
            Some(
                "spec.leaderWorkerTemplate.subGroupPolicy: has no effect: a group of size 1 has only a leader, which is excluded",
            ),
        ),
        (vec![(SIZE, json!(2)), (SUB_GROUP, excluded)], None),
        (vec![(SIZE, json!(1)), (SUB_GROUP, json!({"subGroupSize": 1}))], None),
        (vec![claim(json!({}))], None),
        (
            vec![claim(json!({"phase": "Pending"}))],
            Some("spec.leaderWorkerTemplate.volumeClaimTemplates[1].status: has no effect"),
        ),
        (
            vec![
                claim(json!({})),
                (RETENTION, json!({"whenDeleted": "Delete", "whenScaled": "Retain"})),
            ],
            None,
        ),
        (
            vec![(RETENTION, json!({"whenScaled": "Retain"}))],
            Some(
                "spec.leaderWorkerTemplate.persistentVolumeClaimRetentionPolicy.whenScaled: has no effect without volumeClaimTemplates",
            ),
        ),
        (
            vec![claim(json!({})), (RETENTION, json!({"whenDeleted": "delete"}))],
            Some(
                "spec.leaderWorkerTemplate.persistentVolumeClaimRetentionPolicy.whenDeleted: \"delete\" is neither Delete nor Retain: \
                  Kubernetes will refuse the StatefulSets, and no pod will be created",
            ),
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(created(&changes), expected, "{changes:?}");
    }
}

#[test]
fn fields_of_templates_without_effect_are_named() {
    let refused = "Kubernetes will refuse the StatefulSets, and no pod will be created";
    for (pointer, value, expected) in [
        ("metadata/name", json!("x"), Some("metadata.name: has no effect: pods are named by their StatefulSet".to_owned())),
        (
            "metadata/namespace",
            json!("x"),
            Some("metadata.namespace: has no effect: pods are created in the namespace of the set".to_owned()),
        ),
        ("metadata/creationTimestamp", Value::Null, None),
        ("metadata/finalizers", json!(["a/b"]), None),
        (
            "spec/hostname",
            json!("x"),
            Some("spec.hostname: has no effect: StatefulSets give each pod its name".to_owned()),
        ),
        (
            "spec/subdomain",
            json!("x"),
            Some("spec.subdomain: has no effect: spec.networkConfig decides it".to_owned()),
        ),
        ("spec/restartPolicy", json!("Always"), None),
        ("spec/restartPolicy", json!("Never"), Some(format!("spec.restartPolicy: Never must be Always: {refused}"))),
        (
            "spec/activeDeadlineSeconds",
            json!(60),
            Some(format!("spec.activeDeadlineSeconds: 60 must be absent: {refused}")),
        ),
        (
            "spec/initContainers",
            json!([
                {"name": "i", "image": "i"},
                {"name": "j", "image": "i", "env": [{"name": "A"}, {"name": "LWS_GROUP_SIZE"}]},
            ]),
            Some("spec.initContainers[1].env: \"LWS_GROUP_SIZE\" is reserved and will be overwritten".to_owned()),
        ),
        (
            "spec/containers",
            json!([
                {"name": "c", "image": "i", "env": [{"name": "LWS_LEADER_ADDRESS"}, {"name": "LWS_OTHER"}]},
            ]),
            Some("spec.containers[0].env: \"LWS_LEADER_ADDRESS\" is reserved and will be overwritten".to_owned()),
        ),
    ] {
        for template in ["leaderTemplate", "workerTemplate"] {
            let path = format!("/spec/leaderWorkerTemplate/{template}/{pointer}");
            let text = expected.as_ref().map(|it| format!("spec.leaderWorkerTemplate.{template}.{it}"));
            let expected: Vec<_> = text.into_iter().collect();
            assert_eq!(created(&[(&path, value.clone())]), expected, "{path}");
        }
    }
}

/// What is shipped to be copied is ordinary.
#[test]
fn samples_are_not_warned_of() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/samples");
    let mut judged = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for document in text.split("\n---\n") {
            let mut object: Value = serde_saphyr::from_str(document).unwrap();
            if object["kind"] != "LeaderWorkerSet" {
                continue;
            }
            change(&mut object, "/metadata/namespace", json!("default"));
            assert_eq!(validate_create(&defaulted(object)), Verdict::default(), "{path:?}");
            judged += 1;
        }
    }
    assert!(judged >= 6, "{judged}");
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

    // A new set of such a name would be rejected; this one may have to be stored all the same.
    let old = set_with(&[(NAME, json!("n".repeat(52))), (SIZE, json!(1))]);
    let mut new = old.clone();
    change(&mut new, SIZE, json!(2));
    let verdict = validate_update(&new, &old);
    assert_eq!(verdict.errors, []);
    assert_eq!(verdict.warnings, [no_room(52, 0)]);
}

#[test]
fn warnings_are_short_and_go_with_allowed_objects_only() {
    let long = "é ".repeat(400);
    assert_eq!(
        created(&[(ANNOTATIONS, json!({GROUP_TOPOLOGY: long}))]),
        [format!(
            "metadata.annotations.{GROUP_TOPOLOGY}: no node can have a label \"{}…, which is not a \
             valid label key: pods will not be placed",
            "é ".repeat(32)
        )]
    );
    let template = "/spec/leaderWorkerTemplate/workerTemplate/spec";
    // The API server drops a warning with control characters.
    for (policy, shown) in [("a\nb", r"a\nb"), ("a\u{7f}b\u{85}", r"a\u{7f}b\u{85}"), ("é", "é")]
    {
        let warnings = created(&[(&format!("{template}/restartPolicy"), json!(policy))]);
        let expected = format!(
            "spec.leaderWorkerTemplate.workerTemplate.spec.restartPolicy: {shown} must be Always: \
             Kubernetes will refuse the StatefulSets, and no pod will be created"
        );
        assert_eq!(warnings, [expected]);
    }
    let key = format!("{}.example.com/tpu", "x".repeat(240));
    let containers: Value = ["limits", "requests"]
        .map(|list| json!({"name": list, "image": "i", "resources": {list: {&key: "500m"}}}))
        .into();
    for warning in created(&[(&format!("{template}/containers"), containers)]) {
        assert!(warning.chars().count() <= 256, "{warning}");
    }

    let name = format!("{}-0", "n".repeat(48));
    assert_eq!(created(&[(NAME, json!(name)), (REPLICAS, json!(100))]).len(), 2);
    for text in created(&[(NAME, json!(name)), (REPLICAS, json!(100))]) {
        assert!(text.chars().count() < 256, "complete: {text}");
    }

    let verdict = validate_create(&set_with(&[(NAME, json!("x-0")), (REPLICAS, json!(-1))]));
    assert_eq!((verdict.errors.len(), verdict.warnings.len()), (1, 0));
}

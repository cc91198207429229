//! What holds for any JSON.

use lws_api_types::LeaderWorkerSetSpec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize as _;

use super::*;

/// Any JSON, with the names and values that the code knows among the keys and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let known = select(vec![
        "metadata",
        "name",
        "namespace",
        "generateName",
        "generation",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
        "deletionTimestamp",
        "spec",
        "replicas",
        "leaderWorkerTemplate",
        "leaderTemplate",
        "workerTemplate",
        "size",
        "restartPolicy",
        "subGroupPolicy",
        "subGroupPolicyType",
        "subGroupSize",
        "volumeClaimTemplates",
        "resources",
        "requests",
        "storage",
        "rolloutStrategy",
        "type",
        "rollingUpdateConfiguration",
        "partition",
        "maxUnavailable",
        "maxSurge",
        "startupPolicy",
        "networkConfig",
        "subdomainPolicy",
        "leaderworkerset.sigs.k8s.io/exclusive-topology",
        "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology",
    ]);
    let key = prop_oneof![4 => known.prop_map(str::to_owned), 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3..70_i32).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z0-9-]{0,70}".prop_map(Value::from),
        "[+-]?[0-9]{0,25}%?".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// [`stored`] with up to four fields of the spec or metadata replaced by anything.
fn any_set() -> impl Strategy<Value = Value> {
    let pointer = select(vec![
        "/metadata",
        NAME,
        ANNOTATIONS,
        "/metadata/labels",
        "/metadata/finalizers",
        "/metadata/ownerReferences",
        "/metadata/managedFields",
        REPLICAS,
        SIZE,
        RESTART_POLICY,
        STRATEGY,
        CONFIG,
        PARTITION,
        MAX_UNAVAILABLE,
        MAX_SURGE,
        STARTUP_POLICY,
        NETWORK,
        SUB_GROUP,
        "/spec/leaderWorkerTemplate/subGroupPolicy/subGroupSize",
        CLAIMS,
        "/spec/leaderWorkerTemplate/workerTemplate/metadata",
    ]);
    prop::collection::vec((pointer, any_json()), 0..4).prop_map(|changes| {
        let mut object = stored();
        for (pointer, value) in changes {
            // Nothing can be put below what an earlier change made no object.
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            if let Some(Value::Object(parent)) = object.pointer_mut(parent) {
                parent.insert(field.to_owned(), value);
            }
        }
        object
    })
}

/// A set without mistakes.
fn valid_set() -> impl Strategy<Value = Value> {
    let count = prop_oneof![
        (1..20_i32).prop_map(Value::from),
        (50..=100_u32).prop_map(|it| json!(format!("{it}%"))),
    ];
    let policy = select(vec![Value::Null, json!(""), json!("Default"), json!("None")]);
    let network = select(vec![Value::Null, json!({}), json!({"subdomainPolicy": "Shared"})]);
    let strategy = prop_oneof![
        select(vec![Value::Null, json!({}), json!({"type": ""})]),
        (count.clone(), count, 0..30_i32).prop_map(|(unavailable, surge, partition)| json!({
            "rollingUpdateConfiguration": {
                "maxUnavailable": unavailable, "maxSurge": surge, "partition": partition,
            },
        })),
    ];
    ("[a-z]([-a-z0-9]{0,30}[a-z0-9])?", 0..1000_i32, 1..64_i32, policy, network, strategy).prop_map(
        |(name, replicas, size, policy, network, strategy)| {
            set_with(&[
                (NAME, json!(name)),
                (REPLICAS, json!(replicas)),
                (SIZE, json!(size)),
                (RESTART_POLICY, policy),
                (NETWORK, network),
                (STRATEGY, strategy),
                (SUB_GROUP, json!({"subGroupSize": size})),
            ])
        },
    )
}

proptest! {
    #[test]
    fn nothing_panics(object in any_json(), old in any_json()) {
        let _ = create(&defaulted(object.clone()));
        let _ = create(&object);
        let _ = update(&object, &old);
    }

    #[test]
    fn warnings_are_short(object in any_set(), old in any_set()) {
        for verdict in [validate_create(&object), validate_update(&object, &old)] {
            for warning in verdict.warnings {
                prop_assert!(warning.chars().count() <= 256, "{warning}");
                prop_assert!(!warning.contains(char::is_control), "{warning:?}");
            }
        }
    }

    #[test]
    fn defaults_are_idempotent(object in prop_oneof![any_json(), any_set()]) {
        prop_assert_eq!(defaults(&defaulted(object)), []);
    }

    #[test]
    fn every_default_takes_effect(object in prop_oneof![any_json(), any_set()]) {
        for operation in defaults(&object) {
            prop_assert_ne!(object.pointer(operation.path), Some(&operation.value));
        }
    }

    #[test]
    fn defaulted_valid_sets_are_valid(object in valid_set()) {
        let object = defaulted(object);
        prop_assert_eq!(create(&object), "");
        prop_assert_eq!(update(&object, &object), "");
    }

    #[test]
    fn what_is_allowed_can_be_decoded(object in any_set()) {
        let object = defaulted(object);
        if create(&object).is_empty() {
            let spec = LeaderWorkerSetSpec::deserialize(&object["spec"]);
            prop_assert!(spec.is_ok(), "{:?}: {}", spec, object);
        }
    }
}

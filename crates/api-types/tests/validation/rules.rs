//! Which rule an error belongs to.

use std::collections::HashSet;

use lws_api_types::validation::Rule;

use super::*;

/// A JSON pointer, and the value that shall be there.
type Change = (&'static str, Value);

/// An object and the rules that it breaks when it is created.
fn broken_by_creation() -> Vec<(Vec<Change>, Vec<Rule>)> {
    let sub_group = |size: i32, policy: &str| {
        (SUB_GROUP, json!({"subGroupSize": size, "subGroupPolicyType": policy}))
    };
    let four = || (SIZE, json!(4));
    let topology = json!({"leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology": "rack"});
    vec![
        (vec![(REPLICAS, json!("x"))], vec![Rule::Schema]),
        (vec![(STARTUP_POLICY, json!("x"))], vec![Rule::Schema]),
        (vec![("/spec/leaderWorkerTemplate", Value::Null)], vec![Rule::Schema]),
        (vec![(NAME, json!("2cube"))], vec![Rule::Name]),
        (vec![("/metadata/generateName", json!("2c-"))], vec![Rule::Name]),
        (vec![(NAME, Value::Null)], vec![Rule::NameRequired]),
        (vec![(NAME, json!("n".repeat(51)))], vec![Rule::NameRoom]),
        (vec![("/metadata/namespace", json!("A"))], vec![Rule::Namespace]),
        (vec![("/metadata/namespace", Value::Null)], vec![Rule::Namespace]),
        (vec![("/metadata/labels/a b", json!("c"))], vec![Rule::Metadata]),
        (vec![("/metadata/generation", json!(-1))], vec![Rule::Metadata]),
        (vec![("/metadata/finalizers", json!(["a b"]))], vec![Rule::Metadata]),
        (vec![(REPLICAS, json!(-1))], vec![Rule::ReplicasMinimum]),
        (vec![(REPLICAS, json!(1_000_001))], vec![Rule::ReplicasMaximum]),
        (vec![(SIZE, json!(0))], vec![Rule::SizeMinimum]),
        (vec![(SIZE, json!(i32::MAX))], vec![Rule::PodsMaximum]),
        (
            vec![(MAX_UNAVAILABLE, json!("x")), (MAX_SURGE, json!(1))],
            vec![Rule::MaxUnavailableFormat, Rule::RollingUpdateValue],
        ),
        (vec![(MAX_UNAVAILABLE, json!(-1))], vec![Rule::MaxUnavailableMinimum]),
        (vec![(MAX_UNAVAILABLE, json!("101%"))], vec![Rule::MaxUnavailableMaximum]),
        (vec![(MAX_SURGE, json!("x"))], vec![Rule::MaxSurgeFormat, Rule::RollingUpdateValue]),
        (vec![(MAX_SURGE, json!(-1))], vec![Rule::MaxSurgeMinimum]),
        (vec![(MAX_SURGE, json!("101%"))], vec![Rule::MaxSurgeMaximum]),
        (vec![(PARTITION, json!(-1))], vec![Rule::PartitionMinimum]),
        (vec![(MAX_UNAVAILABLE, json!(0))], vec![Rule::RollingUpdateStuck]),
        (vec![(SUB_GROUP, json!({}))], vec![Rule::SubgroupSizeRequired]),
        (vec![sub_group(0, "LeaderWorker")], vec![Rule::SubgroupSizeMinimum]),
        (vec![(SIZE, json!(6)), sub_group(4, "LeaderWorker")], vec![Rule::SubgroupSizeDivisor]),
        (vec![(SIZE, json!(1)), sub_group(2, "LeaderWorker")], vec![Rule::SubgroupSizeMaximum]),
        (vec![four(), sub_group(2, "LeaderExcluded")], vec![Rule::SubgroupSizeLeaderExcluded]),
        (vec![(ANNOTATIONS, topology)], vec![Rule::SubgroupTopology]),
    ]
}

/// A stored object, its change and the rules that the change breaks.
fn broken_by_update() -> Vec<(Change, Change, Vec<Rule>)> {
    let sub_group = |size: i32| (SUB_GROUP, json!({"subGroupSize": size}));
    let none = || (SUB_GROUP, Value::Null);
    let claims = |name: &str| (CLAIMS, json!([{"metadata": {"name": name}}]));
    vec![
        (sub_group(1), sub_group(2), vec![Rule::SubgroupSizeImmutable]),
        (none(), sub_group(1), vec![Rule::SubgroupPolicyAdded]),
        (sub_group(1), none(), vec![Rule::SubgroupPolicyRemoved]),
        ((NETWORK, json!({})), (NETWORK, json!({"x": 1})), vec![Rule::SubdomainPolicyNull]),
        (claims("a"), claims("b"), vec![Rule::VolumeClaimsImmutable]),
    ]
}

#[test]
fn every_rule_is_named_by_what_breaks_it() {
    let mut seen = HashSet::new();
    let mut check = |verdict: &Verdict, expected: &[Rule]| {
        let rules: Vec<_> = verdict.errors.iter().map(|it| it.rule).collect();
        assert_eq!(rules, expected, "{}", aggregate(&verdict.errors));
        verdict.errors.iter().for_each(documentation::check_violation);
        seen.extend(rules);
    };
    for (changes, rules) in broken_by_creation() {
        check(&validate_create(&set_with(&changes)), &rules);
    }
    for (before, after, rules) in broken_by_update() {
        check(&validate_update(&set_with(&[after]), &set_with(&[before])), &rules);
    }
    let missing: Vec<_> = Rule::ALL.iter().filter(|rule| !seen.contains(rule)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn names_are_distinct_label_values() {
    let names: HashSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    for name in names {
        assert!(name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'), "{name}");
    }
}

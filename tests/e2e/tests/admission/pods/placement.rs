//! Exclusive placement: one group, or subgroup, per topology domain.

use anyhow::{Context as _, Result};
use lws_api_types::keys::annotations;
use lws_api_types::names;
use serde_json::{Value, json};

use super::*;
use crate::cases::each;
use crate::world::world;

const GROUP_KEY: &str = "leaderworkerset.sigs.k8s.io/group-key";
const SUBGROUP_KEY: &str = "leaderworkerset.sigs.k8s.io/subgroup-key";
const LEADER: &str = "test-1";

/// A term each of affinity and anti-affinity.
fn pair(key: &str, value: &str, topology: &str) -> [Value; 2] {
    let term = |expressions: Value| json!({"labelSelector": {"matchExpressions": expressions}, "topologyKey": topology});
    [
        term(json!([{"key": key, "operator": "In", "values": [value]}])),
        term(
            json!([{"key": key, "operator": "Exists"}, {"key": key, "operator": "NotIn", "values": [value]}]),
        ),
    ]
}

fn affinity(pairs: &[[Value; 2]]) -> Value {
    let list = |position: usize| -> Vec<_> {
        pairs.iter().filter_map(|pair| pair.get(position)).collect()
    };
    json!({
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(0)},
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(1)},
    })
}

fn exclusive(pod: Pod) -> Pod {
    pod.annotation(annotations::EXCLUSIVE_TOPOLOGY, "topologyKey")
}

fn both(pod: Pod) -> Pod {
    exclusive(pod).divided(2).annotation(annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY, "subgroupKey")
}

#[tokio::test]
async fn a_group_or_subgroup_has_its_domain_to_itself() -> Result<()> {
    let group =
        |namespace: &str| pair(GROUP_KEY, &names::group_key(namespace, LEADER), "topologyKey");
    let subgroup =
        |index: &str| pair(SUBGROUP_KEY, &names::subgroup_key(LEADER, index), "subgroupKey");
    let leader = || Pod::leader("test", 4);
    let nothing = Added::default;
    let with = |pod: Pod, pairs: &[[Value; 2]]| pod.put("/spec/affinity", affinity(pairs));
    let stale = pair(GROUP_KEY, "another-value", "topologyKey");
    let unrelated = || {
        let term = |app: &str| json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "topologyKey"});
        [term("near"), term("far")]
    };
    let cases = vec![
        ("C-129 leader", exclusive(leader()), nothing().affinity(affinity(&[group("c-129")]))),
        (
            "C-130 leader with both",
            both(leader()),
            nothing().subgroup(0).affinity(affinity(&[group("c-130"), subgroup("0")])),
        ),
        (
            "C-131 worker with both",
            both(Pod::worker("test", 3, 4)),
            nothing().subgroup(1).affinity(affinity(&[subgroup("1")])),
        ),
        ("C-132 leader without annotation", leader(), nothing()),
        ("P-1 worker of an exclusive group", exclusive(Pod::worker("test", 3, 4)), nothing()),
        (
            "P-2 empty annotation",
            leader().annotation(annotations::EXCLUSIVE_TOPOLOGY, ""),
            nothing(),
        ),
        ("C-133 leader with such terms", with(exclusive(leader()), &[stale]), nothing()),
        (
            "C-134 leader with other terms",
            with(exclusive(leader()), &[unrelated()]),
            nothing().affinity(affinity(&[unrelated(), group("c-134")])),
        ),
    ];
    let world = &world().await?;
    each(cases, async |(case, pod, added): (&str, Pod, Added)| {
        admit(world, case, &pod, &added).await.context(case)
    })
    .await
}

#[tokio::test]
async fn other_affinity_of_the_user_stays() -> Result<()> {
    let node = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
    ]}});
    let preferred = json!([{"weight": 1, "podAffinityTerm": {
        "labelSelector": {"matchLabels": {"app": "x"}},
        "topologyKey": "topologyKey",
    }}]);
    let pod = exclusive(Pod::leader("test", 2));
    let pod = pod.put(
        "/spec/affinity",
        json!({
            "nodeAffinity": node,
            "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred},
        }),
    );
    let mut expected =
        affinity(&[pair(GROUP_KEY, &names::group_key("p-3", LEADER), "topologyKey")]);
    for (pointer, value) in [
        ("/nodeAffinity", node),
        ("/podAffinity/preferredDuringSchedulingIgnoredDuringExecution", preferred),
    ] {
        crate::json::put(&mut expected, pointer, value)?;
    }
    let world = &world().await?;
    admit(world, "P-3", &pod, &Added::default().affinity(expected)).await
}

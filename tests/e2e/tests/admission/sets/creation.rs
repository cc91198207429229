//! Which sets may be created.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Outcome::{Invalid, Stored, Warned};
use super::*;
use crate::cases::each;
use crate::world::world;

const NOT_A_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
    character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
    '[a-z]([-a-z0-9]*[a-z0-9])?')";
const TOO_MANY_PODS: &str =
    "the product of replicas and worker replicas must not exceed 2147483647";
const CONFIG: &str = "spec.rolloutStrategy.rollingUpdateConfiguration";
const SUB_GROUP_SIZE: &str = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize";
const NOT_DIVISIBLE: &str = "size or size - 1 must be divisible by subGroupSize";
const EXCLUSIVE: &str = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology";

type Case = (&'static str, Vec<Change>, Outcome);

async fn play(world: &World, (case, changes, outcome): Case) -> Result<()> {
    let sent = set(case, &changes).context(case)?;
    create(world, &sent, &outcome).await.context(case)
}

async fn creates(cases: Vec<Case>) -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    each(cases, async |case| play(world, case).await).await
}

#[tokio::test]
async fn names_and_numbers() -> Result<()> {
    creates(vec![
        (
            "C-065 name",
            vec![(NAME, json!("2cube"))],
            denied(format!("metadata.name: Invalid value: \"2cube\": {NOT_A_LABEL}")),
        ),
        (
            "C-066 too many pods",
            vec![(REPLICAS, json!(100_000)), (SIZE, json!(1_000_000))],
            denied(format!("spec.replicas: Invalid value: 100000: {TOO_MANY_PODS}")),
        ),
        (
            "C-067 negative size",
            vec![(SIZE, json!(-1))],
            denied(
                "spec.leaderWorkerTemplate.size: Invalid value: -1: size must be equal or greater than 1",
            ),
        ),
        (
            "C-068 negative replicas",
            vec![(REPLICAS, json!(-1))],
            Invalid("spec.replicas: Invalid value: -1: "),
        ),
        (
            "C-069 replicas",
            vec![(REPLICAS, json!(1_000_001))],
            Invalid("spec.replicas: Invalid value: 1000001: "),
        ),
        (
            "X-28a no room for a pod",
            vec![(NAME, json!("n".repeat(63)))],
            denied(format!(
                "metadata.name: Invalid value: \"{}\": must be no more than 50 characters: Kubernetes labels the pods of group 0 \
                 with this name, the group index and a revision hash, in at most 63 characters",
                "n".repeat(63)
            )),
        ),
        (
            "X-28b longer than any name",
            vec![(NAME, json!("n".repeat(64)))],
            denied(format!(
                "metadata.name: Invalid value: \"{}\": must be no more than 63 characters",
                "n".repeat(64)
            )),
        ),
        ("X-28c just enough room", vec![(NAME, json!("n".repeat(50)))], Stored),
    ]).await
}

#[tokio::test]
async fn policies() -> Result<()> {
    let excluded = json!({"subGroupSize": 2, "subGroupPolicyType": "LeaderExcluded"});
    let sub_group = |size: i32| {
        (SUB_GROUP, json!({"subGroupSize": size, "subGroupPolicyType": "LeaderWorker"}))
    };
    let on_size =
        |value: &str, detail: &str| format!("{SUB_GROUP_SIZE}: Invalid value: {value}: {detail}");
    creates(vec![
        (
            "C-070 startupPolicy",
            vec![(STARTUP_POLICY, json!("invalidValue"))],
            Invalid(
                "spec.startupPolicy: Unsupported value: \"invalidValue\": supported values: \"LeaderCreated\", \"LeaderReady\"",
            ),
        ),
        (
            "C-071 negative subgroups",
            vec![sub_group(-1)],
            denied(on_size("-1", "subGroupSize must be equal or greater than 1")),
        ),
        (
            "C-072 subgroups larger than the group",
            vec![sub_group(3)],
            denied(format!(
                "[{}, {}]",
                on_size("3", NOT_DIVISIBLE),
                on_size("3", "subGroupSize cannot be larger than size")
            )),
        ),
        (
            "C-073 subgroups without leader",
            vec![(SIZE, json!(4)), (SUB_GROUP, excluded.clone())],
            denied(on_size(
                "2",
                "size-1 must be divisible by subGroupSize when using LeaderExcluded",
            )),
        ),
        (
            "V18 no divisor",
            vec![(SIZE, json!(6)), sub_group(4)],
            denied(on_size("4", NOT_DIVISIBLE)),
        ),
        ("V20a divisor of the workers", vec![(SIZE, json!(5)), (SUB_GROUP, excluded)], Stored),
        ("V20b the group is the subgroup", vec![(SIZE, json!(4)), sub_group(4)], Stored),
        (
            "X-04a subGroupPolicy without size",
            vec![(SUB_GROUP, json!({}))],
            denied(format!("{SUB_GROUP_SIZE}: Required value")),
        ),
        (
            "X-04b subgroups of nothing",
            vec![sub_group(0)],
            denied(on_size("0", "subGroupSize must be equal or greater than 1")),
        ),
        (
            "V21 annotation without subgroups",
            vec![(ANNOTATIONS, json!({EXCLUSIVE: "zone"}))],
            denied(format!(
                "metadata.annotations.{EXCLUSIVE}: Invalid value: \"zone\": cannot have subgroup-exclusive-topology without \
                 subGroupSize set"
            )),
        ),
        ("C-088 restartPolicy None", vec![(RESTART_POLICY, json!("None"))], Stored),
        (
            "C-089 restartPolicy",
            vec![(RESTART_POLICY, json!("invalidValue"))],
            Invalid("spec.leaderWorkerTemplate.restartPolicy: Unsupported value: \"invalidValue\""),
        ),
        (
            "C-090 rollout type",
            vec![(STRATEGY_TYPE, json!("invalidValue"))],
            Invalid(
                "spec.rolloutStrategy.type: Unsupported value: \"invalidValue\": supported values: \"RollingUpdate\"",
            ),
        ),
    ]).await
}

#[tokio::test]
async fn rolling_updates() -> Result<()> {
    let unavailable = |value: &str, detail: &str| {
        denied(format!("{CONFIG}.maxUnavailable: Invalid value: {value}: {detail}"))
    };
    let surge = |value: &str, detail: &str| {
        denied(format!("{CONFIG}.maxSurge: Invalid value: {value}: {detail}"))
    };
    let stuck = "must not be 0 when `maxSurge` is 0";
    creates(vec![
        ("C-091 maxUnavailable", vec![(MAX_UNAVAILABLE, json!(10))], Stored),
        (
            "C-092 maxUnavailable",
            vec![(MAX_UNAVAILABLE, json!("200%"))],
            unavailable("\"200%\"", "must not be greater than 100%"),
        ),
        (
            "C-093 maxUnavailable",
            vec![(MAX_UNAVAILABLE, json!(-1))],
            unavailable("-1", "must be greater than or equal to 0"),
        ),
        (
            "C-094 maxSurge",
            vec![(MAX_SURGE, json!(10))],
            Warned(
                "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge: 10 counts as 2, the number of replicas",
            ),
        ),
        (
            "C-095 maxSurge",
            vec![(MAX_SURGE, json!("200%"))],
            surge("\"200%\"", "must not be greater than 100%"),
        ),
        (
            "C-096 maxSurge",
            vec![(MAX_SURGE, json!(-1))],
            surge("-1", "must be greater than or equal to 0"),
        ),
        (
            "C-097 both 0",
            vec![(MAX_UNAVAILABLE, json!(0)), (MAX_SURGE, json!(0))],
            unavailable("0", stuck),
        ),
        ("C-098 surge only", vec![(MAX_UNAVAILABLE, json!(0)), (MAX_SURGE, json!(1))], Stored),
        (
            "C-099 percentages of nothing",
            vec![(REPLICAS, json!(0)), (MAX_UNAVAILABLE, json!("25%")), (MAX_SURGE, json!("25%"))],
            Stored,
        ),
        (
            "C-100 rounds down to 0",
            vec![(MAX_UNAVAILABLE, json!("25%")), (MAX_SURGE, json!(0))],
            unavailable("\"25%\"", stuck),
        ),
        ("V16 rounds up to 1", vec![(MAX_UNAVAILABLE, json!(0)), (MAX_SURGE, json!("1%"))], Stored),
        (
            "C-101 negative partition",
            vec![(PARTITION, json!(-1))],
            denied(format!(
                "{CONFIG}.partition: Invalid value: -1: must be greater than or equal to 0"
            )),
        ),
        (
            "C-102 partition",
            vec![(REPLICAS, json!(3)), (PARTITION, json!(5))],
            Warned(
                "spec.rolloutStrategy.rollingUpdateConfiguration.partition: 5 is above the number of replicas, 3: no group will \
                 be updated",
            ),
        ),
        ("C-103 partition", vec![(REPLICAS, json!(3)), (PARTITION, json!(3))], Stored),
        ("C-104 partition", vec![(REPLICAS, json!(3)), (PARTITION, json!(0))], Stored),
    ])
    .await
}

//! How a stored set may be changed.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Outcome::{Invalid, Stored, Warned};
use super::*;
use crate::cases::each;
use crate::world::world;

const SUB_GROUP_SIZE: &str = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize";

/// What the set is created with, what is changed then, and what becomes of it.
type Case = (&'static str, Vec<Change>, Vec<Change>, Outcome);

async fn play(world: &World, (case, created, changed, outcome): Case) -> Result<()> {
    let sent = set(case, &created)?;
    let answer = world.sets(NAMESPACE).create(&sent).await?;
    ensure_spec(&answer, &sent).context("before the change")?;
    let sent = with(answer.object()?, &changed)?;
    outcome.check(&world.sets(NAMESPACE).replace(&sent).await?, &sent)
}

async fn updates(cases: Vec<Case>) -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    each(cases, async |case| {
        let name = case.0;
        play(world, case).await.context(name)
    })
    .await
}

#[tokio::test]
async fn numbers() -> Result<()> {
    let five = || vec![(REPLICAS, json!(5))];
    updates(vec![
        ("C-074 size", vec![], vec![(SIZE, json!(3))], Stored),
        (
            "C-075 too many pods",
            vec![(REPLICAS, json!(100_000))],
            vec![(SIZE, json!(100_000_000))],
            denied(
                "spec.replicas: Invalid value: 100000: the product of replicas and worker replicas must not exceed 2147483647",
            ),
        ),
        (
            "C-076 negative replicas",
            vec![],
            vec![(REPLICAS, json!(-1))],
            Invalid("spec.replicas: Invalid value: -1: "),
        ),
        ("C-081 replicas", vec![(REPLICAS, json!(1))], vec![(REPLICAS, json!(3))], Stored),
        (
            "C-082 replicas",
            vec![],
            vec![(REPLICAS, json!(1_000_001))],
            Invalid("spec.replicas: Invalid value: 1000001: "),
        ),
        ("C-105 partition", five(), vec![(PARTITION, json!(2))], Stored),
        (
            "C-106 negative partition",
            vec![],
            vec![(PARTITION, json!(-1))],
            denied(
                "spec.rolloutStrategy.rollingUpdateConfiguration.partition: Invalid value: -1: must be greater than or equal to 0",
            ),
        ),
        (
            "C-107 partition",
            five(),
            vec![(PARTITION, json!(10))],
            Warned(
                "spec.rolloutStrategy.rollingUpdateConfiguration.partition: 10 is above the number of replicas, 5: no group will \
                 be updated",
            ),
        ),
        ("C-108 partition", five(), vec![(PARTITION, json!(5))], Stored),
        ("C-109 partition", five(), vec![(PARTITION, json!(0))], Stored),
    ]).await
}

#[tokio::test]
async fn policies() -> Result<()> {
    let sub_group = |size: i32| {
        vec![(SUB_GROUP, json!({"subGroupSize": size, "subGroupPolicyType": "LeaderWorker"}))]
    };
    let network = |policy: &str| vec![(NETWORK, json!({"subdomainPolicy": policy}))];
    updates(vec![
        (
            "C-077 startupPolicy",
            vec![(STARTUP_POLICY, json!("LeaderReady"))],
            vec![(STARTUP_POLICY, json!("invalidValue"))],
            Invalid("spec.startupPolicy: Unsupported value: \"invalidValue\""),
        ),
        (
            "C-078 subGroupSize",
            sub_group(1),
            sub_group(2),
            denied(format!("{SUB_GROUP_SIZE}: Invalid value: 2: field is immutable")),
        ),
        (
            "C-079 subgroups later",
            vec![],
            sub_group(1),
            denied(format!(
                "{SUB_GROUP_SIZE}: Invalid value: 1: cannot enable subGroupSize after the lws is already created"
            )),
        ),
        (
            "C-080 subgroups no more",
            sub_group(1),
            vec![(SUB_GROUP, ABSENT)],
            denied(format!(
                "{SUB_GROUP_SIZE}: Invalid value: 1: cannot remove subGroupSize after enabled"
            )),
        ),
        (
            "X-04c subGroupSize no more",
            sub_group(1),
            vec![(SUB_GROUP, json!({}))],
            denied(format!("{SUB_GROUP_SIZE}: Required value")),
        ),
        ("C-084 subdomainPolicy", network("UniquePerReplica"), network("Shared"), Stored),
        ("C-085 subdomainPolicy", network("Shared"), network("UniquePerReplica"), Stored),
    ]).await
}

#[tokio::test]
async fn leader_and_worker_template_may_change_places() -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let before = set("C-083", &[])?;
    let template = |pointer| before.pointer(pointer).cloned().context("a template");
    let swap = vec![(LEADER, template(WORKER)?), (WORKER, template(LEADER)?)];
    play(world, ("C-083", vec![], swap, Stored)).await
}

#[tokio::test]
async fn a_subdomain_policy_can_be_left_to_its_default() -> Result<()> {
    let unique = json!({"subdomainPolicy": "UniquePerReplica"});
    let shared = json!({"subdomainPolicy": "Shared"});
    let cases = [
        ("C-086", ABSENT, unique.clone(), unique.clone()),
        ("C-087", unique, json!({"subdomainPolicy": null}), shared),
    ];
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    each(cases, async |(case, created, changed, stored): (&str, Value, Value, Value)| {
        let answer = world.sets(NAMESPACE).create(&set(case, &[(NETWORK, created)])?).await?;
        let sent = with(answer.object().context(case)?, &[(NETWORK, changed)])?;
        let expected = with(sent.clone(), &[(NETWORK, stored)])?;
        Stored.check(&world.sets(NAMESPACE).replace(&sent).await?, &expected).context(case)
    })
    .await
}

/// A claim of 1 GiB, as `quantity` has it.
fn claim(quantity: &str) -> Value {
    json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": quantity}}},
    })
}

#[tokio::test]
async fn claims_stay_as_they_are() -> Result<()> {
    let claims = |list: Value| vec![(CLAIMS, list)];
    let immutable = |list: &Value| {
        denied(format!(
            "spec.leaderWorkerTemplate.volumeClaimTemplates: Invalid value: {list}: field is immutable"
        ))
    };
    updates(vec![
        (
            "X-05a another size",
            claims(json!([claim("1Gi")])),
            claims(json!([claim("2Gi")])),
            immutable(&json!([claim("2Gi")])),
        ),
        (
            "X-05b claims later",
            vec![],
            claims(json!([claim("1Gi")])),
            immutable(&json!([claim("1Gi")])),
        ),
        (
            "X-05c claims no more",
            claims(json!([claim("1Gi")])),
            claims(ABSENT),
            immutable(&Value::Null),
        ),
        (
            "X-05d the same size in other words",
            claims(json!([claim("1Gi")])),
            claims(json!([claim("1024Mi")])),
            Stored,
        ),
        ("X-05e another change", claims(json!([claim("1Gi")])), vec![(SIZE, json!(3))], Stored),
    ])
    .await
}

/// A quarter of 4 groups is 1, of 2 groups 0: scaling passes no webhook.
#[tokio::test]
async fn a_set_that_breaks_a_rule_can_be_relabelled_mended_and_deleted() -> Result<()> {
    const LABELS: &str = "/metadata/labels";
    const FINALIZERS: &str = "/metadata/finalizers";
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let sets = world.sets(NAMESPACE);
    let sent = set(
        "scaled",
        &[
            (REPLICAS, json!(4)),
            (MAX_UNAVAILABLE, json!("25%")),
            (FINALIZERS, json!(["example.com/hold"])),
        ],
    )?;
    Stored.check(&sets.create(&sent).await?, &sent)?;
    sets.scale("scaled", 2).await?.object()?;

    let scaled = sets.read("scaled").await?.object()?;
    let broken = with(scaled.clone(), &[(SIZE, json!(3))])?;
    denied(
        "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable: Invalid value: \"25%\": must not be 0 when \
         `maxSurge` is 0",
    )
    .check(&sets.replace(&broken).await?, &broken)?;
    // Of an annotation only the rule that reads it is asked.
    let topology = json!({"leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology": "rack"});
    let annotated = with(scaled.clone(), &[(ANNOTATIONS, topology)])?;
    denied(
        "metadata.annotations.leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology: Invalid value: \"rack\": cannot have \
         subgroup-exclusive-topology without subGroupSize set",
    )
    .check(&sets.replace(&annotated).await?, &annotated)?;
    let labelled = with(scaled, &[(LABELS, json!({"app": "x"}))])?;
    let answer = sets.replace(&labelled).await?;
    Stored.check(&answer, &labelled).context("labels")?;
    let mended = with(answer.object()?, &[(MAX_SURGE, json!(1))])?;
    Stored.check(&sets.replace(&mended).await?, &mended).context("mended")?;

    let broken =
        with(sets.read("scaled").await?.object()?, &[(MAX_SURGE, json!(0)), (REPLICAS, json!(4))])?;
    sets.replace(&broken).await?.object().context("broken again")?;
    sets.scale("scaled", 2).await?.object()?;
    sets.delete("scaled").await?.object()?;
    let released = with(sets.read("scaled").await?.object()?, &[(FINALIZERS, ABSENT)])?;
    sets.replace(&released).await?.object().context("the last finalizer")?;
    ensure!(sets.read("scaled").await?.code.as_u16() == 404, "the set is still there");
    Ok(())
}

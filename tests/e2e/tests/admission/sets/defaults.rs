//! What is filled in where the user says nothing.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::*;
use crate::cases::each;
use crate::json::put;
use crate::world::world;

fn rolling(partition: i32, unavailable: i32, surge: i32) -> Value {
    json!({"partition": partition, "maxUnavailable": unavailable, "maxSurge": surge})
}

#[tokio::test]
async fn unset_fields_get_their_default_and_set_ones_stay() -> Result<()> {
    let cases = [
        ("C-054 replicas", REPLICAS, ABSENT, json!(1)),
        ("C-055 size", SIZE, ABSENT, json!(1)),
        ("C-056a replicas given", REPLICAS, json!(2), json!(2)),
        ("C-056b size given", SIZE, json!(2), json!(2)),
        (
            "C-057 empty restartPolicy",
            RESTART_POLICY,
            json!(""),
            json!("RecreateGroupOnPodRestart"),
        ),
        ("C-058 restartPolicy None", RESTART_POLICY, json!("None"), json!("None")),
        ("C-059 restartPolicy Default", RESTART_POLICY, json!("Default"), json!("None")),
        ("C-060 startupPolicy", STARTUP_POLICY, ABSENT, json!("LeaderCreated")),
        ("C-061 startupPolicy given", STARTUP_POLICY, json!("LeaderReady"), json!("LeaderReady")),
        ("C-062 networkConfig", NETWORK, ABSENT, json!({"subdomainPolicy": "Shared"})),
        (
            "C-063a empty rolloutStrategy",
            STRATEGY,
            json!({}),
            json!({"type": "RollingUpdate", "rollingUpdateConfiguration": rolling(0, 1, 0)}),
        ),
        (
            "C-063b rolloutStrategy",
            STRATEGY,
            ABSENT,
            json!({"type": "RollingUpdate", "rollingUpdateConfiguration": rolling(0, 1, 0)}),
        ),
        ("C-064 rollout given", ROLLING_UPDATE, rolling(2, 2, 1), rolling(2, 2, 1)),
    ];
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    each(cases, async |(case, pointer, given, expected): (&str, &'static str, Value, Value)| {
        let sent = set(case, &[(pointer, given)])?;
        let mut stored = sent.clone();
        put(&mut stored, pointer, expected)?;
        let answer = world.sets(NAMESPACE).create(&sent).await?;
        Outcome::Stored.check(&answer, &stored).context(case)
    })
    .await
}

#[tokio::test]
async fn a_set_of_one_template_gets_all_defaults() -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let sent = basic_set("basic");
    let mut stored = sent.clone();
    for (pointer, value) in [
        (REPLICAS, json!(1)),
        (SIZE, json!(1)),
        (RESTART_POLICY, json!("RecreateGroupOnPodRestart")),
        (STRATEGY, json!({})),
        (STRATEGY_TYPE, json!("RollingUpdate")),
        (ROLLING_UPDATE, json!({"partition": 0, "maxUnavailable": 1, "maxSurge": 0})),
        (STARTUP_POLICY, json!("LeaderCreated")),
        (NETWORK, json!({"subdomainPolicy": "Shared"})),
    ] {
        put(&mut stored, pointer, value)?;
    }
    Outcome::Stored.check(&world.sets(NAMESPACE).create(&sent).await?, &stored)
}

/// Puts `quantities` wherever the templates of the set of `case` may have some.
fn with_quantities(case: &str, [limit, size, storage, divisor]: [Value; 4]) -> Result<Value> {
    let mut set = set(case, &[])?;
    for template in [LEADER, WORKER] {
        let container = format!("{template}/spec/containers/0");
        let resources = json!({"limits": {"cpu": limit, "memory": "1024Mi"}});
        put(&mut set, &format!("{container}/resources"), resources)?;
        let divided = json!({"resource": "limits.cpu", "divisor": divisor});
        let env = json!([{"name": "CPU", "valueFrom": {"resourceFieldRef": divided}}]);
        put(&mut set, &format!("{container}/env"), env)?;
        let volumes = json!([{"name": "scratch", "emptyDir": {"sizeLimit": size}}]);
        put(&mut set, &format!("{template}/spec/volumes"), volumes)?;
    }
    let claim = json!([{
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": storage}},
        },
    }]);
    put(&mut set, CLAIMS, claim)?;
    Ok(set)
}

#[tokio::test]
async fn quantities_with_a_fraction_are_stored_as_texts() -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let sets = world.sets(NAMESPACE);
    let sent = [json!(0.5), json!(1e20), json!(1.5e9 + 0.5), json!(0.001)];
    let stored = [json!("500m"), json!("100E"), json!("1500000000500m"), json!("1m")];
    let sent = with_quantities("fractions", sent)?;
    let stored = with_quantities("fractions", stored)?;
    let created = sets.create(&sent).await?;
    ensure_spec(&created, &stored).context("created")?;

    let mut update = sent.clone();
    update["metadata"] = created.object()?["metadata"].clone();
    let updated = sets.replace(&update).await?;
    ensure_spec(&updated, &stored).context("updated")?;
    let applied = sets.apply(&sent).await?;
    ensure_spec(&applied, &stored).context("applied")?;
    let generation = &applied.object()?["metadata"]["generation"];
    ensure!(generation == 1, "nothing has changed: {generation}");

    let integers = [json!(2), json!(1_000_000), json!(5_000_000_000_i64), json!(1)];
    let integers = with_quantities("integers", integers)?;
    ensure_spec(&sets.create(&integers).await?, &integers).context("integers")
}

#[tokio::test]
async fn what_is_no_quantity_is_left_to_the_schema() -> Result<()> {
    let cases = [
        (
            "grace",
            "terminationGracePeriodSeconds",
            json!(0.5),
            "spec.terminationGracePeriodSeconds in body must be of type int64",
        ),
        (
            "boolean",
            "overhead/cpu",
            json!(true),
            "spec.overhead.cpu in body must be of type integer,string",
        ),
    ];
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    each(cases, async |(case, field, value, said): (&str, &str, Value, &'static str)| {
        let mut sent = set(case, &[])?;
        sent.pointer_mut(&format!("{WORKER}/spec")).context("a template")?["overhead"] = json!({});
        put(&mut sent, &format!("{WORKER}/spec/{field}"), value)?;
        let answer = world.sets(NAMESPACE).create(&sent).await?;
        Outcome::Invalid(said).check(&answer, &sent).context(case)
    })
    .await
}

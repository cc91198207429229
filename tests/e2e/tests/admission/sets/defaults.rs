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

//! Requests that fail, or seem to.

use std::time::Duration;

use anyhow::Result;
use lws_harness::proxy::{Effect, Failure, Rule};

use crate::life::survives;

const WRITES: [&str; 4] = ["create", "update", "patch", "delete"];

/// Every second write in a namespace, by lots: in turns, a request and the event that tells of its failure could keep
/// step, so that it always is the request that fails.
fn every_second_write(namespace: &str, effect: Effect) -> Rule {
    Rule::new(effect).verbs(&WRITES).namespace(namespace).chance(0.5, 0)
}

#[tokio::test]
async fn conflicts_are_survived() -> Result<()> {
    survives(|it| vec![every_second_write(it, Effect::Instead(Failure::Status(409)))]).await
}

#[tokio::test]
async fn an_overloaded_server_is_survived() -> Result<()> {
    survives(|it| {
        vec![
            every_second_write(it, Effect::Instead(Failure::Status(429))).chance(0.25, 0),
            every_second_write(it, Effect::Instead(Failure::Status(503))).every(5),
            every_second_write(it, Effect::Late(Duration::from_millis(200))),
        ]
    })
    .await
}

#[tokio::test]
async fn writes_that_are_done_although_the_server_answers_with_an_error_are_survived() -> Result<()>
{
    survives(|it| vec![every_second_write(it, Effect::After(Failure::Status(500)))]).await
}

#[tokio::test]
async fn connections_that_break_before_a_write_are_survived() -> Result<()> {
    survives(|it| vec![every_second_write(it, Effect::Instead(Failure::Hangup))]).await
}

#[tokio::test]
async fn connections_that_break_after_a_write_are_survived() -> Result<()> {
    survives(|it| vec![every_second_write(it, Effect::After(Failure::Hangup))]).await
}

#[tokio::test]
async fn writes_that_are_never_answered_are_survived() -> Result<()> {
    survives(|it| {
        let silent = |effect: fn(Failure) -> Effect| Rule::new(effect(Failure::Silence)).first(1);
        vec![
            silent(Effect::After).namespace(it).verbs(&["create"]).resource("statefulsets"),
            silent(Effect::Instead).namespace(it).verbs(&["delete"]).resource("pods"),
            silent(Effect::After).namespace(it).verbs(&["update"]).subresource("status"),
        ]
    })
    .await
}

#[tokio::test]
async fn all_kinds_of_failures_at_random_are_survived() -> Result<()> {
    let effects = [
        Effect::Instead(Failure::Status(409)),
        Effect::Instead(Failure::Status(500)),
        Effect::Instead(Failure::Hangup),
        Effect::After(Failure::Status(503)),
        Effect::After(Failure::Hangup),
        Effect::Late(Duration::from_millis(300)),
    ];
    survives(|it| {
        let rules = (0..).zip(effects);
        rules.map(|(seed, effect)| Rule::new(effect).namespace(it).chance(0.1, seed)).collect()
    })
    .await
}

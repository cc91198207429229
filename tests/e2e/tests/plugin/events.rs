//! `events`: what has happened to a set and its objects.

use anyhow::{Context as _, Result};
use lws_e2e::Fixture;
use serde_json::Value;

use crate::{expect, settled, text};

const EVENTS: &[&str] = &["events", "test-sample"];

#[tokio::test]
async fn events_of_the_set_and_of_its_pods_come_in_the_order_of_time() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let has = |report: &Value, kind: &str, reason: &str| {
        let events = report["events"].as_array().into_iter().flatten();
        events.into_iter().any(|it| it["kind"] == kind && it["reason"] == reason)
    };
    let is = |it: &Value| {
        has(it, "LeaderWorkerSet", "AllGroupsReady")
            && has(it, "StatefulSet", "SuccessfulCreate")
            && has(it, "Pod", "Scheduled")
    };
    let report = expect(set.namespace(), EVENTS, "events of all kinds", is).await?;
    let events = report["events"].as_array().context("no events")?;
    let times: Vec<_> = events.iter().map(|it| it["last"].as_str().unwrap_or_default()).collect();
    anyhow::ensure!(times.iter().all(|it| !it.is_empty()), "{report:#}");
    let text = text(set.namespace(), EVENTS).await?;
    anyhow::ensure!(text.starts_with("LAST SEEN"), "{text}");
    anyhow::ensure!(text.lines().last().is_some_and(|it| it.contains("AllGroupsReady")), "{text}");
    Ok(())
}

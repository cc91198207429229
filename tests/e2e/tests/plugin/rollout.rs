//! `rollout`: waiting, history, pause, resumption, restart, return.

use anyhow::{Context as _, Result};
use lws_api_types::keys::annotations::PAUSED_PARTITION;
use lws_e2e::{DEADLINE, Fixture};
use lws_harness::simulator::NEVER_READY;
use lws_harness::wait;
use serde_json::{Value, json};

use crate::{complaint, expect, plugin, settled, text};

const NAME: &str = "test-sample";

#[tokio::test]
async fn a_status_waits_for_the_end() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let status = ["rollout", "status", NAME];
    let done = "leaderworkerset \"test-sample\" successfully rolled out\n";
    anyhow::ensure!(text(set.namespace(), &status).await? == done);
    set.change_workers("example.org/new").await?;
    let output = plugin(set.namespace(), &status)?.output();
    let output = tokio::time::timeout(DEADLINE, output).await??;
    anyhow::ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    anyhow::ensure!(text.starts_with("Waiting for ") && text.ends_with(done), "{text}");
    set.done(2).await
}

#[tokio::test]
async fn a_status_gives_up_in_time() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    set.update(|it| {
        it.spec.leader_worker_template.worker_template.set_annotation(NEVER_READY, "true");
    })
    .await?;
    let status = ["rollout", "status", NAME, "--timeout", "2s"];
    let (message, code) = complaint(set.namespace(), &status).await?;
    let expected = ("error: timed out waiting for the condition\n", 1);
    anyhow::ensure!((message.as_str(), code) == expected, "{message}");
    Ok(())
}

#[tokio::test]
async fn a_rollout_is_paused_and_goes_on() -> Result<()> {
    let set = settled(&Fixture::default().partition(1)).await?;
    let told = text(set.namespace(), &["rollout", "pause", NAME]).await?;
    let expected = "leaderworkerset.leaderworkerset.x-k8s.io/test-sample paused\n";
    anyhow::ensure!(told == expected, "{told}");
    set.change_workers("example.org/new").await?;
    set.expect("available p2 r2 (2/0)").await?;
    let (message, code) = complaint(set.namespace(), &["rollout", "pause", NAME]).await?;
    anyhow::ensure!((message.as_str(), code) == ("error: test-sample is already paused\n", 1));
    let told = text(set.namespace(), &["rollout", "status", NAME]).await?;
    anyhow::ensure!(told.starts_with("partitioned roll out complete: 0 of 2 groups"), "{told}");
    text(set.namespace(), &["rollout", "resume", NAME]).await?;
    set.expect("available p1 r2 (2/1)").await?;
    let annotations = set.live().await?.metadata.annotations.unwrap_or_default();
    anyhow::ensure!(!annotations.contains_key(PAUSED_PARTITION), "{annotations:?}");
    Ok(())
}

#[tokio::test]
async fn a_restart_replaces_every_group() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let before = set.key().await?;
    text(set.namespace(), &["rollout", "restart", NAME]).await?;
    anyhow::ensure!(set.key().await? != before);
    set.done(2).await?;
    let pod = set.namespace().pods().get(&set.worker(0, 1)).await?;
    let annotations = pod.metadata.annotations.unwrap_or_default();
    anyhow::ensure!(
        annotations.contains_key("kubectl.kubernetes.io/restartedAt"),
        "{annotations:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_rollout_that_gets_stuck_is_undone() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let (message, _) = complaint(set.namespace(), &["rollout", "undo", NAME]).await?;
    anyhow::ensure!(message.starts_with("error: no former revision of test-sample"), "{message}");
    let before = set.key().await?;
    set.update(|it| {
        it.spec.leader_worker_template.worker_template.set_annotation(NEVER_READY, "true");
    })
    .await?;
    let history = ["rollout", "history", NAME];
    let at = |revision: &Value| revision["groups"].clone();
    let is = |it: &Value| it.as_array().is_some_and(|it| it.len() == 2 && at(&it[1]) == json!([1]));
    let report = expect(set.namespace(), &history, "group 1 is at the new revision", is).await?;
    let revisions = report.as_array().context("no revisions")?;
    let [old, new] = revisions.as_slice() else { anyhow::bail!("{report}") };
    anyhow::ensure!(old["key"] == json!(before) && old["current"] == false, "{report}");
    anyhow::ensure!(at(old) == json!([0]) && new["current"] == true, "{report}");
    let told = text(set.namespace(), &["rollout", "undo", NAME]).await?;
    anyhow::ensure!(told.ends_with("rolled back to revision 1\n"), "{told}");
    anyhow::ensure!(set.key().await? == before);
    set.done(2).await?;
    let look = async || crate::report(set.namespace(), &history).await;
    let is = |it: &Value| it.as_array().is_some_and(|it| it.len() == 1);
    wait::until(DEADLINE, "one revision is left", look, is).await?;
    Ok(())
}

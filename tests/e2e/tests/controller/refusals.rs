//! Requests that the API server refuses.

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use lws_e2e::policy::{Refusal, Refused};
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::audit::Mark;
use lws_harness::wait;
use serde_json::json;

use crate::settle;

/// How often the refused request is made before it is looked what that has led to.
const ATTEMPTS: usize = 10;

async fn refuse_updates(set: &TestSet, message: &str) -> Result<Refused> {
    let refusal = Refusal {
        group: "apps",
        resource: "statefulsets",
        operation: "UPDATE",
        allowed: "false",
        message,
    };
    let stateful_sets = set.namespace().stateful_sets();
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"example.org/probe": "1"}}}));
    let probe = async || stateful_sets.patch(set.name(), &params, &patch).await.map(drop);
    Refused::start(set.namespace(), refusal, probe).await
}

#[tokio::test]
async fn an_update_that_is_refused_again_and_again_is_recorded_once_and_goes_on_when_it_may()
-> Result<()> {
    let set = settle(Fixture::default()).await?;
    set.expect_revisions(1).await?;
    let refused = refuse_updates(&set, "'not now'").await?;
    let mark = set.namespace().mark()?;
    set.change_workers("example.org/new").await?;
    let description = format!("{ATTEMPTS} refused attempts");
    let look = async || {
        let requests = set.namespace().controller_requests(mark)?;
        let is_refused = |it: &&lws_harness::audit::AuditEvent| {
            it.key.resource == "statefulsets" && matches!(it.code, 403 | 422)
        };
        Ok::<_, anyhow::Error>(requests.iter().filter(is_refused).count())
    };
    wait::until(DEADLINE, &description, look, |seen| *seen >= ATTEMPTS).await?;
    let keys = set.revision_keys().await?;
    anyhow::ensure!(keys.len() == 2, "{keys:?}");
    let events = set.namespace().events().await?;
    let count = |reason: &str| events.iter().filter(|it| it.contains(reason)).count();
    // One for the first content, one for the change.
    anyhow::ensure!(count("Normal CreatingRevision") == 2, "{events:#?}");
    // Repetitions are counted up in one event.
    anyhow::ensure!(count("Warning FailedUpdate") == 1, "{events:#?}");

    refused.stop().await?;
    set.expect("rolling p1 r2 (2/0)").await?;
    set.all_ready().await?;
    set.done(2).await?;
    set.expect_revisions(1).await
}

/// Status writes of the controller since `mark`.
fn status_writes(set: &TestSet, mark: Mark) -> Result<usize> {
    let requests = set.namespace().controller_requests(mark)?;
    Ok(requests.iter().filter(|it| it.key.subresource == "status").count())
}

#[tokio::test]
async fn a_refused_update_is_a_condition_until_it_heals_and_its_generation_is_not_observed()
-> Result<()> {
    let set = settle(Fixture::default()).await?;
    let before = set.live().await?.metadata.generation;
    let refused = refuse_updates(&set, "'not now'").await?;
    let mark = set.namespace().mark()?;
    set.change_workers("example.org/new").await?;
    let told = "True FailedUpdate: Failed to update leader statefulset test-sample: ";
    set.expect_failure(&[told, "not now"]).await?;
    set::stays(async || {
        let live = set.live().await?;
        let observed = live.status.and_then(|it| it.observed_generation);
        anyhow::ensure!(observed == before, "{observed:?} of {:?}", live.metadata.generation);
        let writes = status_writes(&set, mark)?;
        anyhow::ensure!(writes == 1, "{writes} status writes tell of one failure");
        Ok(())
    })
    .await?;
    refused.stop().await?;
    set.expect("rolling p1 r2 (2/0)").await?;
    set.expect_no_failure().await
}

#[tokio::test]
async fn a_group_that_cannot_be_created_is_a_condition_and_hinders_no_other() -> Result<()> {
    let namespace = crate::namespace().await?;
    let refused = Refused::group(&namespace).await?;

    let set = namespace.create_set(&Fixture::default()).await?;
    set.create_leaders().await?;
    let told =
        "True FailedCreate: Failed to create worker statefulset for leader pod test-sample-1: ";
    set.expect_failure(&[told, "exceeded quota: groups=1"]).await?;
    set.ready(&[0]).await?;
    set.expect("progressing p0 r2 (1/1)").await?;
    refused.stop().await?;
    set.all_ready().await?;
    set.done(2).await?;
    set.expect_no_failure().await
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_told_word_for_word() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    let message = "100% of the quota %s %d %v {} is used";
    let _refused = refuse_updates(&set, &format!("'{message}'")).await?;
    set.change_workers("example.org/new").await?;
    let prefix = "Warning FailedUpdate: Failed to update leader statefulset test-sample: ";
    set.namespace().expect_event_of(&[prefix, message]).await
}

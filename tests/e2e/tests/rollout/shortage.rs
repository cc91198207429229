//! Pods that the `StatefulSet` controller cannot create.

use anyhow::Result;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lws_e2e::namespace::QUOTA;
use lws_e2e::{Fixture, Namespace, set};
use lws_harness::audit::Mark;
use serde_json::json;

use crate::namespace;

/// How often the controller has read events since `mark`.
fn events_read(namespace: &Namespace, mark: Mark) -> Result<usize> {
    let mut requests = namespace.controller_requests(mark)?;
    requests.retain(|it| it.key.verb == "list" && it.key.resource == "events");
    Ok(requests.len())
}

#[tokio::test]
async fn pods_that_exceed_a_quota_are_told_until_they_are_there() -> Result<()> {
    let namespace = namespace().await?;
    namespace.allow_pods(3).await?;
    let mark = namespace.mark()?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.expect_failure(&["True FailedCreate: ", " Pod test-sample-", "exceeded quota", "pods=3"])
        .await?;
    namespace
        .expect_event_of(&["Warning FailedCreate: ", " Pod test-sample-", "exceeded quota"])
        .await?;
    set::stays(async || {
        let read = events_read(&namespace, mark)?;
        anyhow::ensure!(read == 1, "events were read {read} times");
        Ok(())
    })
    .await?;

    let api: Api<ResourceQuota> = namespace.api();
    let room = Patch::Merge(json!({"spec": {"hard": {"pods": "10"}}}));
    api.patch(QUOTA, &PatchParams::default(), &room).await?;
    set.done(2).await?;
    set.expect_no_failure().await?;
    let mark = namespace.silence().await?;
    set::stays(async || namespace.ensure_silent_since(mark)).await
}

#[tokio::test]
async fn leaders_without_a_service_account_are_told_of() -> Result<()> {
    let namespace = namespace().await?;
    let set = lws_e2e::TestSet::named(namespace.clone(), "test-sample");
    let mut object = Fixture::default().object();
    for template in ["leaderTemplate", "workerTemplate"] {
        object.data["spec"]["leaderWorkerTemplate"][template]["spec"]["serviceAccountName"] =
            json!("missing");
    }
    namespace.sets().create(&PostParams::default(), &object).await?;
    set.expect_failure(&["True FailedCreate: ", " Pod test-sample-", "\"missing\" not found"])
        .await?;
    namespace.sets().delete(set.name(), &DeleteParams::background()).await?;
    Ok(())
}

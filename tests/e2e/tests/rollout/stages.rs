//! The stages of an update, as the leader `StatefulSet` goes through them.

use anyhow::Result;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;
use lws_e2e::Fixture;
use lws_e2e::recording::{Change, Recording};
use lws_e2e::set::{partition, replicas};
use lws_harness::simulator::{READY_AFTER, TERMINATE_AFTER};

use crate::settle;

#[tokio::test]
async fn an_update_with_two_down_and_two_surge_groups_has_its_documented_stages() -> Result<()> {
    // Surge groups are ready before the first replaced ones have even ended.
    let fixture = Fixture::default().replicas(4).max_unavailable(2).max_surge(2);
    let slow = fixture.pod_annotation(READY_AFTER, "1s").pod_annotation(TERMINATE_AFTER, "2s");
    let set = settle(slow).await?;
    let recording = Recording::<StatefulSet>::start(set.namespace()).await?;
    set.change_workers("example.org/new").await?;
    set.done(4).await?;

    let mut stages = Vec::new();
    for change in recording.so_far()? {
        let Change::Now(seen) = change else { continue };
        if seen.name_any() == set.name() {
            stages.push((partition(&seen), replicas(&seen)));
        }
    }
    // When group 5 is ready a moment before group 4, its budget is used at once.
    stages.retain(|stage| *stage != (1, 6));
    stages.dedup();
    let expected = [(0, 4), (4, 6), (2, 6), (0, 6), (0, 4)];
    anyhow::ensure!(stages == expected, "{stages:?}");
    let note = "deleting surge replicas from test-sample-4 to test-sample-5";
    set.namespace().expect_event(&format!("Normal GroupsProgressing: {note}")).await
}

//! `PodGroup`s where the controllers of Kubernetes run: they come and go with their leaders.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use lws_api_types::keys::{annotations, labels};
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::wait;

use crate::{WHOLE, environment};

/// A set in a namespace of its own, all of whose groups are ready and have their `PodGroup`.
async fn settle() -> Result<TestSet> {
    let namespace = environment(&WHOLE)?.namespace().await?;
    let set = namespace.create_set(&Fixture::default().replicas(3).size(3)).await?;
    set.done(3).await?;
    set.valid_pod_groups().await?;
    Ok(set)
}

/// Every pod names the `PodGroup` of its group.
async fn pods_name_their_pod_group(set: &TestSet) -> Result<()> {
    let pods: Vec<Pod> = set.namespace().all().await?;
    anyhow::ensure!(pods.len() == 9, "{} pods", pods.len());
    for pod in pods {
        let named = pod.annotations().get(annotations::POD_GROUP_NAME);
        let expected = set.pod_group_name(&pod)?;
        anyhow::ensure!(named == Some(&expected), "{} names {named:?}", pod.name_any());
    }
    Ok(())
}

#[tokio::test]
async fn a_recreated_group_ends_with_one_pod_group_of_its_own() -> Result<()> {
    let set = settle().await?;
    pods_name_their_pod_group(&set).await?;
    let before = set.valid_pod_groups().await?;
    // A worker takes its group with it; a leader that is gone at once leaves its PodGroup to the garbage collector.
    let at_once = DeleteParams::default().grace_period(0);
    for pod in [set.worker(0, 1), set.group(1)] {
        set.namespace().pods().delete(&pod, &at_once).await?;
    }
    let leaders = async || {
        let mut renewed = Vec::new();
        for (name, former) in &before {
            let leader = set.namespace().pods().get_opt(name).await?;
            let owner = former.owner_references().first().context("no owner")?;
            renewed.push(leader.is_some_and(|it| uid(&it) != owner.uid));
        }
        anyhow::Ok(renewed)
    };
    let description = "groups 0 and 1 have new leaders";
    wait::until(DEADLINE, description, leaders, |seen| *seen == [true, true, false]).await?;
    set.done(3).await?;
    let after = set.valid_pod_groups().await?;
    let same: Vec<_> = before.values().zip(after.values()).map(|(a, b)| uid(a) == uid(b)).collect();
    anyhow::ensure!(same == [false, false, true], "the same PodGroup: {same:?}");
    pods_name_their_pod_group(&set).await
}

#[tokio::test]
async fn a_rollout_leaves_no_pod_group_behind_and_then_there_is_peace() -> Result<()> {
    let set = settle().await?;
    set.change_workers("example.org/new").await?;
    set.done(3).await?;
    let key = set.key().await?;
    for pod_group in set.valid_pod_groups().await?.values() {
        let revision = pod_group.labels().get(labels::REVISION);
        anyhow::ensure!(revision == Some(&key), "{pod_group:?}");
    }
    pods_name_their_pod_group(&set).await?;
    set.expect_revisions(1).await?;
    let ready = "All replicas are ready, with 3 groups ready of total 3 groups";
    set.namespace().expect_event(&format!("Normal AllGroupsReady: {ready}")).await?;
    let mark = set.namespace().mark()?;
    set::stays(async || {
        let requests = set.namespace().controller_requests(mark)?;
        anyhow::ensure!(requests.is_empty(), "{requests:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_set_takes_its_pod_groups_with_it() -> Result<()> {
    let set = settle().await?;
    set.namespace().sets().delete(set.name(), &DeleteParams::background()).await?;
    let left = async || set.pod_groups().await;
    wait::until(DEADLINE, "no PodGroup is left", left, BTreeMap::is_empty).await?;
    Ok(())
}

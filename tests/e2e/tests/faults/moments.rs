//! Something happens at the worst moment.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PropagationPolicy};
use lws_e2e::groups::leaders;
use lws_e2e::recording::{Change, Recording};
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::proxy::{Effect, Failure, Rule};
use lws_harness::wait;

use crate::{add, namespace, with_proxy};

#[tokio::test]
async fn a_deletion_that_arrives_late_does_not_hit_the_next_leader() -> Result<()> {
    let namespace = namespace().await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.done(2).await?;
    let recording: Recording<Pod> = Recording::start(&namespace).await?;
    let group = set.group(0);
    let late = Rule::new(Effect::Late(Duration::from_secs(4))).verbs(&["delete"]).resource("pods");
    let late = add(late.namespace(namespace.name()).name(&group).first(1)).await?;
    let mark = namespace.mark()?;

    let at_once = DeleteParams::default().grace_period(0);
    namespace.pods().delete(&set.worker(0, 1), &at_once).await?;
    let is_under_way = async || Ok::<_, anyhow::Error>(late.struck());
    wait::until(DEADLINE, "the leader is about to be deleted", is_under_way, |it| *it == 1).await?;
    namespace.pods().delete(&group, &at_once).await?;
    let arrived = async || {
        let requests = namespace.controller_requests(mark)?;
        let is_deletion = |it: &&lws_harness::audit::AuditEvent| {
            it.key.verb == "delete" && it.key.resource == "pods"
        };
        Ok::<_, anyhow::Error>(requests.iter().find(is_deletion).map(|it| it.code))
    };
    let code = wait::eventually(DEADLINE, "the deletion arrives", arrived).await?;
    anyhow::ensure!(code == 409, "answered with {code}");
    set.done(2).await?;
    set::stays(async || {
        let leaders = leaders(&recording)?;
        let uids = leaders.get("0").map(Vec::len);
        anyhow::ensure!(uids == Some(2), "{leaders:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_set_that_is_gone_adopts_nothing_although_nobody_has_told_of_its_end() -> Result<()> {
    let namespace = namespace().await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.done(2).await?;
    let leader_set = uid(&set.leader_set().await?);
    let recording: Recording<Pod> = Recording::start(&namespace).await?;

    let held = with_proxy(|proxy| proxy.hold_watches("leaderworkersets")).await?;
    let orphan = PropagationPolicy::Orphan;
    let params = DeleteParams { propagation_policy: Some(orphan), ..DeleteParams::default() };
    delete(&set, &params).await?;
    set::stays(async || {
        let owners = set.leader_set().await?.owner_references().to_vec();
        anyhow::ensure!(owners.is_empty(), "{owners:?}");
        Ok(())
    })
    .await?;
    drop(held);

    set.create(&Fixture::default()).await?;
    let owner = set.live().await?.uid().to_owned();
    let owners = async || set.leader_set().await.map(|it| it.owner_references().to_vec());
    wait::until(DEADLINE, "the next set adopts it", owners, |seen| {
        seen.iter().any(|it| it.uid == owner)
    })
    .await?;
    set.done(2).await?;
    anyhow::ensure!(uid(&set.leader_set().await?) == leader_set);
    let leaders = leaders(&recording)?;
    anyhow::ensure!(leaders.values().all(|uids| uids.len() == 1), "{leaders:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_made_for_a_set_that_is_gone_although_nobody_has_told_of_its_end() -> Result<()>
{
    let namespace = namespace().await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.done(2).await?;
    let leader_set = uid(&set.leader_set().await?);
    let recording: Recording<StatefulSet> = Recording::start(&namespace).await?;

    let held = with_proxy(|proxy| proxy.hold_watches("leaderworkersets")).await?;
    delete(&set, &DeleteParams::foreground()).await?;
    set::stays(async || {
        let seen = leader_sets(&recording, set.name())?;
        anyhow::ensure!(seen == BTreeSet::from([leader_set.clone()]), "{seen:?}");
        Ok(())
    })
    .await?;
    drop(held);

    set.create(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.done(2).await?;
    let seen = leader_sets(&recording, set.name())?;
    anyhow::ensure!(seen.len() == 2, "{seen:?}");
    Ok(())
}

/// Deletes the set and waits until it is gone.
async fn delete(set: &TestSet, params: &DeleteParams) -> Result<()> {
    let sets = set.namespace().sets();
    sets.delete(set.name(), params).await?;
    let is_there = async || sets.get_opt(set.name()).await.map(|it| it.is_some());
    wait::until(DEADLINE, "the set is gone", is_there, |it| !it).await?;
    Ok(())
}

/// The UIDs of all leader `StatefulSet`s of this name that there were.
fn leader_sets(recording: &Recording<StatefulSet>, name: &str) -> Result<BTreeSet<String>> {
    let objects = recording.so_far()?.into_iter().map(|it| match it {
        Change::Now(object) | Change::Gone(object) => object,
    });
    Ok(objects.filter(|it| it.name_any() == name).map(|it| uid(&it)).collect())
}

#[tokio::test]
async fn a_set_whose_requests_all_fail_is_tried_less_and_less_and_hinders_no_other() -> Result<()> {
    let (failing, other) = (namespace().await?, namespace().await?);
    let rule = Rule::new(Effect::Instead(Failure::Status(500))).namespace(failing.name());
    let refused = add(rule.verbs(&["create", "update", "patch", "delete"])).await?;
    let set = failing.create_set(&Fixture::default()).await?;
    let tried = async || Ok::<_, anyhow::Error>(refused.struck());
    wait::until(DEADLINE, "several attempts", tried, |it| *it >= 5).await?;

    let healthy = other.create_set(&Fixture::default()).await?;
    healthy.created_leader_set().await?;
    healthy.done(2).await?;
    // The delay doubles from 5 ms: two minutes are 15 attempts, of a few requests each.
    let attempts = refused.struck();
    anyhow::ensure!(attempts <= 60, "{attempts} requests for a set that always fails");
    drop(refused);
    set.created_leader_set().await?;
    set.done(2).await
}

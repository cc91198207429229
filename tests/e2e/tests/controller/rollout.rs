//! Rolling updates without surge.

use anyhow::Result;
use lws_e2e::Fixture;

use crate::settle;

#[tokio::test]
async fn groups_are_updated_from_the_highest_index_down_one_by_one() -> Result<()> {
    let set = settle(Fixture::default().replicas(4)).await?;
    set.change_leaders("example.org/new").await?;
    set.expect("rolling p3 r4 (4/0)").await?;
    set.namespace().expect_event("Normal GroupsUpdating: Updating replica 3").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r4 (4/1)").await?;
    set.namespace().expect_event("Normal GroupsUpdating: Updating replica 2").await?;
    set.ready(&[1]).await?;
    set.expect("rolling p2 r4 (4/2)").await?;
    set.workers_unready(3).await?;
    set.expect("rolling p2 r4 (3/2)").await?;
    set.all_ready().await?;
    set.done(4).await
}

#[tokio::test]
async fn two_groups_are_updated_at_once_when_two_may_be_down() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_unavailable(2)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p2 r4 (4/0)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p1 r4 (4/1)").await?;
    set.ready(&[2]).await?;
    set.expect("rolling p0 r4 (4/2)").await?;
    set.ready(&[1, 0]).await?;
    set.done(4).await
}

#[tokio::test]
async fn all_groups_are_updated_at_once_when_all_may_be_down() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_unavailable(10)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p0 r4 (4/0)").await?;
    set.all_ready().await?;
    set.done(4).await
}

#[tokio::test]
async fn a_group_that_is_down_uses_up_the_budget() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_unavailable(2)).await?;
    set.workers_unready(1).await?;
    set.expect("progressing p0 r4 (3/4)").await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p3 r4 (3/0)").await?;
    set.all_ready().await?;
    set.done(4).await
}

#[tokio::test]
async fn a_set_that_is_down_is_still_updated_one_by_one() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    set.workers_unready(0).await?;
    set.workers_unready(1).await?;
    set.expect("progressing p0 r2 (0/2)").await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p1 r2 (0/0)").await?;
    set.ready(&[1]).await?;
    set.expect("rolling p0 r2 (1/1)").await?;
    set.ready(&[0]).await?;
    set.done(2).await
}

#[tokio::test]
async fn a_changed_size_is_rolled_out() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    set.update(|it| it.spec.leader_worker_template.size = Some(4)).await?;
    set.expect("rolling p1 r2 (2/0)").await?;
    set.all_ready().await?;
    set.done(2).await?;
    let note = "Rolling Upgrade is in progress, with 2 groups ready of total 2 groups";
    set.namespace().expect_event(&format!("Normal GroupsUpdating: {note}")).await
}

//! Rolling updates with surge groups.

use anyhow::Result;
use lws_e2e::Fixture;

use crate::settle;

#[tokio::test]
async fn surge_alone_updates_without_a_group_down() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_unavailable(0).max_surge(1)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p4 r5 (4/0)").await?;
    set.ready(&[4]).await?;
    set.expect("rolling p3 r5 (5/1)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r5 (5/2)").await?;
    set.ready(&[2]).await?;
    set.expect("rolling p1 r5 (5/3)").await?;
    set.ready(&[1]).await?;
    set.expect("rolling p0 r5 (5/4)").await?;
    set.ready(&[0]).await?;
    set.done(4).await
}

#[tokio::test]
async fn surge_ends_as_soon_as_the_rest_fits_the_budget() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_surge(1)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p3 r5 (4/0)").await?;
    set.ready(&[4]).await?;
    set.expect("rolling p2 r5 (5/1)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p1 r5 (5/2)").await?;
    set.ready(&[2]).await?;
    set.expect("rolling p0 r5 (5/3)").await?;
    set.ready(&[1]).await?;
    set.expect("rolling p0 r4 (4/3)").await?;
    let note = "deleting surge replica test-sample-4";
    set.namespace().expect_event(&format!("Normal GroupsProgressing: {note}")).await?;
    set.ready(&[0]).await?;
    set.done(4).await
}

#[tokio::test]
async fn surge_that_never_becomes_ready_is_given_up() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_unavailable(2).max_surge(2)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p2 r6 (4/0)").await?;
    set.ready(&[3, 2]).await?;
    set.expect("rolling p0 r4 (4/2)").await?;
    set.ready(&[1, 0]).await?;
    set.done(4).await
}

#[tokio::test]
async fn surge_that_becomes_ready_first_lends_its_budget() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_unavailable(2).max_surge(2)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p2 r6 (4/0)").await?;
    set.ready(&[4]).await?;
    set.expect("rolling p2 r6 (5/1)").await?;
    set.ready(&[5]).await?;
    set.expect("rolling p0 r6 (6/2)").await?;
    set.ready(&[2, 3]).await?;
    set.expect("rolling p0 r4 (4/2)").await?;
    set.ready(&[1]).await?;
    set.expect("rolling p0 r4 (4/3)").await?;
    set.ready(&[0]).await?;
    set.done(4).await
}

#[tokio::test]
async fn surge_is_no_more_than_there_are_groups() -> Result<()> {
    let set = settle(Fixture::default().max_surge(4)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p1 r3 (2/0)").await?;
    set.all_ready().await?;
    set.expect_conditions("available").await?;
    set.done(2).await
}

//! Changing the number of groups during a rolling update.

use anyhow::Result;
use lws_e2e::Fixture;
use lws_e2e::set::set_worker_image;

use crate::settle;

#[tokio::test]
async fn an_update_that_comes_with_more_groups_begins_once_those_are_ready() -> Result<()> {
    let set = settle(Fixture::default().replicas(4)).await?;
    set.update(|it| {
        it.spec.replicas = Some(6);
        set_worker_image(it, "example.org/new");
    })
    .await?;
    set.expect("rolling p4 r6 (4/0)").await?;
    set.all_ready().await?;
    set.done(6).await
}

#[tokio::test]
async fn groups_that_are_added_during_an_update_come_updated() -> Result<()> {
    let set = settle(Fixture::default().replicas(4)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p3 r4 (4/0)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r4 (4/1)").await?;
    set.scale(6).await?;
    set.valid_leader_set(6).await?;
    set.ready(&[5, 4]).await?;
    set.expect("rolling p2 r6 (6/3)").await?;
    set.all_ready().await?;
    set.done(6).await
}

#[tokio::test]
async fn an_update_goes_on_with_fewer_groups() -> Result<()> {
    let set = settle(Fixture::default().replicas(6)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p5 r6 (6/0)").await?;
    set.scale(3).await?;
    set.expect("rolling p2 r3 (3/0)").await?;
    set.all_ready().await?;
    set.done(3).await
}

#[tokio::test]
async fn an_update_that_comes_with_more_groups_has_surge_too() -> Result<()> {
    let set = settle(Fixture::default().max_surge(2)).await?;
    set.update(|it| {
        it.spec.replicas = Some(4);
        set_worker_image(it, "example.org/new");
    })
    .await?;
    set.expect("rolling p2 r6 (2/0)").await?;
    set.all_ready().await?;
    set.expect_conditions("available").await?;
    set.done(4).await
}

#[tokio::test]
async fn an_update_that_comes_with_fewer_groups_has_surge_too() -> Result<()> {
    let set = settle(Fixture::default().replicas(6).max_surge(2)).await?;
    set.update(|it| {
        it.spec.replicas = Some(3);
        set_worker_image(it, "example.org/new");
    })
    .await?;
    set.expect("rolling p2 r5 (5/0)").await?;
    set.all_ready().await?;
    set.expect_conditions("available").await?;
    set.done(3).await
}

#[tokio::test]
async fn surge_follows_the_number_of_groups_up_and_down() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).max_surge(2)).await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p3 r6 (4/0)").await?;
    set.scale(6).await?;
    set.valid_leader_set(8).await?;
    set.create_leader(7).await?;
    set.create_leader(6).await?;
    set.expect("rolling p3 r8 (4/2)").await?;
    set.ready(&[7, 6]).await?;
    set.expect("rolling p3 r8 (6/2)").await?;
    set.scale(2).await?;
    set.expect("rolling p1 r3 (3/0)").await?;
    set.ready(&[2]).await?;
    set.expect("rolling p0 r3 (3/1)").await?;
    set.ready(&[1]).await?;
    set.expect("rolling p0 r2 (2/1)").await?;
    set.ready(&[0]).await?;
    set.done(2).await
}

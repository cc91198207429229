//! Rolling updates that leave the lower groups as they are.

use anyhow::Result;
use lws_e2e::Fixture;

use crate::settle;

#[tokio::test]
async fn groups_below_the_partition_keep_their_revision() -> Result<()> {
    let set = settle(Fixture::default().replicas(6).partition(4)).await?;
    set.expect("available p4 r6 (6/6)").await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p5 r6 (6/0)").await?;
    set.ready(&[5]).await?;
    set.expect("rolling p4 r6 (6/1)").await?;
    set.ready(&[4]).await?;
    set.expect("available p4 r6 (6/2)").await?;
    set.set_partition(2).await?;
    set.expect("rolling p3 r6 (6/2)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r6 (6/3)").await?;
    set.ready(&[2]).await?;
    set.expect("available p2 r6 (6/4)").await
}

#[tokio::test]
async fn surge_stays_as_long_as_the_partition_holds_groups_back() -> Result<()> {
    let set = settle(Fixture::default().replicas(3).max_surge(1).partition(2)).await?;
    set.expect("available p2 r3 (3/3)").await?;
    set.change_workers("example.org/new").await?;
    set.expect("rolling p2 r4 (3/0)").await?;
    set.ready(&[3, 2]).await?;
    set.expect("available p2 r4 (4/2)").await?;
    set.set_partition(0).await?;
    set.expect("rolling p0 r4 (4/2)").await?;
    set.ready(&[1, 0]).await?;
    set.expect_before_deletions("available p0 r3 (4/4)").await?;
    set.done(3).await
}

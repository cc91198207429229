//! When workers are created.

use anyhow::Result;
use lws_api_types::set::StartupPolicy;
use lws_e2e::{Fixture, set};

use crate::create;

#[tokio::test]
async fn workers_wait_for_their_leader_to_be_ready_when_asked_for() -> Result<()> {
    let set =
        create(Fixture::default().replicas(4).startup_policy(StartupPolicy::LeaderReady)).await?;
    set.create_leaders().await?;
    set::stays(async || {
        let seen = set.worker_set_names().await?;
        anyhow::ensure!(seen.is_empty(), "{seen:?}");
        Ok(())
    })
    .await?;
    for group in [0, 1] {
        set.leader_ready(group).await?;
    }
    set.expect_worker_sets_of(&[0, 1]).await?;
    for group in [2, 3] {
        set.leader_ready(group).await?;
    }
    set.valid_worker_sets().await
}

#[tokio::test]
async fn workers_are_created_with_their_leader_by_default() -> Result<()> {
    let set = create(Fixture::default().replicas(4)).await?;
    set.create_leaders().await?;
    set.expect_worker_sets_of(&[0, 1, 2, 3]).await?;
    set.valid_worker_sets().await
}

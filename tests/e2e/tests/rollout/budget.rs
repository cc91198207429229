//! How many groups are down at most while a set is updated, at any moment.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use lws_e2e::groups::Pods;
use lws_e2e::recording::Recording;
use lws_e2e::{Environment, Fixture};

use crate::{ENVIRONMENT, ONE_BY_ONE, environment, settle_in};

/// Replicas, maxUnavailable and maxSurge.
#[derive(Clone, Copy)]
struct Budget(i32, i32, i32);

/// Updates a set and looks at every moment of it. Gives the smallest number of ready groups.
async fn least_ready(environment: &Environment, budget: Budget) -> Result<usize> {
    let Budget(replicas, unavailable, surge) = budget;
    let fixture =
        Fixture::default().replicas(replicas).max_unavailable(unavailable).max_surge(surge);
    let namespace = environment.namespace().await?;
    let set = settle_in(&namespace, fixture).await?;
    let recording = Recording::<Pod>::start(&namespace).await?;
    set.change_workers("example.org/new").await?;
    set.done(replicas).await?;

    let most = usize::try_from(replicas + surge)?;
    let (mut pods, mut least) = (Pods::default(), most);
    for (position, change) in recording.so_far()?.into_iter().enumerate() {
        pods.apply(change);
        if position + 1 >= recording.before() {
            least = least.min(pods.ready_groups().len());
        }
        anyhow::ensure!(pods.groups().len() <= most, "{:?}", pods.groups());
    }
    Ok(least)
}

async fn keeps_its_budget(environment: &Environment, budget: Budget) -> Result<()> {
    let least = least_ready(environment, budget).await?;
    let Budget(replicas, unavailable, _) = budget;
    let allowed = usize::try_from(replicas - unavailable)?;
    anyhow::ensure!(least >= allowed, "{least} groups were ready, {allowed} had to be");
    Ok(())
}

#[tokio::test]
async fn no_more_groups_are_down_than_may_be() -> Result<()> {
    keeps_its_budget(environment(&ENVIRONMENT)?, Budget(6, 2, 0)).await
}

#[tokio::test]
async fn no_more_groups_are_down_than_may_be_with_surge() -> Result<()> {
    keeps_its_budget(environment(&ENVIRONMENT)?, Budget(4, 1, 2)).await
}

#[tokio::test]
async fn no_group_is_down_with_surge_alone() -> Result<()> {
    keeps_its_budget(environment(&ENVIRONMENT)?, Budget(3, 0, 1)).await
}

#[tokio::test]
async fn groups_are_replaced_together_where_the_feature_is_off() -> Result<()> {
    let least = least_ready(environment(&ONE_BY_ONE)?, Budget(6, 3, 0)).await?;
    anyhow::ensure!(least == 3, "{least} of 6 groups were ready, 3 may be down");
    Ok(())
}

#[tokio::test]
async fn no_more_groups_are_down_than_may_be_with_surge_where_the_feature_is_off() -> Result<()> {
    keeps_its_budget(environment(&ONE_BY_ONE)?, Budget(4, 2, 2)).await
}

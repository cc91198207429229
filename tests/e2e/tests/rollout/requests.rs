//! How many requests the controller makes for a set: so many a group, and so many besides.

use std::collections::BTreeMap;

use anyhow::Result;
use lws_e2e::{Environment, Fixture, Namespace, TestSet};
use lws_harness::audit::Mark;
use lws_harness::simulator::READY_AFTER;

use crate::{ENVIRONMENT, ONE_BY_ONE, environment, settle_in};

const GROUPS: i32 = 20;

/// What may be spent.
struct Budget {
    a_group: usize,
    besides: usize,
}

/// A group: its worker `StatefulSet`, the event that tells of it, and what is left of the third for its
/// members on record and for numbers in the status. Besides: revision, Service, leader `StatefulSet`,
/// the first and the last status, and an event for each but the Service.
const CREATION: Budget = Budget { a_group: 3, besides: 8 };

/// A group: its leader or its workers deleted, what its creation costs, a step of the partition
/// with its event, and the status.
const ROLLOUT: Budget = Budget { a_group: 7, besides: 12 };

impl Budget {
    /// Fails when the requests since `mark` are more than the budget of the groups of the test.
    fn holds(&self, namespace: &Namespace, mark: Mark) -> Result<()> {
        let mut spent: BTreeMap<String, usize> = BTreeMap::new();
        for it in namespace.controller_requests(mark)? {
            let key = format!("{} {}/{}", it.key.verb, it.key.resource, it.key.subresource);
            *spent.entry(key).or_default() += 1;
        }
        let limit = usize::try_from(GROUPS)? * self.a_group + self.besides;
        let all: usize = spent.values().sum();
        anyhow::ensure!(all <= limit, "{all} requests, at most {limit} are expected: {spent:#?}");
        Ok(())
    }
}

fn fixture() -> Fixture {
    Fixture::default().replicas(GROUPS).size(4).pod_annotation(READY_AFTER, "1s")
}

async fn creation(environment: &Environment) -> Result<()> {
    let namespace = environment.namespace().await?;
    let mark = namespace.mark()?;
    settle_in(&namespace, fixture()).await?;
    CREATION.holds(&namespace, mark)
}

async fn rollout(environment: &Environment, unavailable: i32) -> Result<()> {
    let namespace = environment.namespace().await?;
    let set: TestSet = settle_in(&namespace, fixture().max_unavailable(unavailable)).await?;
    let mark = namespace.mark()?;
    set.change_workers("example.org/new").await?;
    set.expect("available p0 r20 (20/20)").await?;
    set.expect_revisions(1).await?;
    ROLLOUT.holds(&namespace, mark)
}

#[tokio::test]
async fn creation_costs_a_few_requests_a_group() -> Result<()> {
    creation(environment(&ENVIRONMENT)?).await
}

#[tokio::test]
async fn a_rollout_of_one_group_after_the_other_costs_a_few_requests_a_group() -> Result<()> {
    rollout(environment(&ENVIRONMENT)?, 1).await
}

#[tokio::test]
async fn a_rollout_of_several_groups_at_a_time_costs_a_few_requests_a_group() -> Result<()> {
    rollout(environment(&ENVIRONMENT)?, 5).await
}

#[tokio::test]
async fn a_rollout_costs_as_much_where_the_feature_is_off() -> Result<()> {
    rollout(environment(&ONE_BY_ONE)?, 5).await
}

//! From one build of ours to the next.

use anyhow::Result;
use lws_api_types::keys::annotations;
use lws_api_types::set::{StartupPolicy, SubdomainPolicy};
use lws_e2e::fixture::IMAGE;
use lws_e2e::{Fixture, TestSet};
use lws_harness::simulator::NEVER_READY;
use lws_harness::system::{System, SystemOptions};

use crate::hand_back;
use crate::snapshot::Snapshot;
use crate::world::{World, upgrade};

#[tokio::test]
async fn changes_nothing_and_interrupts_no_rollout() -> Result<()> {
    let world = World::empty("upgrade").await?;
    let mut system = System::install(&world.cluster, &SystemOptions::default()).await?;
    let [partly, rolling] = Box::pin(create_sets(&world)).await?;
    partly.change_workers("example.org/other").await?;
    partly.expect("available p1 r3 (3/2)").await?;
    set_never_ready(&rolling, true).await?;
    rolling.expect("rolling p3 r5 (3/2)").await?;

    world.silence().await?;
    let before = world.at_rest().await?;
    let (former, mark) = (world.leader().await?, world.namespace.mark()?);
    upgrade(&mut system).await?;
    world.looked_at(&former, "fresh").await?;
    let after = Snapshot::of(&world.namespace).await?;
    for set in before.sets() {
        before.same(&after, set, |_, _, _| {})?;
    }
    let writes = world.writes(mark, &before)?;
    anyhow::ensure!(writes.keys().all(String::is_empty), "{writes:#?}");

    set_never_ready(&rolling, false).await?;
    upgrade(&mut system).await?;
    rolling.done(4).await?;
    hand_back::is_possible(&world.at_rest().await?)
}

/// Sets of every kind; gives the one with a partition and the one to be rolled out.
async fn create_sets(world: &World) -> Result<[TestSet; 2]> {
    // Its groups need nodes without a pod of any other.
    let placed = Fixture::named("placed")
        .annotation(annotations::EXCLUSIVE_TOPOLOGY, "kubernetes.io/hostname");
    world.namespace.create_set(&placed).await?.done(2).await?;
    let fixtures = [
        Fixture::named("shared"),
        Fixture::named("own").subdomain_policy(SubdomainPolicy::UniquePerReplica),
        Fixture::named("single").size(1),
        Fixture::named("none").replicas(0),
        Fixture::named("after-leader").startup_policy(StartupPolicy::LeaderReady),
        Fixture::named("partly").replicas(3).partition(1),
        Fixture::named("rolling").replicas(4).max_surge(1),
    ];
    for fixture in &fixtures {
        world.namespace.create_set(fixture).await?;
    }
    for fixture in &fixtures {
        let set = world.set(fixture.name());
        set.created_leader_set().await?;
        set.expect_conditions("available").await?;
    }
    Ok([world.set("partly"), world.set("rolling")])
}

/// Gives a set another template, whose pods become ready or do not.
async fn set_never_ready(set: &TestSet, never: bool) -> Result<()> {
    set.update(|it| {
        let template = &mut it.spec.leader_worker_template;
        for template in template.leader_template.iter_mut().chain([&mut template.worker_template]) {
            template.set_annotation(NEVER_READY, never.to_string());
            lws_e2e::set::set_in_container(template, "image", IMAGE);
        }
    })
    .await
}

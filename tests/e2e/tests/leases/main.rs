//! Two controllers, of which one leads: it stops, is killed, frozen, or cut off, and the other one goes on.

mod pair;

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use lws_e2e::witness::Witness;
use lws_e2e::{DEADLINE, Environment, Fixture, TestSet, set};
use lws_harness::ClusterOptions;
use lws_harness::proxy::{Effect, Failure, Rule};
use lws_harness::system::SystemOptions;
use lws_harness::wait;
use nix::sys::signal::Signal;
use tokio::time::Instant;

use pair::Pair;

/// How long the other one waits for a leader that does not renew.
const LEASE: Duration = Duration::from_secs(10);
/// How long a leader acts without a renewal. Nobody starts one again that a busy machine has kept from it.
const RENEW: Duration = Duration::from_secs(8);
const RETRY: Duration = Duration::from_secs(1);
/// How long the other one may take to lead once it may.
const TAKE_OVER: Duration = Duration::from_secs(3);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(7);
/// How many groups are updated one by one meanwhile: the leader always has something to write.
const GROUPS: i32 = 12;

/// A lease that no test waits for to run out.
const LONG_LEASE: Duration = Duration::from_mins(1);

fn seconds(name: &str, value: Duration) -> String {
    format!("--leader-elect-{name}={}s", value.as_secs())
}

static ENVIRONMENT: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "leases",
        ClusterOptions {
            nodes: 8,
            ready_delay: Duration::from_millis(500),
            ..ClusterOptions::default()
        },
        SystemOptions {
            controllers: 2,
            proxied: true,
            controller_args: vec![
                seconds("lease-duration", LEASE),
                seconds("renew-deadline", RENEW),
                seconds("retry-period", RETRY),
            ],
            ..SystemOptions::default()
        },
    )
});

fn environment() -> Result<&'static Environment> {
    match &*ENVIRONMENT {
        Ok(environment) => Ok(environment),
        Err(error) => anyhow::bail!("no environment: {error:#}"),
    }
}

/// An update that is under way.
struct Update {
    set: TestSet,
    witness: Witness,
}

impl Update {
    /// Begins; the first groups have been released afterwards.
    async fn begin() -> Result<Self> {
        let namespace = environment()?.namespace().await?;
        let witness = Witness::start(&namespace).await?;
        let set = namespace.create_set(&Fixture::default().replicas(GROUPS)).await?;
        set.created_leader_set().await?;
        set.done(GROUPS).await?;
        set.change_workers("example.org/new").await?;
        let update = Self { set, witness };
        update.reaches(GROUPS - 2).await?;
        Ok(update)
    }

    /// Waits until all groups from `group` on have been released.
    async fn reaches(&self, group: i32) -> Result<()> {
        let partition = async || self.set.leader_set().await.map(|it| set::partition(&it));
        let description = format!("partition {group}");
        // At rest it is 0 too.
        wait::until(DEADLINE, &description, partition, |it| (1..=group).contains(it)).await?;
        Ok(())
    }

    /// Waits for its end; it has gone on from where it was, and no group was replaced twice.
    async fn ends(self) -> Result<()> {
        self.set.done(GROUPS).await?;
        self.witness.ensure_partition_moves_down(self.set.name())?;
        self.witness.ensure_created_once()?;
        let leaders = self.witness.leaders()?;
        anyhow::ensure!(leaders.values().all(|count| *count == 2), "{leaders:?}");
        Ok(())
    }
}

#[tokio::test]
async fn a_leader_that_stops_is_succeeded_at_once() -> Result<()> {
    // Far longer than what is waited for.
    let args = [seconds("lease-duration", LONG_LEASE), seconds("renew-deadline", LONG_LEASE / 2)];
    let mut pair = Pair::with(environment()?, &args).await?;
    let update = Update::begin().await?;
    let began = Instant::now();
    let status = pair.leader()?.process().stop(DEADLINE).await?;
    anyhow::ensure!(status.success(), "{status}");
    pair.other_leads(began, TAKE_OVER + SLACK).await?;
    update.ends().await?;
    pair.ensure_order()?;
    pair.ensure_released(true)?;
    pair.restore_both().await
}

#[tokio::test]
async fn a_leader_that_stops_keeps_its_lease_when_a_write_may_still_be_carried_out() -> Result<()> {
    let mut pair = Pair::of(environment()?).await?;
    let update = Update::begin().await?;
    let silence = Rule::new(Effect::Instead(Failure::Silence)).verbs(&["patch"]);
    let silence = pair.leader()?.proxy()?.add(silence.resource("statefulsets"));
    let is_under_way = async || Ok::<_, anyhow::Error>(silence.struck());
    wait::until(DEADLINE, "a write is under way", is_under_way, |it| *it > 0).await?;
    let began = Instant::now();
    let status = pair.leader()?.process().stop(DEADLINE).await?;
    anyhow::ensure!(status.success(), "{status}");
    drop(silence);
    pair.other_leads(began, LEASE + TAKE_OVER + SLACK).await?;
    update.ends().await?;
    pair.ensure_order()?;
    pair.ensure_released(false)?;
    pair.restore().await
}

/// The other one has seen nothing of `resources` since the update began when it takes over.
async fn is_succeeded_by_one_whose_caches_are_stale(resources: &[&str]) -> Result<()> {
    let mut pair = Pair::of(environment()?).await?;
    let mut held = Vec::new();
    for resource in resources {
        held.push(pair.standby()?.proxy()?.hold_watches(resource));
    }
    let update = Update::begin().await?;
    update.reaches(GROUPS / 2).await?;
    let began = Instant::now();
    pair.leader()?.process().kill().await?;
    pair.other_leads(began, LEASE + TAKE_OVER + SLACK).await?;
    // What it knows now it has asked for.
    set::stays(async || update.witness.ensure_partition_moves_down(update.set.name())).await?;
    drop(held);
    update.ends().await?;
    pair.ensure_order()?;
    pair.restore().await
}

#[tokio::test]
async fn a_successor_that_has_not_seen_the_change_does_not_take_it_back() -> Result<()> {
    is_succeeded_by_one_whose_caches_are_stale(&["leaderworkersets"]).await
}

#[tokio::test]
async fn a_successor_that_has_not_seen_the_progress_does_not_undo_it() -> Result<()> {
    is_succeeded_by_one_whose_caches_are_stale(&["statefulsets", "controllerrevisions"]).await
}

#[tokio::test]
async fn a_successor_that_has_not_seen_the_pods_replaces_none_twice() -> Result<()> {
    is_succeeded_by_one_whose_caches_are_stale(&["pods"]).await
}

#[tokio::test]
async fn a_leader_that_is_killed_is_succeeded_once_its_lease_has_run_out() -> Result<()> {
    let mut pair = Pair::of(environment()?).await?;
    let update = Update::begin().await?;
    let began = Instant::now();
    pair.leader()?.process().kill().await?;
    let took = pair.other_leads(began, LEASE + TAKE_OVER + SLACK).await?;
    anyhow::ensure!(took > RENEW, "the lease cannot have run out within {took:?}");
    update.ends().await?;
    pair.ensure_order()?;
    pair.restore().await
}

#[tokio::test]
async fn a_leader_that_was_frozen_writes_nothing_once_it_has_a_successor() -> Result<()> {
    let mut pair = Pair::of(environment()?).await?;
    let update = Update::begin().await?;
    let began = Instant::now();
    pair.leader()?.process().signal(Signal::SIGSTOP)?;
    pair.other_leads(began, LEASE + TAKE_OVER + SLACK).await?;
    update.reaches(GROUPS / 2).await?;
    pair.leader()?.process().signal(Signal::SIGCONT)?;
    pair.leader_gives_up().await?;
    update.ends().await?;
    pair.ensure_order()?;
    pair.restore().await
}

#[tokio::test]
async fn a_leader_whose_network_is_cut_gives_up_before_it_has_a_successor() -> Result<()> {
    let mut pair = Pair::of(environment()?).await?;
    let update = Update::begin().await?;
    let began = Instant::now();
    let cut = pair.leader()?.proxy()?.cut_network();
    pair.leader_gives_up().await?;
    anyhow::ensure!(!pair.other_led()?, "the other one led before");
    pair.other_leads(began, LEASE + TAKE_OVER + SLACK).await?;
    drop(cut);
    update.ends().await?;
    pair.ensure_order()?;
    pair.restore().await
}

#[tokio::test]
async fn a_leader_that_reaches_everything_but_its_lease_stops_writing_in_time() -> Result<()> {
    let mut pair = Pair::of(environment()?).await?;
    let update = Update::begin().await?;
    let began = Instant::now();
    let silence = Rule::new(Effect::Instead(Failure::Silence)).resource("leases");
    let silence = pair.leader()?.proxy()?.add(silence);
    pair.leader_gives_up().await?;
    pair.other_leads(began, LEASE + TAKE_OVER + SLACK).await?;
    anyhow::ensure!(silence.struck() > 0);
    drop(silence);
    update.ends().await?;
    pair.ensure_order()?;
    pair.restore().await
}

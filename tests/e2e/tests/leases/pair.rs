//! The two controllers, told apart in the log of requests by the proxies that they use.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::Lease;
use lws_e2e::recording::{Change, Recording};
use lws_e2e::{CONTROLLER, DEADLINE, Environment, Namespace};
use lws_harness::audit::{AuditEvent, AuditLog, Mark};
use lws_harness::system::{Component, NAMESPACE, System};
use lws_harness::wait;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout};

/// The controllers, for one test alone.
pub(crate) struct Pair {
    system: MutexGuard<'static, System>,
    /// How their user agents end.
    agents: Vec<String>,
    audit: AuditLog,
    mark: Mark,
    /// Which one led in the beginning.
    leader: usize,
    leases: Recording<Lease>,
}

impl Pair {
    /// Takes hold of both, of which one leads.
    pub(crate) async fn of(environment: &'static Environment) -> Result<Self> {
        let mut system = environment.system().await;
        // A test that failed has left behind what it broke.
        for component in system.controllers() {
            if component.process().exit_status().is_some() {
                component.restart().await?;
            }
        }
        Self::led(environment, system).await
    }

    /// Takes hold of both, started again with more arguments.
    pub(crate) async fn with(environment: &'static Environment, args: &[String]) -> Result<Self> {
        let mut system = environment.system().await;
        for component in system.controllers() {
            component.process().stop(DEADLINE).await?;
            component.restart_with(args).await?;
        }
        Self::led(environment, system).await
    }

    async fn led(
        environment: &'static Environment,
        mut system: MutexGuard<'static, System>,
    ) -> Result<Self> {
        let mut agents = Vec::new();
        for component in system.controllers() {
            agents.push(component.proxy()?.agent().to_owned());
        }
        let audit = environment.cluster().audit();
        let client = environment.namespace().await?.client();
        let namespace = Namespace::existing(client, audit.clone(), NAMESPACE);
        let mark = audit.mark()?;
        let leases = Recording::start(&namespace).await?;
        let mut pair = Self { system, agents, audit, mark, leader: 0, leases };
        let leader = async || {
            let requests = pair.requests()?;
            let last = requests.iter().rfind(|it| is_renewal(it)).context("no renewal")?;
            Ok::<_, anyhow::Error>([0, 1].into_iter().find(|index| pair.is_by(last, *index)))
        };
        pair.leader = wait::eventually(DEADLINE, "one leads", leader).await?;
        pair.leases = Recording::start(&namespace).await?;
        Ok(pair)
    }

    /// The one that led in the beginning.
    pub(crate) fn leader(&mut self) -> Result<&mut Component> {
        self.system.controllers().get_mut(self.leader).context("no such controller")
    }

    /// The one that did not.
    pub(crate) fn standby(&mut self) -> Result<&mut Component> {
        let other = self.other();
        self.system.controllers().get_mut(other).context("no such controller")
    }

    /// Waits until the other one leads; gives how long after `began` that was seen.
    pub(crate) async fn other_leads(&self, began: Instant, limit: Duration) -> Result<Duration> {
        let leads = async || self.other_led().map(|it| it.then(|| began.elapsed()));
        let took = wait::eventually(DEADLINE, "the other one leads", leads).await?;
        anyhow::ensure!(took <= limit, "it took {took:?}");
        Ok(took)
    }

    /// Whether the other one has led.
    pub(crate) fn other_led(&self) -> Result<bool> {
        Ok(self.requests()?.iter().any(|it| is_renewal(it) && self.is_by(it, self.other())))
    }

    /// Waits until the one that led has ended, with an error.
    pub(crate) async fn leader_gives_up(&mut self) -> Result<()> {
        let process = self.leader()?.process();
        let status = timeout(DEADLINE, process.exited()).await.context("it goes on")?;
        let last_lines = process.last_lines()?;
        anyhow::ensure!(status.code() == Some(1), "{status}: {last_lines}");
        anyhow::ensure!(last_lines.contains("lost the leadership"), "{last_lines}");
        Ok(())
    }

    /// Fails when the one that led has written anything once the other one led.
    pub(crate) fn ensure_order(&self) -> Result<()> {
        let requests = self.requests()?;
        let is_take_over = |it: &AuditEvent| is_renewal(it) && self.is_by(it, self.other());
        let begin = requests.iter().position(is_take_over).context("the other one never led")?;
        let (before, after) = requests.split_at(begin);
        let is_by_former = |it: &&AuditEvent| self.is_by(it, self.leader) && is_write(it);
        anyhow::ensure!(before.iter().any(|it| is_by_former(&it)), "the former never wrote");
        let late: Vec<_> = after.iter().filter(is_by_former).collect();
        anyhow::ensure!(late.is_empty(), "written after the other one led: {late:#?}");
        Ok(())
    }

    /// Fails unless the lease was free for a moment when it changed hands (`is_released`), and the
    /// one that led has written nothing after that; or unless it never was.
    pub(crate) fn ensure_released(&self, is_released: bool) -> Result<()> {
        let holders = self.holders()?;
        let expected = if is_released { 3 } else { 2 };
        let freed = holders.get(1).is_some_and(String::is_empty);
        anyhow::ensure!(holders.len() == expected && freed == is_released, "{holders:?}");
        let requests = self.requests()?;
        let is_by_former = |it: &&AuditEvent| self.is_by(it, self.leader) && is_write(it);
        let last = requests.iter().rfind(is_by_former).context("the former never wrote")?;
        let ends_with_lease = last.key.resource == "leases";
        anyhow::ensure!(ends_with_lease || !is_released, "written after its release: {last:?}");
        Ok(())
    }

    /// Who has held the lease, one after another; empty when nobody did.
    fn holders(&self) -> Result<Vec<String>> {
        let mut holders = Vec::new();
        for change in self.leases.so_far()? {
            if let Change::Now(lease) = change {
                let holder = lease.spec.and_then(|it| it.holder_identity);
                holders.push(holder.unwrap_or_default());
            }
        }
        holders.dedup();
        Ok(holders)
    }

    /// Brings back the one that led.
    pub(crate) async fn restore(mut self) -> Result<()> {
        self.leader()?.restart().await?;
        Ok(())
    }

    /// Brings back both as they were at first.
    pub(crate) async fn restore_both(mut self) -> Result<()> {
        for component in self.system.controllers() {
            component.process().stop(DEADLINE).await?;
            component.restart().await?;
        }
        Ok(())
    }

    /// The requests of both since the beginning.
    fn requests(&self) -> Result<Vec<AuditEvent>> {
        let mut requests = self.audit.since(self.mark)?;
        requests.retain(|it| it.key.user == CONTROLLER);
        Ok(requests)
    }

    fn other(&self) -> usize {
        1 - self.leader
    }

    fn is_by(&self, request: &AuditEvent, index: usize) -> bool {
        self.agents.get(index).is_some_and(|agent| request.user_agent.ends_with(agent))
    }
}

/// Whether a candidate has made itself the holder of the lease, or stays it.
fn is_renewal(request: &AuditEvent) -> bool {
    request.key.resource == "leases" && request.code < 300 && request.key.verb != "get"
}

/// Whether it is a write; one for the lease that was refused is none.
fn is_write(request: &AuditEvent) -> bool {
    let is_reading = matches!(request.key.verb.as_str(), "get" | "list" | "watch");
    !is_reading && (request.key.resource != "leases" || request.code < 300)
}

//! A cluster with the system on it, and what the controller costs there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lws_e2e::{CONTROLLER, Namespace};
use lws_harness::audit::{AuditLog, Mark, RequestKey};
use lws_harness::system::{Component, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, wait};
use tokio::time::sleep;

use super::processors::{Processors, Shares};
use super::{Shape, sets};
use crate::process::{Measured, Memory};

/// The feature gate that lets the `StatefulSet` controller replace several pods at once.
const MAX_UNAVAILABLE: &str = "MaxUnavailableStatefulSet";

/// The processes of the control plane.
const CONTROL_PLANE: [&str; 4] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// How long is looked for requests once everything is as it shall be: what comes late counts too.
const AFTERMATH: Duration = Duration::from_secs(2);

/// How long is looked at what nothing is wanted of, with the aftermath.
pub(super) const REST: Duration = Duration::from_secs(10);

/// How long the controller may take to end.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// How long it may take until it leads.
const LEAD_DEADLINE: Duration = Duration::from_secs(30);

/// A cluster with the system installed. It ends when it is dropped.
pub(super) struct World {
    cluster: Cluster,
    system: System,
}

/// What a cluster differs in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// How many nodes: each has room for 256 pods.
    pub(super) nodes: usize,
    /// Whether the `StatefulSet` controller may replace several pods at once.
    pub(super) gate: bool,
}

/// The moment from which something is measured.
pub(super) struct Begin {
    mark: Mark,
    processor_time: Duration,
    processors: Processors,
}

/// What the controller has used for something.
#[derive(Debug, Clone)]
pub(super) struct Spent {
    pub(super) processor_time: Duration,
    pub(super) memory: Memory,
    pub(super) requests: Requests,
    /// Of all processors, by process: the controller, the webhook, the control plane, and this program with its
    /// simulated kubelets.
    pub(super) shares: Shares,
}

/// Requests of the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Requests {
    /// By verb, and by resource with its subresource.
    pub(super) by_kind: BTreeMap<(String, String), usize>,
    /// Those that keep the lease, which are not among them.
    pub(super) leases: usize,
}

impl Requests {
    fn of(counts: BTreeMap<RequestKey, usize>) -> Self {
        let mut requests = Self::default();
        for (key, count) in counts.into_iter().filter(|(key, _)| key.user == CONTROLLER) {
            if key.resource == "leases" {
                requests.leases += count;
                continue;
            }
            let resource = match key.subresource.as_str() {
                "" => key.resource,
                subresource => format!("{}/{subresource}", key.resource),
            };
            *requests.by_kind.entry((key.verb, resource)).or_default() += count;
        }
        requests
    }

    /// Those that create an object, without events, which only tell of something.
    pub(super) fn creations(&self) -> usize {
        let made = self.by_kind.iter();
        made.filter(|((verb, resource), _)| verb == "create" && resource != "events")
            .map(|(_, count)| count)
            .sum()
    }

    /// All but those that keep the lease.
    pub(super) fn total(&self) -> usize {
        self.by_kind.values().sum()
    }
}

impl World {
    /// Starts the cluster, installs the system, and lets it make a small set, so that every process has done once what is
    /// measured.
    pub(super) async fn start(options: Options) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions {
            nodes: options.nodes,
            feature_gates: [(MAX_UNAVAILABLE.to_owned(), options.gate)].into(),
            ..ClusterOptions::default()
        })
        .await?;
        let system = System::install(&cluster, &SystemOptions::default()).await?;
        let world = Self { cluster, system };
        let namespace = world.namespace().await?;
        sets::create(&namespace, Shape { sets: 2, groups: 2, ..Shape::default() }).await?;
        sets::remove(&namespace).await?;
        Ok(world)
    }

    /// A new namespace.
    pub(super) async fn namespace(&self) -> Result<Namespace> {
        Namespace::create(self.cluster.client(), self.audit(), true).await
    }

    /// From now on, pods take this long to become ready once they run.
    pub(super) fn set_ready_delay(&self, delay: Duration) -> Result<()> {
        Ok(self.cluster.simulator()?.set_ready_delay(delay)?)
    }

    fn audit(&self) -> AuditLog {
        self.cluster.audit()
    }

    /// Ends the controller, in good order.
    pub(super) async fn pause(&mut self) -> Result<()> {
        self.component()?.process().stop(STOP_DEADLINE).await?;
        Ok(())
    }

    /// Starts the controller anew and waits until it leads. Ended in good order, its predecessor has given the lease back, so
    /// that is at once.
    pub(super) async fn resume(&mut self) -> Result<()> {
        self.pause().await?;
        let audit = self.audit();
        let stopped = audit.mark()?;
        self.component()?.restart().await?;
        let leads = async || audit.counts_since(stopped).map(|counts| leads(&counts));
        wait::until(LEAD_DEADLINE, "the new controller leads", leads, |leads| *leads).await?;
        Ok(())
    }

    /// Starts the controller anew, so that its memory is what the following needs, and begins to measure once it leads and
    /// has nothing to do.
    pub(super) async fn begin(&mut self) -> Result<Begin> {
        self.resume().await?;
        loop {
            let mark = self.audit().mark()?;
            sleep(AFTERMATH).await;
            if self.requests(mark)?.total() == 0 {
                break;
            }
        }
        self.go_on()
    }

    /// Begins to measure something else that the same controller does.
    pub(super) fn go_on(&mut self) -> Result<Begin> {
        let processor_time = self.controller()?.processor_time()?;
        let processors = Processors::look(&self.processes()?)?;
        Ok(Begin { mark: self.audit().mark()?, processor_time, processors })
    }

    /// What the controller has used since `begin`, and uses in the aftermath.
    pub(super) async fn end(&mut self, begin: &Begin) -> Result<Spent> {
        let shares = Processors::look(&self.processes()?)?.shares_since(&begin.processors)?;
        sleep(AFTERMATH).await;
        let controller = self.controller()?;
        Ok(Spent {
            processor_time: controller.processor_time()?.saturating_sub(begin.processor_time),
            memory: controller.memory()?,
            requests: self.requests(begin.mark)?,
            shares,
        })
    }

    /// What the controller uses in [`REST`] from `begin` on, which was a moment ago, while nothing is wanted.
    pub(super) async fn rest(&mut self, begin: &Begin) -> Result<Spent> {
        sleep(REST.saturating_sub(AFTERMATH)).await;
        self.end(begin).await
    }

    /// All processes that have a part in what is measured.
    fn processes(&mut self) -> Result<Vec<(&'static str, Measured)>> {
        let webhook = Measured::new(self.system.webhook()?.process().pid());
        let mut processes = vec![
            ("lws-controller", self.controller()?),
            ("lws-webhook", webhook),
            ("simulated kubelets", Measured::new(std::process::id())),
        ];
        for name in CONTROL_PLANE {
            processes.push((name, Measured::new(self.cluster.process(name)?.pid())));
        }
        Ok(processes)
    }

    /// The running controller.
    pub(super) fn controller(&mut self) -> Result<Measured> {
        Ok(Measured::new(self.component()?.process().pid()))
    }

    fn component(&mut self) -> Result<&mut Component> {
        self.system.controllers().first_mut().context("no controller was started")
    }

    fn requests(&self, mark: Mark) -> Result<Requests> {
        Ok(Requests::of(self.audit().counts_since(mark)?))
    }

    /// Ends everything.
    pub(super) async fn stop(self) -> Result<()> {
        drop(self.system);
        Ok(self.cluster.stop().await?)
    }
}

/// Whether the lease was written.
fn leads(counts: &BTreeMap<RequestKey, usize>) -> bool {
    let is_write =
        |key: &RequestKey| key.user == CONTROLLER && key.resource == "leases" && key.verb != "get";
    counts.keys().any(is_write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_others_and_those_for_the_lease_are_told_apart() {
        let key = |user: &str, verb: &str, resource: &str, subresource: &str, namespace: &str| {
            let [user, verb, resource, subresource, namespace] =
                [user, verb, resource, subresource, namespace].map(str::to_owned);
            RequestKey { user, verb, resource, subresource, namespace }
        };
        let requests = Requests::of(
            [
                (key(CONTROLLER, "create", "statefulsets", "", "a"), 2),
                (key(CONTROLLER, "create", "statefulsets", "", "b"), 3),
                (key(CONTROLLER, "update", "leaderworkersets", "status", "a"), 1),
                (key(CONTROLLER, "create", "events", "", "a"), 4),
                (key(CONTROLLER, "update", "leases", "", "lws-system"), 7),
                (key("other", "create", "statefulsets", "", "a"), 9),
            ]
            .into(),
        );
        let kind = |verb: &str, resource: &str| (verb.to_owned(), resource.to_owned());
        assert_eq!(
            requests,
            Requests {
                by_kind: [
                    (kind("create", "events"), 4),
                    (kind("create", "statefulsets"), 5),
                    (kind("update", "leaderworkersets/status"), 1),
                ]
                .into(),
                leases: 7,
            }
        );
        assert_eq!((requests.total(), requests.creations()), (10, 5));
    }
}

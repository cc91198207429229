//! A control plane with settled sets, where processes are started.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lws_e2e::{Fixture, Namespace};
use lws_harness::system::{NAMESPACE, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, free_ports};
use tokio::time::sleep;

use super::launch::Launched;
use crate::counter::Counter;
use crate::process::Measured;

/// Requests at a time.
const CONCURRENCY: usize = 32;

/// The longest that reconciles may take, and an end.
const DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two looks at the metrics.
const PAUSE: Duration = Duration::from_millis(1);

/// Webhook and certificates are not what is started.
const CONFIGURATION: &str = "\
apiVersion: config.lws.x-k8s.io/v1alpha1
kind: Configuration
internalCertManagement:
  enable: false
";

/// A control plane with settled sets of one group of one pod each.
pub(super) struct World {
    cluster: Cluster,
    system: System,
    namespace: Namespace,
}

/// How long a controller took since its start.
pub(super) struct Start {
    /// Until it listened.
    pub(super) listens: Duration,
    /// Until it had reconciled once.
    pub(super) first: Duration,
    /// Until it had reconciled as often as there are sets.
    pub(super) all: Duration,
}

impl World {
    pub(super) async fn start(sets: usize) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default()).await?;
        let system = System::install(&cluster, &SystemOptions::default()).await?;
        let namespace = Namespace::create(cluster.client(), cluster.audit(), true).await?;
        let world = Self { cluster, system, namespace };
        world.add_sets(0..sets).await?;
        Ok(world)
    }

    /// Creates sets and waits until all are available and nothing is to be done.
    pub(super) async fn add_sets(&self, numbers: Range<usize>) -> Result<()> {
        stream::iter(numbers)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, async |number| {
                let fixture = Fixture::named(&format!("set-{number}")).replicas(1).size(1);
                let set = self.namespace.create_set(&fixture).await?;
                set.expect("available p0 r1 (1/1)").await
            })
            .await?;
        self.namespace.silence().await?;
        Ok(())
    }

    /// The time that each process spends on a processor while there is nothing to do.
    pub(super) async fn rest(&mut self, time: Duration) -> Result<[(&'static str, Duration); 2]> {
        let controller = self.system.controllers().first().context("no controller runs")?;
        let controller = Measured::new(controller.process().pid());
        let webhook = Measured::new(self.system.webhook()?.process().pid());
        let before = [controller.processor_time()?, webhook.processor_time()?];
        sleep(time).await;
        let [of_controller, of_webhook] = before;
        Ok([
            ("lws-controller", controller.processor_time()?.saturating_sub(of_controller)),
            ("lws-webhook", webhook.processor_time()?.saturating_sub(of_webhook)),
        ])
    }

    /// Starts a controller again and again, each after the former one has given the lease back.
    pub(super) async fn starts(&mut self, count: u32) -> Result<Vec<Start>> {
        let present = self.system.controllers().first().context("no controller runs")?;
        present.process().stop(DEADLINE).await?;
        let kubeconfig =
            self.cluster.service_account_kubeconfig(NAMESPACE, "lws-controller-manager").await?;
        let configuration = self.cluster.dir().join("started.yaml");
        std::fs::write(&configuration, CONFIGURATION)?;
        let sets = self.namespace.sets().list_metadata(&kube::api::ListParams::default()).await?;
        let mut starts = Vec::new();
        for _ in 0..count {
            starts.push(self.start_one(&kubeconfig, &configuration, sets.items.len()).await?);
        }
        Ok(starts)
    }

    async fn start_one(
        &self,
        kubeconfig: &Path,
        configuration: &Path,
        sets: usize,
    ) -> Result<Start> {
        let [health, metrics] = free_ports()?;
        let arguments = [
            format!("--config={}", configuration.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--health-probe-bind-address=127.0.0.1:{health}"),
            format!("--metrics-bind-address=127.0.0.1:{metrics}"),
            "--metrics-secure=false".to_owned(),
        ];
        let log = self.cluster.dir().join("started.log");
        let mut launched = Launched::start("lws-controller", &arguments, &log)?;
        let (launched, listens) = tokio::task::spawn_blocking(move || {
            let took = launched.listens(health)?;
            launched.listens(metrics)?;
            Ok::<_, anyhow::Error>((launched, took))
        })
        .await??;
        let counter = Counter::of(&format!("http://127.0.0.1:{metrics}/metrics"))?;
        let first = reconciled(&counter, launched.begun, 1).await?;
        let all = reconciled(&counter, launched.begun, u32::try_from(sets)?).await?;
        tokio::task::spawn_blocking(move || launched.stop()).await??;
        Ok(Start { listens, first, all })
    }

    /// Ends everything.
    pub(super) async fn stop(self) -> Result<()> {
        drop(self.system);
        Ok(self.cluster.stop().await?)
    }
}

/// Waits until a controller that was started at `begun` has reconciled so often, and gives how long that took.
async fn reconciled(counter: &Counter, begun: Instant, times: u32) -> Result<Duration> {
    loop {
        let count = counter.reconciles().await?;
        if count >= times {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < DEADLINE, "{count} of {times} reconciles after {DEADLINE:?}");
        sleep(PAUSE).await;
    }
}

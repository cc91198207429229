//! The cluster of one test, and what the controller does in its namespace `default`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use lws_e2e::environment::fresh_directory;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet};
use lws_harness::audit::Mark;
use lws_harness::system::{self, System};
use lws_harness::{Cluster, ClusterOptions, wait};
use tokio::sync::MutexGuard;
use tokio::time::sleep;

use crate::ALONE;
use crate::snapshot::Snapshot;

/// How long a process may take to end in good order.
const STOP: Duration = Duration::from_secs(30);

/// The cluster of one test.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: Namespace,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// A cluster that goes on where the recording of a release of the existing implementation ends.
    pub(crate) async fn recorded(test: &str, release: &str) -> Result<Self> {
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
        let archive = archive.join(format!("{release}.tar.xz"));
        let options =
            ClusterOptions { nodes: 0, etcd_archive: Some(archive), ..ClusterOptions::default() };
        Self::start(&format!("{test}-{release}"), options).await
    }

    /// A cluster without any set.
    pub(crate) async fn empty(test: &str) -> Result<Self> {
        Self::start(test, ClusterOptions { nodes: 8, ..ClusterOptions::default() }).await
    }

    /// A cluster in which nothing happens but what the test does.
    pub(crate) async fn without_controllers(test: &str) -> Result<Self> {
        let options = ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() };
        Self::start(test, options).await
    }

    async fn start(name: &str, options: ClusterOptions) -> Result<Self> {
        let alone = ALONE.lock().await;
        let name = format!("takeover-{name}");
        let cluster = Cluster::start(ClusterOptions {
            ready_delay: Duration::from_millis(300),
            data_dir: Some(fresh_directory(Path::new(env!("CARGO_TARGET_TMPDIR")), &name)?),
            ..options
        })
        .await?;
        let namespace = Namespace::existing(cluster.client(), cluster.audit(), "default");
        Ok(Self { cluster, namespace, _alone: alone })
    }

    /// A set in the namespace.
    pub(crate) fn set(&self, name: &str) -> TestSet {
        TestSet::named(self.namespace.clone(), name)
    }

    /// All objects, once they do not change any more.
    pub(crate) async fn at_rest(&self) -> Result<Snapshot> {
        let look = async || {
            let before = Snapshot::of(&self.namespace).await?;
            sleep(Duration::from_secs(1)).await;
            let now = Snapshot::of(&self.namespace).await?;
            anyhow::Ok((now == before).then_some(now))
        };
        Ok(wait::eventually(DEADLINE, "the objects do not change any more", look).await?)
    }

    /// Who holds the lease of the controllers; empty when nobody does.
    pub(crate) async fn leader(&self) -> Result<String> {
        let api: Api<Lease> = Api::namespaced(self.cluster.client(), system::NAMESPACE);
        let lease = api.get_opt("b8b2488c.x-k8s.io").await?;
        Ok(lease.and_then(|it| it.spec?.holder_identity).unwrap_or_default())
    }

    /// Waits until another controller than `former` leads and has looked at every set: a set that is created now is its last.
    /// Gives since when it has been silent.
    pub(crate) async fn looked_at(&self, former: &str, new_set: &str) -> Result<Mark> {
        let leader = async || self.leader().await;
        let is_other = |it: &String| !it.is_empty() && it != former;
        wait::until(DEADLINE, "another controller leads", leader, is_other).await?;
        self.namespace.create_set(&Fixture::named(new_set)).await?.done(2).await?;
        self.silence().await
    }

    /// Waits until the controller has made no request about the namespace for a while; gives since when.
    pub(crate) async fn silence(&self) -> Result<Mark> {
        self.namespace.silence().await
    }

    /// What the controller has written since `mark`, by the set it was for: `<verb> <resource> <name>`, with `/status`
    /// and the like behind the resource.
    pub(crate) fn writes(
        &self,
        mark: Mark,
        sets: &Snapshot,
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let mut writes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in self.namespace.controller_requests(mark)? {
            let key = &request.key;
            if ["get", "list", "watch"].contains(&&*key.verb) {
                continue;
            }
            // Names begin with that of the set; of `tpu` and `tpu-sub` the longer one counts.
            let begins = |set: &&&str| {
                let rest = request.name.strip_prefix(**set);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
            };
            let set = sets.sets().iter().filter(begins).max_by_key(|it| it.len()).copied();
            let slash = if key.subresource.is_empty() { "" } else { "/" };
            let line =
                format!("{} {}{slash}{} {}", key.verb, key.resource, key.subresource, request.name);
            writes.entry(set.unwrap_or_default().to_owned()).or_default().push(line);
        }
        Ok(writes)
    }
}

/// Ends the controllers and the webhook in good order and starts them anew: the upgrade from one build to the next.
pub(crate) async fn upgrade(system: &mut System) -> Result<()> {
    for controller in system.controllers() {
        controller.process().stop(STOP).await?;
        controller.restart().await?;
    }
    let webhook = system.webhook()?;
    webhook.process().stop(STOP).await?;
    Ok(webhook.restart().await?)
}

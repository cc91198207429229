//! The shipped manifests on a cluster of their own, and replicas of the webhook behind their Service.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use lws_e2e::metrics::Scrape;
use lws_e2e::webhooks::{self, Webhooks, shipped, stored};
use lws_e2e::{CONTROLLER, DEADLINE};
use lws_harness::audit::Mark;
use lws_harness::system::{NAMESPACE, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, wait};
use serde_json::Value;

pub(crate) use lws_e2e::webhooks::SECRET;

pub(crate) const MUTATING: &str = "lws-mutating-webhook-configuration";
pub(crate) const VALIDATING: &str = "lws-validating-webhook-configuration";

/// A cluster with the system; dropped, all of it ends.
pub(crate) struct Installation {
    pub(crate) cluster: Cluster,
    pub(crate) webhooks: Webhooks,
    system: System,
}

impl Installation {
    /// Installs everything, with one replica of the webhook for each of `mount_delays`: that long it takes until a
    /// change of the Secret is in its volume.
    pub(crate) async fn new(system: &SystemOptions, mount_delays: &[Duration]) -> Result<Self> {
        Self::with(system, mount_delays, async |_| shipped()).await
    }

    /// The same with these objects instead of those of `deploy/webhook`.
    pub(crate) async fn with(
        system: &SystemOptions,
        mount_delays: &[Duration],
        objects: impl AsyncFnOnce(&Cluster) -> Result<Vec<Value>>,
    ) -> Result<Self> {
        let options = ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() };
        let cluster = Cluster::start(options).await?;
        let system = System::install(&cluster, system).await?;
        let webhooks = Webhooks::start(&cluster, mount_delays).await?;
        webhooks.register(&cluster, objects(&cluster).await?).await?;
        Ok(Self { cluster, webhooks, system })
    }

    /// What the controller measures.
    pub(crate) async fn metrics(&mut self) -> Result<Scrape> {
        Scrape::of_controller(&mut self.system).await
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    /// The content of the Secret under `key`.
    pub(crate) async fn stored(&self, key: &str) -> Result<String> {
        stored(&self.secrets().get(SECRET).await?, key)
    }

    /// The configuration of this name, of either kind.
    pub(crate) fn configuration(&self, name: &str) -> Api<DynamicObject> {
        let resource = if name == MUTATING {
            ApiResource::erase::<MutatingWebhookConfiguration>(&())
        } else {
            ApiResource::erase::<ValidatingWebhookConfiguration>(&())
        };
        Api::all_with(self.cluster.client(), &resource)
    }

    /// The bundle of each entry of a configuration, as PEM.
    pub(crate) async fn bundles(&self, name: &str) -> Result<Vec<String>> {
        let object = self.configuration(name).get(name).await?;
        let entries = object.data.get("webhooks").and_then(Value::as_array).context("webhooks")?;
        let bundle = |entry: &Value| {
            let encoded = entry.pointer("/clientConfig/caBundle").and_then(Value::as_str);
            Ok(String::from_utf8(BASE64_STANDARD.decode(encoded.unwrap_or_default())?)?)
        };
        entries.iter().map(bundle).collect()
    }

    /// Waits until every entry trusts the authority in the Secret, and nobody else.
    pub(crate) async fn trusted(&self) -> Result<()> {
        let description = "all entries trust the authority in the Secret alone";
        wait::eventually(DEADLINE, description, async || {
            let authority = self.stored("ca.crt").await?;
            let all = [self.bundles(MUTATING).await?, self.bundles(VALIDATING).await?].concat();
            let count = |text: &str| text.matches("BEGIN CERTIFICATE").count();
            anyhow::ensure!(!authority.is_empty(), "no authority is stored");
            let alone = all.iter().all(|it| *it == authority);
            anyhow::ensure!(
                alone,
                "trusted are {:?}",
                all.iter().map(|it| count(it)).collect::<Vec<_>>()
            );
            Ok(Some(()))
        })
        .await?;
        Ok(())
    }

    /// Has the API server do all that it does to create a set, except to store it.
    pub(crate) async fn try_create_set(&self) -> kube::Result<DynamicObject> {
        webhooks::try_create_set(self.cluster.client()).await
    }

    /// Fails if the controller has asked for anything that certificates are kept in, or for nothing at all.
    pub(crate) fn controller_touches_no_certificate(&self) -> Result<()> {
        let mut requests = self.cluster.audit().since(Mark::START)?;
        requests.retain(|it| it.key.user == CONTROLLER);
        ensure!(!requests.is_empty(), "the controller does nothing at all");
        let concerned =
            ["secrets", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
        requests.retain(|it| concerned.contains(&it.key.resource.as_str()));
        ensure!(requests.is_empty(), "{requests:?}");
        Ok(())
    }

    /// Waits until the API server gets sets through the webhook.
    pub(crate) async fn admits(&self) -> Result<()> {
        webhooks::admits(self.cluster.client()).await
    }
}

//! A webhook process for one test and one namespace, so that the test can disturb it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use jiff::Timestamp;
use kube::Client;
use lws_certs::Pair;
use lws_certs::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};
use lws_e2e::MountedSecret;
use lws_harness::processes::{Process, ProcessSpec};
use lws_harness::{free_ports, wait};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::json::put;
use crate::requests::{self, Answer, get, send, with_json};
use crate::sets::basic_set;
use crate::world::World;

const DEADLINE: Duration = Duration::from_secs(20);

/// A webhook that admits what is made in one namespace, beside the webhook that all tests share.
pub(crate) struct OwnWebhook {
    pub(crate) namespace: &'static str,
    authority: Authority,
    process: Option<Process>,
    spec: ProcessSpec,
    /// Where the process listens.
    pub(crate) address: SocketAddr,
    /// Where its clients connect.
    url: String,
    health: Client,
    certificates: MountedSecret,
    directory: TempDir,
}

impl OwnWebhook {
    /// Prepares a webhook with this configuration file; it has no certificate yet, and is not started.
    pub(crate) fn new(
        world: &World,
        namespace: &'static str,
        configuration: &Value,
    ) -> Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("lws-webhook-").tempdir_in(&world.directory)?;
        let file = directory.path().join("configuration.yaml");
        std::fs::write(&file, configuration.to_string())?;
        let certificates = MountedSecret::new(directory.path().join("certificates"))?;
        let [webhook, health] = free_ports()?;
        let spec = ProcessSpec::of_workspace("lws-webhook")?.named(namespace).args([
            format!("--config={}", file.display()),
            format!("--webhook-bind-address=127.0.0.1:{webhook}"),
            format!("--webhook-cert-dir={}", certificates.directory().display()),
            format!("--health-probe-bind-address=127.0.0.1:{health}"),
            "--metrics-bind-address=0".to_owned(),
        ]);
        Ok(Self {
            namespace,
            authority: authority()?,
            process: None,
            spec,
            address: (Ipv4Addr::LOCALHOST, webhook).into(),
            url: format!("https://127.0.0.1:{webhook}"),
            health: requests::client(&format!("http://127.0.0.1:{health}"), &[])?,
            certificates,
            directory,
        })
    }

    /// With the defaults for all that a configuration file can say.
    pub(crate) fn plain(world: &World, namespace: &'static str) -> Result<Self> {
        let kind = json!({"apiVersion": "config.lws.x-k8s.io/v1alpha1", "kind": "Configuration"});
        Self::new(world, namespace, &kind)
    }

    /// The same with one more argument for the process.
    pub(crate) fn with_arg(self, argument: &str) -> Self {
        Self { spec: self.spec.args([argument]), ..self }
    }

    /// The same with clients that connect to `address` instead.
    pub(crate) fn behind(self, address: SocketAddr) -> Self {
        Self { url: format!("https://{address}"), ..self }
    }

    /// Starts the process and waits until it answers for its health.
    pub(crate) async fn start(&mut self) -> Result<()> {
        self.process = Some(Process::start(&self.spec, self.directory.path()).await?);
        wait::eventually(DEADLINE, "the webhook answers for its health", async || {
            self.readiness().await.map(Some)
        })
        .await?;
        Ok(())
    }

    /// The running process.
    pub(crate) fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("the webhook was not started")
    }

    /// What the process says of its readiness.
    pub(crate) async fn readiness(&self) -> Result<Answer> {
        send(&self.health, get("/readyz")?).await
    }

    /// Waits until the process is ready.
    pub(crate) async fn ready(&self) -> Result<()> {
        wait::until(
            DEADLINE,
            "the webhook is ready",
            async || self.readiness().await,
            |answer| answer.code.is_success(),
        )
        .await?;
        Ok(())
    }

    /// Gives it a certificate of its authority.
    pub(crate) fn issue_certificate(&self) -> Result<()> {
        self.certificates.publish(&certificate_of(&self.authority)?)
    }

    /// Gives it a certificate of another authority.
    pub(crate) fn change_certificate(&self, authority: &Authority) -> Result<()> {
        self.certificates.publish(&certificate_of(authority)?)
    }

    /// Its authority, as PEM.
    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority.pair().certificate_pem
    }

    /// A client that has no connection to it yet and trusts `authorities` (PEM).
    pub(crate) fn client(&self, authorities: &[&str]) -> Result<Client> {
        requests::client(&self.url, authorities)
    }

    /// Has the API server call it for its namespace, trusting its authority.
    pub(crate) async fn register(&self, world: &World) -> Result<()> {
        self.register_trusting(world, &[self.authority_pem()]).await
    }

    /// Has the API server call it for its namespace, as the shipped configuration says, but trusting `authorities` (PEM).
    pub(crate) async fn register_trusting(
        &self,
        world: &World,
        authorities: &[&str],
    ) -> Result<()> {
        for kind in ["mutating", "validating"] {
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("../../deploy/webhook/{kind}.yaml"));
            let shipped: Value = serde_saphyr::from_str(&std::fs::read_to_string(manifest)?)?;
            self.register_entries(world, kind, shipped, authorities).await?;
        }
        Ok(())
    }

    /// Has the API server call it as the configuration of this kind (`mutating` or `validating`) says, but for its
    /// namespace only, and trusting `authorities` (PEM).
    pub(crate) async fn register_entries(
        &self,
        world: &World,
        kind: &str,
        mut configuration: Value,
        authorities: &[&str],
    ) -> Result<()> {
        put(&mut configuration, "/metadata/name", json!(self.namespace))?;
        let webhooks = configuration.get_mut("webhooks").and_then(Value::as_array_mut);
        for webhook in webhooks.context("no webhooks")? {
            let path = webhook.pointer("/clientConfig/service/path").and_then(Value::as_str);
            let url = format!("{}{}", self.url, path.context("no path")?);
            let bundle = BASE64_STANDARD.encode(authorities.concat());
            put(webhook, "/clientConfig", json!({"url": url, "caBundle": bundle}))?;
            let labels = json!({"kubernetes.io/metadata.name": self.namespace});
            put(webhook, "/namespaceSelector", json!({"matchLabels": labels}))?;
        }
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations");
        let request = with_json(Method::POST, &path, &configuration)?;
        send(&world.api, request).await?.object()?;
        Ok(())
    }

    /// Waits until the API server calls it, which can only be seen while it does not serve.
    pub(crate) async fn called(&self, world: &World) -> Result<()> {
        let observe = async || self.try_create_set(world).await;
        let refused = |answer: &Answer| answer.text.contains("failed calling webhook");
        wait::until(DEADLINE, "the API server calls the webhook", observe, refused).await?;
        Ok(())
    }

    /// The API server's answer to a set in the webhook's namespace, which is not stored.
    pub(crate) async fn try_create_set(&self, world: &World) -> Result<Answer> {
        world.sets(self.namespace).try_create(&basic_set("tried")).await
    }
}

/// A new authority.
pub(crate) fn authority() -> Result<Authority> {
    Ok(Authority::generate(Timestamp::now(), AUTHORITY_LIFETIME)?)
}

fn certificate_of(authority: &Authority) -> Result<Pair> {
    let names = [ServerName::from(Ipv4Addr::LOCALHOST)];
    Ok(authority.issue(&names, Timestamp::now(), SERVING_LIFETIME)?)
}

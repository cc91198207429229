//! The LeaderWorkerSet system, installed on a [`Cluster`] from the manifests in `deploy/`, as a user installs it.
//!
//! What differs from a real installation: the processes run outside the cluster, each with the token of its own
//! service account, so the API server reaches the webhook by URL instead of Service. Dropping a [`System`] kills its
//! processes; what it has installed stays as long as the cluster.

mod component;
mod manifests;
mod webhook;

use std::convert::Infallible;
use std::process::ExitStatus;

use crate::processes::Process;
use crate::{Cluster, Error, Result};

pub use component::Component;
pub use manifests::{define_certificates, define_pod_groups, grant_pod_groups};

/// Where the system is installed.
pub const NAMESPACE: &str = "lws-system";

/// What to install and to run.
#[derive(Debug, Clone)]
pub struct SystemOptions {
    /// What the processes may do.
    pub rights: Rights,
    /// Whether the webhook runs and is registered.
    pub webhook: bool,
    /// How many replicas of the controller run.
    pub controllers: usize,
    /// Whether each process reaches the API server through a proxy of its own.
    pub proxied: bool,
    /// Whether the API server calls the webhook for labelled pods only, as `deploy/` has it, or for all pods.
    pub select_pods: bool,
    /// Who looks after the certificate in the Secret. The webhook that is started has one of its own.
    pub certificates: Certificates,
    /// Who sees what the processes measure.
    pub metrics: Metrics,
    /// More arguments for the webhook.
    pub webhook_args: Vec<String>,
    /// More arguments for the controllers.
    pub controller_args: Vec<String>,
    /// Section `groupRestart` of the configuration; null leaves its defaults.
    pub group_restart: serde_json::Value,
    /// Section `internalCertManagement.rotation`; null leaves its defaults.
    pub rotation: serde_json::Value,
    /// Environment variables of both, in addition to those of this process.
    pub env: Vec<(String, String)>,
    /// How far gang scheduling is set up.
    pub volcano: Volcano,
}

/// What the processes may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// What `deploy/` grants, which is applied.
    Shipped,
    /// What is granted already.
    Present,
}

/// Who looks after the certificate in the Secret, and the trust in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// The controller that leads.
    OfController,
    /// Somebody else.
    OfOthers,
}

/// Who sees what the processes measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metrics {
    /// Whoever is on this machine, in plain HTTP. Nobody is asked, so that looking adds no requests.
    OpenToAll,
    /// Whom the API server permits it, as it is by default.
    Reviewed,
}

/// How far gang scheduling with Volcano is set up. Volcano itself never runs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Volcano {
    /// Not at all.
    #[default]
    Off,
    /// Webhook and controllers are configured for it; see [`grant_pod_groups`] and [`define_pod_groups`] for the rest.
    Configured,
    /// Controllers may keep `PodGroup`s, too, and the API server stores them.
    Installed,
}

impl Default for SystemOptions {
    fn default() -> Self {
        Self {
            rights: Rights::Shipped,
            webhook: true,
            controllers: 1,
            proxied: false,
            select_pods: true,
            certificates: Certificates::OfOthers,
            metrics: Metrics::OpenToAll,
            webhook_args: Vec::new(),
            controller_args: Vec::new(),
            group_restart: serde_json::Value::Null,
            rotation: serde_json::Value::Null,
            env: Vec::new(),
            volcano: Volcano::Off,
        }
    }
}

/// The running system.
#[derive(Debug)]
pub struct System {
    webhook: Option<Component>,
    controllers: Vec<Component>,
}

impl System {
    /// Installs the definitions and the rights, and starts what `options` ask for; everything is ready afterwards, and
    /// the API server calls the webhook.
    ///
    /// Fails when a binary is not built, `kubectl` refuses a manifest, a process ends, or something is not ready within
    /// 30 s.
    pub async fn install(cluster: &Cluster, options: &SystemOptions) -> Result<Self> {
        manifests::install(cluster, options).await?;
        if options.volcano == Volcano::Installed {
            define_pod_groups(cluster).await?;
            grant_pod_groups(cluster).await?;
        }
        let webhook = if options.webhook {
            Some(webhook::start(cluster, options, "lws-webhook").await?)
        } else {
            None
        };
        let mut controllers = Vec::new();
        for replica in 0..options.controllers {
            controllers
                .push(Component::start(cluster, options, controller(options, replica)).await?);
        }
        Ok(Self { webhook, controllers })
    }

    /// The webhook. Fails when the system was installed without it.
    pub fn webhook(&mut self) -> Result<&mut Component> {
        self.webhook.as_mut().ok_or(Error::NoWebhook)
    }

    /// Starts another webhook, with a certificate of another authority, and once it is ready has the API server call it instead.
    /// Gives the former one, which still runs: it is called until the API server has noticed.
    pub async fn replace_webhook(
        &mut self,
        cluster: &Cluster,
        options: &SystemOptions,
    ) -> Result<Component> {
        let successor = webhook::start(cluster, options, "lws-webhook-successor").await?;
        self.webhook.replace(successor).ok_or(Error::NoWebhook)
    }

    /// The replicas of the controller; the first was the first to be started.
    pub fn controllers(&mut self) -> &mut [Component] {
        &mut self.controllers
    }

    /// Keeps all of them running: see [`Component::keep_running`].
    ///
    /// Fails when one does not become ready any more.
    pub async fn keep_running(
        &mut self,
        ended: impl Fn(&Process, ExitStatus),
    ) -> Result<Infallible> {
        let all = self.controllers.iter_mut().chain(&mut self.webhook);
        let all = all.map(|it| it.keep_running(&ended));
        futures::future::select_all(all.map(Box::pin)).await.0
    }
}

fn controller(options: &SystemOptions, replica: usize) -> component::Role {
    component::Role {
        binary: "lws-controller",
        name: format!("lws-controller-{replica}"),
        service_account: "lws-controller-manager",
        webhook_certificates: None,
        proxied: options.proxied,
    }
}

//! The manager of the existing implementation, as its release installs it, on a recorded cluster.
//!
//! The recordings have everything that is installed but what needs pods: the Deployment, and the certificate that they
//! issue. The manager's webhook is played by ours, with such a certificate.

use std::fmt::Debug;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use lws_e2e::DEADLINE;
use lws_e2e::go::{self, Content};
use lws_e2e::workloads::ANNOTATIONS;
use lws_harness::system::NAMESPACE;
use lws_harness::wait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::world::World;

/// What the webhook's certificate is for.
const HOST: &str = "lws-webhook-service.lws-system.svc";

const SECRET: &str = "lws-webhook-server-cert";
const MUTATING: &str = "lws-mutating-webhook-configuration";
const VALIDATING: &str = "lws-validating-webhook-configuration";

/// The Deployment, whose name ours has too.
pub(crate) const DEPLOYMENT: &str = "lws-controller-manager";

/// How a release was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installed {
    /// Its manifests, with `kubectl apply --server-side`.
    Manifests,
    /// Its chart.
    Chart,
}

impl Installed {
    /// What an administrator sets FORCE to: kubectl takes over what it has applied, and asks for what others have.
    pub(crate) fn force(self) -> &'static str {
        match self {
            Self::Manifests => "0",
            Self::Chart => "1",
        }
    }
}

/// What the manager has stored and written.
pub(crate) struct Manager {
    content: Content,
}

impl Manager {
    /// Has it run, and waits until sets and pods are admitted by it.
    pub(crate) async fn run(world: &World, installed: Installed) -> Result<Self> {
        let content = go::issue_certificate(HOST).await?;
        let authority = content.get("ca.crt").context("no authority")?;
        let secret = Patch::Merge(json!({"stringData": content}));
        let itself =
            PatchParams { field_manager: Some("manager".to_owned()), ..PatchParams::default() };
        secrets(world).patch(SECRET, &itself, &secret).await?;
        lead_to_service::<MutatingWebhookConfiguration>(world, MUTATING, authority).await?;
        lead_to_service::<ValidatingWebhookConfiguration>(world, VALIDATING, authority).await?;
        if installed == Installed::Chart {
            belong_to_helm(world).await?;
        }
        create_deployment(world, installed).await?;
        let description = "the existing manager admits sets and pods";
        wait::eventually(DEADLINE, description, async || world.admit().await.map(Some)).await?;
        Ok(Self { content })
    }

    /// Fails if its certificate, or the trust in it, is another one now.
    pub(crate) async fn certificate_is_kept(&self, world: &World) -> Result<()> {
        let stored = secrets(world).get(SECRET).await?.data.unwrap_or_default();
        let stored: Result<Content> =
            stored.into_iter().map(|(key, it)| Ok((key, String::from_utf8(it.0)?))).collect();
        ensure!(stored? == self.content, "the Secret has another content");
        let client = world.cluster.client();
        let mutating =
            Api::<MutatingWebhookConfiguration>::all(client.clone()).get(MUTATING).await?;
        let validating = Api::<ValidatingWebhookConfiguration>::all(client).get(VALIDATING).await?;
        let mutating = mutating.webhooks.into_iter().flatten().map(|it| it.client_config);
        let validating = validating.webhooks.into_iter().flatten().map(|it| it.client_config);
        for config in mutating.chain(validating) {
            let trusted = String::from_utf8(config.ca_bundle.unwrap_or_default().0)?;
            ensure!(Some(&trusted) == self.content.get("ca.crt"), "trusted is {trusted:?}");
        }
        Ok(())
    }
}

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.cluster.client(), NAMESPACE)
}

/// The Deployment that there is.
pub(crate) async fn deployment(world: &World) -> Result<Deployment> {
    let api: Api<Deployment> = Api::namespaced(world.cluster.client(), NAMESPACE);
    Ok(api.get(DEPLOYMENT).await?)
}

/// Has the entries of a configuration lead to the Service instead of the address that was recorded, as the release's
/// manifests have it, and trust the authority, as the manager writes it.
async fn lead_to_service<K>(world: &World, name: &str, authority: &str) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::all(world.cluster.client());
    let recorded = serde_json::to_value(api.get(name).await?)?;
    let mut applied = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "labels": recorded["metadata"]["labels"]},
        "webhooks": recorded["webhooks"],
    });
    for entry in applied["webhooks"].as_array_mut().context("no entries")? {
        let url = entry["clientConfig"]["url"].as_str().context("no address")?;
        let path = url.splitn(4, '/').nth(3).context("no path")?;
        let service = json!({
            "name": "lws-webhook-service", "namespace": NAMESPACE, "path": format!("/{path}"),
        });
        entry["clientConfig"] = json!({"service": service});
    }
    let params = PatchParams::apply("kubectl").force();
    let written = api.patch(name, &params, &Patch::Apply(applied)).await?;
    let mut trusting = serde_json::to_value(written)?;
    for entry in trusting["webhooks"].as_array_mut().context("no entries")? {
        entry["clientConfig"]["caBundle"] = json!(BASE64_STANDARD.encode(authority));
    }
    let params = PostParams { field_manager: Some("manager".to_owned()), ..PostParams::default() };
    api.replace(name, &params, &serde_json::from_value(trusting)?).await?;
    Ok(())
}

/// Has everything that was installed with kubectl be Helm's.
async fn belong_to_helm(world: &World) -> Result<()> {
    let manifests = World::manifests();
    let get =
        ["get", "--ignore-not-found", "--show-managed-fields", "-o", "json", "-f", &manifests];
    let mut list: Value = serde_json::from_str(&world.kubectl(&get).await?)?;
    for object in list["items"].as_array_mut().context("nothing is installed")? {
        for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            if entry["manager"] == "kubectl" {
                entry["manager"] = json!("helm");
                entry["operation"] = json!("Update");
            }
        }
    }
    let file = world.cluster.dir().join("of-helm.json");
    std::fs::write(&file, list.to_string())?;
    world.kubectl(&["replace", "-f", &file.to_string_lossy()]).await?;
    Ok(())
}

async fn create_deployment(world: &World, installed: Installed) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let params = match installed {
        Installed::Manifests => PatchParams::apply("kubectl"),
        Installed::Chart => PatchParams::apply("helm"),
    };
    api.patch(DEPLOYMENT, &params, &Patch::Apply(template(installed))).await?;
    Ok(())
}

/// The Deployment of a release. The chart's selects by fewer labels.
fn template(installed: Installed) -> Value {
    let mut annotations = json!({"kubectl.kubernetes.io/default-container": "manager"});
    for (key, value) in ANNOTATIONS {
        annotations[key] = json!(value);
    }
    let mut selected =
        json!({"app.kubernetes.io/name": "lws", "app.kubernetes.io/instance": "lws"});
    let mut labels = selected.clone();
    labels["control-plane"] = json!("controller-manager");
    if installed == Installed::Manifests {
        selected = labels.clone();
    }
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8081}});
    let container = json!({
        "name": "manager",
        "image": "registry.k8s.io/lws/lws:v0",
        "command": ["/manager"],
        "args": ["--config=/controller_manager_config.yaml", "--zap-log-level=2"],
        "livenessProbe": probe("/healthz"),
        "readinessProbe": probe("/readyz"),
        "ports": [
            {"name": "webhook-server", "containerPort": 9443, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 8443, "protocol": "TCP"},
        ],
        "resources": {"requests": {"cpu": 1, "memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {
                "name": "cert",
                "mountPath": "/tmp/k8s-webhook-server/serving-certs",
                "readOnly": true,
            },
            {
                "name": "manager-config",
                "mountPath": "/controller_manager_config.yaml",
                "subPath": "controller_manager_config.yaml",
            },
        ],
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": DEPLOYMENT, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": selected},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {
                    "containers": [container],
                    "serviceAccountName": "lws-controller-manager",
                    "securityContext": {"runAsNonRoot": true},
                    "terminationGracePeriodSeconds": 10,
                    "volumes": [
                        {"name": "cert", "secret": {"secretName": SECRET, "defaultMode": 420}},
                        {"name": "manager-config", "configMap": {"name": "lws-manager-config"}},
                    ],
                },
            },
        },
    })
}

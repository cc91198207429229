//! The shipped manifests on a cluster of their own, and replicas of the webhook behind their Service.
//!
//! Nobody makes Services reachable here, so the Service is another name for this machine, and a port of it leads to
//! the replicas in turn.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client, ResourceExt as _};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE, Pair};
use lws_e2e::metrics::Scrape;
use lws_e2e::{CONTROLLER, DEADLINE, MountedSecret};
use lws_harness::audit::Mark;
use lws_harness::processes::{Process, ProcessSpec};
use lws_harness::system::{NAMESPACE, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, free_ports, wait};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) const SECRET: &str = "lws-webhook-server-cert";
pub(crate) const MUTATING: &str = "lws-mutating-webhook-configuration";
pub(crate) const VALIDATING: &str = "lws-validating-webhook-configuration";

/// A cluster with the system; dropped, all of it ends.
pub(crate) struct Installation {
    pub(crate) cluster: Cluster,
    pub(crate) replicas: Vec<Replica>,
    system: System,
    _tasks: JoinSet<Result<()>>,
}

/// A replica of the webhook.
pub(crate) struct Replica {
    pub(crate) port: u16,
    process: Process,
    health: u16,
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
        let mut tasks = JoinSet::new();
        let mut replicas = Vec::new();
        let system = System::install(&cluster, system).await?;
        for (number, delay) in mount_delays.iter().enumerate() {
            let mounted = MountedSecret::new(cluster.dir().join(format!("volume-{number}")))?;
            replicas.push(Replica::start(&cluster, number, mounted.directory()).await?);
            tasks.spawn(mount(cluster.client(), mounted, *delay));
        }
        let front = TcpListener::bind("127.0.0.1:0").await?;
        let port = front.local_addr()?.port();
        tasks.spawn(in_turn(front, replicas.iter().map(|it| it.port).collect()));
        let objects = objects(&cluster).await?;
        let installation = Self { cluster, replicas, system, _tasks: tasks };
        installation.register(objects, port).await?;
        Ok(installation)
    }

    /// Applies objects, with a Service that leads to `port` of this machine. Fields that the API server does not know
    /// are an error.
    async fn register(&self, mut objects: Vec<Value>, port: u16) -> Result<()> {
        for object in &mut objects {
            for entry in
                object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten()
            {
                let service = entry.pointer_mut("/clientConfig/service");
                let service = service.and_then(Value::as_object_mut).context("no service")?;
                service.insert("port".to_owned(), json!(port));
            }
            if object.get("kind") == Some(&json!("Service")) {
                let spec = json!({"type": "ExternalName", "externalName": "localhost"});
                object.as_object_mut().context("no object")?.insert("spec".to_owned(), spec);
            }
        }
        let file = self.cluster.dir().join("objects.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(&file, list.to_string())?;
        let apply = ["apply", "--server-side", "--validate=strict", "-f", &file.to_string_lossy()];
        let applied = self.cluster.kubectl(&apply).await?;
        anyhow::ensure!(applied.status.success(), "{applied:?}");
        Ok(())
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

    /// Waits until all replicas are ready.
    pub(crate) async fn ready(&self) -> Result<()> {
        for replica in &self.replicas {
            let url = format!("http://127.0.0.1:{}/readyz", replica.health);
            replica.process.wait_until_ready(&url, DEADLINE).await?;
        }
        Ok(())
    }

    /// Has the API server do all that it does to create a set, except to store it.
    pub(crate) async fn try_create_set(&self) -> kube::Result<DynamicObject> {
        let resource = lws_e2e::namespace::set_resource();
        let set = DynamicObject::new("tried", &resource).data(json!({
            "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {
                "containers": [{"name": "c", "image": "i"}],
            }}}},
        }));
        let api: Api<DynamicObject> =
            Api::default_namespaced_with(self.cluster.client(), &resource);
        api.create(&PostParams { dry_run: true, ..PostParams::default() }, &set).await
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
        let description = "the API server calls the webhook";
        wait::eventually(DEADLINE, description, async || {
            let set = self.try_create_set().await?;
            let policy = set.data.pointer("/spec/leaderWorkerTemplate/restartPolicy");
            Ok::<_, kube::Error>(policy.map(drop))
        })
        .await?;
        Ok(())
    }
}

/// The objects of `deploy/webhook` that are about admission and its certificate.
fn shipped() -> Result<Vec<Value>> {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/webhook");
    ["mutating.yaml", "validating.yaml", "service.yaml", "certificate-secret.yaml"]
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(manifests.join(name))?;
            Ok(serde_saphyr::from_str(&text)?)
        })
        .collect()
}

impl Replica {
    async fn start(cluster: &Cluster, number: usize, certificates: &Path) -> Result<Self> {
        let [port, health] = free_ports()?;
        let spec = ProcessSpec::of_workspace("lws-webhook")?
            .named(&format!("lws-webhook-{number}"))
            .args([
                format!("--webhook-bind-address=127.0.0.1:{port}"),
                format!("--webhook-cert-dir={}", certificates.display()),
                format!("--health-probe-bind-address=127.0.0.1:{health}"),
                "--metrics-bind-address=0".to_owned(),
            ]);
        Ok(Self { port, process: Process::start(&spec, cluster.dir()).await?, health })
    }
}

pub(crate) fn stored(secret: &Secret, key: &str) -> Result<String> {
    let content = secret.data.as_ref().and_then(|data| data.get(key));
    Ok(String::from_utf8(content.map(|it| it.0.clone()).unwrap_or_default())?)
}

/// Brings the Secret into a volume, as a kubelet does: late, and without any judgement.
async fn mount(client: Client, mounted: MountedSecret, delay: Duration) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
    let mut version = None;
    loop {
        if let Some(secret) = secrets.get_opt(SECRET).await?
            && secret.resource_version() != version
        {
            let pair = Pair {
                certificate_pem: stored(&secret, CERTIFICATE_FILE)?,
                private_key_pem: stored(&secret, KEY_FILE)?,
            };
            tokio::time::sleep(delay).await;
            mounted.publish(&pair)?;
            version = secret.resource_version();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Leads each connection to the next of `ports`.
async fn in_turn(front: TcpListener, ports: Vec<u16>) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = front.accept().await?;
        let turn = next.fetch_add(1, Ordering::Relaxed) % ports.len().max(1);
        let port = *ports.get(turn).context("there is no replica")?;
        connections.spawn(async move {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await
        });
        while connections.try_join_next().is_some() {}
    }
}

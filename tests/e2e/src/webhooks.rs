//! Replicas of the webhook behind their Service, each with the Secret of the certificate in a volume of its own.
//!
//! Nobody makes Services reachable here, so the Service is another name for this machine, and a port of it leads to
//! the replicas in turn. One that ends is started again, as a kubelet does; connections lead to it until its end has
//! been noticed, and again once it is ready.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Request;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client, Config, ResourceExt as _};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE, Pair};
use lws_harness::processes::{Process, ProcessSpec};
use lws_harness::system::NAMESPACE;
use lws_harness::{Cluster, free_ports, wait};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::metrics::{self, Scrape};
use crate::namespace::set_resource;
use crate::{DEADLINE, MountedSecret};

/// The Secret that the certificate is in.
pub const SECRET: &str = "lws-webhook-server-cert";

/// How often Secrets and replicas are looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long connections lead to a replica that has ended: a kubelet looks once a second.
const NOTICED_AFTER: Duration = Duration::from_secs(1);

/// The replicas. Dropped, they end.
pub struct Webhooks {
    replicas: Vec<Arc<Replica>>,
    port: u16,
    _tasks: JoinSet<Result<()>>,
}

/// One replica.
pub struct Replica {
    port: u16,
    health: u16,
    metrics: u16,
    process: tokio::sync::Mutex<Process>,
}

impl Replica {
    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it. It is started again a while later.
    pub async fn kill(&self) -> Result<()> {
        self.process.lock().await.kill().await?;
        Ok(())
    }

    /// What it measures now.
    pub async fn scrape(&self) -> Result<Scrape> {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        Scrape::through(&metrics::client(&url)?).await
    }

    async fn start(cluster: &Cluster, number: usize, certificates: &Path) -> Result<Self> {
        let [port, health, metrics] = free_ports()?;
        let spec = ProcessSpec::of_workspace("lws-webhook")?
            .named(&format!("lws-webhook-{number}"))
            .args([
                format!("--webhook-bind-address=127.0.0.1:{port}"),
                format!("--webhook-cert-dir={}", certificates.display()),
                format!("--health-probe-bind-address=127.0.0.1:{health}"),
                format!("--metrics-bind-address=127.0.0.1:{metrics}"),
                "--metrics-secure=false".to_owned(),
            ]);
        let process = tokio::sync::Mutex::new(Process::start(&spec, cluster.dir()).await?);
        Ok(Self { port, health, metrics, process })
    }

    async fn is_ready(&self) -> Result<bool> {
        let url = format!("http://127.0.0.1:{}", self.health);
        let client = Client::try_from(Config::new(url.parse()?))?;
        // Whatever is no success is not ready.
        Ok(client.request_text(Request::get("/readyz").body(Vec::new())?).await.is_ok())
    }

    /// Starts it again whenever it has ended, and tells `served` where connections may lead.
    async fn keep_running(self: Arc<Self>, served: Served) -> Result<()> {
        loop {
            sleep(INTERVAL).await;
            if self.process.lock().await.exit_status().is_none() {
                continue;
            }
            sleep(NOTICED_AFTER).await;
            served.remove(self.port);
            self.process.lock().await.start_again().await?;
            while !self.is_ready().await? {
                sleep(INTERVAL).await;
            }
            served.add(self.port);
        }
    }
}

/// The ports that connections lead to.
#[derive(Clone, Default)]
struct Served(Arc<Mutex<Vec<u16>>>);

impl Served {
    fn add(&self, port: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(port);
    }

    fn remove(&self, port: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|it| *it != port);
    }

    /// The next one in turn, when there is any.
    fn next(&self) -> Option<u16> {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = *ports.first()?;
        ports.rotate_left(1);
        Some(next)
    }
}

impl Webhooks {
    /// Starts one replica for each of `mount_delays`: that long it takes until a change of the Secret is in its
    /// volume. Nobody calls them before [`Self::register`].
    pub async fn start(cluster: &Cluster, mount_delays: &[Duration]) -> Result<Self> {
        let mut tasks = JoinSet::new();
        let mut replicas = Vec::new();
        let served = Served::default();
        for (number, delay) in mount_delays.iter().enumerate() {
            let mounted = MountedSecret::new(cluster.dir().join(format!("volume-{number}")))?;
            let replica = Arc::new(Replica::start(cluster, number, mounted.directory()).await?);
            served.add(replica.port);
            tasks.spawn(mount(cluster.client(), mounted, *delay));
            tasks.spawn(replica.clone().keep_running(served.clone()));
            replicas.push(replica);
        }
        let front = TcpListener::bind("127.0.0.1:0").await?;
        let port = front.local_addr()?.port();
        tasks.spawn(in_turn(front, served));
        Ok(Self { replicas, port, _tasks: tasks })
    }

    /// The replicas.
    #[must_use]
    pub fn replicas(&self) -> &[Arc<Replica>] {
        &self.replicas
    }

    /// Waits until all replicas are ready.
    pub async fn ready(&self) -> Result<()> {
        for replica in &self.replicas {
            let ready = async || replica.is_ready().await.map(|it| it.then_some(()));
            wait::eventually(DEADLINE, "the webhooks are ready", ready).await?;
        }
        Ok(())
    }

    /// Applies objects, with a Service that leads to the replicas. Fields that the API server does not know are an
    /// error.
    pub async fn register(&self, cluster: &Cluster, mut objects: Vec<Value>) -> Result<()> {
        for object in &mut objects {
            for entry in
                object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten()
            {
                let service = entry.pointer_mut("/clientConfig/service");
                let service = service.and_then(Value::as_object_mut).context("no service")?;
                service.insert("port".to_owned(), json!(self.port));
            }
            if object.get("kind") == Some(&json!("Service")) {
                let spec = json!({"type": "ExternalName", "externalName": "localhost"});
                object.as_object_mut().context("no object")?.insert("spec".to_owned(), spec);
            }
        }
        let file = cluster.dir().join("objects.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(&file, list.to_string())?;
        let apply = ["apply", "--server-side", "--validate=strict", "-f", &file.to_string_lossy()];
        let applied = cluster.kubectl(&apply).await?;
        ensure!(applied.status.success(), "{applied:?}");
        Ok(())
    }
}

/// The objects of `deploy/webhook` that are about admission and its certificate.
pub fn shipped() -> Result<Vec<Value>> {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/webhook");
    ["mutating.yaml", "validating.yaml", "service.yaml", "certificate-secret.yaml"]
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(manifests.join(name))?;
            Ok(serde_saphyr::from_str(&text)?)
        })
        .collect()
}

/// The content of a Secret under `key`; empty when there is none.
pub fn stored(secret: &Secret, key: &str) -> Result<String> {
    let content = secret.data.as_ref().and_then(|data| data.get(key));
    Ok(String::from_utf8(content.map(|it| it.0.clone()).unwrap_or_default())?)
}

/// Has the API server do all that it does to create a set, except to store it.
pub async fn try_create_set(client: Client) -> kube::Result<DynamicObject> {
    let resource = set_resource();
    let set = DynamicObject::new("tried", &resource).data(json!({
        "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {
            "containers": [{"name": "c", "image": "i"}],
        }}}},
    }));
    let api: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    api.create(&PostParams { dry_run: true, ..PostParams::default() }, &set).await
}

/// Waits until the API server gets sets through the webhook.
pub async fn admits(client: Client) -> Result<()> {
    let description = "the API server calls the webhook";
    wait::eventually(DEADLINE, description, async || {
        let set = try_create_set(client.clone()).await?;
        let policy = set.data.pointer("/spec/leaderWorkerTemplate/restartPolicy");
        Ok::<_, anyhow::Error>(policy.map(drop))
    })
    .await?;
    Ok(())
}

/// Brings the Secret into a volume, as a kubelet does: late, and without any judgement of what is there.
async fn mount(client: Client, mounted: MountedSecret, delay: Duration) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
    let mut version = None;
    loop {
        // While the API server is away, a volume stays as it is.
        if let Ok(Some(secret)) = secrets.get_opt(SECRET).await
            && secret.resource_version() != version
        {
            let pair = Pair {
                certificate_pem: stored(&secret, CERTIFICATE_FILE)?,
                private_key_pem: stored(&secret, KEY_FILE)?,
            };
            sleep(delay).await;
            mounted.publish(&pair)?;
            version = secret.resource_version();
        }
        sleep(INTERVAL).await;
    }
}

/// Leads each connection to the next replica.
async fn in_turn(front: TcpListener, served: Served) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = front.accept().await?;
        let Some(port) = served.next() else { continue };
        connections.spawn(async move {
            let mut replica = TcpStream::connect(("127.0.0.1", port)).await?;
            tokio::io::copy_bidirectional(&mut client, &mut replica).await
        });
        while connections.try_join_next().is_some() {}
    }
}

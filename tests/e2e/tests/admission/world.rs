//! The API server and the webhook that the tests share.

use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode, Uri};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lws_e2e::Environment;
use lws_harness::ClusterOptions;
use lws_harness::system::SystemOptions;
use serde_json::{Value, json};

use crate::requests::{self, Answer, get, send, with_json};

/// An API server without controllers that calls the webhook for all pods.
static ENVIRONMENT: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "admission",
        ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() },
        SystemOptions { controllers: 0, select_pods: false, ..SystemOptions::default() },
    )
});

/// The environment, as one test uses it.
pub(crate) struct World {
    /// Sends to the API server.
    pub(crate) api: Client,
    /// Sends to the webhook itself.
    pub(crate) webhook: Client,
    /// For the files of a test.
    pub(crate) directory: PathBuf,
}

/// The environment, with clients for the runtime of the caller.
pub(crate) async fn world() -> Result<World> {
    let cluster = match &*ENVIRONMENT {
        Ok(environment) => environment.cluster(),
        Err(error) => bail!("no environment: {error:#}"),
    };
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.default_retry = false;
    let api = Client::try_from(config)?;
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/\
        lws-mutating-webhook-configuration";
    let configuration = send(&api, get(path)?).await?.object()?;
    let webhook = client_of(&configuration).context("the webhook's registration")?;
    Ok(World { api, webhook, directory: cluster.dir().to_owned() })
}

/// A client for the webhook that `configuration` registers.
fn client_of(configuration: &Value) -> Option<Client> {
    let config = configuration.pointer("/webhooks/0/clientConfig")?;
    let url: Uri = config.get("url")?.as_str()?.parse().ok()?;
    let authority = BASE64_STANDARD.decode(config.get("caBundle")?.as_str()?).ok()?;
    let url = format!("{}://{}", url.scheme()?, url.authority()?);
    requests::client(&url, &[std::str::from_utf8(&authority).ok()?]).ok()
}

impl World {
    /// Creates a namespace, unless it is there.
    pub(crate) async fn namespace(&self, name: &str) -> Result<()> {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let request = with_json(Method::POST, "/api/v1/namespaces", &namespace)?;
        let answer = send(&self.api, request).await?;
        if answer.code != StatusCode::CONFLICT {
            answer.object()?;
        }
        Ok(())
    }

    /// The sets of a namespace.
    pub(crate) fn sets(&self, namespace: &str) -> Resource {
        let path = "/apis/leaderworkerset.x-k8s.io/v1/namespaces";
        self.resource(&format!("{path}/{namespace}/leaderworkersets"))
    }

    /// The pods of a namespace.
    pub(crate) fn pods(&self, namespace: &str) -> Resource {
        self.resource(&format!("/api/v1/namespaces/{namespace}/pods"))
    }

    /// The objects at this path of the API server.
    pub(crate) fn resource(&self, path: &str) -> Resource {
        Resource { api: self.api.clone(), path: path.to_owned() }
    }
}

/// The objects of one kind in one namespace.
pub(crate) struct Resource {
    api: Client,
    path: String,
}

impl Resource {
    /// Creates `object`.
    pub(crate) async fn create(&self, object: &Value) -> Result<Answer> {
        send(&self.api, with_json(Method::POST, &self.path, object)?).await
    }

    /// Has the API server do all that it does to create `object`, except to store it.
    pub(crate) async fn try_create(&self, object: &Value) -> Result<Answer> {
        let path = format!("{}?dryRun=All", self.path);
        send(&self.api, with_json(Method::POST, &path, object)?).await
    }

    /// Replaces the object of this name.
    pub(crate) async fn replace(&self, object: &Value) -> Result<Answer> {
        send(&self.api, with_json(Method::PUT, &self.path_of(object)?, object)?).await
    }

    fn path_of(&self, object: &Value) -> Result<String> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        Ok(format!("{}/{}", self.path, name.context("an object without name")?))
    }

    /// Applies `object` on the server's side, as `kubectl apply --server-side` does.
    pub(crate) async fn apply(&self, object: &Value) -> Result<Answer> {
        let path = format!("{}?fieldManager=user&force=true", self.path_of(object)?);
        let mut request = with_json(Method::PATCH, &path, object)?;
        let media_type = HeaderValue::from_static("application/apply-patch+yaml");
        request.headers_mut().insert(CONTENT_TYPE, media_type);
        send(&self.api, request).await
    }

    /// Sets the replicas of the object of this name through its subresource, which passes no webhook.
    pub(crate) async fn scale(&self, name: &str, replicas: i32) -> Result<Answer> {
        let path = format!("{}/{name}/scale", self.path);
        let scale = json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": name},
            "spec": {"replicas": replicas},
        });
        send(&self.api, with_json(Method::PUT, &path, &scale)?).await
    }

    /// Reads the object of this name.
    pub(crate) async fn read(&self, name: &str) -> Result<Answer> {
        send(&self.api, get(&format!("{}/{name}", self.path))?).await
    }

    /// Deletes the object of this name.
    pub(crate) async fn delete(&self, name: &str) -> Result<Answer> {
        let path = format!("{}/{name}", self.path);
        send(&self.api, with_json(Method::DELETE, &path, &json!({}))?).await
    }
}

//! What a cluster needs on its way up: ports, clients, signs of readiness.

use std::net::TcpListener;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

use crate::{Error, Result, wait};

/// A cluster takes 4 s on an idle machine; a busy one may take much longer.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A client with the rights of a kubeconfig.
pub(crate) async fn client_of(user: &str, kubeconfig: Value) -> Result<Client> {
    let failed = |reason: String| Error::Kubeconfig { user: user.to_owned(), reason };
    let kubeconfig: Kubeconfig =
        serde_json::from_value(kubeconfig).map_err(|error| failed(error.to_string()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| failed(error.to_string()))?;
    // A test wants to see the answer it got, and retries in the client would hide it.
    config.default_retry = false;
    Client::try_from(config).map_err(Error::api("make a client"))
}

/// TLS needs a process-wide choice of cryptography.
pub(crate) fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Two threads may get here; the second one's answer is the provider that the first has installed.
        _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Ports that are free now. Another process can take one before its user listens: then the start is tried again.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Error::Port)?;
        *port = listener.local_addr().map_err(Error::Port)?.port();
        held.push(listener);
    }
    Ok(ports)
}

pub(crate) async fn api_server_ready(client: &Client) -> Result<()> {
    wait::eventually(START_DEADLINE, "the API server is ready", async || {
        let request =
            http::Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
        client.request_text(request).await.map(Some)
    })
    .await
    .map(drop)
}

/// The controller manager is at work once the default service account is there, which pods need, and the taint that every
/// new node has is taken away.
pub(crate) async fn controllers_ready(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let description = "the default service account is there";
    wait::eventually(START_DEADLINE, description, async || accounts.get_opt("default").await)
        .await?;

    let nodes: Api<Node> = Api::all(client.clone());
    let new = |node: &Node| {
        let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        taints.any(|taint| taint.key == "node.kubernetes.io/not-ready")
    };
    let count = async || {
        nodes
            .list(&ListParams::default())
            .await
            .map(|list| list.iter().filter(|node| new(node)).count())
    };
    wait::until(START_DEADLINE, "no node is not ready", count, |new| *new == 0).await.map(drop)
}

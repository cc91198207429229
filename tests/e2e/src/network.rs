//! The network between the API server and pods: connections to addresses of pods lead to processes of this machine.
//!
//! The API server asks for each connection to a Service's pod through a socket, as it does where a proxy stands between
//! it and the nodes. Which pod of a Service it is, it decides by the Service's endpoints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};

/// The longest request for a connection.
const REQUEST: usize = 4096;

/// `<address>:<port>` of a pod, and the port of this machine that it leads to.
type Routes = Arc<Mutex<HashMap<String, u16>>>;

/// The network. Dropped, it ends.
pub struct Network {
    // The path of a socket is at most 107 bytes long, so it is not where everything else is.
    directory: TempDir,
    routes: Routes,
    task: AbortHandle,
}

impl Network {
    /// Begins, without any pod.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("lws-network-").tempdir()?;
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket)?;
        let configuration = json!({
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": {
                "proxyProtocol": "HTTPConnect",
                "transport": {"uds": {"udsName": socket}},
            }}],
        });
        std::fs::write(directory.path().join("egress.json"), configuration.to_string())?;
        let routes = Routes::default();
        let task = tokio::spawn(serve(listener, routes.clone())).abort_handle();
        Ok(Self { directory, routes, task })
    }

    /// What makes an API server use it, and choose among the pods of a Service itself.
    #[must_use]
    pub fn api_server_args(&self) -> Vec<String> {
        let configuration = self.directory.path().join("egress.json");
        vec![
            format!("--egress-selector-config-file={}", configuration.display()),
            "--enable-aggregator-routing=true".to_owned(),
        ]
    }

    /// Leads `address`, such as `10.128.0.1:9443`, to a port of this machine from now on; without one, nobody is there.
    pub fn lead(&self, address: &str, port: Option<u16>) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        match port {
            Some(port) => routes.insert(address.to_owned(), port),
            None => routes.remove(address),
        };
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, routes: Routes) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        // One that fails is what its client has to cope with.
        connections.spawn(connect(client, routes.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers `CONNECT <address>:<port> HTTP/1.1`, and then carries bytes in both directions.
async fn connect(mut client: UnixStream, routes: Routes) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        ensure!(request.len() < REQUEST, "the request has no end");
        request.push(client.read_u8().await?);
    }
    let request = String::from_utf8(request)?;
    let address = request.strip_prefix("CONNECT ").and_then(|it| it.split(' ').next());
    let address = address.with_context(|| request.clone())?;
    let port = routes.lock().unwrap_or_else(PoisonError::into_inner).get(address).copied();
    let server = match port {
        Some(port) => TcpStream::connect(("127.0.0.1", port)).await,
        None => Err(std::io::Error::other("no pod has this address")),
    };
    let Ok(mut server) = server else {
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await?;
        return Ok(());
    };
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

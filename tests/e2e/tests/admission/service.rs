//! What a Service is to the API server: new connections go to the replica that is ready, others stay where they are.

use std::io;
use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A Service, as long as it lives.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    endpoint: watch::Sender<Option<SocketAddr>>,
    _forwarding: JoinSet<()>,
}

impl Service {
    /// A Service without an endpoint.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (endpoint, current) = watch::channel(None);
        let mut forwarding = JoinSet::new();
        forwarding.spawn(forward_all(listener, current));
        Ok(Self { address, endpoint, _forwarding: forwarding })
    }

    /// Has new connections go to `endpoint`.
    pub(crate) fn select(&self, endpoint: SocketAddr) {
        self.endpoint.send_replace(Some(endpoint));
    }
}

async fn forward_all(listener: TcpListener, endpoint: watch::Receiver<Option<SocketAddr>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let to = *endpoint.borrow();
        // Without an endpoint the connection is closed.
        if let Some(to) = to {
            connections.spawn(forward(client, to));
        }
    }
}

/// An end is an end, however it comes: the client sees it as it would without us.
async fn forward(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

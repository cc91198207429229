//! A proxy in front of the API server, for one client, that spoils some of its requests and watches.
//!
//! | module | owns |
//! |---|---|
//! | `request` | what a request asks for |
//! | `rule` | which requests fare badly, and how |
//! | `watches` | watches: cut, or held back |
//! | `forward` | one request: spoiled, or on its way to the API server and back |
//!
//! The client reaches the proxy by plain HTTP with its own token, which the proxy passes on.

mod forward;
mod request;
mod rule;
mod watches;

use std::net::Ipv4Addr;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::{Error, Result};
use forward::Forwarder;
pub use request::Asked;
use rule::Rules;
pub use rule::{Effect, Failure, InForce, Rule};
pub use watches::Held;
use watches::Watches;

/// A running proxy. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    agent: String,
    rules: Rules,
    watches: Watches,
    /// By how many the network is cut.
    cuts: watch::Sender<usize>,
    server: AbortHandle,
}

/// A network that is cut until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it mends the network"]
pub struct NetworkCut(watch::Sender<usize>);

impl Drop for NetworkCut {
    fn drop(&mut self) {
        self.0.send_modify(|cuts| *cuts = cuts.saturating_sub(1));
    }
}

impl Proxy {
    /// Starts a proxy for the client `name` in front of the API server at `server_url`, whose certificate `ca_pem`
    /// verifies.
    pub async fn start(name: &str, server_url: &str, ca_pem: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Port)?;
        let port = listener.local_addr().map_err(Error::Port)?.port();
        let (rules, watches) = (Rules::default(), Watches::new());
        let agent = format!("through/{name}");
        let forwarder = Forwarder {
            server: client(server_url, ca_pem)?,
            agent: agent.clone(),
            rules: rules.clone(),
            watches: watches.clone(),
        };
        let cuts = watch::Sender::new(0);
        let server = tokio::spawn(serve(listener, forwarder, cuts.clone())).abort_handle();
        Ok(Self { url: format!("http://127.0.0.1:{port}"), agent, rules, watches, cuts, server })
    }

    /// Where the client reaches the API server through it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How the user agents of requests end that have come through it.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Puts a rule in force, after those that are.
    pub fn add(&self, rule: Rule) -> InForce {
        self.rules.add(rule)
    }

    /// Cuts the running watches of a resource.
    pub fn cut_watches(&self, resource: &str) {
        self.watches.cut(resource);
    }

    /// Cuts all running watches.
    pub fn cut_all_watches(&self) {
        self.watches.cut("");
    }

    /// Holds back the events of a resource, also those of watches that begin meanwhile; lists stay fresh.
    pub fn hold_watches(&self, resource: &str) -> Held {
        self.watches.hold(resource)
    }

    /// Closes all connections, and new ones as soon as they are made.
    pub fn cut_network(&self) -> NetworkCut {
        self.cuts.send_modify(|cuts| *cuts += 1);
        NetworkCut(self.cuts.clone())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A client that adds nothing to requests.
fn client(server_url: &str, ca_pem: &str) -> Result<Client> {
    let url = server_url.parse().map_err(|error: http::uri::InvalidUri| Error::Url {
        url: server_url.to_owned(),
        reason: error.to_string(),
    })?;
    let authority = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|error| {
        Error::Url { url: server_url.to_owned(), reason: format!("its authority: {error}") }
    })?;
    let mut config = Config::new(url);
    config.root_cert = Some(vec![authority.to_vec()]);
    config.default_retry = false;
    Client::try_from(config).map_err(Error::api("make the client of a proxy"))
}

async fn serve(listener: TcpListener, forwarder: Forwarder, cuts: watch::Sender<usize>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(connection(tcp, forwarder.clone(), cuts.subscribe()));
                }
                Err(error) => tracing::warn!(%error, "the proxy could not accept a connection"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves a connection until either side closes it, or the network is cut.
async fn connection(tcp: TcpStream, forwarder: Forwarder, mut cuts: watch::Receiver<usize>) {
    let service = service_fn(move |request| {
        let forwarder = forwarder.clone();
        async move { forwarder.answer(request).await }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    tokio::select! {
        biased;
        _ = cuts.wait_for(|cuts| *cuts > 0) => {}
        ended = served => if let Err(error) = ended {
            tracing::debug!(%error, "a connection through the proxy ended");
        }
    }
}

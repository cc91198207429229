//! The connection to the API server, which every request and watch of a client shares.
//!
//! The library's own clients speak HTTP/1.1 and let the kernel hold back small segments: each
//! request in flight costs a connection with a handshake, and one in a row waits up to 40 ms for
//! the acknowledgement of the last. This one speaks HTTP/2 where the server does, as every API
//! server, and sends at once.

pub mod requests;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use http::header::{InvalidHeaderValue, USER_AGENT};

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use rustls_pki_types::ServerName;
use tokio::sync::OnceCell;
use tower::{BoxError, ServiceBuilder};

use crate::config::{ClientSettings, system_text};
use crate::version;
use requests::RequestCounter;

/// A connection on which nothing was received for this long is asked whether it still works, as the
/// clients of Kubernetes do.
const ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// And given up when there is no answer in this time: the watches on it start anew.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// A configuration that no client can be made of. The library's errors have their causes in their
/// texts, so they are part of the text here and no source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of credentials cannot be used.
    #[error("read kubeconfig {path}: {reason}", path = .path.display(), reason = reason(.cause))]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: KubeconfigError,
    },
    /// There are no credentials in any of the usual places.
    #[error("no API server: give --kubeconfig or $KUBECONFIG, or run in a pod ({0})")]
    NoServer(Box<InferConfigError>),
    /// What this process calls itself cannot be sent.
    #[error("the version of this build cannot be part of a header")]
    UserAgent(#[from] InvalidHeaderValue),
    /// Its credentials, certificates or headers cannot be used.
    #[error("the configuration of the API server's client cannot be used: {0}")]
    Config(Box<kube::Error>),
    /// The name that the server's certificate shall have is none.
    #[error("{name:?} is not a name that a certificate can have (tls-server-name)")]
    ServerName {
        /// The name.
        name: String,
        /// Why.
        source: rustls_pki_types::InvalidDnsNameError,
    },
    /// The way to the server leads through a proxy.
    #[error(
        "the API server can only be reached directly, and the configuration names the proxy {0}"
    )]
    Proxy(http::Uri),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Config(Box::new(error))
    }
}

/// The path is told already.
fn reason(cause: &KubeconfigError) -> String {
    match cause {
        KubeconfigError::ReadConfig(cause, _) => system_text(cause),
        other => other.to_string(),
    }
}

/// How to reach the API server.
///
/// # Errors
/// When there are no credentials, or they cannot be read.
pub async fn config(settings: &ClientSettings) -> Result<Config, Error> {
    let mut config = match &settings.kubeconfig {
        Some(path) => {
            let failed = |cause| Error::Kubeconfig { path: path.clone(), cause };
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)?
        }
        None => Config::infer().await.map_err(|error| Error::NoServer(Box::new(error)))?,
    };
    config.headers.push((USER_AGENT, HeaderValue::try_from(version::user_agent())?));
    Ok(config)
}

/// A client with a connection of its own, whose requests are counted. It makes each once: whoever
/// asks decides about retries, whatever `default_retry` says.
///
/// # Errors
/// When `config` cannot be used.
pub fn new(config: Config, requests: &RequestCounter) -> Result<Client, Error> {
    if let Some(proxy) = &config.proxy_url {
        return Err(Error::Proxy(proxy.clone()));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(config.connect_timeout);
    let mut tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone())
            .map_err(|source| Error::ServerName { name: name.clone(), source })?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = TimeoutConnector::new(tls.enable_all_versions().wrap_connector(tcp));
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(ALIVE_INTERVAL)
        .http2_keep_alive_timeout(ALIVE_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .layer(requests)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// A client for those who may never need one.
pub enum LazyClient {
    /// There is one anyway.
    Made(Client),
    /// It is made when it is first needed. Until it can be, each time is another attempt.
    Wanted {
        /// How to reach the API server.
        settings: ClientSettings,
        /// What counts its requests.
        requests: RequestCounter,
        /// The client, once it is made.
        made: OnceCell<Client>,
    },
}

impl LazyClient {
    /// A client that is made when it is first needed.
    #[must_use]
    pub fn wanted(settings: ClientSettings, requests: RequestCounter) -> Self {
        Self::Wanted { settings, requests, made: OnceCell::new() }
    }

    /// The client.
    ///
    /// # Errors
    /// When there are no credentials, or they cannot be used.
    pub async fn get(&self) -> Result<Client, Error> {
        match self {
            Self::Made(client) => Ok(client.clone()),
            Self::Wanted { settings, requests, made } => {
                let make = async || new(config(settings).await?, requests);
                made.get_or_try_init(make).await.cloned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole text of an error, as the programs log it, has each cause once.
    #[tokio::test]
    async fn unusable_kubeconfigs_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "{}").unwrap();
        for (path, reason) in [
            (PathBuf::from("/nonexistent"), "no such file or directory"),
            (directory.path().to_owned(), "is a directory"),
            (empty, "failed to determine current context"),
        ] {
            let settings = ClientSettings { qps: 1.0, burst: 1, kubeconfig: Some(path.clone()) };
            let error = config(&settings).await.err().unwrap();
            assert_eq!(error.to_string(), format!("read kubeconfig {}: {reason}", path.display()));
            assert!(std::error::Error::source(&error).is_none(), "{error}");
        }
    }
}

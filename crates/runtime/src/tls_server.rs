//! HTTPS servers: the TLS side of [`crate::http_server`].

use std::{io, sync::Arc};

use axum::Router;
use rustls::{
    ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, crypto::CryptoProvider,
    crypto::aws_lc_rs, server::ResolvesServerCert,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

pub use crate::http_server::{Limits, ServeError};
use crate::{connection::Transport, http_server};

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// What TLS clients are offered.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsOptions {
    /// Protocol versions, at least one.
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// Cipher suites of all versions, the preferred ones first.
    pub cipher_suites: Vec<SupportedCipherSuite>,
    /// Whether HTTP/2 is offered before HTTP/1.1. The API server does not need it, and would send
    /// all its requests over one connection, to one replica.
    pub http2: bool,
}

impl Default for TlsOptions {
    /// TLS 1.2 and 1.3 with every suite of the cryptography library, all of them forward secret
    /// and authenticated; HTTP/1.1 alone.
    fn default() -> Self {
        Self {
            versions: rustls::DEFAULT_VERSIONS,
            cipher_suites: aws_lc_rs::DEFAULT_CIPHER_SUITES.to_vec(),
            http2: false,
        }
    }
}

/// Builds the TLS side of a server that presents the certificate of `certificates`.
///
/// Fails when `options` leave no version that has a cipher suite.
pub fn server_config(
    options: &TlsOptions,
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = CryptoProvider {
        cipher_suites: options.cipher_suites.clone(),
        ..aws_lc_rs::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(options.versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    let protocols: &[_] = if options.http2 { &[HTTP_2, HTTP_1] } else { &[HTTP_1] };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

impl Transport for TlsAcceptor {
    type Stream = TlsStream<TcpStream>;

    async fn handshake(&self, tcp: TcpStream) -> io::Result<Self::Stream> {
        self.accept(tcp).await
    }

    fn speaks_http2(stream: &Self::Stream) -> bool {
        stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
    }
}

/// [`http_server::serve`] over TLS; see there for the shutdown.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    http_server::serve_over(listener, TlsAcceptor::from(tls), app, limits, shutdown).await
}

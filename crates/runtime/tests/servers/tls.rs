//! TLS, seen from a client that checks it.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::Router;
use jiff::{SignedDuration, Timestamp};
use lws_certs::{
    CERTIFICATE_FILE, KEY_FILE, Pair,
    issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME},
    reload::ReloadingCertificate,
};
use lws_runtime::tls_server::{self, Limits, TlsOptions};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs, version};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::support::{Client, Running, app, limits, listener, soon};

const ONLY_TLS13: &[&SupportedProtocolVersion] = &[&version::TLS13];

static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::generate(Timestamp::now(), AUTHORITY_LIFETIME).unwrap());

fn pair() -> Pair {
    let name = ServerName::try_from("localhost").unwrap();
    AUTHORITY.issue(&[name], Timestamp::now(), SERVING_LIFETIME).unwrap()
}

fn write(directory: &Path, pair: &Pair) {
    fs::write(directory.join(CERTIFICATE_FILE), &pair.certificate_pem).unwrap();
    fs::write(directory.join(KEY_FILE), &pair.private_key_pem).unwrap();
}

pub(crate) struct Server {
    pub(crate) running: Running,
    directory: TempDir,
    certificate: Arc<ReloadingCertificate>,
}

async fn start(options: &TlsOptions, limits: Limits) -> Server {
    start_app(options, app(), limits).await
}

/// Serves `app` over TLS.
pub(crate) async fn start_app(options: &TlsOptions, app: Router, limits: Limits) -> Server {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &pair());
    let certificate = Arc::new(ReloadingCertificate::new(directory.path()));
    certificate.reload().unwrap();
    let tls = tls_server::server_config(options, certificate.clone()).unwrap();
    let (listener, address) = listener().await;
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(tls_server::serve(listener, tls, app, limits, shutdown.clone()));
    Server { running: Running { address, shutdown, ended }, directory, certificate }
}

pub(crate) type TlsClient = Client<TlsStream<TcpStream>>;

/// A client that trusts the authority, speaks `versions` and offers `protocols`.
pub(crate) async fn connect(
    address: SocketAddr,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> io::Result<TlsClient> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(AUTHORITY.pair().certificate_pem.as_bytes());
    roots.add(authority.unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    Ok(Client(soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await?))
}

async fn connect_simply(address: SocketAddr) -> TlsClient {
    connect(address, rustls::ALL_VERSIONS, &[]).await.unwrap()
}

fn presented(client: &TlsClient) -> CertificateDer<'static> {
    client.0.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn written(directory: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(directory.join(CERTIFICATE_FILE)).unwrap()
}

#[tokio::test]
async fn only_http_1_is_offered() {
    let server = start(&TlsOptions::default(), limits()).await;
    for version in [&version::TLS12, &version::TLS13] {
        let mut client =
            connect(server.running.address, &[version], &[b"h2", b"http/1.1"]).await.unwrap();
        assert_eq!(client.0.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(client.0.get_ref().1.protocol_version(), Some(version.version));
        for _ in 0..2 {
            assert_eq!(client.get("/").await.unwrap().body, "hello");
        }
    }
    // Who speaks nothing else is told so.
    let only_2 = connect(server.running.address, rustls::ALL_VERSIONS, &[b"h2"]).await;
    let error = only_2.err().and_then(|error| error.downcast::<rustls::Error>().ok());
    let refused = rustls::AlertDescription::NoApplicationProtocol;
    assert_eq!(error, Some(rustls::Error::AlertReceived(refused)));
}

#[tokio::test]
async fn versions_and_suites_are_those_of_the_settings() {
    let only_13 = TlsOptions { versions: ONLY_TLS13, ..TlsOptions::default() };
    let server = start(&only_13, limits()).await;
    connect(server.running.address, &[&version::TLS13], &[]).await.unwrap();
    assert!(connect(server.running.address, &[&version::TLS12], &[]).await.is_err());

    let suite = aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256;
    let one_suite = TlsOptions { cipher_suites: vec![suite], ..TlsOptions::default() };
    let server = start(&one_suite, limits()).await;
    let client = connect(server.running.address, &[&version::TLS12], &[]).await.unwrap();
    assert_eq!(client.0.get_ref().1.negotiated_cipher_suite(), Some(suite));

    let none = TlsOptions { cipher_suites: Vec::new(), ..TlsOptions::default() };
    let certificate = Arc::new(ReloadingCertificate::new("."));
    assert!(tls_server::server_config(&none, certificate).is_err());
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let server = start(&TlsOptions::default(), limits()).await;
    let (address, directory) = (server.running.address, server.directory.path());
    let first = written(directory);
    let mut before = connect_simply(address).await;
    assert_eq!(presented(&before), first);

    let watching = Arc::clone(&server.certificate);
    let watch = tokio::spawn(async move { watching.watch(Duration::from_millis(20)).await });
    write(directory, &pair());
    let second = written(directory);
    assert_ne!(first, second);
    soon(async {
        while presented(&connect_simply(address).await) != second {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(before.get("/").await.unwrap().body, "hello");

    // What is broken, or expired, is not served.
    let name = ServerName::try_from("localhost").unwrap();
    let expired = Timestamp::now() - SERVING_LIFETIME - SignedDuration::from_hours(1);
    for bad in [
        Pair { private_key_pem: String::new(), ..pair() },
        AUTHORITY.issue(&[name], expired, SERVING_LIFETIME).unwrap(),
    ] {
        let errors = server.certificate.errors();
        write(directory, &bad);
        soon(async {
            while server.certificate.errors() == errors {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(presented(&connect_simply(address).await), second);
    }
    watch.abort();
}

/// Before there is a certificate handshakes fail, and the server stays.
#[tokio::test]
async fn a_server_without_certificate_waits_for_one() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Arc::new(ReloadingCertificate::new(directory.path()));
    let tls = tls_server::server_config(&TlsOptions::default(), certificate.clone()).unwrap();
    let (listener, address) = listener().await;
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(tls_server::serve(listener, tls, app(), limits(), shutdown.clone()));
    assert!(connect(address, rustls::ALL_VERSIONS, &[]).await.is_err());
    write(directory.path(), &pair());
    certificate.reload_if_changed();
    assert_eq!(connect_simply(address).await.get("/").await.unwrap().status, 200);
    Running { address, shutdown, ended }.stop().await.unwrap();
}

#[tokio::test]
async fn handshakes_that_do_not_end_are_cut() {
    let short = Duration::from_millis(200);
    let server = start(&TlsOptions::default(), Limits { handshake: short, ..limits() }).await;
    let mut silent = Client::connect(server.running.address).await;
    assert_eq!(silent.rest().await, b"");
    let mut garbage = Client::connect(server.running.address).await;
    garbage.send("GET / HTTP/1.1\r\n\r\n").await;
    let alert = garbage.rest().await;
    assert!(!alert.starts_with(b"HTTP"), "{alert:?}");
}

#[tokio::test]
async fn connections_end_with_the_server() {
    let server = start(&TlsOptions::default(), limits()).await;
    let mut client = connect_simply(server.running.address).await;
    client.get("/").await.unwrap();
    server.running.shutdown.cancel();
    let mut late = connect_simply(server.running.address).await;
    assert!(late.get("/").await.unwrap().close);
    // A missing notification of the end would be an error here.
    assert_eq!(client.rest().await, b"");
    assert_eq!(late.rest().await, b"");
    server.running.stop().await.unwrap();
}

//! The endpoints that every process has besides its work: health for kubelets, metrics for
//! scrapers.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use axum::Router;
use lws_certs::{fallback::FallbackCertificate, issue::IssueError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    access::Access,
    client::LazyClient,
    config::Settings,
    health::Health,
    http_server::{self, Limits, ServeError},
    listen::{DefaultHost, ListenError, listen},
    logging::LogControl,
    metrics, tls_server,
};

/// How often the files of the metrics' certificate are looked at.
const CERTIFICATE_POLL: Duration = Duration::from_secs(10);

/// Scrapers are few, and each connection takes memory for TLS.
const SCRAPERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Why an endpoint could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no certificate for it.
    #[error("certificate of the metrics")]
    Certificate(#[from] IssueError),
    /// The configuration leaves no way to serve over TLS.
    #[error("TLS of the metrics")]
    Tls(#[from] rustls::Error),
    /// Metrics without TLS and permission are for this machine only.
    #[error(
        "with --metrics-secure=false, metrics are served on loopback addresses only, and {address} \
         is none: set metrics.bindAddress to one such as 127.0.0.1:8443, or leave the flag out"
    )]
    NotLoopback {
        /// The address that was listened on.
        address: String,
    },
}

/// Starts the health and metrics endpoints where `settings` want them. They answer for as long
/// after `shutdown` as the process may take to finish its work.
///
/// `log` is changed where metrics are served, by those who may. Who may what is asked of the API server through `client`, once somebody wants to.
///
/// Fails when an address cannot be listened on, or metrics cannot be served there as wanted.
pub async fn start(
    settings: &Settings,
    health: Health,
    registry: metrics::Registry,
    log: LogControl,
    client: LazyClient,
    shutdown: &CancellationToken,
) -> Result<(), EndpointError> {
    if let Some(address) = &settings.health.bind_address {
        let listener = listen(address, DefaultHost::All).await?;
        info!(address = bound(&listener), "Serving health probes");
        let paths = &settings.health;
        let router = health.router(&paths.liveness_path, &paths.readiness_path);
        let shutdown = shutdown.clone();
        spawn(async move { http_server::serve(listener, router, limits(), shutdown).await });
    }
    if let Some(address) = &settings.metrics.bind_address {
        let router = metrics::router(registry).merge(log.router());
        if settings.metrics.secure {
            serve_securely(address, router, settings, client, shutdown.clone()).await?;
        } else {
            serve_locally(address, router, shutdown.clone()).await?;
        }
    }
    Ok(())
}

/// Serves metrics over TLS to those whom the API server permits it.
async fn serve_securely(
    address: &str,
    router: Router,
    settings: &Settings,
    client: LazyClient,
    shutdown: CancellationToken,
) -> Result<(), EndpointError> {
    let certificate = Arc::new(FallbackCertificate::new(&settings.metrics.cert_dir)?);
    let tls = tls_server::server_config(&settings.tls, certificate.clone())?;
    let listener = listen(address, DefaultHost::All).await?;
    announce(&listener, true);
    let router = Access::new(client).protect(router);
    let limits = Limits { connections: SCRAPERS, ..limits() };
    tokio::spawn(async move { certificate.watch(CERTIFICATE_POLL).await });
    spawn(async move { tls_server::serve(listener, tls, router, limits, shutdown).await });
    Ok(())
}

/// Serves metrics to anyone on this machine.
async fn serve_locally(
    address: &str,
    router: Router,
    shutdown: CancellationToken,
) -> Result<(), EndpointError> {
    let listener = listen(address, DefaultHost::Loopback).await?;
    if !listener.local_addr().is_ok_and(|it| it.ip().is_loopback()) {
        return Err(EndpointError::NotLoopback { address: bound(&listener) });
    }
    announce(&listener, false);
    let limits = Limits { connections: SCRAPERS, ..limits() };
    spawn(async move { http_server::serve(listener, router, limits, shutdown).await });
    Ok(())
}

/// Tests of installations look for this line, with this logger.
fn announce(listener: &TcpListener, secure: bool) {
    let address = bound(listener);
    info!(target: "controller-runtime.metrics", address, secure, "Serving metrics server");
}

/// The address that is listened on: port 0 of the settings is any free one.
fn bound(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// An endpoint goes on for as long as the process may take to finish its work.
fn limits() -> Limits {
    let work = Limits::default();
    Limits { drain_delay: work.drain_delay + work.drain, ..work }
}

fn spawn(serving: impl Future<Output = Result<(), ServeError>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            warn!(%error, "An endpoint did not stop cleanly");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_tls_metrics_are_for_this_machine_only() {
        let serve = async |address: &str| {
            let registry = metrics::registry().unwrap();
            serve_locally(address, metrics::router(registry), CancellationToken::new()).await
        };
        for address in [":0", "127.0.0.1:0", "localhost:0"] {
            serve(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        }
        let refused = serve("0.0.0.0:0").await.unwrap_err().to_string();
        let begin = "with --metrics-secure=false, metrics are served on loopback addresses only, \
                     and 0.0.0.0:";
        assert!(refused.starts_with(begin), "{refused}");
        assert!(refused.contains("set metrics.bindAddress to one such as 127.0.0.1:8443"));
    }
}

//! The endpoints that every process has besides its work: health for kubelets, metrics for
//! scrapers.

use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::health::Health;
use crate::http_server::{self, Limits};
use crate::listen::{DefaultHost, ListenError, listen};
use crate::metrics;

/// Starts the health and metrics endpoints where `settings` want them. They answer until
/// `shutdown`, and while connections drain after it.
///
/// Metrics are served to this machine only unless the address names a host: they are neither
/// encrypted nor authenticated.
///
/// # Errors
/// When an address cannot be listened on.
pub async fn start(
    settings: &Settings,
    health: Health,
    registry: Registry,
    shutdown: &CancellationToken,
) -> Result<(), ListenError> {
    let health_settings = &settings.health;
    if let Some(address) = &health_settings.bind_address {
        let listener = listen(address, DefaultHost::All).await?;
        let router = health.router(&health_settings.liveness_path, &health_settings.readiness_path);
        spawn("health", listener, router, shutdown);
    }
    if let Some(address) = &settings.metrics_bind_address {
        let listener = listen(address, DefaultHost::Loopback).await?;
        spawn("metrics", listener, metrics::router(registry), shutdown);
    }
    Ok(())
}

fn spawn(
    name: &'static str,
    listener: tokio::net::TcpListener,
    router: axum::Router,
    shutdown: &CancellationToken,
) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving {name}");
    }
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        if let Err(error) = http_server::serve(listener, router, Limits::default(), shutdown).await
        {
            tracing::warn!(%error, "the {name} endpoint did not stop cleanly");
        }
    });
}

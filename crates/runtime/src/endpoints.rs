//! The endpoints that every process has besides its work: health for kubelets, metrics for
//! scrapers.

use axum::Router;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::Settings,
    health::Health,
    http_server::{self, Limits},
    listen::{DefaultHost, ListenError, listen},
    metrics,
};

/// Starts the health and metrics endpoints where `settings` want them. They answer for as long
/// after `shutdown` as the process may take to finish its work.
///
/// Metrics are served to this machine only unless the address names a host: they are neither
/// encrypted nor authenticated.
///
/// Fails when an address cannot be listened on.
pub async fn start(
    settings: &Settings,
    health: Health,
    registry: Registry,
    shutdown: &CancellationToken,
) -> Result<(), ListenError> {
    if let Some(address) = &settings.health.bind_address {
        let listener = listen(address, DefaultHost::All).await?;
        info!(address = bound(&listener), "Serving health probes");
        let paths = &settings.health;
        let router = health.router(&paths.liveness_path, &paths.readiness_path);
        spawn(listener, router, shutdown.clone());
    }
    if let Some(address) = &settings.metrics_bind_address {
        let listener = listen(address, DefaultHost::Loopback).await?;
        // Tests of installations look for this line, with this logger.
        let address = bound(&listener);
        info!(target: "controller-runtime.metrics", address, secure = false, "Serving metrics server");
        spawn(listener, metrics::router(registry), shutdown.clone());
    }
    Ok(())
}

/// The address that is listened on: port 0 of the settings is any free one.
fn bound(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

fn spawn(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let work = Limits::default();
    let limits = Limits { drain_delay: work.drain_delay + work.drain, ..work };
    tokio::spawn(async move {
        if let Err(error) = http_server::serve(listener, router, limits, shutdown).await {
            warn!(%error, "An endpoint did not stop cleanly");
        }
    });
}

//! How often a controller has reconciled, as its metrics count it.

use anyhow::{Context as _, Result};
use http::Request;
use kube::{Client, Config};
use lws_e2e::metrics::Scrape;

/// Asks a controller on one connection, which is kept: each new one would be an open file of the controller's, for as long
/// as it takes to see that it was closed.
pub(crate) struct Counter(Client);

impl Counter {
    /// The counter of a controller with this URL of its metrics.
    pub(crate) fn of(metrics_url: &str) -> Result<Self> {
        let server = metrics_url.strip_suffix("/metrics").context("another path")?.parse()?;
        Ok(Self(Client::try_from(Config::new(server))?))
    }

    /// How often it has reconciled so far.
    pub(crate) async fn reconciles(&self) -> Result<u32> {
        let request = Request::get("/metrics").body(Vec::new())?;
        let scrape = Scrape::parse(&self.0.request_text(request).await?)?;
        Ok(format!("{:.0}", scrape.sum("controller_runtime_reconcile_total")).parse()?)
    }
}

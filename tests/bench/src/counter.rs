//! How often a controller has reconciled, as its metrics count it.

use anyhow::Result;
use kube::Client;
use lws_e2e::metrics::{self, Scrape};

/// Asks a controller on one connection, which is kept: each new one would be an open file of the controller's, for as long
/// as it takes to see that it was closed.
pub(crate) struct Counter(Client);

impl Counter {
    /// The counter of a controller with this URL of its metrics.
    pub(crate) fn of(metrics_url: &str) -> Result<Self> {
        Ok(Self(metrics::client(metrics_url)?))
    }

    /// How often it has reconciled so far.
    pub(crate) async fn reconciles(&self) -> Result<u32> {
        let scrape = Scrape::through(&self.0).await?;
        Ok(format!("{:.0}", scrape.sum("controller_runtime_reconcile_total")).parse()?)
    }
}

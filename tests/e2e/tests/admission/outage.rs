//! What the API server tells of a webhook that it cannot ask, as the documentation has it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::own_webhook::{OwnWebhook, authority};
use crate::service::Service;
use crate::world::{World, world};

const DOCUMENTATION: &str = include_str!("../../../../docs/admission.md");

#[tokio::test]
async fn a_refused_connection() -> Result<()> {
    let world = &world().await?;
    let webhook = OwnWebhook::plain(world, "outage-refused")?;
    ensure_told(world, &webhook, &["connect: connection refused"]).await
}

#[tokio::test]
async fn a_closed_connection() -> Result<()> {
    let world = &world().await?;
    let service = Service::start().await?;
    let webhook = OwnWebhook::plain(world, "outage-closed")?.behind(service.address);
    ensure_told(world, &webhook, &["EOF", "connection reset by peer"]).await
}

#[tokio::test]
async fn no_answer() -> Result<()> {
    let world = &world().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let webhook = OwnWebhook::plain(world, "outage-silent")?.behind(listener.local_addr()?);
    ensure_told(world, &webhook, &["context deadline exceeded"]).await
}

#[tokio::test]
async fn a_certificate_of_somebody_else() -> Result<()> {
    let world = &world().await?;
    let mut webhook = OwnWebhook::plain(world, "outage-authority")?;
    webhook.change_certificate(&authority()?)?;
    webhook.start().await?;
    webhook.ready().await?;
    let told = "x509: certificate signed by unknown authority";
    ensure_told(world, &webhook, &[told]).await
}

/// Has the API server ask `webhook`, and fails unless it tells one of these, which the documentation explains.
async fn ensure_told(world: &World, webhook: &OwnWebhook, ends: &[&str]) -> Result<()> {
    for end in ends {
        ensure!(DOCUMENTATION.contains(&format!("`{end}`")), "{end} is not documented");
    }
    world.namespace(webhook.namespace).await?;
    let authorities = [webhook.authority_pem()];
    webhook.register_entries(world, "mutating", impatient(), &authorities).await?;
    webhook.called(world).await?;
    let message = webhook.try_create_set(world).await?.message()?;
    let begin = "Internal error occurred: failed calling webhook \"mleaderworkerset.kb.io\": failed to call webhook: Post \"https://";
    ensure!(message.starts_with(begin), "{message}");
    let documented =
        DOCUMENTATION.split_once("What is wrong stands at the end").context("a text")?;
    let documented_begin = begin.replace("mleaderworkerset.kb.io", "<name>");
    ensure!(documented.1.contains(&documented_begin), "{documented_begin} is not documented");
    ensure!(ends.iter().any(|end| message.contains(end)), "{message}\nexpected: {ends:?}");
    Ok(())
}

/// A configuration that gives a webhook a second.
fn impatient() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {},
        "webhooks": [{
            "name": "mleaderworkerset.kb.io",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "service": {"path": "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset"},
            },
            "failurePolicy": "Fail",
            "rules": [{
                "apiGroups": ["leaderworkerset.x-k8s.io"],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["leaderworkersets"],
            }],
            "sideEffects": "None",
            "timeoutSeconds": 1,
        }],
    })
}

//! A controller as it is installed, with the permissions that are shipped, looks after the certificate.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lws_certs::issue::Authority;
use lws_certs::{Pair, verify};
use lws_e2e::go;
use lws_e2e::{CONTROLLER, DEADLINE, QUIET};
use lws_harness::system::{Certificates, NAMESPACE, SystemOptions};
use lws_harness::wait;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use crate::installation::{Installation, MUTATING, SECRET, VALIDATING};

fn options(certificates: Certificates) -> SystemOptions {
    SystemOptions { webhook: false, certificates, ..SystemOptions::default() }
}

#[tokio::test]
async fn the_certificate_is_issued_trusted_and_looked_after() -> Result<()> {
    let mut installation =
        Installation::new(&options(Certificates::OfController), &[Duration::ZERO]).await?;
    installation.trusted().await?;
    installation.webhooks.ready().await?;
    installation.admits().await?;
    expiry_is_measured(&mut installation).await?;
    let installation = &installation;
    in_the_stored_form(installation).await?;
    nothing_is_done_when_nothing_is_wrong(installation).await?;
    damage_is_healed(installation).await?;
    lost_trust_is_restored(installation).await?;
    what_is_missing_is_waited_for(installation).await?;
    the_configuration_of_another_is_left_alone(installation).await
}

async fn expiry_is_measured(installation: &mut Installation) -> Result<()> {
    let metrics = installation.metrics().await?;
    for (certificate, key) in [("authority", "ca.crt"), ("serving", "tls.crt")] {
        let expiry = verify::expiry(&installation.stored(key).await?)?.as_second();
        let name = "lws_stored_certificate_expiry_timestamp_seconds";
        let seen = metrics.value(&format!("{name}{{certificate=\"{certificate}\"}}"));
        ensure!(seen == Some(f64::from(u32::try_from(expiry)?)), "{certificate}: {metrics:?}");
    }
    let failures = metrics.value("lws_certificate_failures_total");
    ensure!(failures == Some(0.0), "{failures:?}");
    Ok(())
}

/// The form that the existing implementation stores and reads.
async fn in_the_stored_form(installation: &Installation) -> Result<()> {
    let secret = installation.secrets().get(SECRET).await?;
    let keys: Vec<String> = secret.data.unwrap_or_default().into_keys().collect();
    ensure!(keys == ["ca.crt", "ca.key", "tls.crt", "tls.key"], "{keys:?}");
    for key in ["ca.key", "tls.key"] {
        let pem = installation.stored(key).await?;
        ensure!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"), "{key}");
    }
    let mut content = go::Content::new();
    for key in keys {
        content.insert(key.clone(), installation.stored(&key).await?);
    }
    go::read_certificate(&format!("lws-webhook-service.{NAMESPACE}.svc"), &content).await
}

async fn nothing_is_done_when_nothing_is_wrong(installation: &Installation) -> Result<()> {
    let audit = installation.cluster.audit();
    // What began before has ended.
    tokio::time::sleep(QUIET).await;
    let mark = audit.mark()?;
    tokio::time::sleep(QUIET).await;
    let mut requests = audit.since(mark)?;
    requests.retain(|it| it.key.user == CONTROLLER && it.key.resource != "leases");
    ensure!(requests.is_empty(), "{requests:?}");
    Ok(())
}

async fn damage_is_healed(installation: &Installation) -> Result<()> {
    let before = installation.stored("tls.crt").await?;
    let authority = installation.stored("ca.crt").await?;
    let damage = json!({"stringData": {"tls.key": "no key"}});
    let patch = Patch::Merge(&damage);
    installation.secrets().patch(SECRET, &PatchParams::default(), &patch).await?;
    served_anew(installation, &before).await?;
    ensure!(installation.stored("ca.crt").await? == authority, "the authority was replaced");
    installation.trusted().await?;
    installation.admits().await
}

/// Waits until another serving certificate than `before` is stored, in order.
async fn served_anew(installation: &Installation, before: &str) -> Result<()> {
    wait::eventually(DEADLINE, "another certificate is stored", async || {
        let pair = Pair {
            certificate_pem: installation.stored("tls.crt").await?,
            private_key_pem: installation.stored("tls.key").await?,
        };
        ensure!(pair.certificate_pem != before, "it is the same");
        let name = ServerName::try_from(format!("lws-webhook-service.{NAMESPACE}.svc"))?;
        let authority = installation.stored("ca.crt").await?;
        verify::serving(&pair, &authority, &[name], Timestamp::now())?;
        Ok(Some(()))
    })
    .await?;
    Ok(())
}

async fn lost_trust_is_restored(installation: &Installation) -> Result<()> {
    for name in [MUTATING, VALIDATING] {
        let api = installation.configuration(name);
        let mut object = api.get(name).await?;
        for entry in
            object.data.get_mut("webhooks").and_then(Value::as_array_mut).context("none")?
        {
            let config = entry.get_mut("clientConfig").and_then(Value::as_object_mut);
            config.context("no clientConfig")?.remove("caBundle");
        }
        api.replace(name, &PostParams::default(), &object).await?;
    }
    installation.trusted().await?;
    installation.admits().await
}

async fn what_is_missing_is_waited_for(installation: &Installation) -> Result<()> {
    let secrets = installation.secrets();
    let before = installation.stored("tls.crt").await?;
    let mut empty = secrets.get(SECRET).await?;
    empty.metadata =
        kube::api::ObjectMeta { name: Some(SECRET.to_owned()), ..kube::api::ObjectMeta::default() };
    empty.data = None;
    let configuration = installation.configuration(VALIDATING);
    let mut validating = configuration.get(VALIDATING).await?;
    configuration.delete(VALIDATING, &DeleteParams::default()).await?;
    secrets.delete(SECRET, &DeleteParams::default()).await?;
    secrets.create(&PostParams::default(), &empty).await?;
    // The old authority is still trusted by the other configuration, so its successor waits.
    wait::eventually(DEADLINE, "an authority is prepared", async || {
        let prepared = installation.stored("next-ca.crt").await?;
        let trusted = installation.bundles(MUTATING).await?;
        let both = trusted.iter().all(|it| it.contains(&prepared) && *it != prepared);
        Ok::<_, anyhow::Error>((!prepared.is_empty() && both).then_some(()))
    })
    .await?;
    installation.admits().await?;
    validating.metadata.resource_version = None;
    validating.metadata.uid = None;
    validating.metadata.managed_fields = None;
    configuration.create(&PostParams::default(), &validating).await?;
    served_anew(installation, &before).await?;
    ensure!(installation.stored("next-ca.crt").await?.is_empty(), "it is still being prepared");
    installation.admits().await
}

async fn the_configuration_of_another_is_left_alone(installation: &Installation) -> Result<()> {
    let api = installation.configuration(MUTATING);
    let annotated = json!({"metadata": {"annotations": {"cert-manager.io/inject-ca-from": "a/b"}}});
    api.patch(MUTATING, &PatchParams::default(), &Patch::Merge(&annotated)).await?;
    let other = Authority::generate(Timestamp::now(), lws_certs::issue::AUTHORITY_LIFETIME)?;
    let mut object = api.get(MUTATING).await?;
    let config = object.data.pointer_mut("/webhooks/0/clientConfig").and_then(Value::as_object_mut);
    let pem = &other.pair().certificate_pem;
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pem);
    config.context("no clientConfig")?.insert("caBundle".to_owned(), json!(encoded));
    let replaced = api.replace(MUTATING, &PostParams::default(), &object).await?;
    tokio::time::sleep(QUIET).await;
    let after = api.get(MUTATING).await?;
    ensure!(after.resource_version() == replaced.resource_version(), "it was written");
    Ok(())
}

#[tokio::test]
async fn certificates_of_others_are_not_touched() -> Result<()> {
    let installation = Installation::new(&options(Certificates::OfOthers), &[]).await?;
    tokio::time::sleep(QUIET).await;
    let secret = installation.secrets().get(SECRET).await?;
    ensure!(secret.data.is_none(), "the Secret was filled");
    for name in [MUTATING, VALIDATING] {
        let bundles = installation.bundles(name).await?;
        ensure!(bundles.iter().all(String::is_empty), "{name} was written");
    }
    installation.controller_touches_no_certificate()
}

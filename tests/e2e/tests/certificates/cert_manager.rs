//! Certificates that somebody else issues, as the component for cert-manager asks for. cert-manager itself does not run:
//! the API server checks the objects by its definitions, and a stand-in does what they say.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use lws_certs::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE, Pair};
use lws_e2e::DEADLINE;
use lws_harness::system::{Certificates, NAMESPACE, SystemOptions, define_certificates};
use lws_harness::{Cluster, wait};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use lws_e2e::webhooks::stored;

use crate::installation::{Installation, MUTATING, SECRET, VALIDATING};
use crate::rotation::review;

const AUTHORITY: &str = "lws-ca";
const SERVING: &str = "lws-serving-cert";
const INJECT: &str = "cert-manager.io/inject-ca-from";

/// How often the serving certificate is renewed.
const RENEWALS: usize = 4;
/// Until a new one is in the volume of the slower replica, and for as long again.
const PAUSE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn certificates_of_cert_manager_are_served_and_renewed_without_a_failed_request() -> Result<()>
{
    let options = SystemOptions {
        webhook: false,
        certificates: Certificates::OfOthers,
        ..SystemOptions::default()
    };
    let delays = [Duration::from_millis(100), Duration::from_secs(1)];
    let installation = Installation::with(&options, &delays, async |cluster| {
        define_certificates(cluster).await?;
        rendered(cluster).await
    })
    .await?;
    let installation = &installation;
    for name in [AUTHORITY, SERVING] {
        issue(installation, name).await?;
    }
    inject(installation).await?;
    installation.trusted().await?;
    installation.webhooks.ready().await?;
    installation.admits().await?;
    let kind = installation.secrets().get(SECRET).await?.type_;
    ensure!(kind.as_deref() == Some("kubernetes.io/tls"), "{kind:?}");

    renewed_without_a_failed_request(installation).await?;
    another_authority_is_trusted_and_served(installation).await?;
    installation.controller_touches_no_certificate()
}

/// The shipped manifests with the component.
async fn rendered(cluster: &Cluster) -> Result<Vec<Value>> {
    let directory = cluster.dir().join("overlay");
    std::fs::create_dir(&directory)?;
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").canonicalize()?;
    symlink(deploy, directory.join("deploy"))?;
    let overlay =
        json!({"resources": ["deploy/default"], "components": ["deploy/components/cert-manager"]});
    std::fs::write(directory.join("kustomization.yaml"), overlay.to_string())?;
    let output = cluster.kubectl(&["kustomize", &directory.to_string_lossy()]).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout)?)?)
}

async fn renewed_without_a_failed_request(installation: &Installation) -> Result<()> {
    let before = installation.stored(CERTIFICATE_FILE).await?;
    let authority = installation.stored("ca.crt").await?;
    let renewals = async {
        for _ in 0..RENEWALS {
            issue(installation, SERVING).await?;
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    let mut renewals = std::pin::pin!(renewals);
    let mut admitted = 0;
    loop {
        tokio::select! {
            biased;
            ended = &mut renewals => break ended?,
            answer = installation.try_create_set() => {
                answer.with_context(|| format!("after {admitted} requests"))?;
                admitted += 1;
            }
        }
    }
    ensure!(admitted >= 20, "only {admitted} requests were made meanwhile");
    ensure!(installation.stored(CERTIFICATE_FILE).await? != before, "nothing was renewed");
    ensure!(installation.stored("ca.crt").await? == authority, "there is another authority");
    Ok(())
}

/// Whoever serves with a certificate of the former one is not trusted any more.
async fn another_authority_is_trusted_and_served(installation: &Installation) -> Result<()> {
    for name in [AUTHORITY, SERVING] {
        issue(installation, name).await?;
    }
    inject(installation).await?;
    let bundle = installation.stored("ca.crt").await?;
    for replica in installation.webhooks.replicas() {
        let description = format!("the new certificate is served on port {}", replica.port());
        let look = async || review(replica.port(), &bundle).await.map(Some);
        wait::eventually(DEADLINE, &description, look).await?;
    }
    installation.admits().await
}

/// An object of cert-manager as it was applied.
async fn get(installation: &Installation, kind: &str, name: &str) -> Result<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", kind));
    let api = Api::namespaced_with(installation.cluster.client(), NAMESPACE, &kind);
    api.get(name).await.with_context(|| name.to_owned())
}

/// The text at a path of an object.
fn text<'a>(object: &'a DynamicObject, path: &str) -> Result<&'a str> {
    let found = object.data.pointer(path).and_then(Value::as_str);
    found.with_context(|| format!("{} has no {path}", object.name_any()))
}

/// Issues what a Certificate asks for, into the Secret that it names.
async fn issue(installation: &Installation, name: &str) -> Result<()> {
    let certificate = get(installation, "Certificate", name).await?;
    let issuer = get(installation, "Issuer", text(&certificate, "/spec/issuerRef/name")?).await?;
    let now = Timestamp::now();
    let (pair, authority) = if issuer.data.pointer("/spec/selfSigned").is_some() {
        ensure!(
            certificate.data.pointer("/spec/isCA") == Some(&json!(true)),
            "{name} is no authority"
        );
        let pair = Authority::generate(now, AUTHORITY_LIFETIME)?.pair().clone();
        let authority = pair.certificate_pem.clone();
        (pair, authority)
    } else {
        let secret = installation.secrets().get(text(&issuer, "/spec/ca/secretName")?).await?;
        let authority = Authority::from_pair(Pair {
            certificate_pem: stored(&secret, CERTIFICATE_FILE)?,
            private_key_pem: stored(&secret, KEY_FILE)?,
        })?;
        let names = certificate.data.pointer("/spec/dnsNames").context("no names")?.clone();
        let names: Vec<String> = serde_json::from_value(names)?;
        let names = names.into_iter().map(ServerName::try_from).collect::<Result<Vec<_>, _>>()?;
        let pair = authority.issue(&names, now, SERVING_LIFETIME)?;
        (pair, authority.pair().certificate_pem.clone())
    };
    let target = text(&certificate, "/spec/secretName")?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": target},
        "type": "kubernetes.io/tls",
        "stringData": {
            "ca.crt": authority,
            CERTIFICATE_FILE: pair.certificate_pem,
            KEY_FILE: pair.private_key_pem,
        },
    });
    let params = PatchParams::apply("cert-manager").force();
    let secrets: Api<Secret> = installation.secrets();
    secrets.patch(target, &params, &Patch::Apply(&secret)).await?;
    Ok(())
}

/// Has the configurations trust who has signed the Certificate that their annotation names.
async fn inject(installation: &Installation) -> Result<()> {
    for name in [MUTATING, VALIDATING] {
        let api = installation.configuration(name);
        let mut object = api.get(name).await?;
        let from = object.annotations().get(INJECT).with_context(|| format!("{name}: {INJECT}"))?;
        let (namespace, certificate) = from.split_once('/').with_context(|| from.clone())?;
        ensure!(namespace == NAMESPACE, "{name} trusts one in {namespace}");
        let certificate = get(installation, "Certificate", certificate).await?;
        let secret = installation.secrets().get(text(&certificate, "/spec/secretName")?).await?;
        let bundle = BASE64_STANDARD.encode(stored(&secret, "ca.crt")?);
        let entries = object.data.get_mut("webhooks").and_then(Value::as_array_mut);
        for entry in entries.context("no entries")? {
            let config = entry.get_mut("clientConfig").and_then(Value::as_object_mut);
            config.context("no clientConfig")?.insert("caBundle".to_owned(), json!(bundle));
        }
        api.replace(name, &PostParams::default(), &object).await?;
    }
    Ok(())
}

//! The webhook: its certificate, and the configurations through which the API server calls it.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use lws_certs::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use super::component::{READY_DEADLINE, Role};
use super::{Component, SystemOptions, manifests};
use crate::credentials::write_private;
use crate::{Cluster, Error, Result, wait};

/// Starts a webhook whose files have this name, registers it, and waits until the API server calls it.
pub(super) async fn start(
    cluster: &Cluster,
    options: &SystemOptions,
    name: &str,
) -> Result<Component> {
    let (directory, authority_pem) = issue_certificate(cluster, name)?;
    let role = Role {
        binary: "lws-webhook",
        name: name.to_owned(),
        service_account: "lws-webhook",
        webhook_certificates: Some(directory),
        proxied: options.proxied,
    };
    let webhook = Component::start(cluster, options, role).await?;
    let target = Target {
        url: webhook.webhook_url(),
        ca_bundle: BASE64_STANDARD.encode(authority_pem),
        select_pods: options.select_pods,
    };
    for manifest in ["webhook/mutating.yaml", "webhook/validating.yaml"] {
        let path = manifests::path(manifest);
        let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let configuration =
            target.redirect(&text).map_err(|reason| Error::Manifest { path, reason })?;
        let redirected = cluster.dir().join(manifest.replace('/', "-"));
        std::fs::write(&redirected, configuration.to_string())
            .map_err(Error::file("write", &redirected))?;
        manifests::apply(cluster, "-f", &redirected).await?;
    }
    called(cluster).await?;
    Ok(webhook)
}

/// Writes a certificate for 127.0.0.1; gives its directory and the authority that has signed it.
fn issue_certificate(cluster: &Cluster, name: &str) -> Result<(PathBuf, String)> {
    let now = Timestamp::now();
    let authority =
        Authority::generate(now, AUTHORITY_LIFETIME).map_err(Error::WebhookCertificate)?;
    let names = [ServerName::from(Ipv4Addr::LOCALHOST)];
    let pair = authority.issue(&names, now, SERVING_LIFETIME).map_err(Error::WebhookCertificate)?;
    let directory = cluster.dir().join(format!("{name}-certificate"));
    std::fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
    write_private(&directory.join(CERTIFICATE_FILE), &pair.certificate_pem)?;
    write_private(&directory.join(KEY_FILE), &pair.private_key_pem)?;
    Ok((directory, authority.pair().certificate_pem.clone()))
}

/// Where the entries of a configuration shall lead.
struct Target {
    /// Without a path.
    url: String,
    /// In base64.
    ca_bundle: String,
    select_pods: bool,
}

impl Target {
    /// The configuration in `manifest`, with this target instead of the Service in each entry. The error says what the
    /// manifest lacks.
    fn redirect(&self, manifest: &str) -> std::result::Result<Value, String> {
        let mut configuration: Value =
            serde_saphyr::from_str(manifest).map_err(|error| error.to_string())?;
        let entries = configuration.get_mut("webhooks").and_then(Value::as_array_mut);
        for entry in entries.ok_or("there is no list of webhooks")? {
            let path = entry.pointer("/clientConfig/service/path").and_then(Value::as_str);
            let url = format!("{}{}", self.url, path.ok_or("an entry has no service with a path")?);
            if let Some(entry) = entry.as_object_mut() {
                let client_config = json!({"url": url, "caBundle": self.ca_bundle});
                entry.insert("clientConfig".to_owned(), client_config);
                if !self.select_pods {
                    entry.remove("objectSelector");
                }
            }
        }
        Ok(configuration)
    }
}

/// Waits until the API server calls both configurations, which it gets to know a moment after they were applied.
async fn called(cluster: &Cluster) -> Result<()> {
    let kind = GroupVersionKind::gvk("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet");
    let kind = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::default_namespaced_with(cluster.client(), &kind);
    let attempt = async |name: &str| {
        let set = DynamicObject::new(name, &kind).data(json!({
            "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {
                "containers": [{"name": "probe", "image": "probe"}],
            }}}},
        }));
        api.create(&PostParams { dry_run: true, ..PostParams::default() }, &set).await
    };
    let description = "the API server calls the webhook to fill in defaults";
    wait::eventually(READY_DEADLINE, description, async || {
        let set = attempt("probe").await?;
        let policy = set.data.pointer("/spec/leaderWorkerTemplate/restartPolicy");
        Ok::<_, kube::Error>(policy.map(drop))
    })
    .await?;
    let description = "the API server calls the webhook to validate";
    wait::eventually(READY_DEADLINE, description, async || {
        // Custom resources may be called this; sets may not, because Services are named after them.
        match attempt("0.probe").await {
            Err(kube::Error::Api(status)) if status.message.contains("admission webhook") => {
                Ok(Some(()))
            }
            outcome => outcome.map(|_| None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "
webhooks:
- name: pods
  clientConfig: {service: {name: s, namespace: n, path: /pods}}
  objectSelector: {matchLabels: {a: b}}
- name: sets
  clientConfig: {service: {name: s, namespace: n, path: /sets}}
";

    fn target(select_pods: bool) -> Target {
        Target { url: "https://127.0.0.1:1".to_owned(), ca_bundle: "Q0E=".to_owned(), select_pods }
    }

    #[test]
    fn entries_lead_to_the_url_with_the_path_of_their_service() {
        for select_pods in [true, false] {
            let mut pods = json!({
                "name": "pods",
                "clientConfig": {"url": "https://127.0.0.1:1/pods", "caBundle": "Q0E="},
            });
            if select_pods {
                pods["objectSelector"] = json!({"matchLabels": {"a": "b"}});
            }
            let sets = json!({
                "name": "sets",
                "clientConfig": {"url": "https://127.0.0.1:1/sets", "caBundle": "Q0E="},
            });
            let expected = json!({"webhooks": [pods, sets]});
            assert_eq!(target(select_pods).redirect(MANIFEST), Ok(expected));
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_redirected_is_refused() {
        for (manifest, reason) in [
            ("kind: Other", "there is no list of webhooks"),
            ("webhooks: [{clientConfig: {url: x}}]", "an entry has no service with a path"),
        ] {
            assert_eq!(target(true).redirect(manifest), Err(reason.to_owned()), "{manifest}");
        }
    }
}

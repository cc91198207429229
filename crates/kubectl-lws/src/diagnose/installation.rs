//! Whether the system works that looks after sets: its webhooks, and a controller that leads.

use std::collections::BTreeSet;
use std::fmt::Debug;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::Finding;
use crate::cluster::unless_forbidden;
use crate::connection::Connection;
use crate::error::Error;
use crate::output::age;
use crate::snapshot::Snapshot;

/// The webhooks of the system, by name.
const WEBHOOKS: [&str; 3] = ["mleaderworkerset.kb.io", "mpod.kb.io", "vleaderworkerset.kb.io"];
/// Those without which sets cannot do.
const NEEDED: [&str; 2] = ["mleaderworkerset.kb.io", "mpod.kb.io"];
/// Where the system is installed unless somebody has decided otherwise.
const NAMESPACE: &str = "lws-system";
/// Name of the Lease, the same.
const LEASE: &str = "b8b2488c.x-k8s.io";
/// How long the Lease lasts, the same.
const USUAL_DURATION: SignedDuration = SignedDuration::from_secs(15);

/// A webhook that the API server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) configuration: String,
    pub(super) name: String,
    /// Whether the API server knows who has signed its certificate.
    pub(super) has_authority: bool,
    /// Its Service as namespace and name; `None` where it is called by URL.
    pub(super) service: Option<(String, String)>,
}

/// What is known of the installation. What may not be read, or is not found, is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Installation {
    /// Where it is.
    pub(super) namespace: String,
    pub(super) webhooks: Option<Vec<Webhook>>,
    /// Services of webhooks behind which no pod is ready.
    pub(super) silent: BTreeSet<(String, String)>,
    /// The Lease of the controller.
    pub(super) lease: Option<Lease>,
}

/// Looks at the installation; what may not be read goes to `unchecked`.
pub(super) async fn look(
    connection: &Connection,
    snapshot: &Snapshot,
    unchecked: &mut Vec<String>,
) -> Result<Installation, Error> {
    let mut found = Installation::default();
    let mutating = all::<MutatingWebhookConfiguration>(connection).await;
    let validating = all::<ValidatingWebhookConfiguration>(connection).await;
    let mutating = permitted(mutating, "webhooks", unchecked)?;
    let validating = permitted(validating, "webhooks", unchecked)?;
    found.webhooks = mutating.zip(validating).map(|(one, two)| webhooks(&one, &two));
    let services: BTreeSet<_> =
        found.webhooks.iter().flatten().filter_map(|it| it.service.clone()).collect();
    for (namespace, name) in &services {
        let api: Api<EndpointSlice> = Api::namespaced(connection.client.clone(), namespace);
        let of_service =
            ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
        let slices = api.list(&of_service).await.map_err(Error::from);
        let slices =
            permitted(slices, &format!("endpoints of Service {namespace}/{name}"), unchecked)?;
        if slices.is_some_and(|it| !it.items.iter().any(is_ready)) {
            found.silent.insert((namespace.clone(), name.clone()));
        }
    }
    let namespace = services.first().map_or(NAMESPACE, |(namespace, _)| namespace.as_str());
    found.namespace = namespace.to_owned();
    let api: Api<Lease> = Api::namespaced(connection.client.clone(), namespace);
    let lease = api.get_opt(LEASE).await.map_err(Error::from);
    let lease = permitted(lease, &format!("Lease {namespace}/{LEASE}"), unchecked)?;
    found.lease = lease.and_then(|it| telling(it, namespace, snapshot.status_written(), unchecked));
    Ok(found)
}

/// The Lease, if it says anything: a controller may be at work without it, and leave one behind from
/// when it had it. `written` is when a controller last wrote the status of the set.
pub(super) fn telling(
    lease: Option<Lease>,
    namespace: &str,
    written: Option<Timestamp>,
    unchecked: &mut Vec<String>,
) -> Option<Lease> {
    let what = match &lease {
        None => format!("there is no Lease {namespace}/{LEASE}. Either none has ever run, or"),
        Some(lease) if is_left_over(lease, written) => format!(
            "Lease {namespace}/{LEASE} is left over, as the status of the set was written after it \
             ended:"
        ),
        Some(_) => return lease,
    };
    unchecked.push(format!(
        "whether a controller is at work: {what} leaderElection of its configuration is off \
         (leaderElect) or names another Lease (resourceName, resourceNamespace). See: {}",
        pods(namespace, "controller-manager")
    ));
    None
}

/// Whether a controller has written after the Lease ended.
fn is_left_over(lease: &Lease, written: Option<Timestamp>) -> bool {
    let ended =
        lease.spec.as_ref().and_then(|it| it.renew_time.as_ref()).map(|it| it.0 + lasts(lease));
    // The clocks of two machines differ, and a Lease that is released lasts a second only.
    let tolerance = lasts(lease).max(USUAL_DURATION);
    ended.zip(written).is_some_and(|(ended, written)| written > ended + tolerance)
}

/// How long a Lease lasts once it is renewed.
fn lasts(lease: &Lease) -> SignedDuration {
    let seconds = lease.spec.as_ref().and_then(|it| it.lease_duration_seconds);
    seconds.map_or(USUAL_DURATION, |it| SignedDuration::from_secs(it.into()))
}

/// The command that shows the pods of a part of the system.
fn pods(namespace: &str, part: &str) -> String {
    format!("kubectl get pods -n {namespace} -l control-plane={part}")
}

async fn all<K>(connection: &Connection) -> Result<Vec<K>, Error>
where
    K: Resource<Scope = k8s_openapi::ClusterResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::all(connection.client.clone());
    Ok(api.list(&ListParams::default()).await?.items)
}

/// What may not be read is nothing, and goes to `unchecked`.
pub(super) fn permitted<T>(
    answer: Result<T, Error>,
    what: &str,
    unchecked: &mut Vec<String>,
) -> Result<Option<T>, Error> {
    unless_forbidden(answer, |why| unchecked.push(format!("{what}: {why}")))
}

fn webhooks(
    mutating: &[MutatingWebhookConfiguration],
    validating: &[ValidatingWebhookConfiguration],
) -> Vec<Webhook> {
    let mutating = mutating.iter().flat_map(|configuration| {
        let webhooks = configuration.webhooks.iter().flatten();
        webhooks.map(|it| webhook(&configuration.name_any(), &it.name, &it.client_config))
    });
    let validating = validating.iter().flat_map(|configuration| {
        let webhooks = configuration.webhooks.iter().flatten();
        webhooks.map(|it| webhook(&configuration.name_any(), &it.name, &it.client_config))
    });
    mutating.chain(validating).filter(|it| WEBHOOKS.contains(&it.name.as_str())).collect()
}

fn webhook(configuration: &str, name: &str, client: &WebhookClientConfig) -> Webhook {
    Webhook {
        configuration: configuration.to_owned(),
        name: name.to_owned(),
        has_authority: client.ca_bundle.as_ref().is_some_and(|it| !it.0.is_empty()),
        service: client.service.as_ref().map(|it| (it.namespace.clone(), it.name.clone())),
    }
}

fn is_ready(slice: &EndpointSlice) -> bool {
    let ready = |it: &k8s_openapi::api::discovery::v1::Endpoint| {
        it.conditions.as_ref().and_then(|it| it.ready).unwrap_or(true)
    };
    slice.endpoints.iter().flatten().any(ready)
}

impl Installation {
    /// What is wrong with it.
    pub(super) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(webhooks) = &self.webhooks {
            findings.extend(NEEDED.into_iter().filter_map(|it| missing(webhooks, it)));
            findings.extend(webhooks.iter().filter(|it| !it.has_authority).map(unsigned));
        }
        findings.extend(self.silent.iter().map(|(namespace, name)| Finding {
            what: "The webhook cannot be reached".to_owned(),
            evidence: format!("no pod behind Service {namespace}/{name} is ready"),
            advice: format!("see why: {}", pods(namespace, "webhook")),
        }));
        let lease = self.lease.as_ref();
        findings.extend(lease.and_then(|it| leadership(it, &self.namespace, now)));
        findings
    }
}

fn missing(webhooks: &[Webhook], name: &str) -> Option<Finding> {
    webhooks.iter().all(|it| it.name != name).then(|| Finding {
        what: "A webhook of the system is not installed".to_owned(),
        evidence: format!("no MutatingWebhookConfiguration has the webhook {name}"),
        advice: "install the system: pods of sets do not learn their place in the group without it"
            .to_owned(),
    })
}

fn unsigned(webhook: &Webhook) -> Finding {
    let Webhook { configuration, name, .. } = webhook;
    Finding {
        what: "The API server does not trust the webhook".to_owned(),
        evidence: format!("webhook {name} of {configuration} has no caBundle"),
        advice:
            "see whether the controller, or cert-manager where that is used, runs: it writes the \
                 caBundle"
                .to_owned(),
    }
}

/// Whether a controller leads.
fn leadership(lease: &Lease, namespace: &str, now: Timestamp) -> Option<Finding> {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|it| !it.is_empty());
    let evidence = match holder {
        None => format!("nobody holds Lease {namespace}/{LEASE}"),
        Some(holder) => {
            let renewed = spec.renew_time?.0;
            // The clocks of two machines differ.
            let is_over = now.duration_since(renewed) > lasts(lease) * 2;
            is_over.then(|| {
                let (ago, seconds) = (age(renewed, now), lasts(lease).as_secs());
                format!(
                    "{holder} has renewed Lease {namespace}/{LEASE} {ago} ago, not within {seconds} s"
                )
            })?
        }
    };
    Some(Finding {
        what: "No controller leads".to_owned(),
        evidence,
        advice: format!(
            "see whether the controller runs and what it logs: {}; where leaderElection of its \
             configuration is off, it needs no Lease: remove the one that is left: \
             kubectl delete lease {LEASE} -n {namespace}",
            pods(namespace, "controller-manager")
        ),
    })
}

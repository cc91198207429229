//! Permissions, as the API server lists them, and requests, as it has recorded them: each permission is used, for each
//! object that it names, and none is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
use lws_e2e::stand_in::uid;
use lws_e2e::{CONTROLLER, DEADLINE, Fixture, Namespace, TestSet};
use lws_harness::audit::{AuditEvent, Mark};
use lws_harness::system::{self, Certificates, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, wait};
use serde_json::json;

use crate::tools::{deploy, kubectl};

/// By what both processes learn who may see their metrics. Nobody scrapes them here: the tests of metrics do.
const REVIEWS: [(&str, &str); 2] = [
    ("tokenreviews.authentication.k8s.io", "create"),
    ("subjectaccessreviews.authorization.k8s.io", "create"),
];

/// What the controller does not ask for itself: an admission plugin judges by the first two, and the third is for who
/// scrapes with its account.
const NOT_REQUESTED: [(&str, &str); 3] = [
    ("leaderworkersets.leaderworkerset.x-k8s.io/finalizers", "update"),
    ("pods/finalizers", "update"),
    ("/metrics", "get"),
];

/// The resources of which the controller may see and change one object, which is named.
const NAMED: [(&str, &str); 4] = [
    ("leases.coordination.k8s.io", "b8b2488c.x-k8s.io"),
    ("secrets", "lws-webhook-server-cert"),
    (
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "lws-mutating-webhook-configuration",
    ),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "lws-validating-webhook-configuration",
    ),
];

/// A resource, or a path, a verb, and the name of an object; without a name it is good for all.
type Permission = (String, String, String);

#[tokio::test]
async fn every_permission_is_used_and_none_is_missing() -> Result<()> {
    let options =
        ClusterOptions { ready_delay: Duration::from_millis(300), ..ClusterOptions::default() };
    let cluster = &Cluster::start(options).await?;
    let options =
        SystemOptions { certificates: Certificates::OfController, ..SystemOptions::default() };
    let mut system = System::install(cluster, &options).await?;
    give_certificates_a_place(cluster).await?;
    let namespace = Namespace::existing(cluster.client(), cluster.audit(), "default");
    everything_happens(&namespace, &mut system).await?;

    let anyone = permissions(cluster, "anyone").await?;
    let mut granted = permissions(cluster, "lws-controller-manager").await?;
    granted.retain(|it| !anyone.contains(it));
    for permission in REVIEWS.into_iter().chain(NOT_REQUESTED) {
        ensure!(granted.remove(&owned(permission)), "{permission:?} is not granted");
    }
    // What is permitted last is asked for by a repetition, a while after the first time.
    let unused = async || anyhow::Ok(&granted - &requested(cluster, &granted)?);
    wait::until(DEADLINE, "each permission is used", unused, BTreeSet::is_empty).await?;
    let missing = &requested(cluster, &granted)? - &granted;
    ensure!(missing.is_empty(), "requested without a permission: {missing:?}");
    only_what_is_named(&granted)?;

    let mut webhook = permissions(cluster, "lws-webhook").await?;
    webhook.retain(|it| !anyone.contains(it));
    ensure!(webhook == REVIEWS.map(owned).into(), "the webhook may {webhook:?}");
    let of_webhook = |it: &AuditEvent| it.key.user.ends_with(":lws-webhook");
    let requests = cluster.audit().since(Mark::START)?;
    ensure!(!requests.iter().any(of_webhook), "the webhook has asked the API server");
    Ok(())
}

fn owned((what, verb): (&str, &str)) -> Permission {
    (what.to_owned(), verb.to_owned(), String::new())
}

/// What is created has no name yet that could be permitted.
fn only_what_is_named(granted: &BTreeSet<Permission>) -> Result<()> {
    for (resource, name) in NAMED {
        let of_resource = granted.iter().filter(|(what, ..)| what == resource);
        let names: BTreeSet<_> = of_resource
            .filter(|(_, verb, _)| verb != "create")
            .map(|(_, _, name)| name.as_str())
            .collect();
        ensure!(names == [name].into(), "{resource}: {names:?}");
    }
    Ok(())
}

/// What an account in the namespace of the system may do, as `kubectl auth can-i --list` tells it.
async fn permissions(cluster: &Cluster, account: &str) -> Result<BTreeSet<Permission>> {
    let who = format!("--as=system:serviceaccount:{}:{account}", system::NAMESPACE);
    let namespace = format!("--namespace={}", system::NAMESPACE);
    let list = ["auth", "can-i", "--list", "--no-headers", &namespace, &who];
    let said = kubectl(cluster, &list).await?;
    let mut permissions = BTreeSet::new();
    // A resource, then paths, names and verbs in brackets.
    for line in said.lines() {
        let (resource, rest) = line.split_once('[').with_context(|| line.to_owned())?;
        let lists: Vec<&str> =
            rest.split(']').map(|it| it.trim().trim_start_matches('[')).collect();
        let [paths, names, verbs, _] = lists[..] else { anyhow::bail!("{line}") };
        let names: Vec<&str> = names.split_whitespace().collect();
        for verb in verbs.split_whitespace() {
            for what in [resource.trim()].into_iter().chain(paths.split_whitespace()) {
                for name in if names.is_empty() { &[""] } else { &names[..] } {
                    permissions.insert((what.to_owned(), verb.to_owned(), (*name).to_owned()));
                }
            }
        }
    }
    permissions.retain(|(what, ..)| !what.is_empty());
    ensure!(!permissions.is_empty(), "{said}");
    Ok(permissions)
}

/// What the controller has asked for, by name where a name is what permits it. Fails when something was refused for want
/// of a permission.
fn requested(cluster: &Cluster, granted: &BTreeSet<Permission>) -> Result<BTreeSet<Permission>> {
    let mut requests = cluster.audit().since(Mark::START)?;
    // Whoever has a token may read the version.
    requests.retain(|it| it.key.user == CONTROLLER && !it.key.resource.is_empty());
    let refused: Vec<_> = requests.iter().filter(|it| [401, 403].contains(&it.code)).collect();
    ensure!(refused.is_empty(), "{refused:#?}");
    let permissions = requests.iter().map(|request| {
        let (what, verb) = permission(request);
        let named = (what, verb, request.name.clone());
        if granted.contains(&named) { named } else { (named.0, named.1, String::new()) }
    });
    Ok(permissions.collect())
}

/// The resource and the verb of a request.
fn permission(request: &AuditEvent) -> (String, String) {
    let part = |mark: &str, text: &str| {
        if text.is_empty() { String::new() } else { format!("{mark}{text}") }
    };
    let [group, subresource] = [part(".", &request.group), part("/", &request.key.subresource)];
    (format!("{}{group}{subresource}", request.key.resource), request.key.verb.clone())
}

/// The Secret as it is shipped, and an entry of each configuration that leads to the Service, as all do that are shipped.
async fn give_certificates_a_place(cluster: &Cluster) -> Result<()> {
    let secret = deploy("webhook/certificate-secret.yaml");
    kubectl(cluster, &["apply", "--server-side", "-f", &secret.to_string_lossy()]).await?;
    let entry = json!([{"op": "add", "path": "/webhooks/-", "value": {
        "name": "entry.example.org",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "service": {"name": "lws-webhook-service", "namespace": system::NAMESPACE},
        },
        "sideEffects": "None",
    }}]);
    let entry = entry.to_string();
    for kind in ["mutating", "validating"] {
        let configuration = format!("{kind}webhookconfiguration/lws-{kind}-webhook-configuration");
        kubectl(cluster, &["patch", &configuration, "--type=json", "-p", &entry]).await?;
    }
    Ok(())
}

/// A controller has to do all that it ever does.
async fn everything_happens(namespace: &Namespace, system: &mut System) -> Result<()> {
    let placed = Fixture::named("placed").annotation(EXCLUSIVE_TOPOLOGY, "kubernetes.io/hostname");
    let placed = namespace.create_set(&placed).await?;
    placed.done(2).await?;
    a_rollout_is_taken_back(&placed).await?;
    a_leader_is_deleted(&placed).await?;
    a_worker_is_lost_while_nobody_looks(&placed, system).await?;
    a_set_is_orphaned(&placed).await?;
    let homeless = Fixture::named("homeless").annotation(EXCLUSIVE_TOPOLOGY, "example.org/rack");
    let homeless = namespace.create_set(&homeless).await?;
    what_is_in_the_way_is_told(namespace).await?;
    homeless.expect_failure(&["True TopologyLabelMissing", "example.org/rack"]).await?;
    pods_are_short(namespace).await
}

/// The former revision becomes the newest.
async fn a_rollout_is_taken_back(set: &TestSet) -> Result<()> {
    let before = set.live().await?;
    set.change_workers("example.org/other").await?;
    set.expect_revisions(2).await?;
    set.update(|it| it.spec = before.spec.clone()).await?;
    set.done(2).await?;
    set.expect_revisions(1).await
}

async fn a_leader_is_deleted(set: &TestSet) -> Result<()> {
    replaced(set, &set.group(0), async || {
        set.namespace().pods().delete(&set.group(0), &DeleteParams::default()).await?;
        Ok(())
    })
    .await
}

async fn a_worker_is_lost_while_nobody_looks(set: &TestSet, system: &mut System) -> Result<()> {
    set.recorded(2, 2).await?;
    let controller = system.controllers().first_mut().context("no controller")?;
    controller.process().stop(DEADLINE).await?;
    let at_once = DeleteParams::default().grace_period(0);
    let worker = set.worker(1, 1);
    let stopped = async || {
        set.namespace().pods().delete(&worker, &at_once).await?;
        Ok(())
    };
    let before = uid(&set.namespace().pods().get(&set.group(1)).await?);
    replaced(set, &worker, stopped).await?;
    controller.restart().await?;
    other_pod(set, &set.group(1), &before).await?;
    set.done(2).await
}

/// Does something after which there is another pod of this name.
async fn replaced(set: &TestSet, name: &str, act: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let before = uid(&set.namespace().pods().get(name).await?);
    act().await?;
    other_pod(set, name, &before).await
}

async fn other_pod(set: &TestSet, name: &str, before: &str) -> Result<()> {
    let look = async || set.namespace().pods().get_opt(name).await;
    let is_other = |it: &Option<_>| it.as_ref().is_some_and(|it| uid(it) != before);
    wait::until(DEADLINE, &format!("there is another {name}"), look, is_other).await?;
    Ok(())
}

/// What an orphaning deletion leaves is the next one's.
async fn a_set_is_orphaned(set: &TestSet) -> Result<()> {
    set.done(2).await?;
    let namespace = set.namespace();
    namespace.sets().delete(set.name(), &DeleteParams::orphan()).await?;
    let fixture =
        Fixture::named(set.name()).annotation(EXCLUSIVE_TOPOLOGY, "kubernetes.io/hostname");
    wait::eventually(DEADLINE, "the set is created again", async || {
        set.create(&fixture).await.map(Some)
    })
    .await?;
    let owner = set.live().await?.uid().to_owned();
    let look = async || namespace.stateful_sets().get(set.name()).await;
    wait::until(DEADLINE, "the StatefulSet is adopted", look, |it| {
        it.owner_references().iter().any(|it| it.uid == owner)
    })
    .await?;
    Ok(())
}

/// Objects of others have the names that ours would have; that is told again and again.
async fn what_is_in_the_way_is_told(namespace: &Namespace) -> Result<()> {
    for (kind, spec) in [
        ("Service", json!({"selector": {"app": "other"}, "ports": [{"port": 80}]})),
        (
            "StatefulSet",
            json!({
                "serviceName": "other",
                "selector": {"matchLabels": {"app": "other"}},
                "replicas": 0,
                "template": {
                    "metadata": {"labels": {"app": "other"}},
                    "spec": {"containers": [{"name": "other", "image": "example.org/other"}]},
                },
            }),
        ),
    ] {
        let name = format!("taken-{}", kind.to_lowercase());
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let params = PostParams::default();
        if kind == "Service" {
            namespace.services().create(&params, &serde_json::from_value(object)?).await?;
        } else {
            namespace.stateful_sets().create(&params, &serde_json::from_value(object)?).await?;
        }
        namespace.create_set(&Fixture::named(&name)).await?;
        namespace.expect_event_of(&["Warning FailedCreate", &name, "exists"]).await?;
    }
    Ok(())
}

/// Why, the events of the StatefulSet controller say.
async fn pods_are_short(namespace: &Namespace) -> Result<()> {
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0"}},
    }))?;
    namespace.api::<ResourceQuota>().create(&PostParams::default(), &quota).await?;
    let set = namespace.create_set(&Fixture::named("short")).await?;
    set.expect_failure(&["True FailedCreate", "exceeded quota"]).await
}

//! Who may do what, as the API server judges it.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use lws_harness::{Cluster, ClusterOptions};

use crate::tools::{Said, deploy, kubectl};

const CONTROLLER: &str = "--as=system:serviceaccount:lws-system:lws-controller-manager";
const WEBHOOK: &str = "--as=system:serviceaccount:lws-system:lws-webhook";
const NAMESPACE: &str = "--namespace=lws-system";

async fn installed() -> Result<Cluster> {
    let options = ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    let manifests = deploy("manifests.yaml");
    kubectl(&cluster, &["apply", "--server-side", "-f", &manifests.to_string_lossy()]).await?;
    let definition = "crd/leaderworkersets.leaderworkerset.x-k8s.io";
    kubectl(&cluster, &["wait", "--for=condition=Established", "--timeout=60s", definition])
        .await?;
    Ok(cluster)
}

#[tokio::test]
async fn each_process_may_do_what_it_needs_and_no_more() -> Result<()> {
    let cluster = &installed().await?;
    for (who, verb, what, expected) in [
        (CONTROLLER, "watch", "leaderworkersets.leaderworkerset.x-k8s.io", true),
        (CONTROLLER, "update", "secrets/lws-webhook-server-cert", true),
        (CONTROLLER, "update", "secrets/another", false),
        (CONTROLLER, "list", "secrets", false),
        (CONTROLLER, "get", "secrets", false),
        (CONTROLLER, "create", "secrets", false),
        (CONTROLLER, "update", "leases.coordination.k8s.io/b8b2488c.x-k8s.io", true),
        (CONTROLLER, "update", "leases.coordination.k8s.io/another", false),
        (CONTROLLER, "get", "leases.coordination.k8s.io", false),
        (CONTROLLER, "get", "nodes", true),
        (CONTROLLER, "list", "nodes", true),
        (CONTROLLER, "watch", "nodes", false),
        (CONTROLLER, "update", "nodes", false),
        (CONTROLLER, "patch", "nodes", false),
        (CONTROLLER, "create", "pods", false),
        (CONTROLLER, "delete", "services", false),
        (CONTROLLER, "create", "clusterrolebindings", false),
        (
            CONTROLLER,
            "update",
            "mutatingwebhookconfigurations/lws-mutating-webhook-configuration",
            true,
        ),
        (CONTROLLER, "update", "mutatingwebhookconfigurations/another", false),
        (CONTROLLER, "create", "mutatingwebhookconfigurations", false),
        (CONTROLLER, "create", "tokenreviews.authentication.k8s.io", true),
        (CONTROLLER, "create", "subjectaccessreviews.authorization.k8s.io", true),
        (WEBHOOK, "create", "tokenreviews.authentication.k8s.io", true),
        (WEBHOOK, "create", "subjectaccessreviews.authorization.k8s.io", true),
        (WEBHOOK, "get", "secrets/lws-webhook-server-cert", false),
        (WEBHOOK, "get", "pods", false),
        (WEBHOOK, "list", "leaderworkersets", false),
    ] {
        let said: Said =
            cluster.kubectl(&["auth", "can-i", verb, what, NAMESPACE, who]).await?.into();
        let answer = said.text.lines().any(|it| it == "yes");
        ensure!(answer == expected, "{who} {verb} {what}: {}", said.text);
    }
    Ok(())
}

/// The webhook may do what every authenticated user may, and ask who may read metrics.
#[tokio::test]
async fn the_webhook_may_only_ask_who_may_read_metrics() -> Result<()> {
    let cluster = &installed().await?;
    let list = ["auth", "can-i", "--list", NAMESPACE];
    let webhook = kubectl(cluster, &[&list[..], &[WEBHOOK]].concat()).await?;
    let anyone = "--as=system:serviceaccount:lws-system:anyone";
    let anyone = kubectl(cluster, &[&list[..], &[anyone]].concat()).await?;
    // The width of columns depends on what is in them.
    let [webhook, anyone] = [&webhook, &anyone].map(|it| {
        it.lines().map(|line| line.split_whitespace().collect()).collect::<BTreeSet<Vec<_>>>()
    });
    let more: Vec<_> = webhook.difference(&anyone).collect();
    let expected =
        ["subjectaccessreviews.authorization.k8s.io", "tokenreviews.authentication.k8s.io"];
    let expected = expected.map(|it| vec![it, "[]", "[]", "[create]"]);
    ensure!(more == expected.iter().collect::<Vec<_>>(), "{more:?}");
    ensure!(anyone.is_subset(&webhook), "{webhook:?} {anyone:?}");
    let controller = kubectl(cluster, &[&list[..], &[CONTROLLER]].concat()).await?;
    ensure!(controller.contains("leaderworkersets"), "the permissions are not applied");
    Ok(())
}

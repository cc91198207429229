//! The command that installs and removes, and what runs afterwards.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{self, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet, set};
use lws_harness::system::{NAMESPACE, System, SystemOptions};
use lws_harness::{Cluster, wait};
use serde_json::json;

use crate::tools::{TIMEOUT, cluster, install, kubectl};

const DEPLOYMENTS: [&str; 2] = ["lws-controller-manager", "lws-webhook"];

#[tokio::test]
async fn the_system_is_installed_changed_and_removed() -> Result<()> {
    let cluster = &cluster().await?;
    let look = [("DRY_RUN", "1")];
    let said = install(cluster, "apply", &look).await?;
    said.expect(&[
        "namespace lws-system does not exist: a new installation",
        "install: would be created:\n",
        "install:   v1.Namespace..lws-system\n",
        "install:   apps.v1.Deployment.lws-system.lws-webhook\n",
    ])?;
    ensure!(!said.text.contains("would be changed"), "{}", said.text);
    let namespaces: Api<v1::Namespace> = Api::all(cluster.client());
    ensure!(namespaces.get_opt(NAMESPACE).await?.is_none(), "looking has changed something");

    let off = [("DRY_RUN", "0"), ("FORCE", "0")];
    let said = install(cluster, "apply", &off).await?;
    said.expect(&["install: creating:\n", "install: installed"])?;
    all_pods_run(cluster).await?;
    budgets_hold(cluster).await?;
    install(cluster, "apply", &look).await?.expect(&["install: nothing would be changed"])?;

    let other = [("DRY_RUN", "1"), ("IMAGE", "registry.example/lws:v2")];
    let said = install(cluster, "apply", &other).await?;
    said.expect(&[
        "would be changed:\n",
        "install:   apps.v1.Deployment.lws-system.lws-webhook\n",
    ])?;
    for word in ["Secret", "created"] {
        ensure!(!said.text.contains(word), "{}", said.text);
    }

    what_another_tool_has_set_is_not_taken(cluster).await?;
    pods_outlive_the_system_unless_the_definition_goes(cluster).await
}

/// Pod security `restricted` admits them, and the simulated kubelets run them.
async fn all_pods_run(cluster: &Cluster) -> Result<()> {
    let namespace = Api::<v1::Namespace>::all(cluster.client()).get(NAMESPACE).await?;
    let level = namespace.labels().get("pod-security.kubernetes.io/enforce").cloned();
    ensure!(level.as_deref() == Some("restricted"), "{level:?}");
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), NAMESPACE);
    for name in DEPLOYMENTS {
        let available = async || {
            let deployment = deployments.get(name).await?;
            Ok::<_, kube::Error>(deployment.status.and_then(|it| it.available_replicas))
        };
        let description = format!("two replicas of {name} are available");
        wait::until(DEADLINE, &description, available, |it| *it == Some(2)).await?;
    }
    let pods: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    for pod in pods.list(&ListParams::default()).await? {
        let spec = pod.spec.clone().unwrap_or_default();
        let account = spec.service_account_name.unwrap_or_default();
        ensure!(pod.name_any().starts_with(&account), "{} runs as {account}", pod.name_any());
        let token = spec.volumes.into_iter().flatten().any(|it| it.projected.is_some());
        ensure!(token, "{account} has no token");
    }
    Ok(())
}

/// One of two replicas may go at a time.
async fn budgets_hold(cluster: &Cluster) -> Result<()> {
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(cluster.client(), NAMESPACE);
    for name in DEPLOYMENTS {
        let allowed = async || {
            let status = budgets.get(name).await?.status.unwrap_or_default();
            let allowed = status.disruptions_allowed.unwrap_or_default();
            Ok::<_, kube::Error>((status.expected_pods.unwrap_or_default(), allowed))
        };
        let description = format!("one pod of {name} may be evicted");
        wait::until(DEADLINE, &description, allowed, |it| *it == (2, 1)).await?;
    }
    Ok(())
}

async fn what_another_tool_has_set_is_not_taken(cluster: &Cluster) -> Result<()> {
    let scale = r#"{"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}}"#;
    let patch = ["patch", "deployment", "lws-webhook", "-n", NAMESPACE, "--field-manager=other"];
    kubectl(cluster, &[&patch[..], &["--type=strategic", "-p", scale]].concat()).await?;
    let look = install(cluster, "apply", &[("DRY_RUN", "1")]).await?;
    look.expect_failure(&["conflict with \"other\"", "terminationGracePeriodSeconds", "FORCE=1"])?;
    install(cluster, "apply", &[("FORCE", "1")]).await?.expect(&["install: installed"])
}

async fn pods_outlive_the_system_unless_the_definition_goes(cluster: &Cluster) -> Result<()> {
    let _system = System::install(cluster, &SystemOptions::default()).await?;
    let namespace = Namespace::existing(cluster.client(), cluster.audit(), "default");
    namespace.create_set(&Fixture::default()).await?.done(2).await?;
    let before = identities(&namespace).await?;

    let look = install(cluster, "delete", &[("DRY_RUN", "1"), ("FORCE", "0")]).await?;
    let deployment = "install:   deployment.apps/lws-webhook";
    look.expect(&[
        "install: would be deleted:\n",
        deployment,
        "the definition stays, and 1 LeaderWorkerSets",
    ])?;
    ensure!(
        !look.text.contains(&format!("customresourcedefinition.apiextensions.k8s.io/{DEFINITION}")),
        "{}",
        look.text
    );
    let definition = ["get", "crd", DEFINITION, "-o", "name"];
    let said = install(cluster, "delete", &[("DRY_RUN", "0"), ("FORCE", "0")]).await?;
    said.expect(&["install: deleting:\n", "namespace \"lws-system\" deleted"])?;
    kubectl(cluster, &definition).await?;
    set::stays(async || {
        let now = identities(&namespace).await?;
        ensure!(now == before, "before: {before:?}, now: {now:?}");
        Ok(())
    })
    .await?;
    let sample = TestSet::named(namespace.clone(), "test-sample");
    sample.live().await?;
    let stays = left(cluster).await?;
    ensure!(
        stays.trim() == format!("customresourcedefinition.apiextensions.k8s.io/{DEFINITION}"),
        "{stays}"
    );

    let force = [("FORCE", "1")];
    let look = install(cluster, "delete", &[("DRY_RUN", "1"), force[0]]).await?;
    look.expect(&[DEFINITION, "and 1 LeaderWorkerSets with their pods"])?;
    sample.live().await?;
    install(cluster, "delete", &force).await?.expect(&[DEFINITION])?;
    let gone = async || left(cluster).await;
    wait::until(DEADLINE, "nothing is left", gone, String::is_empty).await?;
    let pods = async || identities(&namespace).await;
    wait::until(DEADLINE, "the pods are gone", pods, Vec::is_empty).await?;
    Ok(())
}

pub(crate) const DEFINITION: &str = "leaderworkersets.leaderworkerset.x-k8s.io";

/// The pods, and what they are run by: names, UIDs, restarts.
async fn identities(namespace: &Namespace) -> Result<Vec<String>> {
    let restarts = |pod: &Pod| {
        let statuses = pod.status.iter().flat_map(|it| it.container_statuses.iter().flatten());
        statuses.map(|it| it.restart_count).sum::<i32>()
    };
    let pods: Vec<Pod> = namespace.all().await?;
    let pods = pods.iter().map(|it| format!("{} {} {}", it.name_any(), uid(it), restarts(it)));
    let stateful_sets: Vec<StatefulSet> = namespace.all().await?;
    let stateful_sets = stateful_sets.iter().map(|it| format!("{} {}", it.name_any(), uid(it)));
    Ok(pods.chain(stateful_sets).collect())
}

/// What of the manifests is there.
pub(crate) async fn left(cluster: &Cluster) -> Result<String> {
    let manifests = crate::tools::deploy("manifests.yaml");
    let manifests = manifests.to_string_lossy();
    kubectl(cluster, &["get", "--ignore-not-found", "-o", "name", "-f", &manifests]).await
}

#[tokio::test]
async fn the_webhook_is_ready_before_its_service_leads_to_it() -> Result<()> {
    let cluster = &cluster().await?;
    kubectl(cluster, &["create", "namespace", NAMESPACE]).await?;
    let before = manager_of_the_chart(cluster).await?;
    let said = install(cluster, "apply", &[]).await?;
    said.expect_failure(&["selects other pods than ours", "FORCE=1 replaces it"])?;
    // As the existing implementation has them.
    let certificate = ["--from-literal=tls.crt=c", "--from-literal=tls.key=k", "-n", NAMESPACE];
    let secret = ["create", "secret", "generic", "lws-webhook-server-cert"];
    kubectl(cluster, &[&secret[..], &certificate].concat()).await?;
    let service = ["create", "service", "clusterip", "lws-webhook-service", "--tcp=443:9443"];
    kubectl(cluster, &[&service[..], &["-n", NAMESPACE]].concat()).await?;
    let selector = ["set", "selector", "service", "lws-webhook-service"];
    let labels = "control-plane=controller-manager,app.kubernetes.io/name=lws";
    kubectl(cluster, &[&selector[..], &[labels, "-n", NAMESPACE]].concat()).await?;

    let look = install(cluster, "apply", &[("DRY_RUN", "1"), ("FORCE", "1")]).await?;
    let replaced =
        "would be replaced:\ninstall:   apps.v1.Deployment.lws-system.lws-controller-manager";
    look.expect(&[replaced, "would be changed:\n", "would be created:\n"])?;
    ensure!(manager(cluster).await?.uid() == before.uid(), "looking has replaced the manager");
    nothing_is_taken_from_the_manager_too_early(cluster).await?;
    ensure!(manager(cluster).await?.uid() == before.uid(), "half an installation");
    let said = install(cluster, "apply", &[("FORCE", "1")]).await?;
    said.expect(&["install: the webhook is started before its Service leads to it"])?;
    let order = [
        "successfully rolled out",
        "service/lws-webhook-service",
        "deployment.apps \"lws-controller-manager\" deleted",
        "deployment.apps/lws-controller-manager serverside-applied",
    ];
    let order = order.map(|it| said.text.find(it));
    ensure!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}: {}", said.text);
    ensure!(leads_to(cluster).await? == "webhook", "the Service leads elsewhere");
    ensure!(manager(cluster).await?.uid() != before.uid(), "the manager is still the chart's");
    Ok(())
}

/// Where a permission is missing, and while the webhook does not become ready.
async fn nothing_is_taken_from_the_manager_too_early(cluster: &Cluster) -> Result<()> {
    let real = cluster.kubectl_path()?;
    let real = real.to_string_lossy();
    for (call, told) in [
        ("auth can-i delete deployments.apps", "you may not: delete Deployment.apps"),
        ("auth can-i watch deployments.apps", "you may not: watch Deployment.apps"),
        ("rollout status", "the webhook does not become ready"),
    ] {
        let troubled = [("KUBECTL", TIMEOUT), ("REAL_KUBECTL", &real), ("TIMES_OUT", call)];
        let variables = [&troubled[..], &[("FORCE", "1")]].concat();
        install(cluster, "apply", &variables).await?.expect_failure(&[told])?;
        ensure!(
            leads_to(cluster).await? == "controller-manager",
            "{call}: the Service leads elsewhere"
        );
    }
    Ok(())
}

async fn leads_to(cluster: &Cluster) -> Result<String> {
    let path = "jsonpath={.spec.selector.control-plane}";
    kubectl(cluster, &["get", "service", "lws-webhook-service", "-n", NAMESPACE, "-o", path]).await
}

async fn manager(cluster: &Cluster) -> Result<Deployment> {
    Ok(Api::namespaced(cluster.client(), NAMESPACE).get("lws-controller-manager").await?)
}

/// A Deployment as the existing chart has it, applied with kubectl: so nothing of it is in conflict.
async fn manager_of_the_chart(cluster: &Cluster) -> Result<Deployment> {
    let labels = json!({"app.kubernetes.io/name": "lws", "app.kubernetes.io/instance": "lws"});
    let manager = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "lws-controller-manager"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "another", "image": "registry.example/lws:old"}]},
            },
        },
    });
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), NAMESPACE);
    let patch = PatchParams::apply("kubectl");
    Ok(deployments.patch("lws-controller-manager", &patch, &Patch::Apply(manager)).await?)
}

#[tokio::test]
async fn what_cannot_work_is_said_before_anything_is_done() -> Result<()> {
    let cluster = &cluster().await?;
    let nobody = [("KUBECTL", "/nowhere/kubectl")];
    install(cluster, "apply", &nobody).await?.expect_failure(&["there is no /nowhere/kubectl"])?;
    install(cluster, "remove", &[]).await?.expect_failure(&["usage: install apply|delete"])?;
    let said = install(cluster, "apply", &[("DRY_RUN", "true")]).await?;
    said.expect_failure(&["DRY_RUN=true is neither on nor off: give 1 or 0"])?;
    let said = install(cluster, "delete", &[("FORCE", "no")]).await?;
    said.expect_failure(&["FORCE=no is neither on nor off: give 1 or 0"])?;
    let said = install(cluster, "apply", &[("IMAGE", "")]).await?;
    said.expect_failure(&["name the image of both processes"])?;
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/kubectl-1.26");
    let said = install(cluster, "apply", &[("KUBECTL", old)]).await?;
    said.expect_failure(&["Kubernetes 1.26\n", "install: Kubernetes 1.27 or newer is needed"])?;
    let offline = cluster.dir().join("offline");
    let nowhere = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {"token": "t"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    });
    std::fs::write(&offline, nowhere.to_string())?;
    let offline = offline.to_string_lossy().into_owned();
    let said = install(cluster, "apply", &[("KUBECONFIG", &offline)]).await?;
    said.expect_failure(&["the API server does not answer: ", "refused"])?;
    let weak = cluster.service_account_kubeconfig("default", "weak").await?;
    let weak = weak.to_string_lossy().into_owned();
    let said = install(cluster, "apply", &[("KUBECONFIG", &weak)]).await?;
    said.expect_failure(&["you may not: ", "create Deployment.apps", "patch Service"])?;
    Ok(())
}

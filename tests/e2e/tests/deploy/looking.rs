//! What the command that installs and removes concludes from what is there, and from no answer.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1;
use kube::Api;
use lws_e2e::DEADLINE;
use lws_harness::system::NAMESPACE;
use lws_harness::{Cluster, ClusterOptions, wait};
use serde_json::json;

use crate::installing::{DEFINITION, left};
use crate::tools::{TIMEOUT, deploy, install, kubectl};

/// An API server that nobody works with.
async fn quiet() -> Result<Cluster> {
    let options = ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() };
    Ok(Cluster::start(options).await?)
}

/// Defines sets.
async fn define(cluster: &Cluster) -> Result<()> {
    let definition = deploy(&format!("crd/{DEFINITION}.yaml"));
    let apply = ["apply", "--server-side", "-f", &definition.to_string_lossy()];
    kubectl(cluster, &apply).await?;
    Ok(())
}

/// Has a set, once the API server knows what that is.
async fn create_set(cluster: &Cluster) -> Result<()> {
    let sample = deploy("samples/lws.yaml");
    let apply = ["apply", "-f", &sample.to_string_lossy()];
    let create = async || kubectl(cluster, &apply).await.map(Some);
    wait::eventually(DEADLINE, "a set is created", create).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_done_if_the_api_server_does_not_answer() -> Result<()> {
    let cluster = &quiet().await?;
    define(cluster).await?;
    create_set(cluster).await?;
    install(cluster, "apply", &[]).await?.expect(&["install: installed"])?;
    let before = left(cluster).await?;

    let real = cluster.kubectl_path()?;
    let real = real.to_string_lossy();
    let sets = format!("get {DEFINITION} --all-namespaces");
    for (task, call) in [
        ("delete", "get crd"),
        ("delete", sets.as_str()),
        ("delete", "get --filename"),
        ("delete", "get mutatingwebhookconfiguration"),
        ("apply", "get validatingwebhookconfiguration"),
        ("apply", "get namespace"),
        ("apply", "get service"),
        ("apply", "diff"),
    ] {
        for force in ["0", "1"] {
            let troubled = [("KUBECTL", TIMEOUT), ("REAL_KUBECTL", &real), ("TIMES_OUT", call)];
            let variables = [&troubled[..], &[("FORCE", force)]].concat();
            let said = install(cluster, task, &variables).await?;
            said.expect_failure(&["Error from server (Timeout)"])?;
            for done in ["deleted", "deleting", "serverside-applied", "install: installed"] {
                ensure!(!said.text.contains(done), "{task} without {call}: {}", said.text);
            }
        }
    }
    ensure!(left(cluster).await? == before, "something has been deleted");
    let set = ["get", DEFINITION, "leaderworkerset-sample", "-o", "jsonpath={.metadata}"];
    let set = kubectl(cluster, &set).await?;
    ensure!(!set.contains("deletionTimestamp"), "{set}");

    // Once it is certain that there are none, the definition goes too.
    kubectl(cluster, &["delete", DEFINITION, "leaderworkerset-sample"]).await?;
    let said = install(cluster, "delete", &[("DRY_RUN", "1")]).await?;
    said.expect(&[&format!("customresourcedefinition.apiextensions.k8s.io/{DEFINITION}")])
}

#[tokio::test]
async fn a_second_installation_is_refused() -> Result<()> {
    let cluster = &quiet().await?;
    let other = std::fs::read_to_string(deploy("manifests.yaml"))?.replace(NAMESPACE, "lws-other");
    let path = cluster.dir().join("other.yaml");
    std::fs::write(&path, other)?;
    let path = path.to_string_lossy().into_owned();
    install(cluster, "apply", &[("MANIFESTS", &path)]).await?.expect(&["install: installed"])?;

    let parts = ["installed in namespace lws-other", "lws-mutating-webhook-configuration"];
    for task in ["apply", "delete"] {
        for variables in [&[("DRY_RUN", "1")][..], &[], &[("FORCE", "1")]] {
            install(cluster, task, variables).await?.expect_failure(&parts)?;
        }
    }
    let namespaces: Api<v1::Namespace> = Api::all(cluster.client());
    ensure!(namespaces.get_opt(NAMESPACE).await?.is_none(), "half an installation");
    let look = install(cluster, "apply", &[("MANIFESTS", &path), ("DRY_RUN", "1")]).await?;
    look.expect(&["install: nothing would be changed"])
}

#[tokio::test]
async fn a_new_installation_tells_what_it_creates_and_what_it_changes() -> Result<()> {
    let cluster = &quiet().await?;
    define(cluster).await?;
    let role = ["create", "clusterrole", "lws-proxy-role", "--verb=get", "--resource=pods"];
    kubectl(cluster, &role).await?;
    let conflict = ["conflict with \"kubectl-create\"", "FORCE=1"];
    install(cluster, "apply", &[("DRY_RUN", "1")]).await?.expect_failure(&conflict)?;

    let look = install(cluster, "apply", &[("DRY_RUN", "1"), ("FORCE", "1")]).await?;
    let version = "rbac.authorization.k8s.io.v1";
    look.expect(&[
        "would be created:\n",
        &format!("install:   {version}.ClusterRole..lws-manager-role\n"),
        &format!("would be changed:\ninstall:   {version}.ClusterRole..lws-proxy-role\n"),
    ])?;
    let listed = |it: &str| look.text.matches(it).count();
    ensure!(listed(DEFINITION) == 0, "the same definition: {}", look.text);
    ensure!(listed("ClusterRole..lws-proxy-role") == 1, "{}", look.text);
    let manifests = std::fs::read_to_string(deploy("manifests.yaml"))?;
    let objects = crate::tools::objects(&manifests)?.len();
    ensure!(listed("install:   ") == objects - 1, "{objects}: {}", look.text);
    what_is_replaced_and_what_is_missing_is_told(cluster).await
}

/// Nobody makes pods here, so whoever waited for the webhook would wait in vain.
async fn what_is_replaced_and_what_is_missing_is_told(cluster: &Cluster) -> Result<()> {
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "lws-manager-config", "namespace": NAMESPACE},
            "data": {"controller_manager_config.yaml": "clientConnection: {qps: 7}\n"},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "lws-webhook-server-cert", "namespace": NAMESPACE},
            "data": {"tls.crt": "", "tls.key": ""},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "lws-webhook-service", "namespace": NAMESPACE},
            "spec": {
                "ports": [{"port": 443, "protocol": "TCP", "targetPort": 9443}],
                "selector": {"control-plane": "controller-manager"},
            },
        },
    ]});
    let file = cluster.dir().join("existing.json");
    std::fs::write(&file, objects.to_string())?;
    let apply = ["apply", "--server-side", "-f", &file.to_string_lossy()];
    kubectl(cluster, &apply).await?;

    let told = [
        "install: the ConfigMap gets another content",
        "install:   -    clientConnection: {qps: 7}\n",
        "Secret lws-webhook-server-cert holds no certificate",
    ];
    let force = ("FORCE", "1");
    install(cluster, "apply", &[("DRY_RUN", "1"), force]).await?.expect(&told)?;
    let said = install(cluster, "apply", &[force]).await?;
    said.expect(&told)?;
    said.expect(&["install: installed"])?;
    ensure!(!said.text.contains("the webhook is started before"), "{}", said.text);
    // There is nothing to tell of what is as it should be.
    let again = install(cluster, "apply", &[("DRY_RUN", "1")]).await?;
    again.expect(&["install: nothing would be changed"])?;
    ensure!(!again.text.contains("ConfigMap") && !again.text.contains("Secret"), "{}", again.text);
    Ok(())
}

//! The control plane itself: start, accessors, options, end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use lws_harness::processes::{Process, ProcessSpec};
use lws_harness::{Cluster, ClusterOptions, Error};

fn bare() -> ClusterOptions {
    ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() }
}

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn starts_and_leaves_nothing() {
    let cluster =
        Cluster::start(ClusterOptions { nodes: 20, ..ClusterOptions::default() }).await.unwrap();

    let nodes = Api::<Node>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
    assert_eq!(nodes.items.len(), 20);
    let tainted = |node: &&Node| node.spec.as_ref().is_some_and(|spec| spec.taints.is_some());
    assert_eq!(nodes.iter().filter(tainted).count(), 0);

    let version = cluster.kubectl(&["version", "-o", "json"]).await.unwrap();
    assert!(version.status.success(), "{version:?}");
    let expected = format!("\"gitVersion\": \"v{}\"", cluster.kubernetes_version());
    let text = String::from_utf8(version.stdout).unwrap();
    assert_eq!(text.matches(&expected).count(), 2, "client and server: {text}");

    let directory = cluster.dir().to_owned();
    let pids: Vec<u32> = cluster.processes().iter().map(Process::pid).collect();
    assert_eq!(pids.len(), 4);
    cluster.stop().await.unwrap();
    assert!(!directory.exists());
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "{pids:?}");
}

#[tokio::test]
async fn counts_requests_and_lends_service_accounts_their_rights_only() {
    let cluster = Cluster::start(bare()).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    maps.create(&PostParams::default(), &config_map("before")).await.unwrap();
    let mark = cluster.audit().mark().unwrap();
    maps.create(&PostParams::default(), &config_map("after")).await.unwrap();
    maps.list(&ListParams::default()).await.unwrap();

    let kubeconfig = cluster.service_account_kubeconfig("default", "nobody").await.unwrap();
    cluster
        .service_account_kubeconfig("default", "nobody")
        .await
        .expect("the account may be there");
    let output = cluster
        .kubectl(&[
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
            "get",
            "configmaps",
            "-n",
            "default",
        ])
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("system:serviceaccount:default:nobody"),
        "{output:?}"
    );

    let counts: BTreeMap<_, _> = cluster
        .audit()
        .counts_since(mark)
        .unwrap()
        .into_iter()
        .filter(|(key, _)| key.resource == "configmaps" && key.namespace == "default")
        .map(|(key, count)| ((key.user, key.verb), count))
        .collect();
    let expected = [
        (("admin", "create"), 1),
        (("admin", "list"), 1),
        (("system:serviceaccount:default:nobody", "list"), 1),
    ];
    let expected =
        expected.map(|((user, verb), count)| ((user.to_owned(), verb.to_owned()), count));
    assert_eq!(counts, BTreeMap::from(expected));
}

#[tokio::test]
async fn a_kept_directory_carries_the_objects_to_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let options = ClusterOptions { data_dir: Some(directory.path().join("cluster")), ..bare() };
    for start in 0..2 {
        let cluster = Cluster::start(options.clone()).await.unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
        if start == 0 {
            maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();
        }
        assert!(maps.get_opt("kept").await.unwrap().is_some(), "start {start}");
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn accepts_the_stateful_set_gate_both_ways() {
    for on in [true, false] {
        let gates = BTreeMap::from([("MaxUnavailableStatefulSet".to_owned(), on)]);
        let cluster = Cluster::start(ClusterOptions {
            nodes: 1,
            feature_gates: gates,
            ..ClusterOptions::default()
        });
        cluster.await.unwrap().stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_component_that_refuses_its_arguments_is_named() {
    let options = ClusterOptions { api_server_args: vec!["--no-such-flag".to_owned()], ..bare() };
    let error = Cluster::start(options).await.err().expect("the flag is unknown");
    let Error::Exited { name, last_lines, .. } = error else { panic!("{error}") };
    assert_eq!(name, "kube-apiserver");
    assert!(last_lines.contains("unknown flag: --no-such-flag"), "{last_lines}");
}

#[tokio::test]
async fn a_version_that_is_not_built_is_named_with_the_remedy() {
    let options = ClusterOptions { kubernetes_version: "1.2.3".to_owned(), ..bare() };
    let error = Cluster::start(options).await.err().expect("there is no such version").to_string();
    assert!(error.contains("make control-plane KUBERNETES_VERSION=1.2.3"), "{error}");
}

#[tokio::test]
async fn a_process_is_ready_once_its_health_url_answers() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(bare()).await.unwrap();
    // The API server speaks TLS, so plain HTTP gets a 400: an answer, but not the one that means ready.
    let api_server =
        cluster.processes().iter().find(|process| process.name() == "kube-apiserver").unwrap();
    let url = cluster.server_url().replace("https", "http");
    let error = api_server.wait_until_ready(&url, Duration::from_millis(300)).await.unwrap_err();
    assert!(error.to_string().contains("HTTP status 400"), "{error}");

    let spec = ProcessSpec::new("false", Path::new("/bin/false"));
    let ended = Process::start(&spec, directory.path()).await.unwrap();
    let error = ended.wait_until_ready(&url, Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(error, Error::Exited { .. }), "{error}");
}

#[tokio::test]
async fn an_api_server_that_was_killed_goes_on_where_it_was() {
    let mut cluster = Cluster::start(bare()).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    maps.create(&PostParams::default(), &config_map("before")).await.unwrap();
    let pid = cluster.process("kube-apiserver").unwrap().pid();
    cluster.restart_api_server().await.unwrap();
    assert_ne!(cluster.process("kube-apiserver").unwrap().pid(), pid);
    maps.get("before").await.unwrap();
    cluster.process("etcd").unwrap().kill().await.unwrap();
    cluster.start_ended_again().await.unwrap();
    assert!(cluster.process("etcd").unwrap().exit_status().is_none());
    let requests = cluster.audit().since(lws_harness::audit::Mark::START).unwrap();
    let about = requests.iter().filter(|it| it.name == "before" && it.received <= it.answered);
    assert_eq!(about.count(), 2, "one before, one after");
    assert!(matches!(cluster.process("other"), Err(Error::Unknown { .. })));
}

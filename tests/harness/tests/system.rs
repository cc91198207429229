//! The installed system: what is called, with whose rights, and how its processes are handled. Needs the programs
//! `lws-webhook` and `lws-controller` of the same profile.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use lws_harness::audit::Mark;
use lws_harness::system::{System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, Error, wait};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(30);

async fn bare() -> Cluster {
    let options = ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() };
    Cluster::start(options).await.unwrap()
}

fn sets(cluster: &Cluster) -> (Api<DynamicObject>, ApiResource) {
    let kind = GroupVersionKind::gvk("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet");
    let kind = ApiResource::from_gvk(&kind);
    (Api::default_namespaced_with(cluster.client(), &kind), kind)
}

async fn create_set(cluster: &Cluster, name: &str) -> kube::Result<DynamicObject> {
    let (api, kind) = sets(cluster);
    let set = DynamicObject::new(name, &kind).data(json!({
        "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {
            "containers": [{"name": "c", "image": "i"}],
        }}}},
    }));
    api.create(&PostParams::default(), &set).await
}

async fn has_leader_set(cluster: &Cluster, name: &str) {
    let leaders: Api<StatefulSet> = Api::default_namespaced(cluster.client());
    let description = format!("{name} has its leader StatefulSet");
    wait::eventually(DEADLINE, &description, async || leaders.get_opt(name).await).await.unwrap();
}

/// Whether the webhook is called for a pod that belongs to no set: then the pod is refused while the webhook is down.
async fn unlabelled_pods_are_reviewed(select_pods: bool) -> bool {
    let cluster = bare().await;
    let options = SystemOptions { controllers: 0, select_pods, ..SystemOptions::default() };
    let mut system = System::install(&cluster, &options).await.unwrap();
    system.webhook().unwrap().process().kill().await.unwrap();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "plain"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }))
    .unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let refused = pods.create(&PostParams::default(), &pod).await.is_err();
    system.webhook().unwrap().restart().await.unwrap();
    if refused {
        pods.create(&PostParams::default(), &pod).await.expect("the webhook is back");
    }
    refused
}

#[tokio::test]
async fn sets_are_admitted_and_reconciled_with_the_rights_that_are_shipped() {
    let cluster = bare().await;
    let options = SystemOptions { controllers: 2, ..SystemOptions::default() };
    let mut system = System::install(&cluster, &options).await.unwrap();
    assert_eq!(system.controllers().len(), 2);

    let set = create_set(&cluster, "admitted").await.unwrap();
    let policy = set.data.pointer("/spec/leaderWorkerTemplate/restartPolicy");
    assert_eq!(policy, Some(&json!("RecreateGroupOnPodRestart")));
    let error = create_set(&cluster, "0.invalid").await.unwrap_err().to_string();
    assert!(error.contains("vleaderworkerset.kb.io"), "{error}");

    has_leader_set(&cluster, "admitted").await;
    let requests = cluster.audit().since(Mark::START).unwrap();
    let mut leader = requests.iter().filter(|it| it.name == "admitted").map(|it| &it.key);
    let apply = leader.find(|it| it.resource == "statefulsets" && it.verb == "patch").unwrap();
    assert_eq!(apply.user, "system:serviceaccount:lws-system:lws-controller-manager");
}

#[tokio::test]
async fn a_controller_that_was_killed_goes_on_after_its_restart() {
    let cluster = bare().await;
    let options = SystemOptions {
        webhook: false,
        controller_args: vec![
            "--leader-elect-lease-duration=3s".to_owned(),
            "--leader-elect-renew-deadline=2s".to_owned(),
            "--leader-elect-retry-period=500ms".to_owned(),
        ],
        ..SystemOptions::default()
    };
    let mut system = System::install(&cluster, &options).await.unwrap();
    assert!(matches!(system.webhook(), Err(Error::NoWebhook)));
    let [controller] = system.controllers() else { panic!("one controller is wanted") };

    create_set(&cluster, "before").await.unwrap();
    has_leader_set(&cluster, "before").await;
    let killed = controller.process().pid();
    controller.process().kill().await.unwrap();
    create_set(&cluster, "after").await.unwrap();
    controller.restart().await.unwrap();
    assert_ne!(controller.process().pid(), killed);
    has_leader_set(&cluster, "after").await;

    let pid = controller.process().pid();
    drop(system);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the controller outlives the system");
}

#[tokio::test]
async fn pods_of_no_set_are_reviewed_only_when_that_is_asked_for() {
    assert!(!unlabelled_pods_are_reviewed(true).await);
    assert!(unlabelled_pods_are_reviewed(false).await);
}

//! What happens while Prometheus scrapes: sets begin, are updated, fail and are hindered, and recover.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{DeleteParams, Patch, PatchParams};
use lws_api_types::keys::annotations;
use lws_e2e::fixture::IMAGE;
use lws_e2e::namespace::QUOTA;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet};
use lws_harness::{Cluster, wait};
use serde_json::json;
use tokio::time::sleep;

/// Long enough to be seen.
const PAUSE: Duration = Duration::from_secs(15);

const OTHER_IMAGE: &str = "docker.io/nginxinc/nginx-unprivileged:1.28";

/// Plays it; gives the moment at which most is wrong.
pub(super) async fn play(cluster: &Cluster) -> Result<Timestamp> {
    let namespace = Namespace::create(cluster.client(), cluster.audit(), true).await?;
    let create = async |name: &str| {
        let fixture = Fixture::named(name).replicas(4).size(4).max_surge(1);
        namespace.create_set(&fixture).await
    };
    let [chat, code, embed] =
        [create("chat").await?, create("code").await?, create("embed").await?];
    for set in [&chat, &code, &embed] {
        set.expect_conditions("available").await?;
    }
    sleep(PAUSE).await;
    chat.change_workers(OTHER_IMAGE).await?;
    refused(&namespace).await;

    let [short, others] = hindered(cluster).await?;
    keeps_failing(cluster, &embed).await?;
    let moment = Timestamp::now();
    chat.expect_conditions("available").await?;
    sleep(2 * PAUSE).await;

    // Everything is put right.
    short.api::<ResourceQuota>().delete(QUOTA, &DeleteParams::default()).await?;
    for name in ["placed", "broken"] {
        others.sets().delete(name, &DeleteParams::default()).await?;
    }
    code.change_workers(OTHER_IMAGE).await?;
    chat.scale(6).await?;
    code.expect_conditions("available").await?;
    chat.change_workers(IMAGE).await?;
    chat.expect_conditions("available").await?;
    sleep(PAUSE).await;
    Ok(moment)
}

/// A set that the webhook rejects.
async fn refused(namespace: &Namespace) {
    for replicas in 0..8 {
        let fixture = Fixture::named("refused").replicas(replicas).size(0);
        // That it is refused is what it is for.
        drop(namespace.create_set(&fixture).await);
    }
}

/// Sets that a quota, a missing topology and a broken image are in the way of; gives the namespace of the quota, and
/// that of the others.
async fn hindered(cluster: &Cluster) -> Result<[Namespace; 2]> {
    let namespace = Namespace::create(cluster.client(), cluster.audit(), true).await?;
    namespace.allow_pods(6).await?;
    namespace.create_set(&Fixture::named("large").replicas(3).size(4)).await?;
    let other = Namespace::create(cluster.client(), cluster.audit(), true).await?;
    let placed =
        Fixture::named("placed").annotation(annotations::EXCLUSIVE_TOPOLOGY, "example.org/rack");
    other.create_set(&placed).await?;
    let broken = other.create_set(&Fixture::named("broken").replicas(2).size(2)).await?;
    broken.expect_conditions("available").await?;
    let status = json!({"status": {"phase": "Pending", "conditions": [
        {"type": "Ready", "status": "False"},
    ], "containerStatuses": [{
        "name": "worker", "image": "example.org/broken", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull"}},
    }]}});
    let (pods, params) = (other.pods(), PatchParams::default());
    pods.patch_status(&broken.worker(0, 1), &params, &Patch::Strategic(status)).await?;
    Ok([namespace, other])
}

/// A container of one group restarts until the group waits for its recreation.
async fn keeps_failing(cluster: &Cluster, set: &TestSet) -> Result<()> {
    for _ in 0..5 {
        let worker = set.worker(1, 1);
        wait::eventually(DEADLINE, "the container restarts", async || {
            let namespace = set.namespace().name();
            cluster.simulator()?.restart_container(namespace, &worker, "worker").await.map(Some)
        })
        .await?;
        sleep(Duration::from_secs(6)).await;
    }
    Ok(())
}

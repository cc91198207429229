//! What causes no request, or at most one.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use lws_api_types::keys::labels;
use lws_e2e::{Fixture, Namespace};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{create, namespace, settle};

/// For how long nothing must be requested.
const CHURN: Duration = Duration::from_secs(4);

async fn create_pod(
    namespace: &Namespace,
    name: &str,
    pod_labels: &serde_json::Value,
) -> Result<Pod> {
    let pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": pod_labels},
        "spec": {"containers": [{"name": "c", "image": "example.org/c"}]},
    }))?;
    Ok(namespace.pods().create(&PostParams::default(), &pod).await?)
}

#[tokio::test]
async fn a_settled_set_causes_no_request_whatever_else_happens() -> Result<()> {
    let set = settle(Fixture::default().replicas(10).max_surge(2)).await?;
    let partly = settle(Fixture::default().replicas(3).partition(1)).await?;
    set.done(10).await?;
    let mark = set.namespace().silence().await?;
    let partly_mark = partly.namespace().silence().await?;

    let namespace = set.namespace();
    let end = Instant::now() + CHURN;
    for round in 0_u32.. {
        if Instant::now() > end {
            break;
        }
        let name = format!("churn-{round}");
        create_pod(namespace, &name, &json!({"app": "other"})).await?;
        let config_map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespace.api::<ConfigMap>().create(&PostParams::default(), &config_map).await?;
        // What kubelets and others write on objects of the set, and what says nothing new.
        let note = Patch::Merge(json!({"metadata": {"annotations": {"example.org/round": name}}}));
        let params = PatchParams::default();
        namespace.pods().patch(&set.group(0), &params, &note).await?;
        namespace.stateful_sets().patch(&set.group(1), &params, &note).await?;
        namespace.stateful_sets().patch(set.name(), &params, &note).await?;
        namespace.services().patch(set.name(), &params, &note).await?;
        // Events of other sets.
        let other = Fixture::named(&format!("other-{round}")).replicas(0);
        partly.namespace().create_set(&other).await?;
        sleep(Duration::from_millis(200)).await;
    }
    namespace.ensure_silent_since(mark)?;
    let requests = partly.namespace().controller_requests(partly_mark)?;
    let about_it = requests.iter().filter(|it| it.name.starts_with(partly.name()));
    anyhow::ensure!(about_it.count() == 0, "{requests:#?}");
    Ok(())
}

#[tokio::test]
async fn a_change_of_the_set_that_changes_no_object_costs_the_status_only() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    let mark = set.namespace().silence().await?;
    // There is nothing to update, so how it would be updated makes no difference.
    set.update(|it| it.spec.startup_policy = Some(lws_api_types::set::StartupPolicy::LeaderReady))
        .await?;
    set.expect("available p0 r2 (2/2)").await?;
    set.namespace().silence().await?;
    let requests = set.namespace().controller_requests(mark)?;
    let [request] = &requests[..] else { anyhow::bail!("{requests:#?}") };
    anyhow::ensure!(request.key.subresource == "status", "{request:#?}");
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_neither_leader_nor_worker_is_not_retried() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.expect("progressing p0 r2 (0/2)").await?;
    let mark = set.namespace().silence().await?;
    create_pod(set.namespace(), "stray", &json!({labels::NAME: set.name()})).await?;
    lws_e2e::set::stays(async || set.namespace().ensure_silent_since(mark)).await?;
    set.all_ready().await?;
    set.done(2).await
}

#[tokio::test]
async fn a_pod_of_a_set_that_does_not_exist_causes_no_request() -> Result<()> {
    let namespace = namespace().await?;
    let mark = namespace.silence().await?;
    let pod_labels = json!({labels::NAME: "nobody", labels::WORKER_INDEX: "0"});
    create_pod(&namespace, "nobody-0", &pod_labels).await?;
    lws_e2e::set::stays(async || namespace.ensure_silent_since(mark)).await
}

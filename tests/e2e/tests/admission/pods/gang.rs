//! Gang scheduling: a pod names its `PodGroup`.

use std::time::Duration;

use anyhow::Result;
use lws_api_types::keys::{annotations, labels};
use lws_harness::wait;
use serde_json::{Value, json};

use super::*;
use crate::own_webhook::OwnWebhook;
use crate::world::world;

const DEADLINE: Duration = Duration::from_secs(20);

/// C-137.
#[tokio::test]
async fn with_volcano_a_pod_names_its_pod_group() -> Result<()> {
    const NAMESPACE: &str = "c-137";
    // Nothing but its labels says that it belongs to a set.
    let pod = Pod::loose(
        "test-pod-0",
        2,
        &json!({labels::NAME: "test", labels::GROUP_INDEX: "0", labels::REVISION: "1"}),
    );
    let configuration = json!({
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "gangSchedulingManagement": {"schedulerProvider": "volcano"},
    });
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let mut webhook = OwnWebhook::new(world, NAMESPACE, &configuration)?;
    webhook.issue_certificate()?;
    webhook.start().await?;
    webhook.register(world).await?;
    let annotation = format!("/metadata/annotations/{}", escape(annotations::POD_GROUP_NAME));
    let observe = async || {
        let admitted = world.pods(NAMESPACE).try_create(&pod.json).await?.object()?;
        anyhow::Ok(admitted.pointer(&annotation).cloned())
    };
    let named = |found: &Option<Value>| *found == Some(json!("test-0-1"));
    wait::until(DEADLINE, "the pod names its group", observe, named).await?;
    Ok(())
}

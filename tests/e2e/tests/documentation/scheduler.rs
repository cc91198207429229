//! Volcano, played: it places the pods of a `PodGroup` together, once all are there.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use futures::future::{FutureExt as _, LocalBoxFuture};
use k8s_openapi::api::core::v1::{Binding, Pod};
use kube::ResourceExt as _;
use kube::api::PostParams;
use lws_api_types::keys::annotations;
use lws_e2e::Namespace;
use lws_e2e::pod_group::PodGroup;
use serde_json::json;

/// The pods that are Volcano's.
const SCHEDULER: &str = "volcano";

/// Where they are placed: what fits is not what is tested.
const NODE: &str = "node-0";

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Does `work` while the pods of a namespace are placed.
pub(crate) fn beside<'a, T: 'a>(
    namespace: &'a Namespace,
    work: impl Future<Output = Result<T>> + 'a,
) -> LocalBoxFuture<'a, Result<T>> {
    let both = async move {
        tokio::select! {
            done = work => done,
            ended = play(namespace) => ended.map(|never| match never {}),
        }
    };
    both.boxed_local()
}

async fn play(namespace: &Namespace) -> Result<Infallible> {
    loop {
        for group in namespace.all::<PodGroup>().await? {
            place(namespace, &group).await?;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn place(namespace: &Namespace, group: &PodGroup) -> Result<()> {
    let mut pods: Vec<Pod> = namespace.all().await?;
    pods.retain(|pod| {
        let spec = pod.spec.as_ref();
        spec.is_some_and(|it| it.scheduler_name.as_deref() == Some(SCHEDULER))
            && pod.annotations().get(annotations::POD_GROUP_NAME) == Some(&group.name_any())
    });
    if pods.len() < usize::try_from(group.spec.min_member)? {
        return Ok(());
    }
    pods.retain(|pod| pod.spec.as_ref().is_some_and(|it| it.node_name.is_none()));
    for pod in pods {
        let name = pod.name_any();
        let binding: Binding = serde_json::from_value(json!({
            "metadata": {"name": name}, "target": {"kind": "Node", "name": NODE},
        }))?;
        let parameters = PostParams::default();
        let api = namespace.pods();
        let placed =
            api.create_subresource::<_, serde_json::Value>("binding", &name, &parameters, &binding);
        placed.await?;
    }
    Ok(())
}

//! Requests about groups that exist: what is noted on their `StatefulSet`s, and their end.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use lws_api_types::keys::FIELD_MANAGER;
use serde_json::json;

use super::error::Error;
use super::request::{Deleted, Requests, what};
use crate::observe::views::{PodView, StatefulSetView};
use crate::plan::task::Target;
use crate::plan::termination::NodeHealth;

/// The taint by which a node that was shut down is declared dead.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// The taint of a node that has not been heard of.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

impl Requests {
    /// Sets or removes an annotation of this very `StatefulSet`; `None` when it is gone.
    pub(super) async fn annotate(
        &self,
        ns: &str,
        target: &Target,
        key: &str,
        value: Option<&str>,
    ) -> Result<Option<StatefulSetView>, Error> {
        let api = Api::<StatefulSetView>::namespaced(self.client.clone(), ns);
        let body = json!({"metadata": {"uid": target.uid, "annotations": {key: value}}});
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&body);
        let what = what::<StatefulSetView>(ns, &target.name);
        match self.send("patch", &what, api.patch(&target.name, &params, &patch)).await {
            Err(error) if error.is_gone() => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Deletes a worker `StatefulSet` in the foreground: it stays until its workers are gone, so
    /// that its successor does not meet them.
    pub(super) async fn delete_worker_set(
        &self,
        ns: &str,
        target: &Target,
    ) -> Result<Deleted<StatefulSetView>, Error> {
        self.delete(ns, target, DeleteParams::foreground()).await
    }

    /// Deletes a pod without waiting for its node. Finalizers are still waited for.
    pub(super) async fn release_pod(
        &self,
        ns: &str,
        target: &Target,
    ) -> Result<Deleted<PodView>, Error> {
        self.delete(ns, target, DeleteParams::default().grace_period(0)).await
    }

    /// Whether a node ends the pods that it is told to end.
    pub(super) async fn node_health(&self, name: &str) -> Result<NodeHealth, Error> {
        let api = Api::<Node>::all(self.client.clone());
        let node = self.send("get", &format!("nodes {name}"), api.get_opt(name)).await?;
        Ok(node.map_or(NodeHealth::Gone, |node| health(&node)))
    }
}

fn health(node: &Node) -> NodeHealth {
    let taints = || node.spec.iter().filter_map(|spec| spec.taints.as_ref()).flatten();
    let has_taint = |key: &str| taints().any(|taint| taint.key == key);
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let is_ready = conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True");
    if has_taint(OUT_OF_SERVICE) {
        NodeHealth::OutOfService
    } else if is_ready && !has_taint(UNREACHABLE) {
        NodeHealth::Ready
    } else {
        NodeHealth::NotReady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_ends_pods_while_it_is_ready_and_nobody_says_otherwise() {
        for (ready, taint, expected) in [
            ("True", "example.org/other", NodeHealth::Ready),
            ("True", UNREACHABLE, NodeHealth::NotReady),
            ("True", OUT_OF_SERVICE, NodeHealth::OutOfService),
            ("Unknown", "example.org/other", NodeHealth::NotReady),
            ("False", OUT_OF_SERVICE, NodeHealth::OutOfService),
        ] {
            let node: Node = serde_json::from_value(json!({
                "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap();
            assert_eq!(health(&node), expected, "Ready {ready}, taint {taint}");
        }
        assert_eq!(health(&Node::default()), NodeHealth::NotReady);
    }
}

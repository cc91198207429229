//! Nodes of pods that do not answer: their pods say that they run, or are about to end, for nobody
//! says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use futures::future;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use lws_controller::observe::views::PodView;

use crate::cluster::unless_forbidden;
use crate::connection::Connection;
use crate::error::Error;
use crate::pods::{Kind, Obstacle};
use crate::snapshot::Snapshot;

/// What is said of the nodes that do not answer, by name.
pub(crate) type Lost = BTreeMap<String, String>;

impl Connection {
    /// What is said of those of `nodes` that do not answer.
    pub(crate) async fn lost(&self, nodes: &BTreeSet<String>) -> Result<Lost, Error> {
        let api: Api<Node> = Api::all(self.client.clone());
        let found = future::try_join_all(nodes.iter().map(|name| api.get_opt(name))).await?;
        let said =
            |(name, node): (&String, Option<Node>)| Some((name.clone(), silence(node.as_ref())?));
        Ok(nodes.iter().zip(found).filter_map(said).collect())
    }

    /// Adds which nodes of the pods do not answer. Who may not read nodes sees that a node is lost by
    /// what the control plane says of its pods, later.
    pub(crate) async fn look_up_lost<'a>(
        &self,
        snapshots: impl IntoIterator<Item = &'a mut Snapshot>,
    ) -> Result<(), Error> {
        let snapshots: Vec<_> = snapshots.into_iter().collect();
        let nodes = snapshots.iter().flat_map(|it| it.doubtful_nodes()).collect();
        let lost = unless_forbidden(self.lost(&nodes).await, drop)?.unwrap_or_default();
        for snapshot in snapshots {
            snapshot.lost.clone_from(&lost);
        }
        Ok(())
    }
}

impl Snapshot {
    /// The nodes of pods that are started, run and are not ready, or are to end.
    pub(crate) fn doubtful_nodes(&self) -> BTreeSet<String> {
        let is_doubtful = |it: &&PodView| is_doubtful(it, self.obstacle(it).map(|it| it.kind));
        let pods = self.entry.pods.values().map(AsRef::as_ref).filter(is_doubtful);
        pods.filter_map(|it| it.node.clone()).collect()
    }
}

/// Whether the node of a pod may be what is in the way.
fn is_doubtful(pod: &PodView, obstacle: Option<Kind>) -> bool {
    match obstacle {
        None => pod.identity.is_terminating(),
        Some(kind) => matches!(kind, Kind::NodeLost | Kind::NotReady | Kind::Starting),
    }
}

/// What is said of a node, if it does not answer; `None` when it does.
fn silence(node: Option<&Node>) -> Option<String> {
    let Some(node) = node else { return Some("it does not exist".to_owned()) };
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|it| it.type_ == "Ready" && it.status != "True")?;
    let said = [&ready.reason, &ready.message].into_iter().flatten();
    let said: Vec<_> = said.map(String::as_str).filter(|it| !it.is_empty()).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    Some(format!("its condition Ready is {}{colon}{}", ready.status, said.join(": ")))
}

/// What keeps `pod` from being ready, or from ending: the node, if it does not answer and may be what
/// is in the way.
pub(crate) fn explain(lost: &Lost, pod: &PodView, obstacle: Option<Obstacle>) -> Option<Obstacle> {
    let is_doubtful = is_doubtful(pod, obstacle.as_ref().map(|it| it.kind));
    let node = pod.node.as_deref().filter(|_| is_doubtful);
    let Some((node, said)) = node.and_then(|it| lost.get_key_value(it)) else { return obstacle };
    let how = if pod.identity.is_terminating() { "is being deleted" } else { "is" };
    let told = format!("pod {} {how} on node {node}: {said}", pod.identity.name());
    Some(Obstacle { kind: Kind::NodeLost, told })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_objects::Objects;
    use crate::test_server::{self, refusal};

    /// What the server says of the node at a path.
    type Answer = fn(&str) -> (u16, Value);

    fn node(ready: &str) -> Value {
        json!({"metadata": {"name": "node"}, "status": {"conditions": [
            {"type": "MemoryPressure", "status": "Unknown"},
            {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown",
             "message": "Kubelet stopped posting node status."},
        ]}})
    }

    #[tokio::test]
    async fn the_nodes_of_pods_that_are_not_ready_or_are_to_end_are_asked() {
        let mut objects = Objects::ready(4, 2);
        objects.runs("s-1-1");
        objects.waits("s-2-1", "ErrImagePull", "no");
        objects.pod("s-3-1")["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:05:10Z");
        let mut snapshot = objects.snapshot();
        let doubtful = ["node-1", "node-3"].map(str::to_owned);
        assert_eq!(snapshot.doubtful_nodes(), doubtful.into());
        let silence = "its condition Ready is Unknown: NodeStatusUnknown: Kubelet stopped posting node status.";
        let cases: [(Answer, &[(&str, &str)]); 4] = [
            (|_| (200, node("True")), &[]),
            (|_| refusal(403, "Forbidden", "no"), &[]),
            (
                |_| refusal(404, "NotFound", "no"),
                &[("node-1", "it does not exist"), ("node-3", "it does not exist")],
            ),
            (
                |it| (200, node(if it.ends_with("node-3") { "Unknown" } else { "True" })),
                &[("node-3", silence)],
            ),
        ];
        for (answer, expected) in cases {
            let connection = test_server::connection(move |_, path| answer(path));
            connection.look_up_lost([&mut snapshot]).await.unwrap();
            let lost: Vec<_> =
                snapshot.lost.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(lost, expected);
        }
        let told = |pod: &str| snapshot.obstacle(&snapshot.entry.pods[pod]).map(|it| it.told);
        let expected = format!("pod s-3-1 is being deleted on node node-3: {silence}");
        assert_eq!(told("s-3-1"), Some(expected));
        assert_eq!(told("s-3"), None, "it is ready");
    }

    #[test]
    fn a_node_that_says_nothing_of_being_ready_is_not_lost() {
        assert_eq!(silence(Some(&Node::default())), None);
    }
}

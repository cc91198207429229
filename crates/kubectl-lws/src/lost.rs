//! Nodes of pods that do not answer: their pods say that they run, for nobody says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use futures::future;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use lws_controller::observe::views::PodView;

use super::installation::permitted;
use crate::connection::Connection;
use crate::error::Error;
use crate::pods::{Kind, Obstacle};
use crate::snapshot::Snapshot;

/// What is said of the nodes that do not answer, by name.
pub(super) type Lost = BTreeMap<String, String>;

/// Looks at the nodes of pods that are not ready; what may not be read goes to `unchecked`.
pub(super) async fn look(
    connection: &Connection,
    snapshot: &Snapshot,
    unchecked: &mut Vec<String>,
) -> Result<Lost, Error> {
    let names = of_unready(snapshot);
    let api: Api<Node> = Api::all(connection.client.clone());
    let nodes = future::try_join_all(names.iter().map(|name| api.get_opt(name))).await;
    let what = "whether the nodes of pods that are not ready answer";
    let nodes = permitted(nodes.map_err(Error::from), what, unchecked)?.unwrap_or_default();
    let said =
        |(name, node): (&str, Option<Node>)| Some((name.to_owned(), silence(node.as_ref())?));
    Ok(names.into_iter().zip(nodes).filter_map(said).collect())
}

/// The nodes of pods that are started, or run and are not ready.
pub(super) fn of_unready(snapshot: &Snapshot) -> BTreeSet<&str> {
    let pods = snapshot.entry.pods.values();
    let unready = pods.filter(|it| snapshot.obstacle(it).is_some_and(|it| is_doubtful(it.kind)));
    unready.filter_map(|it| it.node.as_deref()).collect()
}

/// Whether the node may be what is in the way.
fn is_doubtful(kind: Kind) -> bool {
    matches!(kind, Kind::NodeLost | Kind::NotReady | Kind::Starting)
}

/// What is said of a node, if it does not answer; `None` when it does.
pub(super) fn silence(node: Option<&Node>) -> Option<String> {
    let Some(node) = node else { return Some("it does not exist".to_owned()) };
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|it| it.type_ == "Ready" && it.status != "True")?;
    let said = [&ready.reason, &ready.message].into_iter().flatten();
    let said: Vec<_> = said.map(String::as_str).filter(|it| !it.is_empty()).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    Some(format!("its condition Ready is {}{colon}{}", ready.status, said.join(": ")))
}

/// What keeps `pod` from being ready: the node, if it does not answer and may be what is in the way.
pub(super) fn explain(lost: &Lost, pod: &PodView, obstacle: Obstacle) -> Obstacle {
    let node = pod.node.as_deref().filter(|_| is_doubtful(obstacle.kind));
    let Some((node, said)) = node.and_then(|it| lost.get_key_value(it)) else { return obstacle };
    let told = format!("pod {} is on node {node}: {said}", pod.identity.name());
    Obstacle { kind: Kind::NodeLost, told }
}

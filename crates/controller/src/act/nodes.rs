//! Reading of nodes.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::{Api, ListParams};
use lws_api_types::LeaderWorkerSet;
use lws_api_types::validation::formats;

use super::error::Error;
use super::request::Requests;
use super::{Actor, Failed, REQUESTS_IN_FLIGHT, Unsaid};
use crate::observe::nodes::{KnownNodes, Node, NodeHealth};
use crate::plan::task::EventDraft;

/// The taint by which a node that was shut down is declared dead.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// The taint of a node that has not been heard of.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

impl Actor {
    /// Reads nodes that `set` needs into `known`, several at once; gives the failures, each of
    /// which is told as well.
    pub async fn read_nodes(
        &self,
        set: &LeaderWorkerSet,
        nodes: BTreeMap<String, EventDraft>,
        known: &KnownNodes,
    ) -> Vec<Failed> {
        let outcomes = futures::stream::iter(nodes)
            .map(|(name, failed)| async move {
                match self.requests.node(&name).await {
                    Ok(node) => {
                        known.read(name, node);
                        None
                    }
                    Err(error) => Some(Unsaid { error, event: Some(failed) }),
                }
            })
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        let failed: Vec<_> = outcomes.filter_map(|failed| async { failed }).collect().await;
        self.warn(set, failed)
    }

    /// Reads whether any node carries each of these labels. Without the permission to list nodes
    /// nobody is told that none does.
    pub async fn read_topologies(&self, labels: BTreeSet<String>, known: &KnownNodes) {
        for label in labels {
            let outcome = self.requests.is_carried(&label).await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, label, "cannot tell whether any node carries this label");
            }
            known.read_topology(label, outcome.ok());
        }
    }
}

/// Whether any node carries `label`.
///
/// # Errors
/// When the API server does not say.
pub async fn is_carried(client: &Client, label: &str) -> kube::Result<bool> {
    // As a selector it would mean something else, or nothing.
    if !formats::label_key(label).is_empty() {
        return Ok(false);
    }
    let params = ListParams::default().labels(label).limit(1);
    let nodes = Api::<core::Node>::all(client.clone()).list_metadata(&params).await?;
    Ok(!nodes.items.is_empty())
}

impl Requests {
    async fn is_carried(&self, label: &str) -> Result<bool, Error> {
        let what = format!("nodes with label {label}");
        self.send("list", &what, is_carried(&self.client, label)).await
    }

    async fn node(&self, name: &str) -> Result<Node, Error> {
        let api = Api::<core::Node>::all(self.client.clone());
        let found = self.send("get", &format!("nodes {name}"), api.get_opt(name)).await?;
        let health = found.as_ref().map_or(NodeHealth::Gone, health);
        let labels = found.and_then(|it| it.metadata.labels).unwrap_or_default();
        Ok(Node { labels, health })
    }
}

fn health(node: &core::Node) -> NodeHealth {
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
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use kube::client::Body;
    use lws_runtime::metrics::Registry;
    use serde_json::json;
    use tokio::sync::watch;
    use tokio::time::{Instant, sleep};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::act::{Limiter, Recorder};
    use crate::lease::Leadership;
    use crate::metrics::Metrics;
    use crate::observe::index::Index;
    use crate::plan::task::Plan;

    /// An actor whose API server takes `delay` for each node, and the names it was asked for.
    fn actor(delay: Duration) -> (Actor, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
            seen.lock().unwrap().push(name.clone());
            async move {
                sleep(delay).await;
                let node = json!({"metadata": {"name": name, "labels": {"zone": "a"}}});
                Ok::<_, Infallible>(http::Response::new(Body::from(node.to_string().into_bytes())))
            }
        });
        let client = Client::new(service, "default");
        let (_, leadership) = watch::channel(Leadership::Unopposed);
        let limiter = Arc::new(Limiter::new(1000.0, 1000));
        let stop = CancellationToken::new();
        let requests = Requests::new(client.clone(), leadership.clone(), limiter.clone(), stop);
        let (recorder, _) = Recorder::new(client, limiter, leadership, "host");
        let metrics = Metrics::register(&Registry::new(), 0).unwrap();
        (Actor::new(requests, recorder, Arc::new(Index::default()), metrics), asked)
    }

    /// Reads a hundred nodes until each has been known once; gives how long that took.
    async fn read_all(actor: &Actor) -> Duration {
        let (known, begun) = (KnownNodes::default(), Instant::now());
        let mut wanted: Vec<_> = (0..100).map(|it| format!("n{it}")).collect();
        for _ in 0..8 {
            let fresh = known.fresh();
            // Whose node is known is placed, and asks no more.
            wanted.retain(|name| !fresh.contains_key(name));
            if wanted.is_empty() {
                return begun.elapsed();
            }
            let mut plan = Plan::default();
            for name in &wanted {
                plan.needs_node(name, "FailedCreate", "Create");
            }
            let failed =
                actor.read_nodes(&LeaderWorkerSet::default(), plan.unknown_nodes, &known).await;
            assert!(failed.is_empty(), "{failed:?}");
        }
        panic!("{} are still unknown", wanted.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_nodes_are_read_once_each_and_several_at_once() {
        let (actor, asked) = actor(Duration::from_millis(200));
        assert!(read_all(&actor).await < Duration::from_secs(1));
        let asked = asked.lock().unwrap();
        let names: std::collections::BTreeSet<_> = asked.iter().collect();
        assert_eq!((asked.len(), names.len()), (100, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_are_read_more_slowly_than_they_age_come_to_an_end() {
        let (actor, asked) = actor(Duration::from_secs(6));
        assert!(read_all(&actor).await < Duration::from_mins(1));
        assert!(asked.lock().unwrap().len() < 200, "few are read twice");
    }

    #[test]
    fn a_node_ends_pods_while_it_is_ready_and_nobody_says_otherwise() {
        for (ready, taint, expected) in [
            ("True", "example.org/other", NodeHealth::Ready),
            ("True", UNREACHABLE, NodeHealth::NotReady),
            ("True", OUT_OF_SERVICE, NodeHealth::OutOfService),
            ("Unknown", "example.org/other", NodeHealth::NotReady),
            ("False", OUT_OF_SERVICE, NodeHealth::OutOfService),
        ] {
            let node: core::Node = serde_json::from_value(json!({
                "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap();
            assert_eq!(health(&node), expected, "Ready {ready}, taint {taint}");
        }
        assert_eq!(health(&core::Node::default()), NodeHealth::NotReady);
    }
}

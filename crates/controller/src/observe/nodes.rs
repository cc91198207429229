//! Nodes that have been read lately. There is no watch on them: only exclusively placed groups need
//! their labels, and only pods that do not end their health.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long what was read of a node is believed.
const FRESH: Duration = Duration::from_secs(10);

/// For how long it is believed that nodes carry a label, or do not.
const FRESH_LABEL: Duration = Duration::from_secs(30);

/// Labels, and whether any node carries each; `None` where that cannot be read.
pub type Topologies = BTreeMap<String, Option<bool>>;

/// Nodes by name.
pub type Nodes = BTreeMap<String, Node>;

/// A node as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it ends the pods that it is told to end.
    pub health: NodeHealth,
}

/// Whether a node ends the pods that it is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeHealth {
    /// It is ready.
    Ready,
    /// It is not, or has not been heard of.
    NotReady,
    /// Somebody has declared it dead.
    OutOfService,
    /// There is no such node.
    Gone,
}

impl NodeHealth {
    /// Why it ends no pods; `None` when it does.
    pub(crate) fn fault(self) -> Option<&'static str> {
        match self {
            Self::Ready => None,
            Self::NotReady => Some("is not ready"),
            Self::OutOfService => Some("is out of service"),
            Self::Gone => Some("does not exist any more"),
        }
    }
}

/// Nodes that have been read lately, each for as long as it is fresh.
#[derive(Debug, Default)]
pub struct KnownNodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    nodes: Arc<Nodes>,
    /// When each was read, the earliest first.
    read: VecDeque<(Instant, String)>,
    /// Labels, when each was read, and whether any node carries it.
    topologies: BTreeMap<String, (Instant, Option<bool>)>,
}

impl KnownNodes {
    /// Takes note of a node that was just read.
    pub fn read(&self, name: String, node: Node) {
        self.with(|known| {
            known.read.push_back((Instant::now(), name.clone()));
            Arc::make_mut(&mut known.nodes).insert(name, node);
        });
    }

    /// Those that are fresh.
    #[must_use]
    pub fn fresh(&self) -> Arc<Nodes> {
        self.with(|known| {
            while let Some((_, name)) = known.read.pop_front_if(|(at, _)| at.elapsed() > FRESH) {
                Arc::make_mut(&mut known.nodes).remove(&name);
            }
            known.nodes.clone()
        })
    }

    /// Takes note whether any node carries a label.
    pub fn read_topology(&self, label: String, is_carried: Option<bool>) {
        self.with(|known| known.topologies.insert(label, (Instant::now(), is_carried)));
    }

    /// The labels of which that is fresh.
    #[must_use]
    pub fn topologies(&self) -> Topologies {
        self.with(|known| {
            known.topologies.retain(|_, (at, _)| at.elapsed() <= FRESH_LABEL);
            known.topologies.iter().map(|(label, (_, it))| (label.clone(), *it)).collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_label_is_believed_for_a_time() {
        let known = KnownNodes::default();
        known.read_topology("rack".to_owned(), Some(false));
        tokio::time::advance(FRESH_LABEL).await;
        assert_eq!(known.topologies(), [("rack".to_owned(), Some(false))].into());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(known.topologies(), Topologies::new());
    }

    #[tokio::test(start_paused = true)]
    async fn each_node_is_believed_for_a_time_of_its_own() {
        let node = Node { labels: BTreeMap::new(), health: NodeHealth::Ready };
        let known = KnownNodes::default();
        let fresh = || known.fresh().keys().cloned().collect::<Vec<_>>();
        known.read("a".to_owned(), node.clone());
        tokio::time::advance(FRESH).await;
        known.read("b".to_owned(), node);
        assert_eq!(fresh(), ["a", "b"]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(fresh(), ["b"]);
        tokio::time::advance(FRESH).await;
        assert_eq!(fresh(), [""; 0]);
    }
}

//! Everything that happens to the objects of one kind, by watch: states that last for milliseconds are seen too.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::Namespace;

/// Something that happened to an object.
#[derive(Debug, Clone)]
pub enum Change<K> {
    /// It is like this now.
    Now(K),
    /// It is gone; this is how it was last.
    Gone(K),
}

/// A recording of what happens to all objects of one kind in a namespace.
pub struct Recording<K> {
    before: usize,
    changes: Arc<Mutex<Vec<Change<K>>>>,
    task: JoinHandle<kube::Result<()>>,
}

impl<K> Recording<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    /// Begins with the objects that are there now.
    pub async fn start(namespace: &Namespace) -> Result<Self> {
        let api: Api<K> = namespace.api();
        let list = api.list(&ListParams::default()).await?;
        let version = list.metadata.resource_version.unwrap_or_default();
        let changes: Vec<_> = list.items.into_iter().map(Change::Now).collect();
        let before = changes.len();
        let changes = Arc::new(Mutex::new(changes));
        let task = tokio::spawn(record(api, version, Arc::clone(&changes)));
        Ok(Self { before, changes, task })
    }

    /// How many of the first changes are the objects that were there when it began.
    #[must_use]
    pub fn before(&self) -> usize {
        self.before
    }

    /// What has happened so far, in this order. Fails when something may be missing.
    pub fn so_far(&self) -> Result<Vec<Change<K>>> {
        anyhow::ensure!(!self.task.is_finished(), "the watch ended");
        Ok(self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl<K> Drop for Recording<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record<K>(
    api: Api<K>,
    version: String,
    changes: Arc<Mutex<Vec<Change<K>>>>,
) -> kube::Result<()>
where
    K: Clone + Debug + DeserializeOwned,
{
    // Longer than any test.
    let params = WatchParams::default().timeout(290);
    let mut events = api.watch(&params, &version).await?.boxed();
    while let Some(event) = events.next().await {
        let change = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => Change::Now(object),
            WatchEvent::Deleted(object) => Change::Gone(object),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        };
        changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
    Ok(())
}

//! Waiting until all objects of a kind are as they shall be, by watch: it takes no longer than it takes.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, pin_mut};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// The longest that anything may take: 10 000 pods are updated a tenth at a time, on any machine.
const DEADLINE: Duration = Duration::from_mins(30);

/// Waits until there are `count` objects, all of which are `done`.
pub(super) async fn all_done<K>(api: Api<K>, count: usize, done: impl Fn(&K) -> bool) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = api.resource_url().to_owned();
    let mut seen = HashMap::new();
    let wait = async {
        let events = watcher(api, watcher::Config::default());
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event? {
                Event::Apply(object) | Event::InitApply(object) => {
                    seen.insert(object.name_any(), done(&object));
                }
                Event::Delete(object) => _ = seen.remove(&object.name_any()),
                Event::Init | Event::InitDone => {}
            }
            if seen.len() == count && seen.values().all(|done| *done) {
                return Ok(());
            }
        }
        bail!("the watch ended")
    };
    if let Ok(outcome) = timeout(DEADLINE, wait).await {
        return outcome.with_context(|| format!("watching {kind}"));
    }
    let ready = seen.values().filter(|done| **done).count();
    bail!("{ready} of {count} of {kind} were done after {DEADLINE:?}")
}

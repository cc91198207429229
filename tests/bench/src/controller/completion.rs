//! Waiting until all objects of a kind are as they shall be, by watch: it takes no longer than it takes.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use futures::{StreamExt as _, pin_mut};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// The longest that anything may take: 10 000 pods are updated a tenth at a time, on any machine.
pub(super) const DEADLINE: Duration = Duration::from_mins(30);

/// What a watch has shown of objects of one kind: how each stands, by name.
#[derive(Debug)]
pub(super) struct Seen<T> {
    standing: HashMap<String, T>,
    /// A watch that begins anew lists all objects: what is missing is gone only once that has ended.
    is_complete: bool,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { standing: HashMap::new(), is_complete: false }
    }
}

impl<T> Seen<T> {
    /// Takes in what the watch has shown, and gives the name of the object that is concerned; `None` when all are.
    pub(super) fn apply<K: Resource>(
        &mut self,
        event: Event<K>,
        standing: impl Fn(&K) -> T,
    ) -> Option<String> {
        match event {
            Event::Init => *self = Self::default(),
            Event::InitDone => self.is_complete = true,
            Event::Apply(object) | Event::InitApply(object) => {
                let name = object.name_any();
                self.standing.insert(name.clone(), standing(&object));
                return Some(name);
            }
            Event::Delete(object) => {
                let name = object.name_any();
                self.standing.remove(&name);
                return Some(name);
            }
        }
        None
    }

    /// Whether all objects were shown.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How the object of this name stands; `None` when there is none.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.standing.get(name)
    }
}

/// Waits until there are `count` objects, all of which are `done`.
pub(super) async fn all_done<K>(api: Api<K>, count: usize, done: impl Fn(&K) -> bool) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = api.resource_url().to_owned();
    let (mut seen, mut trouble) = (Seen::default(), None);
    let wait = async {
        let events = watcher(api, watcher::Config::default()).default_backoff();
        pin_mut!(events);
        while !are_all_done(&seen, count) {
            match events.next().await.context("the watch ended")? {
                Ok(event) => _ = seen.apply(event, &done),
                Err(error) => trouble = Some(error),
            }
        }
        Ok::<_, Error>(())
    };
    if let Ok(outcome) = timeout(DEADLINE, wait).await {
        return outcome.with_context(|| format!("watching {kind}"));
    }
    let ready = seen.standing.values().filter(|done| **done).count();
    Err(late(&format!("{ready} of {count} of {kind} were done"), trouble))
}

fn are_all_done(seen: &Seen<bool>, count: usize) -> bool {
    let standing = &seen.standing;
    seen.is_complete && standing.len() == count && standing.values().all(|done| *done)
}

/// The error that only so much was done when the time was over. A watch goes on after an error of its own: the last one is
/// told, for it may be the cause.
pub(super) fn late(done: &str, trouble: Option<watcher::Error>) -> Error {
    let text = format!("{done} after {DEADLINE:?}");
    match trouble {
        Some(error) => Error::new(error).context(text),
        None => anyhow!(text),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::ObjectMeta;

    use super::*;

    fn pod(name: &str) -> Pod {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        Pod { metadata, ..Pod::default() }
    }

    #[test]
    fn all_are_done_once_all_were_shown() {
        let mut seen = Seen::default();
        let mut then = |event: Event<Pod>, done: bool| {
            let concerned = seen.apply(event, |_| done);
            (concerned, are_all_done(&seen, 2))
        };
        let a = Some("a".to_owned());
        assert_eq!(then(Event::Init, true), (None, false));
        assert_eq!(then(Event::InitApply(pod("a")), true), (a.clone(), false));
        assert_eq!(then(Event::InitApply(pod("b")), true), (Some("b".to_owned()), false));
        assert_eq!(then(Event::InitDone, true), (None, true));
        assert_eq!(then(Event::Apply(pod("a")), false), (a.clone(), false));
        assert_eq!(then(Event::Apply(pod("a")), true), (a.clone(), true));
        assert_eq!(then(Event::Delete(pod("a")), true), (a, false));
    }

    #[test]
    fn a_watch_that_begins_anew_forgets_what_is_gone() {
        let mut seen = Seen::default();
        for event in [
            Event::Init,
            Event::InitApply(pod("a")),
            Event::InitDone,
            Event::Init,
            Event::InitApply(pod("b")),
        ] {
            seen.apply(event, |_| true);
        }
        assert!(!are_all_done(&seen, 1));
        seen.apply(Event::<Pod>::InitDone, |_| true);
        assert!(are_all_done(&seen, 1));
        assert_eq!((seen.get("a"), seen.get("b")), (None, Some(&true)));
    }

    #[test]
    fn what_is_late_tells_the_trouble() {
        assert_eq!(late("1 of 2", None).to_string(), "1 of 2 after 1800s");
        let error = late("1 of 2", Some(watcher::Error::NoResourceVersion));
        assert_eq!(error.chain().count(), 2, "{error:#}");
    }
}

//! Watches that run through the proxy: they can be cut, and their events held back for a while.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::Stream;
use http_body_util::BodyExt as _;
use kube::client::Body;
use tokio::sync::{mpsc, watch};

/// Handle on all watches of one proxy.
#[derive(Debug, Clone)]
pub(super) struct Watches(watch::Sender<State>);

#[derive(Debug, Default, Clone)]
struct State {
    /// How often watches were cut; those of a resource, or (empty) all.
    cuts: BTreeMap<String, u64>,
    /// By how many the events of a resource are held back.
    held: BTreeMap<String, usize>,
}

impl State {
    fn cuts(&self, resource: &str) -> u64 {
        [resource, ""].iter().filter_map(|it| self.cuts.get(*it)).sum()
    }

    fn is_held(&self, resource: &str) -> bool {
        self.held.get(resource).is_some_and(|holders| *holders > 0)
    }
}

/// Events of one resource that are held back until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it lets the events pass"]
pub struct Held {
    watches: Watches,
    resource: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watches.0.send_modify(|state| {
            if let Some(holders) = state.held.get_mut(&self.resource) {
                *holders = holders.saturating_sub(1);
            }
        });
    }
}

impl Watches {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    pub(super) fn cut(&self, resource: &str) {
        self.0.send_modify(|state| *state.cuts.entry(resource.to_owned()).or_default() += 1);
    }

    pub(super) fn hold(&self, resource: &str) -> Held {
        self.0.send_modify(|state| *state.held.entry(resource.to_owned()).or_default() += 1);
        Held { watches: self.clone(), resource: resource.to_owned() }
    }

    /// The events of a watch as the client shall see them. The stream ends when the server ends it, and fails when
    /// it is cut.
    pub(super) fn guard(
        &self,
        resource: &str,
        body: Body,
    ) -> impl Stream<Item = Result<Bytes, Cut>> + Send + use<> {
        let state = self.0.subscribe();
        let cuts = state.borrow().cuts(resource);
        // Read on while events are held back: the server drops watchers that are slow.
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(read(body, sender));
        let guard = Guard { resource: resource.to_owned(), events, state, cuts };
        futures::stream::unfold(Some(guard), |guard| async {
            let mut guard = guard?;
            let event = guard.next().await?;
            let goes_on = event.is_ok();
            Some((event, goes_on.then_some(guard)))
        })
    }
}

/// One watch.
struct Guard {
    resource: String,
    events: mpsc::UnboundedReceiver<Bytes>,
    state: watch::Receiver<State>,
    /// How often watches had been cut when this one began.
    cuts: u64,
}

impl Guard {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        let Self { resource, events, state, cuts } = self;
        let mut cut = state.clone();
        let passed = async {
            let event = events.recv().await?;
            // Fails when the proxy is gone, and the connection with it.
            state.wait_for(|it| !it.is_held(resource)).await.ok()?;
            Some(Ok(event))
        };
        tokio::select! {
            biased;
            _ = cut.wait_for(|it| it.cuts(resource) > *cuts) => Some(Err(Cut)),
            event = passed => event,
        }
    }
}

/// A watch was cut.
#[derive(Debug, thiserror::Error)]
#[error("the watch was cut")]
pub(super) struct Cut;

/// Reads a body until it ends or nobody listens any more.
async fn read(mut body: Body, sender: mpsc::UnboundedSender<Bytes>) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = sender.closed() => return,
        };
        let Some(Ok(frame)) = frame else { return };
        if let Ok(data) = frame.into_data()
            && sender.send(data).is_err()
        {
            return;
        }
    }
}

//! A lease server in memory, and stores that reach it over a bad network.

use std::sync::{Arc, Mutex};

use tokio::time::sleep;

use super::*;

pub(super) const NAME: &str = "the-lease";

/// The lease as the API server keeps it.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    requests: usize,
    last_write: Option<Instant>,
}

#[derive(Debug)]
enum Operation {
    Get,
    Create(Lease),
    Replace(Lease),
}

impl Server {
    pub(super) fn record(&self) -> Option<LeaseSpec> {
        self.state.lock().unwrap().lease.as_ref().and_then(|lease| lease.spec.clone())
    }

    /// Requests that have reached the server.
    pub(super) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    pub(super) fn last_write(&self) -> Instant {
        self.state.lock().unwrap().last_write.unwrap()
    }

    /// A change by someone who takes no part in the election.
    pub(super) fn edit(&self, change: impl FnOnce(&mut Option<Lease>)) {
        let state = &mut *self.state.lock().unwrap();
        change(&mut state.lease);
        state.version += 1;
        if let Some(lease) = &mut state.lease {
            lease.metadata.resource_version = Some(state.version.to_string());
        }
    }

    fn apply(&self, operation: Operation) -> kube::Result<Option<Lease>> {
        let state = &mut *self.state.lock().unwrap();
        state.requests += 1;
        let stored = state.lease.as_ref();
        let version = stored.and_then(|lease| lease.metadata.resource_version.as_ref());
        let mut lease = match operation {
            Operation::Get => return Ok(stored.cloned()),
            Operation::Create(_) if stored.is_some() => return Err(failure(409)),
            Operation::Replace(_) if stored.is_none() => return Err(failure(404)),
            Operation::Replace(lease) if lease.metadata.resource_version.as_ref() != version => {
                return Err(failure(409));
            }
            Operation::Create(lease) | Operation::Replace(lease) => lease,
        };
        // What the API server keeps has the precision of its text form.
        lease = serde_json::from_value(serde_json::to_value(lease).unwrap()).unwrap();
        lease.metadata.resource_version = stored.and(version.cloned());
        // A write that changes nothing is none.
        if stored != Some(&lease) {
            state.version += 1;
            lease.metadata.resource_version = Some(state.version.to_string());
            state.last_write = Some(Instant::now());
            state.lease = Some(lease);
        }
        Ok(state.lease.clone())
    }
}

fn failure(code: u16) -> kube::Error {
    let status = kube::core::Status { code, ..kube::core::Status::default() };
    kube::Error::Api(Box::new(status))
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    /// How long it travels to the server; `None`: it never arrives.
    pub(super) request: Option<Duration>,
    /// Whether the server fails before it has done anything.
    pub(super) refused: bool,
    /// How long the answer travels back; `None`: it never arrives.
    pub(super) answer: Option<Duration>,
}

impl Fate {
    pub(super) const PERFECT: Self =
        Self { request: Some(Duration::ZERO), refused: false, answer: Some(Duration::ZERO) };
    pub(super) const LOST: Self = Self { request: None, ..Self::PERFECT };
    pub(super) const LOST_ANSWER: Self = Self { answer: None, ..Self::PERFECT };
    pub(super) const REFUSED: Self = Self { refused: true, ..Self::PERFECT };
}

/// One candidate's way to the server: the n-th request has the n-th fate, those after the last have
/// the last.
#[derive(Debug)]
pub(super) struct FakeStore {
    server: Server,
    fates: Vec<Fate>,
    used: AtomicUsize,
    network: Network,
}

/// What all requests and answers of one candidate travel over.
#[derive(Clone, Debug, Default)]
pub(super) struct Network(Arc<Mutex<Option<Instant>>>);

impl Network {
    /// Loses everything for so long.
    pub(super) fn cut(&self, length: Duration) {
        *self.0.lock().unwrap() = Some(Instant::now() + length);
    }

    fn is_cut(&self) -> bool {
        self.0.lock().unwrap().is_some_and(|until| Instant::now() < until)
    }
}

impl FakeStore {
    pub(super) fn perfect(server: &Server) -> Self {
        Self::new(server, vec![Fate::PERFECT])
    }

    pub(super) fn new(server: &Server, fates: Vec<Fate>) -> Self {
        let network = Network::default();
        Self { server: server.clone(), fates, used: AtomicUsize::new(0), network }
    }

    /// The same over this network.
    pub(super) fn over(self, network: &Network) -> Self {
        Self { network: network.clone(), ..self }
    }

    /// Request number `index` (from 0) has this fate, all others are perfect.
    pub(super) fn with_fate(self, index: usize, fate: Fate) -> Self {
        let mut store = self.with_fates_from(index, fate);
        store.fates.push(Fate::PERFECT);
        store
    }

    /// Requests from number `index` (from 0) have this fate, those before are perfect.
    pub(super) fn with_fates_from(mut self, index: usize, fate: Fate) -> Self {
        self.fates = vec![Fate::PERFECT; index];
        self.fates.push(fate);
        self
    }

    /// The server goes on with a request even if the caller has given up.
    async fn send(&self, operation: Operation) -> kube::Result<Option<Lease>> {
        let index = self.used.fetch_add(1, Ordering::SeqCst).min(self.fates.len() - 1);
        let fate = self.fates[index];
        let (server, network) = (self.server.clone(), self.network.clone());
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let Some(delay) = fate.request else { return pending().await };
            if network.is_cut() {
                return pending().await;
            }
            sleep(delay).await;
            let result = if fate.refused { Err(failure(500)) } else { server.apply(operation) };
            let Some(delay) = fate.answer else { return pending().await };
            sleep(delay).await;
            if network.is_cut() {
                return pending().await;
            }
            // The caller may have given up.
            drop(answer.send(result));
        });
        answered.await.unwrap()
    }
}

impl LeaseStore for FakeStore {
    async fn get(&self, name: &str) -> kube::Result<Option<Lease>> {
        assert_eq!(name, NAME);
        self.send(Operation::Get).await
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        assert_eq!(lease.metadata.name.as_deref(), Some(NAME));
        self.send(Operation::Create(lease.clone())).await.map(Option::unwrap)
    }

    async fn replace(&self, name: &str, lease: &Lease) -> kube::Result<Lease> {
        assert_eq!(name, NAME);
        self.send(Operation::Replace(lease.clone())).await.map(Option::unwrap)
    }
}

//! The loop that watches nodes and pods, lets time pass for them, and sends what the kubelets have to say.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::nodes::{Beat, NodeView};
use super::pod::{Delays, Pod, PodObject, Stage};
use super::status;

/// Requests about pods at a time: a hundred kubelets would send more, on more than two cores.
const CONCURRENCY: usize = 64;

/// The pause after a request that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The first address of pods, 10.128.0.0/9: not among the service addresses, 10.96.0.0/12.
const FIRST_IP: u32 = 0x0A80_0000;
/// How many addresses there are.
const IPS: u32 = 1 << 23;

/// What the owner of the simulation wants.
#[derive(Debug)]
pub(super) enum Command {
    ReadyDelay(Duration),
    TerminationDelay(Duration),
    Restart {
        namespace: String,
        pod: String,
        container: String,
        /// False when there is no such container.
        answer: oneshot::Sender<bool>,
    },
}

/// A pod and what the engine is about to do for it.
#[derive(Debug)]
struct Entry {
    pod: Pod,
    /// The moment in `timers`, if it is there.
    timer: Option<Instant>,
    /// A request is under way.
    busy: bool,
    /// A request waits for others to end.
    waiting: bool,
    /// No request before this moment.
    not_before: Option<Instant>,
    /// The server was told to remove it.
    removed: bool,
}

/// What a kubelet can ask of the API server.
#[derive(Debug, Clone, Copy)]
enum Request {
    Report,
    Remove,
}

/// A request that has ended.
#[derive(Debug)]
struct Done {
    uid: String,
    request: Request,
    outcome: kube::Result<()>,
}

pub(super) struct Engine {
    client: Client,
    delays: Delays,
    adopt_nodes: bool,
    beats: watch::Sender<Vec<Beat>>,
    nodes: HashMap<String, NodeView>,
    /// By uid.
    pods: HashMap<String, Entry>,
    timers: BTreeSet<(Instant, String)>,
    requests: JoinSet<Done>,
    waiting: VecDeque<String>,
    ips: HashSet<String>,
    next_ip: u32,
    /// What a list that is under way has named so far.
    listed_nodes: HashSet<String>,
    listed_pods: HashSet<String>,
}

impl Engine {
    pub(super) fn new(
        client: Client,
        delays: Delays,
        adopt_nodes: bool,
        beats: watch::Sender<Vec<Beat>>,
    ) -> Self {
        Self {
            client,
            delays,
            adopt_nodes,
            beats,
            nodes: HashMap::new(),
            pods: HashMap::new(),
            timers: BTreeSet::new(),
            requests: JoinSet::new(),
            waiting: VecDeque::new(),
            ips: HashSet::new(),
            next_ip: 0,
            listed_nodes: HashSet::new(),
            listed_pods: HashSet::new(),
        }
    }

    /// Runs until the owner of the commands is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let nodes = watcher(Api::<Node>::all(self.client.clone()), watcher::Config::default());
        let bound = watcher::Config::default().fields("spec.nodeName!=");
        let pods = watcher(Api::<PodObject>::all(self.client.clone()), bound);
        let mut nodes = pin!(nodes.default_backoff().filter_map(reported));
        let mut pods = pin!(pods.default_backoff().filter_map(reported));
        loop {
            let due = self.timers.first().map_or_else(Instant::now, |(due, _)| *due);
            // In the order of urgency: whatever comes before the pods is bounded by what the pods have caused.
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some(done) = self.requests.join_next() => match done {
                    Ok(done) => self.finish(done),
                    Err(error) => tracing::error!(%error, "a request has panicked"),
                },
                Some(event) = nodes.next() => self.see_node(event),
                () = sleep_until(due), if !self.timers.is_empty() => self.ring(),
                Some(event) = pods.next() => self.see_pod(event),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::ReadyDelay(delay) => self.delays.ready = delay,
            Command::TerminationDelay(delay) => self.delays.termination = delay,
            Command::Restart { namespace, pod, container, answer } => {
                let mut entries = self.pods.values_mut().map(|entry| &mut entry.pod);
                let named = entries
                    .find(|candidate| candidate.namespace == namespace && candidate.name == pod);
                let delays = self.delays;
                let restarted = named.and_then(|pod| {
                    let restarted =
                        pod.restart(&container, delays, Instant::now(), Timestamp::now());
                    restarted.then(|| pod.uid.clone())
                });
                // Who asked may have given up waiting.
                _ = answer.send(restarted.is_some());
                if let Some(uid) = restarted {
                    self.consider(&uid);
                }
            }
        }
    }

    fn see_node(&mut self, event: Event<Node>) {
        match event {
            Event::Init => self.listed_nodes.clear(),
            Event::InitApply(node) => {
                self.listed_nodes.insert(node.name_any());
                self.apply_node(&node);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed_nodes);
                self.nodes.retain(|name, _| listed.contains(name));
                self.publish_beats();
            }
            Event::Apply(node) => {
                self.apply_node(&node);
                self.publish_beats();
            }
            Event::Delete(node) => {
                self.nodes.remove(&node.name_any());
                self.publish_beats();
            }
        }
    }

    fn apply_node(&mut self, node: &Node) {
        let node = NodeView::of(node);
        if !node.simulated && !self.adopt_nodes {
            return;
        }
        let name = node.name.clone();
        let awakens = !node.lost;
        let before = self.nodes.insert(name.clone(), node);
        if awakens && before.as_ref().is_none_or(|before| before.lost) {
            let of_node = |entry: &&Entry| entry.pod.node == name;
            let uids: Vec<String> =
                self.pods.values().filter(of_node).map(|entry| entry.pod.uid.clone()).collect();
            for uid in uids {
                // The control plane may have taken them for not ready meanwhile.
                if let Some(entry) = self.pods.get_mut(&uid) {
                    entry.pod.unreported |= before.is_some();
                }
                self.consider(&uid);
            }
        }
    }

    fn publish_beats(&self) {
        let alive = self.nodes.values().filter(|node| !node.lost);
        let mut beats: Vec<Beat> =
            alive.map(|node| Beat { name: node.name.clone(), unready: !node.ready }).collect();
        beats.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.beats.send_if_modified(|published| {
            let changed = *published != beats;
            *published = beats;
            changed
        });
    }

    fn see_pod(&mut self, event: Event<PodObject>) {
        match event {
            Event::Init => self.listed_pods.clear(),
            Event::InitApply(pod) => {
                self.listed_pods.extend(pod.uid());
                self.apply_pod(&pod);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed_pods);
                let gone: Vec<String> =
                    self.pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                for uid in gone {
                    self.forget(&uid);
                }
            }
            Event::Apply(pod) => self.apply_pod(&pod),
            Event::Delete(pod) => self.forget(&pod.uid().unwrap_or_default()),
        }
    }

    fn apply_pod(&mut self, object: &PodObject) {
        let Some(uid) = object.uid() else { return };
        let now = Instant::now();
        let entry = self.pods.entry(uid.clone()).or_insert_with(|| {
            let pod = Pod::new(object, now, Timestamp::now());
            self.ips.extend(pod.ip.clone());
            Entry {
                pod,
                timer: None,
                busy: false,
                waiting: false,
                not_before: None,
                removed: false,
            }
        });
        entry.pod.observe(object, self.delays, now);
        self.consider(&uid);
    }

    fn forget(&mut self, uid: &str) {
        if let Some(entry) = self.pods.remove(uid) {
            if let Some(due) = entry.timer {
                self.timers.remove(&(due, uid.to_owned()));
            }
            if let Some(ip) = entry.pod.ip {
                self.ips.remove(&ip);
            }
        }
    }

    /// Lets everything happen whose time has come.
    fn ring(&mut self) {
        let now = Instant::now();
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, uid)) = self.timers.pop_first() {
                if let Some(entry) = self.pods.get_mut(&uid) {
                    entry.timer = None;
                }
                self.consider(&uid);
            }
        }
    }

    /// Lets time pass for a pod, sends what has to be said, and sets the timer for what comes next.
    fn consider(&mut self, uid: &str) {
        let now = Instant::now();
        let Some(entry) = self.pods.get_mut(uid) else { return };
        let Some(node) = self.nodes.get(&entry.pod.node).filter(|node| !node.lost) else { return };
        if entry.busy || entry.removed {
            return;
        }
        let mut next = entry.pod.advance(self.delays, now, Timestamp::now());
        let request = if entry.pod.is_over(now) {
            Some(Request::Remove)
        } else {
            entry.pod.unreported.then_some(Request::Report)
        };
        let later = entry.not_before.filter(|moment| *moment > now);
        if request.is_some() && later.is_some() {
            next = later;
        } else if let Some(request) = request {
            if self.requests.len() >= CONCURRENCY {
                if !std::mem::replace(&mut entry.waiting, true) {
                    self.waiting.push_back(uid.to_owned());
                }
                return;
            }
            if entry.pod.ip.is_none() && entry.pod.stage != Stage::Bound {
                entry.pod.ip = Some(free_ip(&mut self.ips, &mut self.next_ip));
            }
            entry.busy = true;
            entry.pod.unreported &= !matches!(request, Request::Report);
            self.requests.spawn(send(self.client.clone(), request, &entry.pod, &node.ip));
            return;
        }
        if entry.timer != next {
            if let Some(due) = entry.timer {
                self.timers.remove(&(due, uid.to_owned()));
            }
            entry.timer = next;
            self.timers.extend(next.map(|due| (due, uid.to_owned())));
        }
    }

    fn finish(&mut self, done: Done) {
        let Done { uid, request, outcome } = done;
        if let Some(entry) = self.pods.get_mut(&uid) {
            entry.busy = false;
            match (outcome, request) {
                (Ok(()), Request::Report) => {}
                (Ok(()), Request::Remove) => entry.removed = true,
                (Err(kube::Error::Api(status)), _) if status.code == 404 => entry.removed = true,
                (Err(error), _) => {
                    tracing::warn!(pod = entry.pod.name, ?request, %error, "a kubelet's request failed; trying again");
                    entry.pod.unreported = true;
                    entry.not_before = Some(Instant::now() + RETRY);
                }
            }
            self.consider(&uid);
        }
        while self.requests.len() < CONCURRENCY
            && let Some(uid) = self.waiting.pop_front()
        {
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.waiting = false;
            }
            self.consider(&uid);
        }
    }
}

/// A watch goes on after an error, so it is only told.
async fn reported<K>(event: watcher::Result<Event<K>>) -> Option<Event<K>> {
    event.inspect_err(|error| tracing::warn!(%error, "a watch failed; watching again")).ok()
}

/// An address that no pod has.
fn free_ip(used: &mut HashSet<String>, next: &mut u32) -> String {
    loop {
        *next = (*next + 1) % IPS;
        let ip = Ipv4Addr::from(FIRST_IP + *next).to_string();
        if used.insert(ip.clone()) {
            return ip;
        }
    }
}

fn send(
    client: Client,
    request: Request,
    pod: &Pod,
    host_ip: &str,
) -> impl Future<Output = Done> + Send + 'static {
    let (uid, name) = (pod.uid.clone(), pod.name.clone());
    let api: Api<PodObject> = Api::namespaced(client, &pod.namespace);
    let patch = Patch::Strategic(status::patch(pod, host_ip));
    async move {
        let outcome = match request {
            Request::Report => {
                api.patch_status(&name, &PatchParams::default(), &patch).await.map(drop)
            }
            Request::Remove => {
                let preconditions =
                    Preconditions { uid: Some(uid.clone()), resource_version: None };
                let params = DeleteParams {
                    preconditions: Some(preconditions),
                    ..DeleteParams::default().grace_period(0)
                };
                api.delete(&name, &params).await.map(drop)
            }
        };
        Done { uid, request, outcome }
    }
}

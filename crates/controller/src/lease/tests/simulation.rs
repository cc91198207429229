//! Several candidates under arbitrary delays, losses, network cuts, crashes and stop-the-world
//! pauses, in virtual time.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::time::{Sleep, sleep, sleep_until};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A margin of only 20 ms, so that a mistake of that size is seen.
fn tight_settings(identity: &str) -> Settings {
    Settings {
        lease_duration: 2 * SECOND,
        renew_deadline: 1980 * MS,
        retry_period: 300 * MS,
        ..settings(identity)
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Nothing of the process runs for so long; its requests go on.
    Pause(Duration),
    /// The process goes on, but nothing reaches or leaves it for so long.
    Cut(Duration),
    /// The process is gone at once; a new one starts.
    Crash,
    /// The process is asked to stop; a new one starts when it has.
    Stop,
}

/// One place where candidates run, one after the other.
#[derive(Clone, Debug)]
struct Node {
    fates: Vec<Fate>,
    /// What happens, each so long after the one before.
    events: Vec<(Duration, Event)>,
}

/// A process: polls what runs in it unless it is paused.
struct Process<F> {
    inner: Pin<Box<F>>,
    paused_until: Arc<Mutex<Instant>>,
    wake: Pin<Box<Sleep>>,
}

impl<F: Future> Process<F> {
    fn new(inner: F, paused_until: Arc<Mutex<Instant>>) -> Self {
        Self { inner: Box::pin(inner), paused_until, wake: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl<F: Future> Future for Process<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let paused_until = *self.paused_until.lock().unwrap();
        if Instant::now() < paused_until {
            self.wake.as_mut().reset(paused_until);
            if self.wake.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(context)
    }
}

/// Which process leads where, as the processes themselves see it.
type View = Arc<Mutex<Vec<Option<watch::Receiver<Leadership>>>>>;

fn leaders(view: &View) -> Vec<usize> {
    let view = view.lock().unwrap();
    let leads = |leadership: &Option<watch::Receiver<Leadership>>| {
        leadership.as_ref().is_some_and(|leadership| leadership.borrow().is_valid())
    };
    (0..view.len()).filter(|index| leads(&view[*index])).collect()
}

/// Runs one process after the other; after the last event one that is left alone, on a perfect
/// network.
async fn run_node(index: usize, node: Node, server: Server, view: View) {
    let mut events = node.events.into_iter();
    let mut event = events.next();
    let mut next_event = event.map(|(gap, _)| Instant::now() + gap);
    for generation in 0.. {
        let fates = if event.is_some() { node.fates.clone() } else { vec![Fate::PERFECT] };
        let network = Network::default();
        let store = FakeStore::new(&server, fates).over(&network);
        let elector =
            LeaderElector::new(store, tight_settings(&format!("{index}.{generation}"))).unwrap();
        let mut leadership = elector.leadership();
        view.lock().unwrap()[index] = Some(leadership.clone());
        let paused_until = Arc::new(Mutex::new(Instant::now()));
        let (stop, stopped) = watch::channel(false);
        let mut process = Process::new(
            elector.run(async move {
                let mut stopped = stopped;
                stopped.wait_for(|stopped| *stopped).await.unwrap();
            }),
            paused_until.clone(),
        );
        loop {
            let happens = async {
                match next_event {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = happens => {}
                // Validity begins and is prolonged only by being announced, so this misses nothing.
                Ok(()) = leadership.changed() => {
                    let leaders = leaders(&view);
                    assert!(leaders.len() <= 1, "{leaders:?} lead at once");
                    continue;
                }
                _ended = &mut process => break,
            }
            let (_, what) = event.unwrap();
            event = events.next();
            next_event = event.map(|(gap, _)| Instant::now() + gap);
            match what {
                Event::Pause(length) => *paused_until.lock().unwrap() = Instant::now() + length,
                Event::Cut(length) => network.cut(length),
                Event::Stop => drop(stop.send_replace(true)),
                Event::Crash => break,
            }
            if event.is_none() && !matches!(what, Event::Stop) {
                // Give the last, undisturbed process a perfect network.
                break;
            }
        }
        drop(process);
        view.lock().unwrap()[index] = None;
        sleep(50 * MS).await;
    }
}

/// Runs the nodes, each of which checks that no other leads when it does, until one leads in peace.
async fn simulate(nodes: Vec<Node>) {
    let server = Server::default();
    let view: View = Arc::new(Mutex::new(vec![None; nodes.len()]));
    let length = nodes.iter().map(|node| node.events.iter().map(|(gap, _)| *gap).sum::<Duration>());
    let disturbed_until = Instant::now() + length.max().unwrap_or_default();
    let tasks: Vec<_> = nodes
        .into_iter()
        .enumerate()
        .map(|(index, node)| tokio::spawn(run_node(index, node, server.clone(), view.clone())))
        .collect();

    // A hanging stop, then one expiry and the retries until it is noticed.
    sleep_until(disturbed_until + 20 * SECOND).await;
    assert!(tasks.iter().all(|task| !task.is_finished()), "a node failed");
    assert_eq!(leaders(&view).len(), 1, "nobody leads although nothing is wrong");
    for task in tasks {
        task.abort();
    }
}

fn run(nodes: Vec<Node>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(simulate(nodes));
}

fn delay() -> impl Strategy<Value = Duration> {
    prop_oneof![4 => 0_u32..50, 2 => 0_u32..1200, 1 => 0_u32..5000]
        .prop_map(|milliseconds| MS * milliseconds)
}

fn fate() -> impl Strategy<Value = Fate> {
    let travel = || prop_oneof![9 => delay().prop_map(Some), 1 => Just(None)];
    (travel(), prop::bool::weighted(0.1), travel()).prop_map(|(request, refused, answer)| Fate {
        request,
        refused,
        answer,
    })
}

fn event() -> impl Strategy<Value = (Duration, Event)> {
    let what = prop_oneof![
        3 => (0_u32..6000).prop_map(|milliseconds| Event::Pause(MS * milliseconds)),
        3 => (0_u32..6000).prop_map(|milliseconds| Event::Cut(MS * milliseconds)),
        1 => Just(Event::Crash),
        1 => Just(Event::Stop),
    ];
    ((1_u32..8000).prop_map(|milliseconds| MS * milliseconds), what)
}

fn node() -> impl Strategy<Value = Node> {
    (prop::collection::vec(fate(), 1..100), prop::collection::vec(event(), 1..8))
        .prop_map(|(fates, events)| Node { fates, events })
}

proptest! {
    #[test]
    fn never_two_leaders_and_always_one_in_the_end(nodes in prop::collection::vec(node(), 2..4)) {
        run(nodes);
    }
}

/// A leader that is cut off ends before another one leads; when the network is mended it does not
/// come back.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_ends_before_it_is_succeeded() {
    let (server, network) = (Server::default(), Network::default());
    let mut leader = start(FakeStore::perfect(&server).over(&network), "cut-off");
    leader.leads_within(SECOND).await;
    let mut successor = start(FakeStore::perfect(&server), "successor");
    let until = Instant::now() + 60 * SECOND;
    network.cut(60 * SECOND);
    let loss = leader.loss_within(20 * SECOND).await;
    assert!(matches!(loss, Loss::NotRenewed(_)), "{loss:?}");
    assert!(!successor.is_leader(), "it has not waited");
    successor.leads_within(20 * SECOND).await;
    sleep_until(until).await;
    assert!(successor.is_leader());
}

/// A leader that is paused for longer than the lease is succeeded, and knows it before it can act
/// again.
#[tokio::test(start_paused = true)]
async fn a_paused_leader_wakes_up_invalid() {
    let server = Server::default();
    let mut standby = start(FakeStore::perfect(&server), "standby-to-be");
    standby.leads_within(SECOND).await;
    standby.stop.send(()).unwrap();
    standby.task.await.unwrap().unwrap();

    let elector = LeaderElector::new(FakeStore::perfect(&server), settings("paused")).unwrap();
    let mut leadership = elector.leadership();
    let paused_until = Arc::new(Mutex::new(Instant::now()));
    let process = tokio::spawn(Process::new(elector.run(pending()), paused_until.clone()));
    timeout(SECOND, leadership.wait_for(Leadership::is_valid)).await.unwrap().unwrap();

    let wakes = Instant::now() + 60 * SECOND;
    *paused_until.lock().unwrap() = wakes;
    let mut successor = start(FakeStore::perfect(&server), "successor");
    successor.leads_within(20 * SECOND).await;
    sleep_until(wakes).await;
    // Whoever runs first after the pause, here before the elector, sees it.
    assert!(!leadership.borrow().is_valid());
    let error = timeout(SECOND, process).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, LeaseError::Lost { loss: Loss::NotRenewed(_), .. }), "{error:?}");
    assert!(successor.is_leader());
}

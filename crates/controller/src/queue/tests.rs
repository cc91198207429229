use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::task::ArcWake;
use proptest::prelude::*;
use tokio::time::{advance, timeout};

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn queue() -> Queue<u32> {
    Queue::new(Backoff::default())
}

/// The next work if there is one now.
fn ready(queue: &Queue<u32>) -> Option<Work<u32>> {
    queue.next().now_or_never().flatten()
}

/// Hands out everything that is ready, one after the other.
fn drain(queue: &Queue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| ready(queue).map(|work| *work.key())).collect()
}

#[tokio::test(start_paused = true)]
async fn additions_coalesce_in_order() {
    let queue = queue();
    for key in [3, 1, 3, 2, 1, 3] {
        queue.add(key);
    }
    assert_eq!(queue.stats(), Stats { depth: 3, adds: 3, ..Stats::default() });
    assert_eq!(drain(&queue), [3, 1, 2]);
    assert_eq!(queue.stats(), Stats { adds: 3, ..Stats::default() });
}

#[tokio::test(start_paused = true)]
async fn a_key_being_worked_on_is_handed_out_again_only_afterwards() {
    let queue = queue();
    queue.add(1);
    let work = ready(&queue).unwrap();
    queue.add(1);
    queue.add(1);
    assert!(ready(&queue).is_none());
    assert_eq!((queue.stats().depth, queue.stats().working), (0, 1));
    drop(work);
    assert_eq!(drain(&queue), [1]);
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_frees_its_key() {
    let queue = queue();
    queue.add(1);
    let worker = queue.clone();
    let task = tokio::spawn(async move {
        let _work = worker.next().await;
        panic!("deliberate");
    });
    assert!(task.await.unwrap_err().is_panic());
    queue.add(1);
    assert_eq!(drain(&queue), [1]);
}

/// Wishes for one key, as delays, and when the key must come.
#[tokio::test(start_paused = true)]
async fn the_earliest_wish_wins() {
    for (delays, due) in [
        (&[5000, 1000][..], 1000),
        (&[1000, 5000], 1000),
        (&[1000, 1000], 1000),
        (&[5000, 0], 0),
        (&[0, 5000], 0),
        (&[u64::MAX, 30], 30),
    ] {
        let queue = queue();
        for delay in delays {
            queue.add_after(1, Duration::from_millis(*delay));
        }
        let start = Instant::now();
        let work = queue.next().await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(due), "{delays:?}");
        assert_eq!(work.waited(), Duration::ZERO);
        drop(work);
        assert!(timeout(10 * SECOND, queue.next()).await.is_err(), "{delays:?}: came twice");
    }
}

#[tokio::test(start_paused = true)]
async fn delays_asked_for_during_work_hold_after_it() {
    let queue = queue();
    queue.add(1);
    let work = ready(&queue).unwrap();
    queue.add_after(1, SECOND);
    advance(3 * SECOND).await;
    assert!(ready(&queue).is_none());
    drop(work);
    let work = ready(&queue).unwrap();
    assert_eq!(work.waited(), 2 * SECOND, "due since the delay ran out");
}

#[tokio::test(start_paused = true)]
async fn the_order_is_that_of_the_deadlines() {
    let queue = queue();
    queue.add_after(1, 20 * MS);
    queue.add_after(2, 10 * MS);
    advance(50 * MS).await;
    queue.add(3);
    assert_eq!(drain(&queue), [2, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_key_does_not_starve_the_others() {
    let queue = queue();
    for key in 0..4 {
        queue.add(key);
    }
    let mut seen = Vec::new();
    for _ in 0..8 {
        let work = ready(&queue).unwrap();
        // Key 0 is always wanted again, before and after its own work.
        queue.add(0);
        seen.push(*work.key());
        drop(work);
        queue.add(0);
    }
    assert_eq!(seen[..5], [0, 1, 2, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_until_forgotten() {
    let queue = queue();
    let mut delays = Vec::new();
    for _ in 0..4 {
        delays.push(queue.retry(1, false).as_millis());
        let start = Instant::now();
        drop(queue.next().await.unwrap());
        assert_eq!(start.elapsed().as_millis(), *delays.last().unwrap());
    }
    assert_eq!(delays, [5, 10, 20, 40]);
    assert_eq!(queue.retry(2, false), 5 * MS, "each key has its own count");
    queue.forget(&1);
    assert_eq!(queue.retry(1, false), 5 * MS);
    assert_eq!(queue.stats().retries, 6);
}

#[tokio::test(start_paused = true)]
async fn a_failure_with_progress_waits_like_the_first_and_is_as_old_as_before() {
    let queue = queue();
    for expected in [5, 10, 20] {
        assert_eq!(queue.retry(1, false), expected * MS);
        drop(queue.next().await.unwrap());
    }
    assert_eq!(queue.retry(1, true), 5 * MS);
    assert_eq!(queue.failing_for(&1), 35 * MS);
    assert_eq!(queue.retry(1, false), 10 * MS);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_settled_keys() {
    let queue = queue();
    queue.add(1);
    queue.add_after(2, SECOND);
    queue.retry(3, false);
    for _ in 0..3 {
        let work = queue.next().await.unwrap();
        queue.forget(work.key());
    }
    queue.retry(4, false);
    queue.close();
    queue.forget(&4);
    let state = queue.lock();
    assert!(
        state.entries.is_empty() && state.timers.is_empty() && state.working.is_empty(),
        "{state:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn closing_hands_out_what_is_due_and_drops_the_rest() {
    let queue = queue();
    queue.add(1);
    let work = ready(&queue).unwrap();
    queue.add(1);
    queue.add(2);
    queue.add_after(3, SECOND);
    queue.close();
    queue.add(4);
    queue.add_after(5, SECOND);
    assert_eq!(drain(&queue), [2]);
    assert!(queue.next().await.is_none());
    drop(work);
    assert_eq!(drain(&queue), [1]);
    assert!(queue.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn closing_wakes_everyone() {
    let queue = queue();
    queue.add_after(1, 60 * SECOND);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.next().await.is_none() })
        })
        .collect();
    tokio::task::yield_now().await;
    queue.close();
    for task in waiting {
        assert!(timeout(SECOND, task).await.unwrap().unwrap());
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_those_who_wait_is_woken_for_each_key_and_nobody_for_no_news() {
    let queue = queue();
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(queue.next())).collect();
    let woken = Arc::new(Woken::default());
    let waker = futures::task::waker(woken.clone());
    for it in &mut waiting {
        assert!(it.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    }
    let expect = |count, why| assert_eq!(woken.0.swap(0, Ordering::SeqCst), count, "{why}");
    queue.add_after(1, SECOND);
    expect(1, "the earliest deadline");
    queue.add_after(2, 2 * SECOND);
    queue.add_after(1, 3 * SECOND);
    queue.forget(&3);
    expect(0, "deadlines that are not the earliest");
    queue.add(3);
    queue.add(4);
    expect(2, "two keys");
    queue.add(3);
    expect(0, "a key that is ready already");

    let mut hand_out = |position: usize| {
        let waiting = &mut waiting[position];
        let Poll::Ready(Some(work)) = waiting.poll_unpin(&mut Context::from_waker(&waker)) else {
            panic!("no work for waiter {position}");
        };
        work
    };
    let _third = hand_out(1);
    expect(1, "another key is ready");
    let _fourth = hand_out(2);
    expect(1, "a deadline is left, which somebody has to know");
    queue.close();
    drop(waiting);
    let queue = self::queue();
    let mut waiting = [queue.next(), queue.next()].map(Box::pin);
    for it in &mut waiting {
        assert!(it.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    }
    woken.0.store(0, Ordering::SeqCst);
    queue.add(1);
    assert!(waiting[0].poll_unpin(&mut Context::from_waker(&waker)).is_ready());
    expect(1, "nothing is left after the only key");
}

/// Whoever is told of a deadline may be cancelled: the others keep it.
#[tokio::test(start_paused = true)]
async fn deadlines_survive_a_cancelled_waiter() {
    for cancelled in 0..2 {
        let queue = queue();
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let queue = queue.clone();
            waiting.push(tokio::spawn(async move { queue.next().await.map(|work| *work.key()) }));
            tokio::task::yield_now().await;
        }
        queue.add_after(7, SECOND);
        tokio::task::yield_now().await;
        waiting.remove(cancelled).abort();
        assert_eq!(timeout(2 * SECOND, waiting.remove(0)).await.unwrap().unwrap(), Some(7));
    }
}

#[tokio::test(start_paused = true)]
async fn ages_are_those_of_the_oldest() {
    let queue = queue();
    queue.add(1);
    queue.add(2);
    advance(SECOND).await;
    let first = ready(&queue).unwrap();
    queue.add(3);
    advance(2 * SECOND).await;
    assert_eq!(first.waited(), SECOND);
    let second = ready(&queue).unwrap();
    advance(SECOND).await;
    let stats = queue.stats();
    assert_eq!(
        (stats.oldest, stats.longest_work, stats.unfinished_work),
        (3 * SECOND, 3 * SECOND, 4 * SECOND)
    );
    assert_eq!(second.waited(), 3 * SECOND);
}

/// Real threads: every key that is added is worked on after its last addition, never twice at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_on_many_threads_lose_nothing() {
    const KEYS: u32 = 50;
    const ROUNDS: u64 = 400;
    let queue = queue();
    let wanted = Arc::new(Mutex::new(HashMap::<u32, u64>::new()));
    let reached = Arc::new(Mutex::new(HashMap::<u32, u64>::new()));
    let busy = Arc::new(Mutex::new(HashSet::new()));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, wanted, reached, busy) =
                (queue.clone(), wanted.clone(), reached.clone(), busy.clone());
            tokio::spawn(async move {
                while let Some(work) = queue.next().await {
                    assert!(
                        busy.lock().unwrap().insert(*work.key()),
                        "key {} twice at once",
                        work.key()
                    );
                    let version = wanted.lock().unwrap()[work.key()];
                    tokio::task::yield_now().await;
                    reached.lock().unwrap().insert(*work.key(), version);
                    busy.lock().unwrap().remove(work.key());
                }
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        for key in 0..KEYS {
            wanted.lock().unwrap().insert(key, round);
            if key % 2 == 0 { queue.add(key) } else { queue.add_after(key, MS) }
        }
        tokio::task::yield_now().await;
    }
    let settled = async {
        while *reached.lock().unwrap() != *wanted.lock().unwrap() {
            tokio::time::sleep(MS).await;
        }
    };
    timeout(10 * SECOND, settled).await.expect("some addition was lost");
    queue.close();
    for worker in workers {
        timeout(10 * SECOND, worker).await.expect("a worker was not told").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_keys_are_no_trouble() {
    const KEYS: u32 = 100_000;
    let start = std::time::Instant::now();
    let queue = queue();
    for key in 0..KEYS {
        queue.add_after(key, Duration::from_millis(u64::from(key % 1000) + 1));
        queue.add_after(key, SECOND);
    }
    assert_eq!(queue.stats().delayed, KEYS as usize);
    advance(SECOND).await;
    for _ in 0..KEYS {
        drop(ready(&queue).unwrap());
    }
    assert!(ready(&queue).is_none());
    // Well under a second without optimisation; a quadratic operation would take minutes.
    assert!(start.elapsed() < 10 * SECOND, "took {:?}", start.elapsed());
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32),
    AddAfter(u32, u32),
    Retry(u32),
    Forget(u32),
    Take,
    Finish(prop::sample::Index),
    Advance(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u32..5;
    prop_oneof![
        key.clone().prop_map(Step::Add),
        (key.clone(), 0_u32..40).prop_map(|(key, delay)| Step::AddAfter(key, delay)),
        key.clone().prop_map(Step::Retry),
        key.prop_map(Step::Forget),
        Just(Step::Take),
        any::<prop::sample::Index>().prop_map(Step::Finish),
        (1_u32..30).prop_map(Step::Advance),
    ]
}

/// The queue as three maps without any order: when each key is wanted, what is worked on, what
/// failed.
#[derive(Default)]
struct Model {
    wanted: HashMap<u32, Instant>,
    working: Vec<Work<u32>>,
    failures: HashMap<u32, u32>,
}

impl Model {
    fn want(&mut self, key: u32, at: Instant) {
        let earliest = self.wanted.entry(key).or_insert(at);
        *earliest = at.min(*earliest);
    }

    fn take(&mut self, queue: &Queue<u32>) {
        let now = Instant::now();
        let busy: HashSet<u32> = self.working.iter().map(|work| *work.key()).collect();
        let may: Vec<u32> = self
            .wanted
            .iter()
            .filter(|(key, at)| **at <= now && !busy.contains(key))
            .map(|(key, _)| *key)
            .collect();
        match ready(queue) {
            None => assert!(may.is_empty(), "nothing was handed out although {may:?} are due"),
            Some(work) => {
                assert!(
                    may.contains(work.key()),
                    "{} was handed out, allowed were {may:?}",
                    work.key()
                );
                let wanted = self.wanted.remove(work.key());
                assert_eq!(wanted, Some(now - work.waited()));
                self.working.push(work);
            }
        }
    }

    async fn run(&mut self, queue: &Queue<u32>, step: Step) {
        let now = Instant::now();
        match step {
            Step::Add(key) => {
                queue.add(key);
                self.want(key, now);
            }
            Step::AddAfter(key, delay) => {
                queue.add_after(key, MS * delay);
                self.want(key, now + MS * delay);
            }
            Step::Retry(key) => {
                let failures = self.failures.entry(key).or_default();
                *failures += 1;
                let delay = Backoff::default().delay(*failures);
                assert_eq!(queue.retry(key, false), delay);
                self.want(key, now + delay);
            }
            Step::Forget(key) => {
                queue.forget(&key);
                self.failures.remove(&key);
            }
            Step::Take => self.take(queue),
            Step::Finish(_) if self.working.is_empty() => {}
            Step::Finish(index) => drop(self.working.swap_remove(index.index(self.working.len()))),
            Step::Advance(delay) => advance(MS * delay).await,
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let queue = queue();
            let mut model = Model::default();
            for step in steps {
                model.run(&queue, step).await;
                let stats = queue.stats();
                assert_eq!(stats.working, model.working.len());
            }
            model.working.clear();
            advance(LONGEST_DELAY).await;
            while !model.wanted.is_empty() {
                model.take(&queue);
                model.working.clear();
            }
            assert!(ready(&queue).is_none());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_fails_since_its_first_failure_after_a_success() {
    let queue = queue();
    assert_eq!(queue.failing_for(&1), Duration::ZERO);
    queue.retry(1, false);
    advance(SECOND).await;
    queue.retry(1, false);
    advance(SECOND).await;
    assert_eq!((queue.failing_for(&1), queue.failing_for(&2)), (2 * SECOND, Duration::ZERO));
    queue.forget(&1);
    assert_eq!(queue.failing_for(&1), Duration::ZERO);
    queue.retry(1, false);
    advance(SECOND).await;
    assert_eq!(queue.failing_for(&1), SECOND);
}

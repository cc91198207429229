//! The work queue: which keys are to be worked on, in which order, and when again.
//!
//! Invariants:
//! - **One entry per key.** However often a key is added before it is handed out, it is handed out
//!   once.
//! - **One worker per key.** A key that is being worked on is not handed out; if it is added
//!   meanwhile, it is handed out once more after the work ends. No addition is lost: work that
//!   begins after an addition sees what caused it.
//! - **The earliest wish wins.** A key is due at the earliest of the moments asked for. An
//!   immediate addition replaces a pending delay: work decides anew when it wants to run again.
//! - **First come, first served.** Keys leave in the order in which they became ready, which is due
//!   and not being worked on; a key that is added again goes to the end, so that a busy key cannot
//!   starve the others.
//!
//! How many keys are worked on at once is the number of [`Work`] items the caller keeps.
//! `kube::runtime::scheduler` covers the first three points, but hands out held keys in the order
//! of a hash set (no fairness), looks at every held key each time it is polled, and counts nothing.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::backoff::Backoff;

/// The longest delay; a longer one is cut to it. Keeps every deadline representable.
const LONGEST_DELAY: Duration = Duration::from_hours(365 * 24);

/// What can be a key: cheap to copy, comparable.
pub trait Key: Clone + Eq + Hash {}

impl<T: Clone + Eq + Hash> Key for T {}

/// A handle on a work queue; copies of it are handles on the same queue.
///
/// Every operation but [`next`](Self::next) is synchronous and takes logarithmic time at most,
/// except [`stats`](Self::stats), which is linear in the number of keys being worked on.
#[derive(Debug)]
pub struct Queue<K: Key> {
    shared: Arc<Shared<K>>,
}

impl<K: Key> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<K> {
    state: Mutex<State<K>>,
    /// Wakes one caller of `next` when there is a key for it, or an earlier deadline. Of those that
    /// wait, one knows the earliest deadline; when it waits no longer, [`Watch`] wakes another.
    changed: Notify,
}

/// A caller of `next`, which may be cancelled.
struct Watch<'a, K: Key>(&'a Queue<K>);

impl<K: Key> Drop for Watch<'_, K> {
    fn drop(&mut self) {
        let has_more = {
            let state = self.0.lock();
            state.closed || !state.ready.is_empty() || !state.timers.is_empty()
        };
        if has_more {
            self.0.shared.changed.notify_one();
        }
    }
}

/// A key to work on. No other work on the same key is handed out until this is dropped; dropping it
/// is how work ends, so that a worker that panics or is cancelled does not lock its key for ever.
#[derive(Debug)]
#[must_use = "dropping it ends the work"]
pub struct Work<K: Key> {
    queue: Queue<K>,
    key: K,
    waited: Duration,
}

impl<K: Key> Work<K> {
    /// The key to work on.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.key
    }

    /// How long the key was due before it was handed out.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<K: Key> Drop for Work<K> {
    fn drop(&mut self) {
        self.queue.update(|state, _| state.finish(&self.key));
    }
}

/// The state of a queue at one moment, and its counters since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that are due and wait for a worker. A key being worked on counts once it is free again.
    pub depth: usize,
    /// Keys that are due later.
    pub delayed: usize,
    /// Keys being worked on.
    pub working: usize,
    /// How long the first key in line has been due; zero when there is none.
    pub oldest: Duration,
    /// The age of the longest-running work; zero when there is none.
    pub longest_work: Duration,
    /// The ages of all running work, added up.
    pub unfinished_work: Duration,
    /// Times a key became due; additions that were merged into an earlier one do not count.
    pub adds: u64,
    /// Calls of [`Queue::retry`].
    pub retries: u64,
}

impl<K: Key> Queue<K> {
    /// An empty queue whose retries wait as long as `backoff` says.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        let state = State {
            backoff,
            entries: HashMap::new(),
            ready: VecDeque::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
            working: HashMap::new(),
            has_news: false,
            closed: false,
            adds: 0,
            retries: 0,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Makes `key` due now.
    pub fn add(&self, key: K) {
        self.update(|state, now| state.add(key, now));
    }

    /// Makes `key` due after `delay` (at most a year), unless it is due earlier anyway.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.update(|state, now| state.add_after(key, delay, now));
    }

    /// Notes one more failure of `key` and makes it due after the backoff for that number of
    /// failures, which is returned. One with which something has been achieved waits like the
    /// first.
    pub fn retry(&self, key: K, has_progressed: bool) -> Duration {
        self.update(|state, now| state.retry(key, has_progressed, now))
    }

    /// Notes that `key` succeeded: its next failure is a first one. To be called as well for a key
    /// that will not come back, or its failure count stays in memory.
    pub fn forget(&self, key: &K) {
        self.update(|state, _| state.forget(key));
    }

    /// How long ago the first of the failures of `key` since its last success was; zero when there
    /// was none.
    #[must_use]
    pub fn failing_for(&self, key: &K) -> Duration {
        let state = self.lock();
        let since = state.entries.get(key).and_then(|entry| entry.failing);
        since.map_or(Duration::ZERO, |since| Instant::now() - since)
    }

    /// The next key that is due, as soon as there is one; `None` once the queue is closed and
    /// nothing is due any more. May be called from several tasks at once, and cancelled without
    /// loss.
    pub async fn next(&self) -> Option<Work<K>> {
        let _watch = Watch(self);
        loop {
            let deadline = {
                let mut state = self.lock();
                let now = Instant::now();
                state.settle(now);
                state.has_news = false;
                if let Some((key, waited)) = state.take(now) {
                    return Some(Work { queue: self.clone(), key, waited });
                }
                if state.closed {
                    return None;
                }
                state.next_deadline()
            };
            match deadline {
                Some(deadline) => tokio::select! {
                    () = self.shared.changed.notified() => {}
                    () = sleep_until(deadline) => {}
                },
                None => self.shared.changed.notified().await,
            }
        }
    }

    /// Closes the queue: further additions and pending delays are dropped, keys that are due are
    /// still handed out, then [`next`](Self::next) answers `None` to every caller.
    pub fn close(&self) {
        self.update(|state, _| state.close());
    }

    /// The state of the queue now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.update(|state, now| state.stats(now))
    }

    /// Changes the state, then wakes a caller of `next` if there is something new for it.
    fn update<T>(&self, change: impl FnOnce(&mut State<K>, Instant) -> T) -> T {
        let (result, has_news) = {
            let mut state = self.lock();
            let now = Instant::now();
            state.settle(now);
            (change(&mut state, now), std::mem::take(&mut state.has_news))
        };
        if has_news {
            self.shared.changed.notify_one();
        }
        result
    }

    /// Nothing can panic while the state is locked but a key's own comparison or copy, and what
    /// that leaves behind is usable: poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pending delay: its moment, and a number that makes it unique.
type Timer = (Instant, u64);

/// What is remembered of one key; a key of which there is nothing to remember has no entry.
#[derive(Debug, Default)]
struct Entry {
    /// Since when the key is due.
    due: Option<Instant>,
    /// The pending delay. A key that is due has none.
    timer: Option<Timer>,
    /// Failures since the last success or progress.
    failures: u32,
    /// When the first failure since the last success was.
    failing: Option<Instant>,
}

#[derive(Debug)]
struct State<K> {
    backoff: Backoff,
    entries: HashMap<K, Entry>,
    /// Exactly the keys that are due and not being worked on, each once.
    ready: VecDeque<K>,
    /// Exactly the timers of `entries`.
    timers: BTreeMap<Timer, K>,
    timers_made: u64,
    /// The keys being worked on, and since when.
    working: HashMap<K, Instant>,
    /// Whether a key has become ready, a deadline the earliest, or the queue closed, and nobody has
    /// been woken for it.
    has_news: bool,
    closed: bool,
    adds: u64,
    retries: u64,
}

impl<K: Key> State<K> {
    /// Makes due what has become due by `now`. Done before anything else is looked at or changed,
    /// so that the order is that of the deadlines and not of the calls.
    fn settle(&mut self, now: Instant) {
        while let Some(timer) = self.timers.first_entry()
            && timer.key().0 <= now
        {
            let ((deadline, _), key) = timer.remove_entry();
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.timer = None;
            }
            self.add(key, deadline);
        }
    }

    fn add(&mut self, key: K, since: Instant) {
        if self.closed {
            return;
        }
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.due.is_some() {
            return;
        }
        entry.due = Some(since);
        if let Some(timer) = entry.timer.take() {
            self.timers.remove(&timer);
        }
        self.adds += 1;
        if !self.working.contains_key(&key) {
            self.make_ready(key);
        }
    }

    fn make_ready(&mut self, key: K) {
        self.ready.push_back(key);
        self.has_news = true;
    }

    fn add_after(&mut self, key: K, delay: Duration, now: Instant) {
        if delay.is_zero() {
            self.add(key, now);
            return;
        }
        if self.closed {
            return;
        }
        let deadline = now + delay.min(LONGEST_DELAY);
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.due.is_some() || entry.timer.is_some_and(|(earlier, _)| earlier <= deadline) {
            return;
        }
        self.timers_made += 1;
        let timer = (deadline, self.timers_made);
        if let Some(later) = entry.timer.replace(timer) {
            self.timers.remove(&later);
        }
        self.timers.insert(timer, key);
        self.has_news |= self.next_deadline() == Some(deadline);
    }

    fn retry(&mut self, key: K, has_progressed: bool, now: Instant) -> Duration {
        self.retries += 1;
        let entry = self.entries.entry(key.clone()).or_default();
        let before = if has_progressed { 0 } else { entry.failures };
        entry.failures = before.saturating_add(1);
        entry.failing.get_or_insert(now);
        let delay = self.backoff.delay(entry.failures);
        self.add_after(key, delay, now);
        delay
    }

    fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.failures = 0;
            entry.failing = None;
        }
        self.prune(key);
    }

    fn take(&mut self, now: Instant) -> Option<(K, Duration)> {
        let key = self.ready.pop_front()?;
        let due = self.entries.get_mut(&key).and_then(|entry| entry.due.take());
        self.prune(&key);
        self.working.insert(key.clone(), now);
        Some((key, due.map_or(Duration::ZERO, |since| now - since)))
    }

    fn finish(&mut self, key: &K) {
        self.working.remove(key);
        if self.entries.get(key).is_some_and(|entry| entry.due.is_some()) {
            self.make_ready(key.clone());
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.has_news = true;
        for key in std::mem::take(&mut self.timers).into_values() {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.timer = None;
            }
            self.prune(&key);
        }
    }

    /// Drops the entry of `key` if there is nothing to remember.
    fn prune(&mut self, key: &K) {
        if let Some(Entry { due: None, timer: None, failures: 0, .. }) = self.entries.get(key) {
            self.entries.remove(key);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    fn stats(&self, now: Instant) -> Stats {
        let oldest = self.ready.front().and_then(|key| self.entries.get(key)?.due);
        let ages = || self.working.values().map(|since| now - *since);
        Stats {
            depth: self.ready.len(),
            delayed: self.timers.len(),
            working: self.working.len(),
            oldest: oldest.map_or(Duration::ZERO, |since| now - since),
            longest_work: ages().max().unwrap_or_default(),
            unfinished_work: ages().sum(),
            adds: self.adds,
            retries: self.retries,
        }
    }
}

#[cfg(test)]
mod tests;

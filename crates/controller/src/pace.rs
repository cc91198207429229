//! How often the controller writes what nobody waits for: the numbers of groups in a status, and,
//! by a pace of its own, the record of who belongs to them.
//!
//! While groups come and go the numbers change many times a second, and each change is a write that
//! every watcher of sets receives. They wait a moment for more of their kind: longer the longer that
//! goes on, and the more sets change. What somebody may wait for (a condition that changes, a
//! generation) is written at once, with the newest numbers: so are the last ones of an update.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::index::SetKey;

/// How long new numbers wait. A group that is ready and the next one that makes way for the update
/// then are one write; for people it is still at once.
pub const COUNTS_WAIT: Duration = Duration::from_millis(400);
/// How long they wait at most, when they go on changing: each wait is twice as long as the last.
pub const LONGEST_WAIT: Duration = Duration::from_millis(1600);
/// After so long without a change the next one waits no longer than the first did.
const CALM: Duration = Duration::from_secs(5);
/// How numbers of groups wait in a crowd: up to 50 sets that change together write five times a second,
/// so that the API server is left free for their groups.
pub const NUMBERS: Crowd =
    Crowd { for_each: Duration::from_millis(200), at_most: Duration::from_secs(10) };
/// How records of members do. A loss that no controller sees before the record is written is missed, so
/// they wait half as long.
pub const RECORDS: Crowd =
    Crowd { for_each: Duration::from_millis(100), at_most: Duration::from_secs(5) };

/// How long each set waits where many change.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// For each set that changes.
    pub for_each: Duration,
    /// However many do.
    pub at_most: Duration,
}

impl Crowd {
    fn wait(self, sets: usize) -> Duration {
        let sets = u32::try_from(sets).unwrap_or(u32::MAX);
        self.for_each.saturating_mul(sets).min(self.at_most)
    }
}

/// Sets whose numbers wait to be written, or were written lately.
#[derive(Debug)]
pub struct Pace {
    crowd: Crowd,
    sets: Mutex<Sets>,
}

#[derive(Debug, Default)]
struct Sets {
    by_key: HashMap<SetKey, Changing>,
    /// When it was last looked which of them are calm.
    swept: Option<Instant>,
}

/// A set whose numbers change.
#[derive(Debug)]
struct Changing {
    /// Since when its numbers wait and how long, if there are new ones.
    waiting: Option<(Instant, Duration)>,
    /// How long the next ones wait without a crowd.
    wait: Duration,
    /// When it was last looked at.
    at: Instant,
}

impl Pace {
    /// Paces sets that change by `crowd`.
    #[must_use]
    pub fn new(crowd: Crowd) -> Self {
        Self { crowd, sets: Mutex::default() }
    }

    /// How much longer the changed numbers of a set wait; `None` when they are due. The first call
    /// since numbers were written begins the wait, which gets longer while more sets change. It does not get
    /// shorter: a crowd ends as its sets become what people wait for, and then these are written.
    #[must_use]
    pub fn wait(&self, key: &SetKey) -> Option<Duration> {
        let now = Instant::now();
        let mut sets = self.lock();
        sets.sweep(now);
        let crowd = sets.by_key.len() + usize::from(!sets.by_key.contains_key(key));
        let first = Changing { waiting: None, wait: COUNTS_WAIT, at: now };
        let changing = sets.by_key.entry(key.clone()).or_insert(first);
        if changing.is_calm(now) {
            changing.wait = COUNTS_WAIT;
        }
        changing.at = now;
        let wait = changing.wait.max(self.crowd.wait(crowd));
        let (since, longest) = changing.waiting.get_or_insert((now, wait));
        *longest = wait.max(*longest);
        longest.checked_sub(now - *since).filter(|it| !it.is_zero())
    }

    /// The numbers of a set have been written, and nothing else. If they have waited, the next ones
    /// wait longer.
    pub fn told(&self, key: &SetKey) {
        let mut sets = self.lock();
        if let Some(changing) = sets.by_key.get_mut(key).filter(|it| it.waiting.is_some()) {
            changing.waiting = None;
            changing.wait = (2 * changing.wait).min(LONGEST_WAIT);
        }
    }

    /// The stored numbers of a set are as they should be.
    pub fn settled(&self, key: &SetKey) {
        if let Some(changing) = self.lock().by_key.get_mut(key) {
            changing.waiting = None;
        }
    }

    /// What people wait for has been written, or there is no such set.
    pub fn forget(&self, key: &SetKey) {
        self.lock().by_key.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sets {
    /// Drops those that are calm, every now and then.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|it| now - it > CALM) {
            self.by_key.retain(|_, it| !it.is_calm(now));
            self.swept = Some(now);
        }
    }
}

impl Changing {
    /// Whether it has not changed for long.
    fn is_calm(&self, now: Instant) -> bool {
        self.waiting.is_none() && now - self.at > CALM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn numbers_wait_for_each_other_but_not_for_ever() {
        let (pace, key) = (Pace::new(NUMBERS), SetKey::new("n", "s"));
        assert_eq!(pace.wait(&key), Some(COUNTS_WAIT));
        tokio::time::advance(COUNTS_WAIT / 2).await;
        assert_eq!(pace.wait(&key), Some(COUNTS_WAIT / 2), "the wait is not renewed");
        assert_eq!(pace.wait(&SetKey::new("n", "t")), Some(COUNTS_WAIT), "each set has its own");
        tokio::time::advance(COUNTS_WAIT).await;
        assert_eq!(pace.wait(&key), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_sets_change_the_longer_each_waits() {
        let (pace, set) = (Pace::new(NUMBERS), |it: u32| SetKey::new("n", &it.to_string()));
        for (crowd, wait) in
            [(1, 400), (2, 400), (5, 1000), (20, 4000), (50, 10_000), (200, 10_000)]
        {
            for it in 1..crowd {
                assert!(pace.wait(&set(it)).is_some());
            }
            let wait = Duration::from_millis(wait);
            assert_eq!(pace.wait(&set(crowd)), Some(wait), "{crowd} sets");
            for it in 1..=crowd {
                pace.forget(&set(it));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_gets_longer_with_the_crowd_and_not_shorter() {
        let (pace, set) = (Pace::new(NUMBERS), |it: u32| SetKey::new("n", &it.to_string()));
        assert_eq!(pace.wait(&set(1)), Some(COUNTS_WAIT));
        for it in 2..=10 {
            assert!(pace.wait(&set(it)).is_some());
        }
        tokio::time::advance(COUNTS_WAIT).await;
        assert_eq!(pace.wait(&set(1)), Some(8 * NUMBERS.for_each));
        for it in 2..=10 {
            pace.forget(&set(it));
        }
        assert_eq!(pace.wait(&set(1)), Some(8 * NUMBERS.for_each));
        tokio::time::advance(8 * NUMBERS.for_each).await;
        assert_eq!(pace.wait(&set(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn sets_that_were_written_are_of_the_crowd_until_they_are_calm_or_forgotten() {
        let (pace, set) = (Pace::new(NUMBERS), |it: u32| SetKey::new("n", &it.to_string()));
        for it in 1..=20 {
            assert!(pace.wait(&set(it)).is_some());
        }
        for it in 1..=20 {
            if it % 2 == 0 { pace.told(&set(it)) } else { pace.settled(&set(it)) }
        }
        pace.forget(&set(1));
        assert_eq!(pace.wait(&set(30)), Some(20 * NUMBERS.for_each));
        tokio::time::advance(CALM + Duration::from_millis(1)).await;
        assert_eq!(pace.wait(&set(30)), None);
        pace.forget(&set(30));
        assert_eq!(pace.wait(&set(31)), Some(COUNTS_WAIT));
        assert_eq!(pace.lock().by_key.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_that_go_on_changing_wait_longer() {
        let (pace, key) = (Pace::new(NUMBERS), SetKey::new("n", "s"));
        for wait in [1, 2, 4, 4].map(|it| it * COUNTS_WAIT) {
            assert_eq!(pace.wait(&key), Some(wait));
            pace.told(&key);
            pace.settled(&key);
        }
        tokio::time::advance(CALM + Duration::from_millis(1)).await;
        assert_eq!(pace.wait(&key), Some(COUNTS_WAIT), "after a calm");
        pace.told(&key);
        pace.forget(&key);
        assert_eq!(pace.wait(&key), Some(COUNTS_WAIT), "after a condition was told");
    }
}

//! How often the controller writes what nobody waits for: the numbers of groups in a status.
//!
//! While groups come and go the numbers change many times a second, and each change is a write that
//! every watcher of sets receives. They wait a moment for more of their kind, and longer the longer
//! that goes on. What somebody may wait for (a condition that changes, a generation) is written at
//! once, with the newest numbers: so are the last ones of an update.

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

/// Sets whose numbers wait to be written, or were written lately.
#[derive(Debug, Default)]
pub struct Pace {
    sets: Mutex<HashMap<SetKey, Changing>>,
}

/// A set whose numbers change.
#[derive(Debug)]
struct Changing {
    /// Until when its numbers wait, if there are new ones.
    due: Option<Instant>,
    /// How long the next ones wait.
    wait: Duration,
    /// When it was last looked at.
    at: Instant,
}

impl Pace {
    /// How much longer the changed numbers of a set wait; `None` when they are due. The first call
    /// since numbers were written begins the wait.
    #[must_use]
    pub fn wait(&self, key: &SetKey) -> Option<Duration> {
        let now = Instant::now();
        let mut sets = self.lock();
        let changing =
            sets.entry(key.clone()).or_insert(Changing { due: None, wait: COUNTS_WAIT, at: now });
        if now - changing.at > CALM {
            changing.wait = COUNTS_WAIT;
        }
        changing.at = now;
        let due = *changing.due.get_or_insert(now + changing.wait);
        due.checked_duration_since(now).filter(|it| !it.is_zero())
    }

    /// The numbers of a set that waited have been written, and nothing else.
    pub fn told(&self, key: &SetKey) {
        if let Some(changing) = self.lock().get_mut(key) {
            changing.due = None;
            changing.wait = (2 * changing.wait).min(LONGEST_WAIT);
        }
    }

    /// The stored numbers of a set are as they should be.
    pub fn settled(&self, key: &SetKey) {
        if let Some(changing) = self.lock().get_mut(key) {
            changing.due = None;
        }
    }

    /// What people wait for has been written, or there is no such set.
    pub fn forget(&self, key: &SetKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SetKey, Changing>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn numbers_wait_for_each_other_but_not_for_ever() {
        let (pace, key) = (Pace::default(), SetKey::new("n", "s"));
        assert_eq!(pace.wait(&key), Some(COUNTS_WAIT));
        tokio::time::advance(COUNTS_WAIT / 2).await;
        assert_eq!(pace.wait(&key), Some(COUNTS_WAIT / 2), "the wait is not renewed");
        assert_eq!(pace.wait(&SetKey::new("n", "t")), Some(COUNTS_WAIT), "each set has its own");
        tokio::time::advance(COUNTS_WAIT).await;
        assert_eq!(pace.wait(&key), None);
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_that_go_on_changing_wait_longer() {
        let (pace, key) = (Pace::default(), SetKey::new("n", "s"));
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

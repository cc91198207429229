//! How often the controller writes what nobody waits for: the numbers of groups in a status.
//!
//! While groups come and go the numbers change many times a second, and each change is a write that
//! every watcher of sets receives. They wait a moment for more of their kind. What somebody may wait
//! for (a condition that changes, a generation) is written at once, with the newest numbers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::index::SetKey;

/// How long new numbers wait. A group that is ready and the next one that makes way for the update
/// then are one write; for people it is still at once.
pub const COUNTS_WAIT: Duration = Duration::from_millis(400);

/// Sets whose numbers wait to be written, and until when.
#[derive(Debug, Default)]
pub struct Pace {
    due: Mutex<HashMap<SetKey, Instant>>,
}

impl Pace {
    /// How much longer the changed numbers of a set wait; `None` when they are due. The first call
    /// since [`Self::settled`] begins the wait.
    #[must_use]
    pub fn wait(&self, key: &SetKey) -> Option<Duration> {
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let due = due.entry(key.clone()).or_insert(now + COUNTS_WAIT);
        due.checked_duration_since(now).filter(|it| !it.is_zero())
    }

    /// The stored status of a set is as it should be, or there is no such set.
    pub fn settled(&self, key: &SetKey) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
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
        pace.settled(&key);
        assert_eq!(pace.wait(&key), Some(COUNTS_WAIT));
    }
}

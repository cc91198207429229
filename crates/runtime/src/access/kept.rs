//! A bounded number of answers, each until its time. The clock is the caller's.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tokio::time::Instant;

/// What an answer is kept under: a hash, so that tokens are in memory only as long as a request.
pub(super) type Key = [u8; SHA256_OUTPUT_LEN];

/// The key of a question.
pub(super) fn key(question: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(digest(&SHA256, question).as_ref());
    key
}

/// Answers and how long they count.
#[derive(Debug)]
pub(super) struct Kept<T> {
    capacity: usize,
    answers: HashMap<Key, (Instant, T)>,
}

impl<T: Clone> Kept<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, answers: HashMap::new() }
    }

    /// The answer under `key`, if it still counts.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<T> {
        let (end, answer) = self.answers.get(key)?;
        (now < *end).then(|| answer.clone())
    }

    /// Keeps an answer until `end`. Those whose time is over leave, and if that does not do, the one
    /// that has the least left.
    pub(super) fn insert(&mut self, key: Key, answer: T, end: Instant, now: Instant) {
        self.answers.retain(|it, (end, _)| *it != key && now < *end);
        if self.answers.len() >= self.capacity {
            let first = self.answers.iter().min_by_key(|(_, (end, _))| *end);
            if let Some(first) = first.map(|(key, _)| *key) {
                self.answers.remove(&first);
            }
        }
        self.answers.insert(key, (end, answer));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn answers_count_until_their_time() {
        let (begin, mut kept) = (Instant::now(), Kept::new(2));
        kept.insert(key(b"a"), 1, begin + 3 * SECOND, begin);
        for (seconds, expected) in [(0, Some(1)), (2, Some(1)), (3, None), (4, None)] {
            assert_eq!(kept.get(&key(b"a"), begin + seconds * SECOND), expected, "{seconds}");
        }
        assert_eq!(kept.get(&key(b"b"), begin), None);
    }

    #[test]
    fn the_newest_answer_counts() {
        let (begin, mut kept) = (Instant::now(), Kept::new(1));
        kept.insert(key(b"a"), 1, begin + 5 * SECOND, begin);
        kept.insert(key(b"a"), 2, begin + SECOND, begin);
        assert_eq!(kept.get(&key(b"a"), begin), Some(2));
        assert_eq!(kept.get(&key(b"a"), begin + 2 * SECOND), None);
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let (begin, mut kept) = (Instant::now(), Kept::new(3));
        for (name, seconds) in [(b"a", 9), (b"b", 2), (b"c", 8), (b"d", 7)] {
            kept.insert(key(name), name, begin + seconds * SECOND, begin);
        }
        let there = |kept: &Kept<_>, now| {
            [b"a", b"b", b"c", b"d"].map(|it| kept.get(&key(it), now).is_some())
        };
        assert_eq!(there(&kept, begin), [true, false, true, true]);
        // What has ended leaves before what has not.
        let later = begin + 7 * SECOND;
        kept.insert(key(b"b"), b"b", later + SECOND, later);
        assert_eq!(there(&kept, later), [true, true, true, false]);
        assert_eq!(kept.answers.len(), 3);
    }

    #[test]
    fn keys_are_hashes() {
        let empty = key(b"");
        assert_eq!(empty[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_ne!(key(b"a"), key(b"b"));
    }
}

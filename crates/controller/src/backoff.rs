//! How long to wait after the n-th failure in a row. Owns the formula only; who failed how often is
//! counted where the failures are seen ([`crate::queue`]).

use std::time::Duration;

/// Exponential backoff: the first failure waits [`base`](Self::base), each further one twice as
/// long as the one before, never longer than [`max`](Self::max).
///
/// There is no jitter: one process asks, and the bound on its concurrency already spreads a crowd
/// of keys that failed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub base: Duration,
    /// The longest delay.
    pub max: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row; zero when there was none.
    #[must_use]
    pub fn delay(self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        // A factor or product too large to represent is above any maximum.
        2_u32
            .checked_pow(doublings)
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.max, |delay| delay.min(self.max))
    }
}

/// 5 ms to 30 s: the first retries hide a conflict or a restart of the API server; from the 14th
/// on, after about 40 seconds, what needs a human is tried twice a minute, so that he sees soon
/// that he has healed it.
impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(5), max: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_from_base_to_max() {
        let backoff = Backoff::default();
        for (failures, milliseconds) in [
            (0, 0),
            (1, 5),
            (2, 10),
            (3, 20),
            (11, 5_120),
            (13, 20_480),
            (14, 30_000),
            (u32::MAX, 30_000),
        ] {
            assert_eq!(
                backoff.delay(failures),
                Duration::from_millis(milliseconds),
                "{failures} failures"
            );
        }
    }

    proptest! {
        #[test]
        fn stays_within_bounds_and_never_shrinks(
            base in any::<Duration>(),
            max in any::<Duration>(),
            failures in 1_u32..100,
        ) {
            let backoff = Backoff { base, max };
            let delay = backoff.delay(failures);
            prop_assert!(delay <= max);
            prop_assert!(delay >= base.min(max));
            prop_assert!(backoff.delay(failures + 1) >= delay);
        }
    }
}

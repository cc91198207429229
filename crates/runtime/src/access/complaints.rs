//! How often a failure is logged that every request may meet. The clock is the caller's.

use std::time::Duration;

use tokio::time::Instant;

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// When it was last complained, and how often it was not since.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Option<Instant>,
    withheld: u64,
}

impl Complaints {
    /// Whether to complain now. Tells how often it was not since the last time.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complained_once_in_a_while() {
        let (begin, mut complaints) = (Instant::now(), Complaints::default());
        for (seconds, expected) in [
            (0, Some(0)),
            (1, None),
            (9, None),
            (10, Some(2)),
            (19, None),
            (40, Some(1)),
            (50, Some(0)),
        ] {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(complaints.due(now), expected, "{seconds}");
        }
    }
}

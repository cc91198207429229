//! When the controller could not know what happens.

use std::time::Duration;

/// How long news may take to reach the controller and to be acted upon when nothing is wrong.
pub(crate) const NEWS: Duration = Duration::from_secs(2);

/// The times in which something was wrong with the controllers or their way to the API server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blindness(pub(crate) Vec<[Duration; 2]>);

impl Blindness {
    /// From when on what happened may be unknown to a decision that shows at `at`: it was made from news that were as
    /// late as they may be, and later where something was wrong.
    pub(crate) fn since(&self, at: Duration) -> Duration {
        let mut since = at.saturating_sub(NEWS);
        loop {
            let reaching = |[from, to]: &&[Duration; 2]| *from < since && *to + NEWS >= since;
            match self.0.iter().filter(reaching).map(|[from, _]| *from).min() {
                Some(from) => since = from.saturating_sub(NEWS),
                None => return since,
            }
        }
    }

    /// Whether something was wrong when this happened, or soon after.
    pub(crate) fn covers(&self, at: Duration) -> bool {
        self.0.iter().any(|[from, to]| *from <= at + NEWS && at <= *to + NEWS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn news_are_as_late_as_what_was_wrong() {
        let blindness = Blindness(vec![[s(10), s(15)], [s(16), s(20)], [s(40), s(41)]]);
        assert_eq!(blindness.since(s(5)), s(3));
        assert_eq!(blindness.since(s(14)), s(8));
        assert_eq!(blindness.since(s(21)), s(8), "one thing after the other");
        assert_eq!(blindness.since(s(30)), s(28));
        assert!(!blindness.covers(s(7)) && blindness.covers(s(8)) && blindness.covers(s(22)));
        assert!(!blindness.covers(s(30)));
    }
}

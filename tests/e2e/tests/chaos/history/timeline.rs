//! What something was like, and when.

use std::time::Duration;

/// Values one after the other, each from a moment on.
#[derive(Debug, Clone)]
pub(crate) struct Timeline<T>(Vec<(Duration, T)>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Timeline<T> {
    /// It is like this from `at` on.
    pub(crate) fn push(&mut self, at: Duration, value: T) {
        self.0.push((at, value));
    }

    /// What it was like at any moment from `from` on.
    pub(crate) fn since(&self, from: Duration) -> impl Iterator<Item = &T> {
        self.within([from, Duration::MAX])
    }

    /// What it was like at any moment between these, both included.
    pub(crate) fn within(&self, [from, to]: [Duration; 2]) -> impl Iterator<Item = &T> {
        let later = self.0.partition_point(|(at, _)| *at < from);
        let values =
            self.0.iter().skip(later.saturating_sub(1)).take_while(move |(at, _)| *at <= to);
        values.map(|(_, value)| value)
    }

    /// Since when `is` has been true of it without a break; `None` when it is not.
    pub(crate) fn steady(&self, is: impl Fn(&T) -> bool) -> Option<Duration> {
        self.0.iter().rev().take_while(|(_, value)| is(value)).last().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_was_like_includes_the_value_that_was_there_before() {
        let mut timeline = Timeline::default();
        for at in [1, 3, 5] {
            timeline.push(Duration::from_secs(at), at);
        }
        let since = |from| timeline.since(Duration::from_secs(from)).copied().collect::<Vec<_>>();
        assert_eq!(since(0), [1, 3, 5]);
        assert_eq!(since(4), [3, 5]);
        assert_eq!(since(9), [5]);
        let within = |from, to| timeline.within([from, to].map(Duration::from_secs)).copied();
        assert_eq!(within(3, 4).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(within(4, 5).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(timeline.steady(|it| *it > 1), Some(Duration::from_secs(3)));
        assert_eq!(timeline.steady(|it| *it < 5), None);
    }
}

//! When the controller could not know what happens.

use std::time::Duration;

use super::Kind;

/// How long news may take to reach the controller and to be acted upon when nothing is wrong.
pub(crate) const NEWS: Duration = Duration::from_secs(2);

/// What a fault keeps from the controller that leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// It learns all that it learns as always, or there is none that could decide. What should be written may not be.
    Nothing,
    /// What becomes of the objects of one kind.
    Of(Kind),
    Everything,
}

/// A fault of the controllers or of their way to the API server.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Duration,
    to: Duration,
    hidden: Hidden,
}

/// The times in which something was wrong with the controllers or their way to the API server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blindness(Vec<Span>);

impl Hidden {
    fn concerns(self, kinds: &[Kind]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Of(kind) => kinds.contains(&kind),
            Self::Everything => true,
        }
    }
}

impl Blindness {
    /// Something was wrong all this time.
    pub(crate) fn push(&mut self, [from, to]: [Duration; 2], hidden: Hidden) {
        self.0.push(Span { from, to, hidden });
    }

    /// From when on what became of objects of these kinds may be unknown to a decision that shows at `at`: it was made
    /// from news that were as late as they may be, and later where they were hidden.
    pub(crate) fn since(&self, at: Duration, kinds: &[Kind]) -> Duration {
        let mut since = at.saturating_sub(NEWS);
        let hiding: Vec<_> = self.0.iter().filter(|it| it.hidden.concerns(kinds)).collect();
        loop {
            let reaching = |it: &&&Span| it.from < since && it.to + NEWS >= since;
            match hiding.iter().filter(reaching).map(|it| it.from).min() {
                Some(from) => since = from.saturating_sub(NEWS),
                None => return since,
            }
        }
    }

    /// Whether something was wrong when this happened, or soon after.
    pub(crate) fn covers(&self, at: Duration) -> bool {
        self.0.iter().any(|it| it.from <= at + NEWS && at <= it.to + NEWS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn blindness(hidden: Hidden) -> Blindness {
        let mut blindness = Blindness::default();
        for [from, to] in [[10, 15], [16, 20], [40, 41]] {
            blindness.push([s(from), s(to)], hidden);
        }
        blindness
    }

    #[test]
    fn news_are_as_late_as_what_was_wrong() {
        let blindness = blindness(Hidden::Everything);
        let since = |at| blindness.since(s(at), &[Kind::Pod]);
        assert_eq!(since(5), s(3));
        assert_eq!(since(14), s(8));
        assert_eq!(since(21), s(8), "one thing after the other");
        assert_eq!(since(30), s(28));
        assert!(!blindness.covers(s(7)) && blindness.covers(s(8)) && blindness.covers(s(22)));
        assert!(!blindness.covers(s(30)));
    }

    #[test]
    fn what_is_not_hidden_is_known() {
        for hidden in [Hidden::Nothing, Hidden::Of(Kind::Set)] {
            let blindness = blindness(hidden);
            assert_eq!(blindness.since(s(14), &[Kind::Pod, Kind::StatefulSet]), s(12));
            assert!(blindness.covers(s(14)), "but something is wrong");
        }
        assert_eq!(blindness(Hidden::Of(Kind::Set)).since(s(14), &[Kind::Set]), s(8));
    }
}

//! Whole plans of sets with all their objects.

use std::time::{Duration, Instant};

use lws_simulation::WholeSet;

use crate::report::number;

/// Pods of a group.
const SIZE: usize = 4;

/// How often a plan is computed: the fastest one is not disturbed by anything else.
const REPEAT: usize = 5;

/// What is told of plans.
pub(super) const HEADER: [&str; 5] = [
    "groups of 4 pods",
    "a plan at rest (fastest of 5), ms",
    "for each group, ns",
    "one that makes all worker StatefulSets, ms",
    "for each group, ns",
];

/// How long plans for one size took.
pub(super) struct Plans {
    groups: u32,
    /// Nothing is to be done.
    rest: Duration,
    /// All groups lack their workers.
    creation: Duration,
}

impl Plans {
    /// Plans for a set with so many groups.
    pub(super) fn measure(groups: u32) -> Self {
        let mut set = WholeSet::with_leaders(usize::try_from(groups).unwrap_or(usize::MAX), SIZE);
        let creation = fastest(&set);
        set.settle();
        Self { groups, rest: fastest(&set), creation }
    }

    /// What a group costs in a plan at rest.
    pub(super) fn nanoseconds(&self) -> f64 {
        self.for_each(self.rest)
    }

    fn for_each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e9 / f64::from(self.groups)
    }

    /// The figures of [`HEADER`].
    pub(super) fn cells(&self) -> [String; 5] {
        let milliseconds = |time: Duration| number(time.as_secs_f64() * 1e3);
        [
            self.groups.to_string(),
            milliseconds(self.rest),
            number(self.for_each(self.rest)),
            milliseconds(self.creation),
            number(self.for_each(self.creation)),
        ]
    }
}

/// How long the present plan takes, without what becomes of it.
fn fastest(set: &WholeSet) -> Duration {
    let time = |_| {
        let begin = Instant::now();
        let plan = std::hint::black_box(set.plan());
        let took = begin.elapsed();
        drop(plan);
        took
    };
    (0..REPEAT).map(time).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_at_rest_and_for_new_groups_are_measured() {
        let plans = Plans::measure(20);
        assert!(!plans.rest.is_zero() && plans.creation > plans.rest);
    }
}

//! How much the planner's arithmetic had to do.

use std::time::{Duration, Instant};

/// What the calls of the arithmetic have taken in all. What the simulated cluster does around them is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Reconciles.
    pub steps: u64,
    /// Groups that were judged, summed over all reconciles.
    pub group_steps: u64,
    /// Time in [`step`](lws_controller::plan::rollout::step) and
    /// [`leaders_to_replace`](lws_controller::plan::rollout::leaders_to_replace).
    pub time: Duration,
}

impl Effort {
    /// What has been added since it was `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            steps: self.steps - before.steps,
            group_steps: self.group_steps - before.group_steps,
            time: self.time.saturating_sub(before.time),
        }
    }

    /// A reconcile begins that judges so many groups.
    pub(crate) fn begin(&mut self, groups: usize) {
        self.steps += 1;
        self.group_steps += u64::try_from(groups).unwrap();
    }

    /// The answer of `decide`, whose time is counted.
    pub(crate) fn timed<T>(&mut self, decide: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let answer = decide();
        self.time += begin.elapsed();
        answer
    }
}

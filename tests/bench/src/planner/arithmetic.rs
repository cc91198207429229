//! Rollouts from begin to end, of which the arithmetic is measured.

use std::time::{Duration, Instant};

use lws_api_types::set::RollingUpdate;
use lws_simulation::{Cluster, Effort, Template, Wanted};

use super::as_float;
use crate::report::number;

/// Rollouts are repeated until so many groups have been judged, so that short ones are measured too.
const GROUP_STEPS: u64 = 2_000_000;

/// How often a set is rolled out at least: the first rollout finds caches cold.
const ROLLOUTS: u64 = 5;

/// What is told of rollouts.
pub(super) const HEADER: [&str; 6] = [
    "groups",
    "steps of a rollout",
    "arithmetic, µs",
    "ns a group-step",
    "million group-steps/s",
    "with the simulated cluster, µs",
];

/// What rollouts of one size took.
pub(super) struct Rollouts {
    pub(super) groups: u32,
    count: u64,
    effort: Effort,
    /// With the simulated cluster.
    whole: Duration,
}

impl Rollouts {
    /// Rolls a set with so many groups out again and again. 2 % of them may be unavailable, and 1 % more exist meanwhile.
    pub(super) fn measure(groups: u32) -> Self {
        let part = |part: u32| i64::from((groups / part).max(1));
        let strategy =
            RollingUpdate { partition: 0, max_unavailable: part(50), max_surge: part(100) };
        let wanted = Wanted { replicas: groups.into(), strategy, template: 0 };
        let mut cluster = Cluster::settled(wanted, true);
        let (before, begin) = (cluster.effort(), Instant::now());
        let mut count: u64 = 0;
        loop {
            count += 1;
            cluster.change_template(Template::from(count % 2 == 1));
            cluster.roll();
            cluster.assert_complete();
            let effort = cluster.effort().since(before);
            if effort.group_steps >= GROUP_STEPS && count >= ROLLOUTS {
                return Self { groups, count, effort, whole: begin.elapsed() };
            }
        }
    }

    /// What one group takes in one step.
    pub(super) fn nanoseconds(&self) -> f64 {
        self.effort.time.as_secs_f64() * 1e9 / as_float(self.effort.group_steps)
    }

    /// The figures of [`HEADER`].
    pub(super) fn cells(&self) -> [String; 6] {
        let rollouts = as_float(self.count);
        let microseconds = |time: Duration| number(time.as_secs_f64() * 1e6 / rollouts);
        [
            self.groups.to_string(),
            number(as_float(self.effort.steps) / rollouts),
            microseconds(self.effort.time),
            number(self.nanoseconds()),
            number(1e3 / self.nanoseconds()),
            microseconds(self.whole),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollouts_judge_every_group_in_every_step() {
        let Rollouts { count, effort, .. } = Rollouts::measure(10_000);
        // Releases of 200 or 300 groups each, and what leads to them and follows.
        assert!((34..400).contains(&(effort.steps / count)), "{effort:?}");
        assert!(effort.group_steps >= effort.steps * 10_000, "{effort:?}");
        assert!(!effort.time.is_zero());
    }
}

//! What must never happen, whatever fails. Each is a function of what happened, which gives where it was broken.
//!
//! | module | owns |
//! |---|---|
//! | `budget` | a rollout takes no group down that `maxUnavailable` does not allow |
//! | `incidents` | every failure recreates its group, and nothing else does |
//! | `revisions` | all pods of a group are of one revision |
//! | `owners` | one owner for life, and nothing is created twice |
//! | `partition` | a rollout does not go back, nor further than it may |
//! | `writers` | one controller writes at a time |
//! | `departures` | why leader pods go, which two of them ask |

mod budget;
mod departures;
mod incidents;
mod owners;
mod partition;
mod revisions;
mod writers;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};

use crate::history::{History, Violation};
use budget::Takedown;
pub(crate) use writers::{Request, one_writer};

/// What there was to judge.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    changes: usize,
    /// How many groups went, for each reason.
    reasons: BTreeMap<String, usize>,
    /// How many of them were held to the budget, by set, and how many of these left nothing of it.
    takedowns: BTreeMap<String, usize>,
    last: usize,
}

impl Scope {
    pub(crate) fn of(history: &History) -> Self {
        let departures = departures::departures(history);
        let mut reasons = BTreeMap::new();
        for reason in departures.iter().flat_map(|it| &it.reasons) {
            *reasons.entry(format!("{reason:?}")).or_default() += 1;
        }
        let judged = budget::takedowns(history, &departures);
        let mut takedowns = BTreeMap::new();
        for set in judged.iter().map(Takedown::set) {
            *takedowns.entry(set.to_owned()).or_default() += 1;
        }
        let last = judged.iter().filter(|it| it.is_last()).count();
        Self { changes: history.changes.len(), reasons, takedowns, last }
    }

    /// Fails unless groups of each of these sets were held to the budget, and some left nothing of it: otherwise too
    /// large a step could not have been seen.
    pub(crate) fn ensure_judged<'a>(&self, mut sets: impl Iterator<Item = &'a str>) -> Result<()> {
        let unjudged = sets.find(|it| !self.takedowns.contains_key(*it));
        ensure!(unjudged.is_none(), "the budget has judged no group of set {unjudged:?}: {self}");
        ensure!(self.last > 0, "no group has left nothing of the budget: {self}");
        Ok(())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, reasons, takedowns, last } = self;
        let reasons: Vec<_> = reasons.iter().map(|(it, count)| format!("{it} {count}")).collect();
        write!(
            out,
            "{changes} changes; groups went: {}; {} of them judged by the budget, of which {last} left nothing",
            reasons.join(", "),
            takedowns.values().sum::<usize>()
        )
    }
}

/// All that was broken, in the order in which it was; `is_at_rest` when everything that had to follow has followed.
pub(crate) fn broken(history: &History, is_at_rest: bool) -> Vec<Violation> {
    let departures = departures::departures(history);
    let mut broken = budget::check(&budget::takedowns(history, &departures));
    broken.extend(incidents::needless(&departures));
    broken.extend(revisions::check(history));
    broken.extend(owners::check(history));
    broken.extend(partition::check(history, &departures));
    if is_at_rest {
        broken.extend(incidents::lost(history));
    }
    broken.sort_by_key(|it| it.at);
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::made_up::MadeUp;

    #[test]
    fn a_run_must_have_judged_each_set_and_reached_the_limit() {
        let judged = |it: &MadeUp, sets: &[&str]| {
            let judged = Scope::of(&it.history).ensure_judged(sets.iter().copied());
            judged.err().map(|it| it.to_string()).unwrap_or_default()
        };
        let mut it = MadeUp::new(4, 2);
        it.leader_set("b", 4, 2);
        assert!(judged(&it, &["s"]).contains("has judged no group of set Some(\"s\")"));
        it.leader(3, "a", 1, false);
        assert!(judged(&it, &["s"]).contains("has left nothing"), "one more could have gone");
        it.leader(2, "a", 1, false);
        assert_eq!(judged(&it, &["s"]), "");
        assert!(judged(&it, &["s", "t"]).contains("has judged no group of set Some(\"t\")"));
    }
}

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

use crate::history::{History, Violation};
pub(crate) use writers::{Request, one_writer};

/// What there was to judge.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    changes: usize,
    /// How many groups went, for each reason.
    reasons: BTreeMap<String, usize>,
    /// How many of them were held to the budget, and how many of these left nothing of it.
    pub(crate) takedowns: usize,
    last: usize,
}

impl Scope {
    pub(crate) fn of(history: &History) -> Self {
        let departures = departures::departures(history);
        let mut reasons = BTreeMap::new();
        for reason in departures.iter().flat_map(|it| &it.reasons) {
            *reasons.entry(format!("{reason:?}")).or_default() += 1;
        }
        let takedowns = budget::takedowns(history, &departures);
        let last = takedowns.iter().filter(|it| it.is_last()).count();
        Self { changes: history.changes.len(), reasons, takedowns: takedowns.len(), last }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, reasons, takedowns, last } = self;
        let reasons: Vec<_> = reasons.iter().map(|(it, count)| format!("{it} {count}")).collect();
        write!(
            out,
            "{changes} changes; groups went: {}; {takedowns} of them judged by the budget, of which {last} left \
             nothing",
            reasons.join(", ")
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

//! What must never happen, whatever fails. Each is a function of what happened, which gives where it was broken.
//!
//! | module | owns |
//! |---|---|
//! | `budget` | a rollout takes no group down that `maxUnavailable` does not allow |
//! | `incidents` | every failure recreates its group, and nothing else does |
//! | `revisions` | all pods of a group are of one revision |
//! | `owners` | one owner for life, and nothing is created twice |
//! | `partition` | a rollout does not go back |
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

use crate::history::{History, Violation};
pub(crate) use writers::{Request, one_writer};

/// What there was to judge: how much has changed, and how many groups went for which reasons.
pub(crate) fn summary(history: &History) -> String {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for departure in departures::departures(history) {
        for reason in departure.reasons {
            *reasons.entry(format!("{reason:?}")).or_default() += 1;
        }
    }
    let reasons: Vec<_> =
        reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    format!("{} changes; groups went: {}", history.changes.len(), reasons.join(", "))
}

/// All that was broken, in the order in which it was; `is_at_rest` when everything that had to follow has followed.
pub(crate) fn broken(history: &History, is_at_rest: bool) -> Vec<Violation> {
    let departures = departures::departures(history);
    let mut broken = budget::check(history, &departures);
    broken.extend(incidents::needless(&departures));
    broken.extend(revisions::check(history));
    broken.extend(owners::check(history));
    broken.extend(partition::check(history));
    if is_at_rest {
        broken.extend(incidents::lost(history));
    }
    broken.sort_by_key(|it| it.at);
    broken
}

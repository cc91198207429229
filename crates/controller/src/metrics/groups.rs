//! Groups that have failed lately: how many there are, how many of them wait, and a series for each
//! of those that fail most, as many as the configuration allows.
//!
//! What is shown is what the last plans found, so it survives this process like the history it
//! comes from. The series are made when they are scraped: one whose group has recovered or gone, or
//! whose set has, is not there any more.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts};

use crate::observe::index::SetKey;
use crate::plan::history::Failing;

/// The groups of all sets that have failed lately.
#[derive(Clone, Debug)]
pub(super) struct FailedGroups {
    sets: Arc<Mutex<HashMap<SetKey, Failing>>>,
    /// How many series there are at most.
    most: usize,
    failing: IntGauge,
    waiting: IntGauge,
    failures: IntGaugeVec,
}

impl FailedGroups {
    /// None yet; `most` of them will have series of their own.
    pub(super) fn new(most: usize) -> Result<Self, prometheus::Error> {
        Ok(Self {
            sets: Arc::default(),
            most,
            failing: IntGauge::new(
                "lws_groups_failing",
                "Groups that have failed and have not been ready for `resetAfter` since.",
            )?,
            waiting: IntGauge::new(
                "lws_groups_in_backoff",
                "Groups that have failed and wait for their recreation, because they keep \
                 failing.",
            )?,
            failures: IntGaugeVec::new(
                Opts::new(
                    "lws_group_failures",
                    "How many times in a row a group of a set has failed; `cause` is that of the \
                     last time.",
                ),
                &["namespace", "name", "group", "cause"],
            )?,
        })
    }

    /// Takes in which groups of a set have failed lately.
    pub(super) fn replace(&self, set: &SetKey, failing: &Failing) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.is_empty() {
            sets.remove(set);
        } else {
            sets.insert(set.clone(), failing.clone());
        }
    }
}

impl Collector for FailedGroups {
    fn desc(&self) -> Vec<&Desc> {
        [self.failing.desc(), self.waiting.desc(), self.failures.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Held to the end: two who scrape at once do not mix their series.
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |of: fn(&Failing) -> usize| {
            i64::try_from(sets.values().map(of).sum::<usize>()).unwrap_or(i64::MAX)
        };
        self.failing.set(count(|it| it.groups.len()));
        self.waiting.set(count(|it| it.waiting));
        let all = sets.iter().flat_map(|(set, it)| it.groups.iter().map(move |it| (set, it)));
        let mut worst: Vec<_> = all.collect();
        worst.sort_unstable_by_key(|(set, it)| (Reverse(it.count), *set, it.index));
        self.failures.reset();
        for (set, it) in worst.into_iter().take(self.most) {
            let labels = [&*set.namespace, &*set.name, &it.index.to_string(), it.cause.label()];
            self.failures.with_label_values(&labels).set(it.count.into());
        }
        [self.failing.collect(), self.waiting.collect(), self.failures.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::proto::LabelPair;

    use super::*;
    use crate::plan::history::{Cause, GroupFailure};

    fn failing(waiting: usize, groups: &[(i64, u32, Cause)]) -> Failing {
        let failure = |(index, count, cause): &_| GroupFailure {
            index: *index,
            count: *count,
            cause: *cause,
        };
        Failing { waiting, groups: groups.iter().map(failure).collect() }
    }

    /// Each series with its value.
    fn shown(groups: &FailedGroups) -> Vec<String> {
        let mut shown = Vec::new();
        for family in groups.collect() {
            for metric in family.get_metric() {
                let labels: Vec<_> = metric.get_label().iter().map(LabelPair::value).collect();
                let value = metric.get_gauge().get_value();
                shown.push(format!("{} {} {value}", family.name(), labels.join("/")));
            }
        }
        shown.sort();
        shown
    }

    #[test]
    fn groups_are_shown_while_they_fail_and_gone_with_their_set() {
        let groups = FailedGroups::new(10).unwrap();
        let [one, other] = ["one", "other"].map(|name| SetKey::new("n", name));
        groups.replace(&one, &failing(1, &[(0, 3, Cause::PodLost), (7, 1, Cause::NodeLost)]));
        groups.replace(&other, &failing(0, &[(1, 2, Cause::PodDeleted)]));
        assert_eq!(
            shown(&groups),
            [
                "lws_group_failures node_lost/7/one/n 1",
                "lws_group_failures pod_deleted/1/other/n 2",
                "lws_group_failures pod_lost/0/one/n 3",
                "lws_groups_failing  3",
                "lws_groups_in_backoff  1",
            ]
        );
        groups.replace(&one, &failing(0, &[(0, 4, Cause::ContainerRestart)]));
        groups.replace(&other, &Failing::default());
        assert_eq!(
            shown(&groups),
            [
                "lws_group_failures container_restart/0/one/n 4",
                "lws_groups_failing  1",
                "lws_groups_in_backoff  0",
            ]
        );
        groups.replace(&one, &Failing::default());
        assert_eq!(shown(&groups), ["lws_groups_failing  0", "lws_groups_in_backoff  0"]);
        assert!(groups.sets.lock().unwrap().is_empty());
    }

    #[test]
    fn those_that_fail_most_have_the_series_that_are_allowed() {
        for (most, expected) in [(0, vec![]), (2, vec!["0", "5"])] {
            let groups = FailedGroups::new(most).unwrap();
            let all = [(0, 4, Cause::PodLost), (1, 1, Cause::PodLost), (5, 2, Cause::PodLost)];
            groups.replace(&SetKey::new("n", "s"), &failing(2, &all));
            let series: Vec<_> = shown(&groups)
                .into_iter()
                .filter_map(|it| it.strip_prefix("lws_group_failures ").map(str::to_owned))
                .collect();
            let indexes: Vec<_> = series.iter().filter_map(|it| it.split('/').nth(1)).collect();
            assert_eq!(indexes, expected, "at most {most}");
            let totals = ["lws_groups_failing  3", "lws_groups_in_backoff  2"];
            assert!(totals.iter().all(|it| shown(&groups).contains(&(*it).to_owned())));
        }
    }
}

//! How often each group has failed lately, and how long its next recreation waits because of that.
//!
//! The history of a set is an annotation of its leader `StatefulSet`, so it outlives this process.
//! A failure is counted by the UID of the leader whose group it ended: however often the same
//! failure is looked at, it counts once. It is written by a patch of its own rather than with the
//! fields that are applied, so that an apply which the server refuses holds back no group.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lws_runtime::config::GroupRestartSettings;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::group::Group;
use crate::backoff::Backoff;
use crate::observe::views::StatefulSetView;

/// The longest text of a history, in bytes: half of the room that Kubernetes gives to the
/// annotations of an object. It holds the failures of about 500 groups.
const LONGEST: usize = 128 * 1024;

/// Why a group is recreated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A container of one of its pods restarted.
    ContainerRestart,
    /// One of its pods is being deleted.
    PodDeleted,
    /// One of its pods was evicted or preempted.
    PodEvicted,
    /// One of its pods was on a node that was lost.
    NodeLost,
    /// One of its pods vanished.
    PodLost,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 5] =
        [Self::ContainerRestart, Self::PodDeleted, Self::PodEvicted, Self::NodeLost, Self::PodLost];

    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ContainerRestart => "container_restart",
            Self::PodDeleted => "pod_deleted",
            Self::PodEvicted => "pod_evicted",
            Self::NodeLost => "node_lost",
            Self::PodLost => "pod_lost",
        }
    }

    /// What happened to `pod`, in words.
    #[must_use]
    pub fn told(self, pod: &str) -> String {
        match self {
            Self::ContainerRestart => format!("a container of pod {pod} restarted"),
            Self::PodDeleted => format!("pod {pod} was deleted"),
            Self::PodEvicted => format!("pod {pod} was evicted"),
            Self::NodeLost => format!("the node of pod {pod} was lost"),
            Self::PodLost => format!("pod {pod} vanished"),
        }
    }
}

/// The last failure of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// How many times in a row the group has failed.
    pub count: u32,
    /// Why, the last time.
    pub cause: Cause,
    /// The pod that failed.
    pub pod: String,
    /// UID of the leader that led the group then.
    pub leader: String,
    /// Revision key of the group then. Another revision begins with no failures.
    #[serde(default)]
    pub revision: String,
    /// When it was noticed.
    pub time: Timestamp,
}

impl Incident {
    /// How long its group still has to wait until it is recreated.
    #[must_use]
    pub fn wait(&self, settings: &GroupRestartSettings, now: Timestamp) -> Duration {
        let backoff = Backoff { base: settings.initial_delay, max: settings.max_delay };
        let delay = backoff.delay(self.count.saturating_sub(settings.backoff_after));
        // One that lies in the future was noticed by another clock, or before this one was put back.
        delay.saturating_sub(since(self.time, now))
    }
}

/// Groups of a set that have failed lately, as metrics tell of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failing {
    /// How many of them wait for their recreation, because they keep failing.
    pub waiting: usize,
    /// Each of them.
    pub groups: Vec<GroupFailure>,
}

impl Failing {
    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0 && self.groups.is_empty()
    }
}

/// A group that has failed lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupFailure {
    /// Its index.
    pub index: i64,
    /// How many times in a row it has failed.
    pub count: u32,
    /// Why, the last time.
    pub cause: Cause,
}

/// The last failure of each group that has failed lately, by group index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Incidents);

/// Failures of groups, by group index.
pub type Incidents = BTreeMap<i64, Incident>;

impl History {
    /// The history that `leader_set` carries. One that cannot be read is none.
    #[must_use]
    pub fn of(leader_set: &StatefulSetView) -> Self {
        let Some(text) = &leader_set.group_restarts else { return Self::default() };
        let incidents = serde_json::from_str(text).inspect_err(|error| {
            tracing::warn!(%error, name = leader_set.identity.name(), "history of groups dropped");
        });
        Self(incidents.unwrap_or_default())
    }

    /// The history with failures that have been counted and are not written yet.
    pub(super) fn with(&self, unwritten: &Incidents) -> Self {
        let mut all = self.0.clone();
        all.extend(unwritten.iter().map(|(index, incident)| (*index, incident.clone())));
        Self(all)
    }

    /// Its failures that `stored` lacks, or has otherwise.
    pub(super) fn beyond(&self, stored: &Self) -> Incidents {
        let is_new = |(index, it): &(&i64, &Incident)| stored.of_group(**index) != Some(*it);
        let new = self.0.iter().filter(is_new);
        new.map(|(index, incident)| (*index, incident.clone())).collect()
    }

    /// Whether the failure that ends the group which `leader` leads is in it.
    pub(super) fn has(&self, index: i64, leader: &str) -> bool {
        self.of_leader(index, leader).is_some()
    }

    /// Its text; `None` when no group has failed.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let text = json!(self.0).to_string();
        if text.len() > LONGEST {
            return Some(json!(self.worst(text.len())).to_string());
        }
        (!self.0.is_empty()).then_some(text)
    }

    /// As many failures as there is room for when all of them take `length`: those of the groups
    /// that keep failing, and of these the latest. The others count as first ones again.
    fn worst(&self, length: usize) -> BTreeMap<i64, &Incident> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_unstable_by_key(|(index, it)| (Reverse((it.count, it.time)), **index));
        let room = all.len() * LONGEST / length;
        // Some are longer than others.
        let kept = all.into_iter().take(room * 9 / 10);
        kept.map(|(index, incident)| (*index, incident)).collect()
    }

    /// The failure that ends the group which `leader` leads, once it has been counted.
    #[must_use]
    pub fn of_leader(&self, index: i64, leader: &str) -> Option<&Incident> {
        self.0.get(&index).filter(|it| it.leader == leader)
    }

    /// The last failure of the group at this index, if it has failed lately.
    #[must_use]
    pub fn of_group(&self, index: i64) -> Option<&Incident> {
        self.0.get(&index)
    }

    /// Each group that has failed lately.
    pub(super) fn failures(&self) -> Vec<GroupFailure> {
        let failure = |(index, it): (&i64, &Incident)| GroupFailure {
            index: *index,
            count: it.count,
            cause: it.cause,
        };
        self.0.iter().map(failure).collect()
    }

    /// Counts a failure.
    pub(super) fn count(&mut self, group: &Group<'_>, cause: Cause, pod: &str, now: Timestamp) {
        let revision = group.leader.revision.clone().unwrap_or_default();
        let before = self.0.get(&group.index).filter(|it| it.revision == revision);
        let incident = Incident {
            count: before.map_or(0, |it| it.count).saturating_add(1),
            cause,
            pod: pod.to_owned(),
            leader: group.leader.identity.uid().to_owned(),
            revision,
            time: whole_milliseconds(now),
        };
        self.0.insert(group.index, incident);
    }

    /// Takes a failure that lies in the future, because a clock was put back or differs, as one of `now`: otherwise its
    /// group would wait until the clock has caught up.
    pub(super) fn bring_to_present(&mut self, index: i64, now: Timestamp) {
        if let Some(incident) = self.0.get_mut(&index) {
            incident.time = incident.time.min(whole_milliseconds(now));
        }
    }

    /// Forgets a group whose failures do not matter any more.
    pub(super) fn forget_group(&mut self, index: i64) {
        self.0.remove(&index);
    }

    /// Forgets groups that are gone, those of another revision, and those whose pods all have been
    /// ready long enough. Gives how long it is until the next of those that are ready has been so long
    /// enough.
    pub(super) fn forget(
        &mut self,
        groups: &[Group<'_>],
        existing: i64,
        settings: &GroupRestartSettings,
        now: Timestamp,
    ) -> Option<Duration> {
        if self.0.is_empty() {
            return None;
        }
        let by_index: BTreeMap<i64, &Group<'_>> = groups.iter().map(|it| (it.index, it)).collect();
        let mut next: Option<Duration> = None;
        self.0.retain(|index, incident| {
            let Some(group) = by_index.get(index) else { return *index < existing };
            if incident.leader == group.leader.identity.uid() {
                return true;
            }
            if group.leader.revision.as_ref() != Some(&incident.revision) {
                return false;
            }
            if !group.ready {
                return true;
            }
            let ready = group.pods().filter_map(|it| it.ready_changed).max();
            let since_ready = since(ready.unwrap_or(incident.time), now);
            let rest = settings.reset_after.saturating_sub(since_ready);
            if !rest.is_zero() {
                next = Some(next.map_or(rest, |next| next.min(rest)));
            }
            !rest.is_zero()
        });
        next
    }
}

/// A time as it is written.
fn whole_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// The time from `then` to `now`; zero when `then` is in the future.
pub(super) fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(count: u32) -> Incident {
        Incident {
            count,
            cause: Cause::PodLost,
            pod: "s-0-1".into(),
            leader: "l".into(),
            revision: "r".into(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_first_two_failures_wait_for_nothing_and_the_next_ones_ever_longer() {
        let settings = GroupRestartSettings::default();
        for (count, seconds) in [
            (1, 0),
            (2, 0),
            (3, 10),
            (4, 20),
            (5, 40),
            (6, 80),
            (7, 160),
            (8, 300),
            (u32::MAX, 300),
        ] {
            let wait = incident(count).wait(&settings, Timestamp::UNIX_EPOCH);
            assert_eq!(wait.as_secs(), seconds, "failure {count}");
        }
    }

    #[test]
    fn what_is_left_to_wait_shrinks_with_time_and_never_exceeds_the_delay() {
        let settings = GroupRestartSettings::default();
        for (now, seconds) in [(0, 10), (4, 6), (10, 0), (1000, 0), (-1000, 10)] {
            let wait = incident(3).wait(&settings, Timestamp::from_second(now).unwrap());
            assert_eq!(wait.as_secs(), seconds, "{now} s after the failure");
        }
    }

    #[test]
    fn a_history_is_read_as_it_was_written_and_an_unreadable_one_is_none() {
        let history = History([(2, incident(1)), (10, incident(3))].into());
        let text = history.text();
        let carried = StatefulSetView { group_restarts: text.clone(), ..Default::default() };
        assert_eq!(History::of(&carried), history);
        assert_eq!(History::of(&carried).text(), text);
        let broken = StatefulSetView { group_restarts: Some("?".into()), ..Default::default() };
        assert_eq!(History::of(&broken).text(), None);
    }

    #[test]
    fn a_history_keeps_the_worst_failures_that_there_is_room_for() {
        let long = |count| Incident { pod: "p".repeat(200), ..incident(count) };
        let mut history = History((0..2000).map(|index| (index, long(1))).collect());
        history.0.extend([(7, long(4)), (1500, long(3))]);
        let text = history.text().unwrap();
        assert!(text.len() <= LONGEST && text.len() > LONGEST / 2, "{}", text.len());
        let carried = StatefulSetView { group_restarts: Some(text.clone()), ..Default::default() };
        let kept = History::of(&carried);
        assert_eq!(kept.of_leader(7, "l").map(|it| it.count), Some(4));
        assert_eq!(kept.of_leader(1500, "l").map(|it| it.count), Some(3));
        assert_eq!(kept.text(), Some(text), "what was written is not written again");
    }

    #[test]
    fn a_cause_has_one_name_everywhere() {
        for cause in Cause::ALL {
            assert_eq!(json!(cause), cause.label());
        }
    }
}

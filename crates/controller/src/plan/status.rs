//! What a set's status says: how many groups are ready and updated, which conditions hold, what
//! cannot be done, and the event that tells of a change.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use lws_api_types::conditions::{ConditionType, REPLICA_FAILURE, set_failure, set_true};
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetStatus, names};

use super::task::{EventDraft, Failure, StatusChange, Verdict};

/// A group whose leader pod exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupObservation {
    /// Its index, counted from 0.
    pub index: i64,
    /// All its pods are ready and none is being deleted.
    pub ready: bool,
    /// All its objects carry the current revision key.
    pub updated: bool,
    /// It has every object that a group of its size has. Without them it counts for nothing.
    pub counted: bool,
}

/// Groups of a set, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// `status.readyReplicas`: ready groups, surge included.
    pub ready: i32,
    /// `status.updatedReplicas`: groups on the current revision, surge included.
    pub updated: i32,
    desired: i64,
    ready_desired: i64,
    in_range: i64,
    updated_in_range: i64,
    settled_in_range: i64,
    partition: i64,
}

impl Counts {
    /// Counts `groups` of a set that wants `replicas` of them and updates those at an index of at
    /// least `partition` (its own, not the one of the leader `StatefulSet`).
    #[must_use]
    pub fn of(groups: &[GroupObservation], replicas: i64, partition: i64) -> Self {
        let mut counts = Self {
            ready: 0,
            updated: 0,
            desired: replicas,
            ready_desired: 0,
            in_range: 0,
            updated_in_range: 0,
            settled_in_range: 0,
            partition,
        };
        for group in groups.iter().filter(|group| group.counted) {
            let desired = group.index < replicas;
            let in_range = desired && group.index >= partition;
            counts.ready += i32::from(group.ready);
            counts.updated += i32::from(group.updated);
            counts.ready_desired += i64::from(desired && group.ready);
            counts.in_range += i64::from(in_range);
            counts.updated_in_range += i64::from(in_range && group.updated);
            counts.settled_in_range += i64::from(in_range && group.updated && group.ready);
        }
        counts
    }

    /// The conditions that hold, the most telling first.
    #[must_use]
    pub fn conditions(&self) -> &'static [ConditionType] {
        if self.updated_in_range < self.in_range {
            &[ConditionType::UpdateInProgress, ConditionType::Progressing]
        } else if self.ready_desired == self.desired && self.settled_in_range == self.in_range {
            &[ConditionType::Available]
        } else {
            &[ConditionType::Progressing]
        }
    }

    /// Whether every desired group is ready and on the current revision, with none held back by
    /// the partition: no other revision is needed any more.
    #[must_use]
    pub fn update_complete(&self) -> bool {
        self.partition == 0 && self.settled_in_range == self.desired
    }
}

/// The event that tells of changed conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Its reason.
    pub reason: &'static str,
    /// Its text.
    pub note: String,
}

/// Makes the conditions of `counts` true in `stored`, the excluded ones false, and every observed
/// generation `generation`. Gives the event to emit when any status changed.
pub fn merge_conditions(
    stored: &mut Vec<Condition>,
    counts: &Counts,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Transition> {
    let wanted = counts.conditions();
    let mut changed = false;
    for condition in wanted {
        changed |= set_true(stored, *condition, generation, now);
    }
    let told = wanted.first().filter(|_| changed)?;
    let note = format!(
        "{}, with {} groups ready of total {} groups",
        told.message(),
        counts.ready,
        counts.desired
    );
    Some(Transition { reason: told.reason(), note })
}

/// What there is of a set whose leader `StatefulSet` exists.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// `status.replicas` of the leader `StatefulSet`.
    pub existing: i64,
    /// Its groups.
    pub counts: Counts,
    /// Whether the leader `StatefulSet` is as the present generation wants it.
    pub is_applied: bool,
}

/// The status of `set` as it should be, when it differs from the stored one. Where nothing is
/// `seen`, only `verdict` is news.
///
/// `status.observedGeneration`, and that of the conditions, is the last generation that was acted
/// on: it is raised once the leader `StatefulSet` is as that generation wants it. While its apply
/// fails, who waits for a condition of this generation waits on, and the failure says why.
#[must_use]
pub fn change(
    set: &LeaderWorkerSet,
    seen: Option<&Seen>,
    verdict: Verdict<'_>,
    now: Timestamp,
) -> Option<StatusChange> {
    let stored = set.status.clone().unwrap_or_default();
    let mut status = stored.clone();
    let generation = set.metadata.generation;
    let mut event = None;
    if let Some(Seen { existing, counts, is_applied }) = seen {
        status.replicas = i32::try_from(*existing).unwrap_or(i32::MAX);
        status.ready_replicas = counts.ready;
        status.updated_replicas = counts.updated;
        if *is_applied {
            status.observed_generation = generation;
        }
        if status.hpa_pod_selector.is_empty() {
            status.hpa_pod_selector = names::hpa_pod_selector(set.name());
        }
        // Without any, who waits would take a condition for one of the present generation.
        let observed = Some(status.observed_generation.unwrap_or(0));
        let transition = merge_conditions(&mut status.conditions, counts, observed, now);
        event = transition.map(|it| EventDraft::normal(it.reason, "Update", it.note));
    }
    tell_failure(&mut status.conditions, &stored.conditions, verdict, generation, now);
    let may_wait = has_same_conditions(&stored, &status);
    (status != stored).then_some(StatusChange { status, event, may_wait })
}

/// Makes condition `ReplicaFailure` say what `verdict` does. One that nothing is known of stays as
/// it is `stored`.
fn tell_failure(
    conditions: &mut Vec<Condition>,
    stored: &[Condition],
    verdict: Verdict<'_>,
    generation: Option<i64>,
    now: Timestamp,
) {
    match verdict {
        Verdict::Fine => set_failure(conditions, None, generation, now),
        Verdict::Refused(Failure { reason, message }) => {
            set_failure(conditions, Some((reason, message)), generation, now);
        }
        Verdict::Open => {
            let before = stored.iter().find(|it| it.type_ == REPLICA_FAILURE);
            let present = conditions.iter_mut().find(|it| it.type_ == REPLICA_FAILURE);
            if let Some((before, present)) = before.zip(present) {
                present.clone_from(before);
            }
        }
    }
}

/// Condition `ReplicaFailure`, which is there as long as it is true.
pub(super) fn failure(status: &LeaderWorkerSetStatus) -> Option<&Condition> {
    status.conditions.iter().find(|it| it.type_ == REPLICA_FAILURE)
}

/// Whether two statuses differ in the numbers of groups at most.
fn has_same_conditions(stored: &LeaderWorkerSetStatus, status: &LeaderWorkerSetStatus) -> bool {
    let recounted = LeaderWorkerSetStatus {
        replicas: status.replicas,
        ready_replicas: status.ready_replicas,
        updated_replicas: status.updated_replicas,
        ..stored.clone()
    };
    recounted == *status
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One group a word: index, then `O`ld or `N`ew, then `+` ready or `-` not; a `?` in front
    /// marks a group that lacks objects.
    fn groups(row: &str) -> Vec<GroupObservation> {
        let parse = |word: &str| {
            let counted = !word.starts_with('?');
            let (index, state) = word.trim_start_matches('?').split_at(1);
            GroupObservation {
                index: index.parse().unwrap(),
                ready: state.ends_with('+'),
                updated: state.starts_with('N'),
                counted,
            }
        };
        row.split_whitespace().map(parse).collect()
    }

    fn first_condition(counts: &Counts) -> &'static str {
        counts.conditions()[0].as_str()
    }

    #[test]
    fn counts_and_conditions() {
        for (row, replicas, partition, ready, updated, condition, complete) in [
            ("", 0, 0, 0, 0, "Available", true),
            ("", 2, 0, 0, 0, "Progressing", false),
            ("0N+", 2, 0, 1, 1, "Progressing", false),
            ("0N+ 1N-", 2, 0, 1, 2, "Progressing", false),
            ("0N+ 1N+", 2, 0, 2, 2, "Available", true),
            ("0O+ 1O+", 2, 0, 2, 0, "UpdateInProgress", false),
            ("0O- 1N+", 2, 0, 1, 1, "UpdateInProgress", false),
            // Below the partition a group may be old, but must be ready.
            ("0O+ 1N+", 2, 1, 2, 1, "Available", false),
            ("0O- 1N+", 2, 1, 1, 1, "Progressing", false),
            ("0O+ 1O+", 2, 5, 2, 0, "Available", false),
            // Surge groups show in the numbers and decide nothing.
            ("0N+ 1N+ 2O+ 3N-", 2, 0, 3, 3, "Available", true),
            ("0N- 1N+ 2N+", 2, 0, 2, 3, "Progressing", false),
            // A group that lacks objects counts for nothing.
            ("?0O+ ?1O+", 2, 0, 0, 0, "Progressing", false),
            ("0N+ ?1N+", 2, 0, 1, 1, "Progressing", false),
        ] {
            let counts = Counts::of(&groups(row), replicas, partition);
            assert_eq!(
                (counts.ready, counts.updated, first_condition(&counts), counts.update_complete()),
                (ready, updated, condition, complete),
                "`{row}` of {replicas}, partition {partition}"
            );
        }
    }

    #[test]
    fn an_event_tells_of_each_change_once_and_with_the_numbers() {
        let mut stored = Vec::new();
        let mut merge = |row: &str, replicas, generation| {
            let counts = Counts::of(&groups(row), replicas, 0);
            let now = Timestamp::from_second(generation).unwrap();
            merge_conditions(&mut stored, &counts, Some(generation), now)
                .map(|it| format!("{}: {}", it.reason, it.note))
        };
        for (row, replicas, generation, event) in [
            (
                "",
                2,
                1,
                "GroupsProgressing: Replicas are progressing, with 0 groups ready of total 2 groups",
            ),
            ("0N+", 2, 1, ""),
            (
                "0N+ 1N+",
                2,
                1,
                "AllGroupsReady: All replicas are ready, with 2 groups ready of total 2 groups",
            ),
            ("0N+ 1N+", 2, 2, ""),
            (
                "0N+ 1N+",
                3,
                3,
                "GroupsProgressing: Replicas are progressing, with 2 groups ready of total 3 groups",
            ),
            (
                "0O+ 1O+ 2N+",
                3,
                4,
                "GroupsUpdating: Rolling Upgrade is in progress, with 3 groups ready of total 3 groups",
            ),
            ("0O+ 1N+ 2N+", 3, 4, ""),
        ] {
            let expected = (!event.is_empty()).then(|| event.to_owned());
            assert_eq!(merge(row, replicas, generation), expected, "`{row}` of {replicas}");
        }
        let of = |it: &Condition| (it.type_.clone(), it.status.clone(), it.observed_generation);
        let state: Vec<_> = stored.iter().map(of).collect();
        let entry = |name: &str, status: &str| (name.to_owned(), status.to_owned(), Some(4));
        assert_eq!(
            state,
            [
                entry("Progressing", "True"),
                entry("Available", "False"),
                entry("UpdateInProgress", "True"),
            ]
        );
    }
}

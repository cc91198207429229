//! Condition types of a set, and the one rule by which a newly true condition enters the list.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The condition types that describe progress. Availability excludes the other two, which may be
/// true together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// Every group that must be is updated and ready.
    Available,
    /// Neither updating nor available, or updating.
    Progressing,
    /// Some group is not on the current revision.
    UpdateInProgress,
}

impl ConditionType {
    /// `type` of the condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::UpdateInProgress => "UpdateInProgress",
        }
    }

    /// `reason` of the condition while it is true.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Available => "AllGroupsReady",
            Self::Progressing => "GroupsProgressing",
            Self::UpdateInProgress => "GroupsUpdating",
        }
    }

    /// `message` of the condition while it is true.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Available => "All replicas are ready",
            Self::Progressing => "Replicas are progressing",
            Self::UpdateInProgress => "Rolling Upgrade is in progress",
        }
    }

    fn excludes(self, other: &str) -> bool {
        match self {
            Self::Available => {
                other == Self::Progressing.as_str() || other == Self::UpdateInProgress.as_str()
            }
            Self::Progressing | Self::UpdateInProgress => other == Self::Available.as_str(),
        }
    }
}

/// Makes `wanted` true in `stored` and the types it excludes false; gives whether the status of
/// any condition changed.
///
/// A condition that turns false keeps the reason and message of its true state: clients match on
/// them. The transition time is renewed when the status changes, not when only the generation
/// does. `observedGeneration` of every condition becomes `generation`.
pub fn set_true(
    stored: &mut Vec<Condition>,
    wanted: ConditionType,
    generation: Option<i64>,
    now: Timestamp,
) -> bool {
    let mut changed = false;
    let mut found = false;
    for condition in stored.iter_mut() {
        condition.observed_generation = generation;
        if condition.type_ == wanted.as_str() {
            found = true;
            if condition.status != "True" {
                *condition = true_condition(wanted, generation, now);
                changed = true;
            }
        } else if condition.status == "True" && wanted.excludes(&condition.type_) {
            "False".clone_into(&mut condition.status);
            condition.last_transition_time = Time(now);
            changed = true;
        }
    }
    if !found {
        stored.push(true_condition(wanted, generation, now));
        changed = true;
    }
    changed
}

/// `type` of the condition that tells of an object of the set that cannot be created, changed or
/// deleted, as `ReplicaSet`s have it: it is there, and true, as long as that is so.
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Makes condition [`REPLICA_FAILURE`] say `failure` (reason and message), or removes it when
/// nothing fails. No other condition depends on it.
pub fn set_failure(
    stored: &mut Vec<Condition>,
    failure: Option<(&str, &str)>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let earlier = stored.iter().position(|it| it.type_ == REPLICA_FAILURE);
    let Some((reason, message)) = failure else {
        stored.retain(|it| it.type_ != REPLICA_FAILURE);
        return;
    };
    let mut condition = Condition {
        type_: REPLICA_FAILURE.to_owned(),
        status: "True".to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match earlier.and_then(|it| stored.get_mut(it)) {
        Some(earlier) => {
            if earlier.status == condition.status {
                condition.last_transition_time = earlier.last_transition_time.clone();
            }
            *earlier = condition;
        }
        None => stored.push(condition),
    }
}

fn true_condition(wanted: ConditionType, generation: Option<i64>, now: Timestamp) -> Condition {
    Condition {
        type_: wanted.as_str().to_owned(),
        status: "True".to_owned(),
        reason: wanted.reason().to_owned(),
        message: wanted.message().to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn state(stored: &[Condition]) -> Vec<(&str, &str, &str, i64)> {
        stored
            .iter()
            .map(|it| {
                let second = it.last_transition_time.0.as_second();
                (it.type_.as_str(), it.status.as_str(), it.message.as_str(), second)
            })
            .collect()
    }

    #[test]
    fn available_turns_the_others_false_and_keeps_their_text() {
        let mut stored = Vec::new();
        assert!(set_true(&mut stored, ConditionType::UpdateInProgress, Some(1), at(1)));
        assert!(set_true(&mut stored, ConditionType::Progressing, Some(1), at(1)));
        assert!(set_true(&mut stored, ConditionType::Available, Some(1), at(2)));
        assert_eq!(
            state(&stored),
            [
                ("UpdateInProgress", "False", "Rolling Upgrade is in progress", 2),
                ("Progressing", "False", "Replicas are progressing", 2),
                ("Available", "True", "All replicas are ready", 2),
            ]
        );
        assert!(set_true(&mut stored, ConditionType::Progressing, Some(2), at(3)));
        assert_eq!(
            state(&stored)[0],
            ("UpdateInProgress", "False", "Rolling Upgrade is in progress", 2)
        );
        assert_eq!(state(&stored)[1], ("Progressing", "True", "Replicas are progressing", 3));
        assert_eq!(state(&stored)[2], ("Available", "False", "All replicas are ready", 3));
    }

    #[test]
    fn a_new_generation_alone_is_no_transition() {
        let mut stored = Vec::new();
        set_true(&mut stored, ConditionType::Available, Some(1), at(1));
        assert!(!set_true(&mut stored, ConditionType::Available, Some(2), at(9)));
        assert_eq!(state(&stored), [("Available", "True", "All replicas are ready", 1)]);
        assert_eq!(stored[0].observed_generation, Some(2));
    }

    #[test]
    fn a_failure_is_told_while_it_lasts_and_leaves_no_trace() {
        let mut stored = Vec::new();
        set_true(&mut stored, ConditionType::Progressing, Some(1), at(1));
        let before = stored.clone();
        set_failure(&mut stored, Some(("FailedCreate", "quota")), Some(1), at(2));
        assert_eq!(state(&stored)[1], (REPLICA_FAILURE, "True", "quota", 2));
        set_failure(&mut stored, Some(("FailedUpdate", "webhook")), Some(1), at(3));
        assert_eq!(state(&stored)[1], (REPLICA_FAILURE, "True", "webhook", 2));
        assert_eq!(stored[1].reason, "FailedUpdate");
        set_true(&mut stored, ConditionType::Available, Some(1), at(4));
        set_true(&mut stored, ConditionType::Progressing, Some(1), at(5));
        assert_eq!(stored[1].status, "True", "availability does not exclude it");
        stored.truncate(2);
        set_failure(&mut stored, None, Some(1), at(6));
        set_failure(&mut stored, None, Some(1), at(6));
        assert_eq!(state(&stored), [("Progressing", "True", "Replicas are progressing", 5)]);
        assert_eq!(stored.len(), before.len());
    }

    #[test]
    fn foreign_conditions_are_left_alone() {
        let mut stored = vec![Condition {
            type_: "Mine".into(),
            status: "True".into(),
            ..true_condition(ConditionType::Available, Some(1), at(1))
        }];
        set_true(&mut stored, ConditionType::Available, Some(1), at(5));
        assert_eq!(stored[0].status, "True");
        assert_eq!(stored.len(), 2);
    }
}

//! How far a rollout is, from the status of the set.

use lws_api_types::LeaderWorkerSet;
use lws_api_types::conditions::{ConditionType, REPLICA_FAILURE};

/// How far a rollout is, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing more is to come.
    Done(String),
    /// This is waited for.
    Waiting(String),
}

/// How far the rollout of `set` is.
pub(super) fn of(set: &LeaderWorkerSet) -> Progress {
    let name = set.name();
    let status = set.status.clone().unwrap_or_default();
    let find =
        |kind: &str| status.conditions.iter().find(|it| it.type_ == kind && it.status == "True");
    let failure = find(REPLICA_FAILURE).map(|it| format!(" ({}: {})", it.reason, it.message));
    let failure = failure.unwrap_or_default();
    if status.observed_generation != set.metadata.generation {
        return Progress::Waiting(format!(
            "Waiting for the controller to act on the last change of {name}...{failure}"
        ));
    }
    let replicas = set.spec.replicas();
    let (updated, ready) = (status.updated_replicas, status.ready_replicas);
    let partition = set.spec.rolling_update().partition;
    if find(ConditionType::Available.as_str()).is_some() {
        return Progress::Done(if partition > 0 && updated < replicas {
            format!(
                "partitioned roll out complete: {updated} of {replicas} groups have been updated, \
                 those below group {} keep their revision",
                partition.min(replicas.into())
            )
        } else {
            format!("leaderworkerset \"{name}\" successfully rolled out")
        });
    }
    let counts = if find(ConditionType::UpdateInProgress.as_str()).is_some() {
        format!("{updated} of {replicas} groups have been updated, {ready} are ready")
    } else {
        format!("{ready} of {replicas} groups are ready")
    };
    Progress::Waiting(format!("Waiting for rollout to finish: {counts}...{failure}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_objects::{Objects, condition};

    fn progress(status: &Value, partition: i32, generation: i64) -> Progress {
        let mut set = Objects::ready(4, 1).set;
        set["status"] = status.clone();
        set["metadata"]["generation"] = json!(generation);
        set["spec"]["rolloutStrategy"] = json!({
            "type": "RollingUpdate", "rollingUpdateConfiguration": {"partition": partition},
        });
        of(&serde_json::from_value(set).unwrap())
    }

    fn status(updated: i32, ready: i32, kinds: &[&str]) -> Value {
        let conditions: Vec<_> = kinds.iter().map(|it| condition(it, "True")).collect();
        json!({
            "updatedReplicas": updated, "readyReplicas": ready, "observedGeneration": 1,
            "conditions": conditions,
        })
    }

    #[test]
    fn how_far_a_rollout_is() {
        let done = |text: &str| Progress::Done(text.to_owned());
        let waiting = |text: &str| Progress::Waiting(text.to_owned());
        for (status, partition, generation, expected) in [
            (
                status(4, 4, &["Available"]),
                0,
                1,
                done("leaderworkerset \"s\" successfully rolled out"),
            ),
            (
                status(1, 4, &["Available"]),
                3,
                1,
                done(
                    "partitioned roll out complete: 1 of 4 groups have been updated, those below group 3 keep their revision",
                ),
            ),
            (
                status(4, 4, &["Available"]),
                0,
                2,
                waiting("Waiting for the controller to act on the last change of s..."),
            ),
            (
                status(1, 3, &["UpdateInProgress", "Progressing"]),
                0,
                1,
                waiting(
                    "Waiting for rollout to finish: 1 of 4 groups have been updated, 3 are ready...",
                ),
            ),
            (
                status(4, 3, &["Progressing", "ReplicaFailure"]),
                0,
                1,
                waiting(
                    "Waiting for rollout to finish: 3 of 4 groups are ready... (Reason: message)",
                ),
            ),
        ] {
            assert_eq!(progress(&status, partition, generation), expected);
        }
    }
}

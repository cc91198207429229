//! The changes of a set that begin and hold a rollout.

use jiff::Timestamp;
use json_patch::PatchOperation;
use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::annotations::PAUSED_PARTITION;
use lws_api_types::pod_template::PodTemplate;
use serde_json::{Value, json};

use crate::error::{self, Error};

/// Who the server notes for what is changed here.
pub(super) const FIELD_MANAGER: &str = "kubectl-lws";

/// The annotation of a template that makes another revision of the same content.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// A change of a set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// The change. It names the version of the set that it was decided on.
    pub(super) patch: Patch,
    /// What is told once it is made.
    pub(super) done: String,
}

/// How a set is changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Patch {
    /// As these fields say.
    Merge(Value),
    /// By these operations.
    Json(json_patch::Patch),
}

impl Step {
    /// Whether `set`, as it is now, is another than the one that this was decided on. Merges leave
    /// that to the server, which knows it from the version that they name.
    pub(super) fn is_outdated(&self, set: &LeaderWorkerSet) -> Result<bool, Error> {
        let Patch::Json(patch) = &self.patch else { return Ok(false) };
        let set = error::json("the set", set)?;
        let fails = |operation: &PatchOperation| match operation {
            PatchOperation::Test(it) => it.path.resolve(&set).ok() != Some(&it.value),
            _ => false,
        };
        Ok(patch.iter().any(fails))
    }
}

/// Holds the rollout where it is.
pub(super) fn pause(set: &LeaderWorkerSet) -> Result<Step, Error> {
    if set.has_annotation(PAUSED_PARTITION) {
        return Err(Error::Refused(format!("{} is already paused", set.name())));
    }
    let former = set.spec.rolling_update().partition;
    Ok(Step {
        patch: partition(set, set.spec.replicas().into(), &json!(former.to_string())),
        done: "paused".to_owned(),
    })
}

/// Lets the rollout go on.
pub(super) fn resume(set: &LeaderWorkerSet) -> Result<Step, Error> {
    let Some(former) = set.annotation(PAUSED_PARTITION) else {
        return Err(Error::Refused(format!("{} is not paused", set.name())));
    };
    let former: i64 = former.parse().map_err(|_| {
        Error::Refused(format!(
            "annotation {PAUSED_PARTITION} of {} is {former:?}, expected a number: set the partition \
             and remove the annotation",
            set.name()
        ))
    })?;
    Ok(Step { patch: partition(set, former, &Value::Null), done: "resumed".to_owned() })
}

fn partition(set: &LeaderWorkerSet, partition: i64, former: &Value) -> Patch {
    Patch::Merge(json!({
        "metadata": {
            "resourceVersion": set.metadata.resource_version,
            "annotations": {PAUSED_PARTITION: former},
        },
        "spec": {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": partition}}},
    }))
}

/// Refuses what would have no effect while the rollout is held.
pub(super) fn refuse_paused(set: &LeaderWorkerSet) -> Result<(), Error> {
    if !set.has_annotation(PAUSED_PARTITION) {
        return Ok(());
    }
    let name = set.name();
    let why = format!("{name} is paused: resume it first (kubectl lws rollout resume {name})");
    Err(Error::Refused(why))
}

/// Replaces every group by one of the same content.
pub(super) fn restart(set: &LeaderWorkerSet, now: Timestamp) -> Result<Step, Error> {
    refuse_paused(set)?;
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let annotated = json!({"metadata": {"annotations": {RESTARTED_AT: time}}});
    let mut templates = json!({"workerTemplate": annotated});
    let leader: Option<&PodTemplate> = set.spec.leader_worker_template.leader_template.as_ref();
    if let (Some(_), Some(templates)) = (leader, templates.as_object_mut()) {
        templates.insert("leaderTemplate".to_owned(), annotated);
    }
    let metadata = json!({"resourceVersion": set.metadata.resource_version});
    let patch = json!({"metadata": metadata, "spec": {"leaderWorkerTemplate": templates}});
    Ok(Step { patch: Patch::Merge(patch), done: "restarted".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_objects::Objects;

    fn set(change: impl FnOnce(&mut Value)) -> LeaderWorkerSet {
        let mut set = Objects::ready(4, 2).set;
        set["metadata"]["resourceVersion"] = json!("7");
        set["spec"]["rolloutStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdateConfiguration": {"partition": 1}});
        change(&mut set);
        serde_json::from_value(set).unwrap()
    }

    fn merge(step: &Step) -> &Value {
        match &step.patch {
            Patch::Merge(patch) => patch,
            Patch::Json(patch) => panic!("{patch:?}"),
        }
    }

    #[test]
    fn a_pause_keeps_the_partition_and_a_resumption_restores_it() {
        let step = pause(&set(|_| {})).unwrap();
        let expected = json!({
            "metadata": {"resourceVersion": "7", "annotations": {PAUSED_PARTITION: "1"}},
            "spec": {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 4}}},
        });
        assert_eq!(merge(&step), &expected);
        let paused = |former: &str| {
            let former = former.to_owned();
            set(move |it| it["metadata"]["annotations"] = json!({PAUSED_PARTITION: former}))
        };
        let step = resume(&paused("1")).unwrap();
        let expected = json!({
            "metadata": {"resourceVersion": "7", "annotations": {PAUSED_PARTITION: null}},
            "spec": {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}},
        });
        assert_eq!(merge(&step), &expected);
        for (refused, expected) in [
            (pause(&paused("1")), "error: s is already paused"),
            (resume(&set(|_| {})), "error: s is not paused"),
            (
                restart(&paused("1"), Timestamp::UNIX_EPOCH),
                "error: s is paused: resume it first (kubectl lws rollout resume s)",
            ),
        ] {
            assert_eq!(refused.unwrap_err().told(), expected);
        }
        assert!(resume(&paused("x")).unwrap_err().told().contains("expected a number"));
    }

    #[test]
    fn a_restart_changes_every_template_there_is() {
        let time = json!({"metadata": {"annotations": {RESTARTED_AT: "1970-01-01T00:00:00Z"}}});
        let step = restart(&set(|_| {}), Timestamp::UNIX_EPOCH).unwrap();
        let templates = &merge(&step)["spec"]["leaderWorkerTemplate"];
        assert_eq!(templates, &json!({"workerTemplate": time}));
        let with_leader =
            set(|it| it["spec"]["leaderWorkerTemplate"]["leaderTemplate"] = json!({}));
        let step = restart(&with_leader, Timestamp::UNIX_EPOCH).unwrap();
        let templates = &merge(&step)["spec"]["leaderWorkerTemplate"];
        assert_eq!(templates, &json!({"workerTemplate": time, "leaderTemplate": time}));
    }
}

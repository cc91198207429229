//! The changes of a set that begin, hold and undo a rollout.

use jiff::Timestamp;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, TestOperation};
use lws_api_types::keys::annotations::PAUSED_PARTITION;
use lws_api_types::pod_template::PodTemplate;
use lws_api_types::{LeaderWorkerSet, revision};
use serde_json::{Value, json};

use super::history::stored;
use crate::error::Error;
use crate::snapshot::Snapshot;

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

/// Replaces every group by one of the same content.
pub(super) fn restart(set: &LeaderWorkerSet, now: Timestamp) -> Result<Step, Error> {
    if set.has_annotation(PAUSED_PARTITION) {
        let name = set.name();
        let why = format!("{name} is paused: resume it first (kubectl lws rollout resume {name})");
        return Err(Error::Refused(why));
    }
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

/// Gives the set the content of a stored revision: of the one with number `wanted`, without that of
/// the newest that the set is not at.
pub(super) fn undo(snapshot: &Snapshot, wanted: Option<i64>) -> Result<Step, Error> {
    let set = &snapshot.set;
    let (name, key) = (set.name(), snapshot.key());
    let revisions = stored(snapshot);
    let found = match wanted {
        Some(number) => revisions.iter().find(|it| it.number == number),
        None => revisions.iter().rev().find(|it| it.key != key),
    };
    let Some(found) = found else {
        let numbers: Vec<_> = revisions.iter().map(|it| it.number.to_string()).collect();
        let which = match wanted {
            Some(number) => format!("revision {number} of {name} is not stored"),
            None => format!("no former revision of {name} is stored"),
        };
        return Err(Error::Refused(format!(
            "{which}: revisions are stored as long as groups are at them (stored: {})",
            numbers.join(", ")
        )));
    };
    if found.key == key {
        return Err(Error::Refused(format!("{name} is at revision {} already", found.number)));
    }
    let restored = revision::restore(&set.spec, &found.data).map_err(|error| {
        Error::Refused(format!("revision {} of {name} cannot be restored: {error}", found.number))
    })?;
    let mut operations = vec![
        PatchOperation::Test(TestOperation {
            // The status may change meanwhile, and often does.
            path: json_patch::jsonptr::PointerBuf::from_tokens(["metadata", "generation"]),
            value: json!(set.metadata.generation),
        }),
        add("leaderWorkerTemplate", serde_json::to_value(&restored.leader_worker_template)?),
    ];
    match &restored.network_config {
        Some(network) => operations.push(add("networkConfig", serde_json::to_value(network)?)),
        None if set.spec.network_config.is_some() => {
            operations
                .push(PatchOperation::Remove(RemoveOperation { path: path("networkConfig") }));
        }
        None => {}
    }
    let done = format!("rolled back to revision {}", found.number);
    Ok(Step { patch: Patch::Json(json_patch::Patch(operations)), done })
}

fn path(field: &str) -> json_patch::jsonptr::PointerBuf {
    json_patch::jsonptr::PointerBuf::from_tokens(["spec", field])
}

fn add(field: &str, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: path(field), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::history;
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

    /// A set whose content was changed after its groups were made.
    fn changed() -> Objects {
        let mut objects = Objects::ready(2, 1);
        objects.set["spec"]["leaderWorkerTemplate"]["size"] = json!(3);
        objects.record(2);
        objects
    }

    #[test]
    fn a_stored_revision_is_restored() {
        let snapshot = changed().snapshot();
        for wanted in [None, Some(1)] {
            let step = undo(&snapshot, wanted).unwrap();
            let Patch::Json(patch) = &step.patch else { panic!("{step:?}") };
            let template = patch.0.iter().find_map(|it| match it {
                PatchOperation::Add(it) if it.path.as_str() == "/spec/leaderWorkerTemplate" => {
                    Some(&it.value)
                }
                _ => None,
            });
            assert_eq!(template.unwrap()["size"], json!(1));
            assert_eq!(step.done, "rolled back to revision 1");
        }
        for (wanted, expected) in [
            (Some(2), "error: s is at revision 2 already"),
            (
                Some(9),
                "error: revision 9 of s is not stored: revisions are stored as long as groups are at them (stored: 1, 2)",
            ),
        ] {
            assert_eq!(undo(&snapshot, wanted).unwrap_err().told(), expected);
        }
        let only = undo(&Objects::ready(1, 1).snapshot(), None).unwrap_err().told();
        assert!(only.starts_with("error: no former revision of s is stored"), "{only}");
    }

    #[test]
    fn the_history_has_the_groups_of_each_revision() {
        let report = history::report(&changed().snapshot());
        let told: Vec<_> =
            report.iter().map(|it| (it.revision, it.current, it.groups.clone())).collect();
        assert_eq!(told, [(1, false, vec![0, 1]), (2, true, vec![])]);
    }
}

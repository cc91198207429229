//! The change of a set that undoes a rollout.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, TestOperation};
use lws_api_types::keys::annotations::{EXCLUSIVE_TOPOLOGY, SUBGROUP_EXCLUSIVE_TOPOLOGY};
use lws_api_types::{LeaderWorkerSet, revision};
use lws_controller::observe::views::Placement;
use lws_controller::plan::build;
use lws_controller::plan::revision::placement_of;
use serde_json::{Value, json};

use super::change::{Patch, Step, refuse_paused};
use super::history::stored;
use crate::error::{self, Error};
use crate::snapshot::Snapshot;

/// Gives the set the content and the placement of a stored revision: of the one with number
/// `wanted`, without that of the newest that the set is not at. Revisions do not record placement:
/// where no object is left that has it, the set keeps its own.
pub(super) fn undo(snapshot: &Snapshot, wanted: Option<i64>) -> Result<Step, Error> {
    let set = &snapshot.set;
    refuse_paused(set)?;
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
    let spec = revision::restore(&set.spec, &found.data).map_err(|error| {
        Error::Refused(format!("revision {} of {name} cannot be restored: {error}", found.number))
    })?;
    let is_present = found.records(&revision::encode(&set.spec), &set.spec);
    let restored = LeaderWorkerSet { spec, ..set.clone() };
    let placement = placement_of(&found.key, snapshot.leader_set(), &snapshot.entry.pods);
    let placed = placement.map(|it| place(&restored, it)).unwrap_or_default();
    if is_present && placed.is_empty() {
        return Err(Error::Refused(format!(
            "nothing of {name} would change: it has the content of revision {} already, and where \
             groups of that were placed is {}",
            found.number,
            if placement.is_some() { "where they are now" } else { "not known any more" },
        )));
    }
    let mut operations = unchanged(set)?;
    operations.extend(placed);
    let template = error::json("the template", &restored.spec.leader_worker_template)?;
    operations.push(add(path("leaderWorkerTemplate"), template));
    match &restored.spec.network_config {
        Some(network) => {
            operations.push(add(
                path("networkConfig"),
                error::json("the network configuration", network)?,
            ));
        }
        None if set.spec.network_config.is_some() => operations.push(remove(path("networkConfig"))),
        None => {}
    }
    let done = format!("rolled back to revision {}", found.number);
    Ok(Step { patch: Patch::Json(json_patch::Patch(operations)), done })
}

/// Tests for what a return was decided on: the rest, above all the status, may change meanwhile, and
/// often does.
fn unchanged(set: &LeaderWorkerSet) -> Result<Vec<PatchOperation>, Error> {
    let test = |field: &str, value: Value| {
        let path = PointerBuf::from_tokens(["metadata", field]);
        PatchOperation::Test(TestOperation { path, value })
    };
    let mut tests = vec![test("generation", json!(set.metadata.generation))];
    tests.push(match &set.metadata.annotations {
        Some(annotations) => test("annotations", error::json("the annotations", annotations)?),
        // There is no test for what is not there.
        None => test("resourceVersion", json!(set.metadata.resource_version)),
    });
    Ok(tests)
}

/// What gives `set` the placement `wanted`; nothing where it has that.
fn place(set: &LeaderWorkerSet, wanted: &Placement) -> Vec<PatchOperation> {
    let present = build::placement(set);
    let mut operations = Vec::new();
    for (annotation, present, wanted) in [
        (EXCLUSIVE_TOPOLOGY, &present.group, &wanted.group),
        (SUBGROUP_EXCLUSIVE_TOPOLOGY, &present.subgroup, &wanted.subgroup),
    ] {
        let path = PointerBuf::from_tokens(["metadata", "annotations", annotation]);
        match wanted {
            _ if present == wanted => {}
            Some(topology) => operations.push(add(path, json!(topology))),
            None => operations.push(remove(path)),
        }
    }
    if !operations.is_empty() && set.metadata.annotations.is_none() {
        let path = PointerBuf::from_tokens(["metadata", "annotations"]);
        operations.insert(0, add(path, json!({})));
    }
    operations
}

fn path(field: &str) -> PointerBuf {
    PointerBuf::from_tokens(["spec", field])
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

fn remove(path: PointerBuf) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path })
}

#[cfg(test)]
mod tests {
    use lws_api_types::keys::annotations::PAUSED_PARTITION;
    use lws_api_types::keys::labels;

    use super::*;
    use crate::rollout::history;
    use crate::test_objects::Objects;

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
    fn a_paused_set_is_not_rolled_back() {
        let mut objects = changed();
        objects.set["metadata"]["annotations"] = json!({PAUSED_PARTITION: "0"});
        let refused = undo(&objects.snapshot(), None).unwrap_err().told();
        let expected = "error: s is paused: resume it first (kubectl lws rollout resume s)";
        assert_eq!(refused, expected);
    }

    /// A set whose groups were placed by topology `former` when its annotations became these.
    fn placed(former: Option<&str>, annotations: &Value) -> Objects {
        let mut objects = Objects::ready(1, 1);
        let template = &mut objects.sts("s")["spec"]["template"];
        if let Some(former) = former {
            *template = json!({"metadata": {"annotations": {EXCLUSIVE_TOPOLOGY: former}}});
        }
        objects.set["metadata"]["annotations"] = annotations.clone();
        objects
    }

    /// The set after a return.
    fn returned(objects: &Objects) -> Value {
        let step = undo(&objects.snapshot(), None).unwrap();
        let Patch::Json(patch) = &step.patch else { panic!("{step:?}") };
        let mut set = serde_json::to_value(objects.snapshot().set).unwrap();
        json_patch::patch(&mut set, patch).unwrap();
        set
    }

    #[test]
    fn a_return_restores_the_placement() {
        let zone = json!({EXCLUSIVE_TOPOLOGY: "zone", "other": "kept"});
        for (former, present, expected) in [
            (Some("rack"), zone.clone(), json!({EXCLUSIVE_TOPOLOGY: "rack", "other": "kept"})),
            (Some("rack"), Value::Null, json!({EXCLUSIVE_TOPOLOGY: "rack"})),
            (None, zone, json!({"other": "kept"})),
        ] {
            let set = returned(&placed(former, &present));
            assert_eq!(set["metadata"]["annotations"], expected, "{former:?} {present}");
        }
    }

    #[test]
    fn a_return_that_would_change_nothing_is_refused() {
        // The groups are at the new placement: nothing tells the former one.
        let mut objects = placed(Some("zone"), &json!({EXCLUSIVE_TOPOLOGY: "zone"}));
        let mut former = objects.revisions[0].clone();
        former["metadata"]["name"] = json!("former");
        former["metadata"]["labels"][labels::REVISION] = json!("former");
        former["revision"] = json!(0);
        objects.revisions.push(former);
        let refused = undo(&objects.snapshot(), None).unwrap_err().told();
        let expected = "error: nothing of s would change: it has the content of revision 0 already, \
                        and where groups of that were placed is not known any more";
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_return_is_outdated_once_what_it_tests_has_changed() {
        let objects = placed(Some("rack"), &json!({EXCLUSIVE_TOPOLOGY: "zone"}));
        let step = undo(&objects.snapshot(), None).unwrap();
        for (pointer, value, expected) in [
            ("/status/readyReplicas", json!(0), false),
            ("/metadata/generation", json!(2), true),
            ("/metadata/annotations", json!({EXCLUSIVE_TOPOLOGY: "host"}), true),
        ] {
            let mut set = objects.set.clone();
            *set.pointer_mut(pointer).unwrap() = value;
            let set = serde_json::from_value(set).unwrap();
            assert_eq!(step.is_outdated(&set).unwrap(), expected, "{pointer}");
        }
    }

    #[test]
    fn a_return_does_not_wipe_annotations_that_came_meanwhile() {
        let objects = placed(Some("rack"), &Value::Null);
        let step = undo(&objects.snapshot(), None).unwrap();
        let Patch::Json(patch) = &step.patch else { panic!("{step:?}") };
        let mut annotated = objects.set.clone();
        annotated["metadata"]["annotations"] = json!({"other": "kept"});
        annotated["metadata"]["resourceVersion"] = json!("2");
        for (mut set, expected) in [(objects.set.clone(), false), (annotated, true)] {
            let read = serde_json::from_value(set.clone()).unwrap();
            assert_eq!(step.is_outdated(&read).unwrap(), expected, "{set}");
            assert_eq!(json_patch::patch(&mut set, patch).is_err(), expected, "{set}");
        }
    }

    #[test]
    fn the_history_has_the_groups_of_each_revision() {
        let report = history::report(&changed().snapshot());
        let told: Vec<_> =
            report.iter().map(|it| (it.revision, it.current, it.groups.clone())).collect();
        assert_eq!(told, [(1, false, vec![0, 1]), (2, true, vec![])]);
    }
}

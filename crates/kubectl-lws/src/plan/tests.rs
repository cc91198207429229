//! Plans for sets that exist and sets that do not.

use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
use lws_controller::plan::build::{self, LeaderRollout};
use serde_json::{Value, json};

use super::effects::Verb;
use super::{Report, render, report};
use crate::cluster::Gangs;
use crate::output::Paint;
use crate::test_objects::Objects;
use crate::test_server;

const IMAGE: &str = "/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0/image";

/// The plan for a set of four ready groups of two pods once `change` was made to it.
fn planned(change: impl FnOnce(&mut Value)) -> Report {
    let objects = Objects::ready(4, 2);
    let mut after = objects.set.clone();
    change(&mut after);
    report(Some(objects.snapshot()), &after, Vec::new(), Gangs::Impossible).unwrap()
}

fn effects(report: &Report) -> Vec<(Verb, &str)> {
    report.effects.iter().map(|it| (it.verb, it.objects.as_str())).collect()
}

#[test]
fn another_image_is_a_new_revision_and_a_rollout() {
    let report = planned(|it| *it.pointer_mut(IMAGE).unwrap() = json!("j"));
    assert!(report.new_revision && report.changes[0].new_revision);
    assert_ne!(report.revision_before.as_deref(), Some(report.revision.as_str()));
    let revision = format!("ControllerRevision with key {}", report.revision);
    let expected = [
        (Verb::Create, revision.as_str()),
        (Verb::Change, "StatefulSet s"),
        (Verb::Replace, "groups 0 to 3: each 2 pods, a StatefulSet"),
    ];
    assert_eq!(effects(&report), expected);
    let partitions: Vec<_> = report.rollout.iter().map(|it| it.partition).collect();
    assert_eq!(partitions, [4, 3, 2, 1, 0, 0]);
    assert!(report.left_behind.is_empty());
}

#[test]
fn another_number_of_groups_is_no_new_revision() {
    let report = planned(|it| it["spec"]["replicas"] = json!(6));
    assert!(!report.new_revision && !report.changes[0].new_revision);
    let expected = [
        (Verb::Change, "StatefulSet s"),
        (Verb::Create, "groups 4, 5: each 2 pods, a StatefulSet"),
    ];
    assert_eq!(effects(&report), expected);
    let report = planned(|it| it["spec"]["replicas"] = json!(3));
    let expected = (Verb::Delete, "group 3: 2 pods, a StatefulSet");
    assert_eq!(effects(&report)[1], expected);
}

#[test]
fn only_what_touches_the_leader_stateful_set_changes_it() {
    type Edit = fn(&mut Value);
    let surge = |it: &mut Value| {
        let strategy = json!({"maxUnavailable": 1, "maxSurge": 1});
        it["spec"]["rolloutStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdateConfiguration": strategy});
    };
    let edits: [(Edit, bool, bool); 6] = [
        (|it| it["spec"]["startupPolicy"] = json!("LeaderReady"), false, false),
        (surge, true, false),
        (|it| it["spec"]["replicas"] = json!(5), true, true),
        (|it| *it.pointer_mut(IMAGE).unwrap() = json!("j"), true, true),
        (|it| it["metadata"]["annotations"] = json!({EXCLUSIVE_TOPOLOGY: "rack"}), true, true),
        (|it| it["metadata"]["annotations"] = json!({"note": "x"}), true, true),
    ];
    for (edit, expected, expected_without) in edits {
        // Older API servers do not store maxUnavailable of a StatefulSet.
        for (stores_budget, expected) in [(true, expected), (false, expected_without)] {
            let mut objects = Objects::ready(4, 2);
            let set = objects.snapshot().set;
            let rollout = LeaderRollout { replicas: 4, partition: 0, max_unavailable: 1 };
            let built = build::leader_stateful_set(&set, &objects.key(), rollout, None);
            let live = objects.sts("s");
            live["spec"] = built["spec"].clone();
            for field in ["labels", "annotations", "ownerReferences"] {
                live["metadata"][field] = built["metadata"][field].clone();
            }
            let update = &mut live["spec"]["updateStrategy"]["rollingUpdate"];
            if !stores_budget {
                update.as_object_mut().unwrap().remove("maxUnavailable");
            }
            let mut after = objects.set.clone();
            edit(&mut after);
            let report =
                report(Some(objects.snapshot()), &after, Vec::new(), Gangs::Impossible).unwrap();
            assert!(!report.changes.is_empty(), "{after}");
            let changes = effects(&report).contains(&(Verb::Change, "StatefulSet s"));
            assert_eq!(changes, expected, "{stores_budget} {after}");
        }
    }
}

#[test]
fn a_partition_keeps_groups() {
    let report = planned(|it| {
        *it.pointer_mut(IMAGE).unwrap() = json!("j");
        it["spec"]["rolloutStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdateConfiguration": {"partition": 3}});
    });
    assert!(effects(&report).contains(&(Verb::Replace, "group 3: 2 pods, a StatefulSet")));
}

#[test]
fn nothing_changed_is_nothing_to_do() {
    let report = planned(|_| {});
    assert_eq!((effects(&report), report.changes.len(), report.rollout.len()), (vec![], 0, 0));
    assert!(
        render::text(&report, Paint::NONE).starts_with("LeaderWorkerSet n/s would not change.\n")
    );
}

#[test]
fn a_new_set_is_created_with_everything() {
    let objects = Objects::ready(2, 3);
    let report = report(None, &objects.set, vec!["odd".to_owned()], Gangs::Unknown).unwrap();
    assert!(report.created && report.new_revision && report.rollout.is_empty());
    let objects: Vec<_> = effects(&report).into_iter().skip(1).collect();
    let expected = [
        (Verb::Create, "Service s"),
        (Verb::Create, "StatefulSet s"),
        (Verb::Create, "groups 0, 1: each 3 pods, a StatefulSet"),
    ];
    assert_eq!(objects, expected);
    let names: Vec<_> =
        report.longest_names.iter().map(|it| (it.name.as_str(), it.length)).collect();
    assert_eq!(names, [("s-1", 3), ("s-1-2", 5)]);
    let text = render::text(&report, Paint::NONE);
    assert!(text.contains("\nWarning: odd\n") && text.contains("the first.\n"), "{text}");
}

#[test]
fn groups_in_gangs_have_pod_groups() {
    let report = report(None, &Objects::ready(2, 3).set, Vec::new(), Gangs::Shown).unwrap();
    let expected = (Verb::Create, "groups 0, 1: each 3 pods, a StatefulSet, a PodGroup");
    assert_eq!(effects(&report).last(), Some(&expected));
}

#[test]
fn that_pod_groups_are_not_known_is_told() {
    for (gangs, known, is_told) in [
        (Gangs::Shown, json!(true), false),
        (Gangs::Unknown, Value::Null, true),
        (Gangs::Impossible, json!(false), false),
    ] {
        let report = report(None, &Objects::ready(2, 3).set, Vec::new(), gangs).unwrap();
        assert_eq!(serde_json::to_value(&report).unwrap()["podGroups"], known);
        let text = render::text(&report, Paint::NONE);
        let line = "\n  PodGroups: unknown, see --gang-scheduling\n";
        assert_eq!(text.contains(line), is_told, "{text}");
    }
}

#[tokio::test]
async fn that_there_is_gang_scheduling_shows_by_pod_groups() {
    let some = || {
        let pod_group = json!({"metadata": {"name": "other-0-key", "namespace": "n"}});
        (200, json!({"metadata": {}, "items": [pod_group]}))
    };
    let none = || (200, json!({"metadata": {}, "items": []}));
    let unknown = || test_server::refusal(404, "NotFound", "the kind is not known");
    let refused = || test_server::refusal(403, "Forbidden", "podgroups is forbidden");
    for (everywhere, here, expected) in [
        (some(), none(), Gangs::Shown),
        (none(), some(), Gangs::Unknown),
        (unknown(), unknown(), Gangs::Impossible),
        (refused(), some(), Gangs::Shown),
        (refused(), none(), Gangs::Unknown),
        (refused(), unknown(), Gangs::Impossible),
        (refused(), refused(), Gangs::Unknown),
    ] {
        let connection = test_server::connection(move |_, path| {
            if path.contains("/namespaces/") { here.clone() } else { everywhere.clone() }
        });
        assert_eq!(connection.gang_scheduling().await.unwrap(), expected);
    }
}

#[test]
fn the_table_shows_the_groups_of_each_stage() {
    let report = planned(|it| *it.pointer_mut(IMAGE).unwrap() = json!("j"));
    let text = render::text(&report, Paint::NONE);
    let header = "EVENT           PARTITION   REPLICAS   0     1     2     3\n";
    assert!(text.contains(header), "{text}");
    assert!(
        text.contains("group 3 ready   2           4          old   old   old   new\n"),
        "{text}"
    );
}

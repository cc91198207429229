//! Reports of sets in all kinds of states.

use std::sync::{Arc, Mutex};

use lws_api_types::keys::{annotations, labels};
use serde_json::{Value, json};

use super::{Listed, Report, State, listed, render, report};
use crate::cluster::Scope;
use crate::output::{Paint, Screen};
use crate::test_objects::{NOW, Objects, condition, event};
use crate::test_server;

fn states(report: &Report) -> Vec<State> {
    report.groups.iter().map(|it| it.state).collect()
}

/// The report once `change` was made to a set of two ready groups of two pods.
fn after(change: impl FnOnce(&mut Objects)) -> Report {
    let mut objects = Objects::ready(2, 2);
    change(&mut objects);
    report(&objects.snapshot())
}

fn unavailable(objects: &mut Objects) {
    objects.conditions(&["Progressing"]);
}

/// The history of group 1, whose leader was then the one with UID `leader`.
fn failed(leader: &str) -> Value {
    let history = json!({"1": {
        "count": 3, "cause": "container_restart", "pod": "s-1-1", "leader": leader,
        "time": "2026-01-01T12:04:00Z",
    }});
    json!({annotations::REPLICAS: "2", annotations::GROUP_RESTARTS: history.to_string()})
}

#[test]
fn a_healthy_set_has_nothing_to_explain() {
    let report = after(|_| {});
    assert_eq!((report.desired, report.ready, report.updated), (2, 2, 2));
    assert!(report.available);
    assert_eq!(report.cause, None);
    assert_eq!(states(&report), [State::Ready, State::Ready]);
    assert_eq!(report.groups[1].ready_pods, 2);
    assert_eq!(report.groups[1].node.as_deref(), Some("node-1"));
}

/// A change of a set of two groups, how group 1 stands after it, and why the set is not available.
type Case = (fn(&mut Objects), State, &'static str);

fn check(cases: &[Case]) {
    for (change, state, cause) in cases {
        let report = after(|it| {
            unavailable(it);
            change(it);
        });
        assert_eq!(states(&report), [State::Ready, *state], "{cause}");
        assert_eq!(report.cause, Some(cause.replace("KEY", &report.revision)));
    }
}

#[test]
fn what_is_in_the_way_of_a_group() {
    check(&[
        (
            |it| it.waits("s-1-1", "ErrImagePull", "not found"),
            State::Failing,
            "group 1 is failing: pod s-1-1: the image i of container c cannot be pulled: ErrImagePull: not found",
        ),
        (
            |it| it.waits("s-1", "CrashLoopBackOff", ""),
            State::Failing,
            "group 1 is failing: pod s-1: container c ends again and again (0 restarts)",
        ),
        (
            |it| it.waits("s-1-1", "ContainerCreating", ""),
            State::Starting,
            "group 1 is starting: pod s-1-1 is starting",
        ),
        (
            |it| {
                it.waits("s-1-1", "ContainerCreating", "");
                it.pod("s-1-1")["spec"] = json!({"containers": []});
                it.pod("s-1-1")["status"] = json!({"phase": "Pending", "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"},
                ]});
            },
            State::Pending,
            "group 1 is pending: pod s-1-1 finds no node: 0/2 nodes are available",
        ),
        (
            |it| {
                it.pods.retain(|pod| pod["metadata"]["name"] != "s-1-1");
                it.sts("s-1")["status"] = json!({"replicas": 0});
                it.events.push(event(
                    "StatefulSet",
                    "s-1",
                    "s-1-workers",
                    "FailedCreate",
                    "exceeded quota: q",
                ));
            },
            State::Incomplete,
            "group 1 is incomplete: exceeded quota: q",
        ),
        (
            |it| it.sts("s")["metadata"]["annotations"] = failed("s-1-uid"),
            State::Backoff,
            "group 1 is in backoff: a container of pod s-1-1 restarted, 3 failures in a row",
        ),
        (
            |it| {
                it.sts("s")["metadata"]["annotations"] = failed("s-1-uid");
                it.pod("s-1")["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:05:10Z");
            },
            State::Recreating,
            "group 1 is recreating: a container of pod s-1-1 restarted, 3 failures in a row",
        ),
        (
            |it| {
                it.sts("s")["metadata"]["annotations"] = failed("a former one");
                it.pods.retain(|pod| pod["metadata"]["name"] != "s-1");
            },
            State::Recreating,
            "group 1 is recreating: a container of pod s-1-1 restarted, 3 failures in a row",
        ),
        (
            |it| it.pods.retain(|pod| pod["metadata"]["name"] != "s-1"),
            State::Missing,
            "group 1 is missing: pod s-1 has not been created yet",
        ),
    ]);
}

#[test]
fn what_a_group_waits_for() {
    check(&[
        (
            |it| it.waits_for_node("s-1-1"),
            State::Pending,
            "group 1 is pending: pod s-1-1 has no node, and scheduler own does not say why",
        ),
        (
            |it| {
                it.waits_for_node("s-1");
                it.pod("s-1")["metadata"]["annotations"] =
                    json!({annotations::POD_GROUP_NAME: "any"});
                let key = it.key();
                it.pod("s-1")["metadata"]["labels"][labels::REVISION] = json!(key);
                it.pod("s-1")["status"]["conditions"] = json!([
                    {"type": "PodScheduled", "status": "False", "message": "1/2 pods fit"},
                ]);
            },
            State::Pending,
            "group 1 is pending: pod s-1 finds no node: 1/2 pods fit (it is scheduled as a whole, by PodGroup s-1-KEY)",
        ),
        (
            |it| {
                it.set["spec"]["startupPolicy"] = json!("LeaderReady");
                it.runs("s-1");
                it.remove_workers("s-1");
            },
            State::Waiting,
            "group 1 is waiting: pod s-1 runs, container c is not ready; its workers wait until pod s-1 is ready (startupPolicy LeaderReady)",
        ),
        (
            |it| {
                let placed = json!({annotations::EXCLUSIVE_TOPOLOGY: "rack"});
                it.set["metadata"]["annotations"] = placed.clone();
                it.sts("s")["spec"]["template"] = json!({"metadata": {"annotations": placed}});
                it.waits_for_node("s-1");
                it.pod("s-1")["metadata"]["creationTimestamp"] = json!(NOW);
                it.remove_workers("s-1");
            },
            State::Waiting,
            "group 1 is waiting: pod s-1 waits for a node; its workers wait for the node of pod s-1, whose topology domain they share",
        ),
        (
            |it| {
                it.stateful_sets.retain(|it| it["metadata"]["name"] != "s-1");
                it.pod("s-1-1")["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:05:20Z");
            },
            State::Waiting,
            "group 1 is waiting: its workers wait until pod s-1-1 of the former group is gone",
        ),
    ]);
}

#[test]
fn a_group_with_a_pod_on_a_lost_node_is_failing_until_nobody_wants_it() {
    let deleted = json!("2026-01-01T12:05:10Z");
    for (change, state, cause) in [
        (
            &(|_: &mut Objects| {}) as &dyn Fn(&mut Objects),
            State::Failing,
            "pod s-1-1 is on node node-1: no",
        ),
        (
            &|it| {
                it.sts("s")["metadata"]["annotations"] = failed("s-1-uid");
                it.pod("s-1")["metadata"]["deletionTimestamp"] = deleted.clone();
                it.pod("s-1-1")["metadata"]["deletionTimestamp"] = deleted.clone();
                it.pod("s-1")["spec"]["nodeName"] = json!("node-0");
            },
            State::Failing,
            "pod s-1-1 is being deleted on node node-1: no",
        ),
        (
            &|it| {
                it.sts("s")["spec"]["replicas"] = json!(1);
                it.pod("s-1")["metadata"]["deletionTimestamp"] = deleted.clone();
            },
            State::Terminating,
            "pod s-1 is being deleted on node node-1: no",
        ),
    ] {
        let mut objects = Objects::ready(2, 2);
        unavailable(&mut objects);
        objects.runs("s-1-1");
        change(&mut objects);
        let mut snapshot = objects.snapshot();
        snapshot.lost = [("node-1".to_owned(), "no".to_owned())].into();
        let report = report(&snapshot);
        assert_eq!(states(&report), [State::Ready, state], "{cause}");
        assert_eq!(report.groups[1].cause.as_deref(), Some(cause));
    }
}

#[test]
fn the_worst_group_speaks_for_all() {
    let report = after(|it| {
        unavailable(it);
        it.waits("s-0-1", "ContainerCreating", "");
        it.waits("s-1", "ErrImagePull", "no");
    });
    assert!(report.cause.unwrap().starts_with("group 1 is failing: "));
    let report = after(|it| {
        unavailable(it);
        it.waits("s-0", "ErrImagePull", "no");
        it.waits("s-1", "ErrImagePull", "no");
    });
    let cause = report.cause.unwrap();
    assert!(
        cause.starts_with("group 0 ") && cause.ends_with(" (and 1 more group failing)"),
        "{cause}"
    );
}

#[test]
fn what_the_set_itself_tells_comes_first() {
    let failure = |it: &mut Objects| {
        let mut failure = condition("ReplicaFailure", "True");
        failure["reason"] = json!("FailedCreate");
        failure["message"] = json!("quota");
        it.set["status"]["conditions"].as_array_mut().unwrap().push(failure);
    };
    let report = after(failure);
    assert!(report.available);
    assert_eq!(report.cause.as_deref(), Some("FailedCreate: quota"));
    let report = after(|it| {
        failure(it);
        it.set["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:05:10Z");
    });
    assert_eq!(report.cause.as_deref(), Some("the set is being deleted"));
    let report = after(|it| it.set["metadata"]["generation"] = json!(2));
    assert!(!report.available);
    let expected = "the controller has not acted on the last change yet";
    assert_eq!(report.cause.as_deref(), Some(expected));
    let report = after(|it| it.set["status"] = json!({}));
    let expected = "the controller has not looked at the set yet";
    assert_eq!(report.cause.as_deref(), Some(expected));
}

#[test]
fn a_rollout_shows_which_groups_are_at_which_revision() {
    let report = after(|it| {
        it.conditions(&["UpdateInProgress", "Progressing"]);
        it.set["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0]["image"] =
            json!("new");
        let key = it.key();
        it.record(2);
        let label = "leaderworkerset.sigs.k8s.io/template-revision-hash";
        it.sts("s")["metadata"]["labels"][label] = json!(key);
        it.pod("s-1")["metadata"]["labels"][label] = json!(key);
        it.pod("s-1-1")["metadata"]["labels"][label] = json!(key);
        it.sts("s-1")["metadata"]["labels"][label] = json!(key);
    });
    let updated: Vec<_> = report.groups.iter().map(|it| it.updated).collect();
    assert_eq!((updated, report.updated), (vec![false, true], 1));
    let expected = format!("revision {} is rolled out, 1 of 2 groups are at it", report.revision);
    assert_eq!(report.cause, Some(expected));
}

#[test]
fn only_what_is_of_another_revision_is_marked_as_old() {
    let mut objects = Objects::ready(2, 2);
    unavailable(&mut objects);
    objects.runs("s-1");
    objects.remove_workers("s-1");
    objects.pod("s-0")["metadata"]["labels"][labels::REVISION] = json!("former");
    let snapshot = objects.snapshot();
    let report = report(&snapshot);
    assert!(!report.groups[1].updated, "it has no workers yet");
    let text = render::text(&report, snapshot.now, Paint::NONE);
    assert_eq!(text.matches(" (old)").count(), 1, "{text}");
    assert!(text.contains("former (old)"), "{text}");
}

#[test]
fn the_text_has_the_set_the_cause_and_the_groups() {
    let mut objects = Objects::ready(2, 2);
    unavailable(&mut objects);
    objects.waits("s-1-1", "ErrImagePull", "no");
    let snapshot = objects.snapshot();
    let report = report(&snapshot);
    let key = &report.revision;
    let text = render::text(&report, snapshot.now, Paint::NONE);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].starts_with("s      2         1       2         "), "{text}");
    assert!(lines[3].starts_with("Not available: group 1 is failing: pod s-1-1"), "{text}");
    let start = format!("1       Failing   {key}");
    assert!(lines[7].starts_with(&start) && lines[7].contains("1/2 "), "{text}");
}

#[test]
fn a_report_is_cut_to_the_height_of_the_screen() {
    let snapshot = Objects::ready(5, 1).snapshot();
    let report = report(&snapshot);
    let fitted = |warning: Option<&str>, lines: usize| {
        let screen = Screen { lines, columns: 200 };
        let text = render::fitted(&report, warning, snapshot.now, Paint::NONE, screen);
        assert!(screen.height(&text) < lines || lines < 6, "{text}");
        text
    };
    // Two lines of the set, an empty one, headings, the groups, and the line of the cursor.
    assert_eq!(fitted(None, 10), render::text(&report, snapshot.now, Paint::NONE));
    let cut = fitted(None, 9);
    assert!(cut.contains("\n2 ") && cut.ends_with("\n… 2 more groups\n"), "{cut}");
    let warned = fitted(Some("Warning: blind"), 9);
    assert!(warned.ends_with("\n… 4 more groups\n\nWarning: blind\n"), "{warned}");
    let tiny = fitted(None, 2);
    assert!(tiny.ends_with("\n… 5 more groups\n"), "{tiny}");
}

#[test]
fn a_pause_is_told() {
    let mut objects = Objects::ready(2, 2);
    objects.set["metadata"]["annotations"] = json!({
        lws_api_types::keys::annotations::PAUSED_PARTITION: "0",
    });
    let snapshot = objects.snapshot();
    let text = render::text(&report(&snapshot), snapshot.now, Paint::NONE);
    assert!(text.contains("Available,Paused"), "{text}");
}

#[tokio::test]
async fn a_set_that_cannot_be_read_is_named() {
    let mut objects = Objects::ready(2, 2);
    objects.set["spec"]["startupPolicy"] = json!("FromTheFuture");
    let connection = test_server::connection(move |_, path| objects.answer(path));
    let told = connection.set("s").await.unwrap_err().told();
    assert!(told.starts_with("error: LeaderWorkerSet \"s\" cannot be read: "), "{told}");
}

#[tokio::test]
async fn a_set_that_cannot_be_read_hides_no_other() {
    let objects = Objects::ready(2, 2);
    let mut newer = objects.set.clone();
    newer["metadata"]["name"] = json!("newer");
    newer["spec"]["startupPolicy"] = json!("FromTheFuture");
    let connection = test_server::connection(move |_, path| match path.rsplit('/').next() {
        Some("leaderworkersets") => (200, json!({"metadata": {}, "items": [&newer, &objects.set]})),
        _ => objects.answer(path),
    });
    let listed = listed(&connection, Scope::Namespace).await.unwrap();
    let seen = serde_json::to_value(&listed).unwrap();
    assert_eq!((&seen[0]["namespace"], &seen[0]["name"]), (&json!("n"), &json!("newer")));
    assert_eq!((&seen[1]["name"], &seen[1]["ready"]), (&json!("s"), &json!(2)));
    let text = render::list(&listed, Scope::Namespace, NOW.parse().unwrap(), Paint::NONE);
    let lines: Vec<_> = text.lines().collect();
    let cells: Vec<_> = lines[1].split_whitespace().take(8).collect();
    assert_eq!(cells, ["newer", "-", "-", "-", "-", "-", "-", "cannot"], "{text}");
    assert!(lines[1].contains(" cannot be read: ") && lines[1].contains("FromTheFuture"), "{text}");
    assert!(lines[2].starts_with("s "), "{text}");
}

#[tokio::test]
async fn the_domains_of_all_sets_come_from_one_list_of_nodes() {
    for is_placed in [true, false] {
        let mut objects = Objects::ready(2, 2);
        if is_placed {
            let placed = json!({annotations::EXCLUSIVE_TOPOLOGY: "rack"});
            objects.set["metadata"]["annotations"] = placed;
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let connection = test_server::connection(move |_, path| {
            if !path.contains("/nodes") {
                return objects.answer(path);
            }
            seen.lock().unwrap().push(path.to_owned());
            let node = |name: &str, rack: &str| json!({"metadata": {"name": name, "labels": {"rack": rack}}});
            (200, json!({"metadata": {}, "items": [node("node-0", "a"), node("node-1", "b")]}))
        });
        let listed = listed(&connection, Scope::Namespace).await.unwrap();
        let [Listed::Report(report)] = listed.as_slice() else { panic!("{listed:?}") };
        let domains: Vec<_> = report.groups.iter().map(|it| it.domain.as_deref()).collect();
        let asked = asked.lock().unwrap().clone();
        if is_placed {
            assert_eq!(
                (domains, asked),
                (vec![Some("a"), Some("b")], vec!["/api/v1/nodes".into()])
            );
        } else {
            assert_eq!((domains, asked), (vec![None, None], vec![]));
        }
    }
}

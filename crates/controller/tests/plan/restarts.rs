//! Groups whose pods fail: which are recreated, how often, and what is kept of that.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::keys::{annotations, labels};
use lws_controller::observe::nodes::NodeHealth;
use lws_controller::plan::task::Action;
use serde_json::{Value, json};

use crate::world::World;

const RECORD: &str = "annotate statefulset s: leaderworkerset.sigs.k8s.io/members";
const HISTORY: &str = "annotate statefulset s: leaderworkerset.sigs.k8s.io/group-restarts";
/// What a failure costs.
const RECREATION: [&str; 2] = [HISTORY, "delete pod s-0"];

type Change = Box<dyn Fn(&mut Value)>;

/// One group of three pods, all of them ready.
fn one_group() -> World {
    World::settled(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3}}))
}

fn with_policy(policy: &str) -> World {
    let template = json!({"size": 3, "restartPolicy": policy});
    World::settled(json!({"replicas": 1, "leaderWorkerTemplate": template}))
}

fn restart_container(world: &mut World, pod: &str) {
    world.change("Pod", pod, |it| {
        it["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": 1}]);
    });
}

/// The group fails, is recreated, and is ready again.
fn fail_once(world: &mut World) {
    restart_container(world, "s-0-1");
    while !world.deletes("s-0") {
        world.carry_out();
        let wait = world.plan().recheck.unwrap();
        world.pass(wait.as_secs().max(1));
    }
    world.carry_out();
    world.rebuild_group(0, 3);
}

/// The beginning of the UID of a pod, as it is recorded.
fn uid_mark(world: &World, pod: &str) -> String {
    world.get("Pod", pod)["metadata"]["uid"].as_str().unwrap()[..8].to_owned()
}

/// The beginning of the revision key of group 0.
fn revision_mark(world: &World) -> String {
    let leader = world.get("Pod", "s-0");
    leader["metadata"]["labels"][labels::REVISION].as_str().unwrap()[..4].to_owned()
}

fn terminating(since: i64, grace: i64) -> impl Fn(&mut Value) {
    move |it| {
        let end = Timestamp::from_second(since + grace).unwrap();
        it["metadata"]["deletionTimestamp"] = json!(end.to_string());
        it["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    }
}

#[test]
fn one_failing_worker_or_several_delete_the_leader_once() {
    let restarted = json!([{"name": "c", "restartCount": 1}]);
    for failing in [&["s-0-1"][..], &["s-0-1", "s-0-2"], &["s-0"]] {
        let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 3}}));
        for pod in failing {
            world.change("Pod", pod, |it| it["status"]["containerStatuses"] = restarted.clone());
        }
        assert_eq!(world.tasks(), RECREATION, "{failing:?}");
    }
}

#[test]
fn a_worker_that_vanished_and_came_back_recreates_its_group_once() {
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 3}}));
    world.replace_pod("s-0-1");
    assert_eq!(world.tasks(), RECREATION);
    world.carry_out();
    assert_eq!(world.tasks(), [""; 0], "the leader is on its way out");
}

#[test]
fn restart_policies() {
    let restarted = json!([{"name": "c", "restartCount": 1}]);
    let after_start = json!({annotations::RECREATE_AFTER_START: ""});
    for (policy, annotations, sibling, recreated) in [
        ("None", json!({}), "Running", false),
        ("RecreateGroupOnPodRestart", json!({}), "Pending", true),
        ("RecreateGroupOnPodRestart", after_start.clone(), "Pending", false),
        ("RecreateGroupOnPodRestart", after_start, "Running", true),
        ("RecreateGroupAfterStart", json!({}), "Pending", false),
        ("RecreateGroupAfterStart", json!({}), "Running", true),
    ] {
        let spec =
            json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3, "restartPolicy": policy}});
        let mut world = World::settled(spec);
        world.change_set(|set| set["metadata"]["annotations"] = annotations.clone());
        world.carry_out_all();
        world.change("Pod", "s-0-1", |it| it["status"]["containerStatuses"] = restarted.clone());
        world.change("Pod", "s-0-2", |it| it["status"]["phase"] = json!(sibling));
        assert_eq!(world.deletes("s-0"), recreated, "{policy} {annotations} sibling {sibling}");
    }
}

#[test]
fn members_are_recorded_once_when_the_group_is_complete() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3}}));
    world.carry_out_all();
    world.start_leader(0);
    world.carry_out_all();
    world.start_worker(0, 1);
    assert_eq!(world.tasks(), [""; 0], "another one follows");
    world.start_worker(0, 2);
    assert_eq!(world.tasks(), [RECORD]);
    world.carry_out();
    assert_eq!(world.tasks(), [""; 0]);
    let [leader, first, second] = ["s-0", "s-0-1", "s-0-2"].map(|pod| uid_mark(&world, pod));
    let record = world.annotation("s", annotations::MEMBERS).unwrap();
    assert_eq!(record, format!("0:{leader}/{},{first},{second}", revision_mark(&world)));
}

#[test]
fn one_record_is_for_all_groups_and_what_has_gone_leaves_it_with_the_next_change() {
    let size = json!({"size": 2});
    let mut world = World::settled(json!({"replicas": 3, "leaderWorkerTemplate": size}));
    let indexes = |world: &World| -> Vec<String> {
        let record = world.annotation("s", annotations::MEMBERS).unwrap();
        record.split(';').map(|it| it.split_once(':').unwrap().0.to_owned()).collect()
    };
    assert_eq!(indexes(&world), ["0", "1", "2"]);
    world.change_set(|set| set["spec"]["replicas"] = json!(2));
    world.carry_out_all();
    for (kind, name) in [("Pod", "s-2-1"), ("Pod", "s-2"), ("StatefulSet", "s-2")] {
        world.forget(kind, name);
    }
    world.carry_out_all();
    assert_eq!(indexes(&world), ["0", "1", "2"], "nothing is written for that alone");
    restart_container(&mut world, "s-1-1");
    world.carry_out();
    world.rebuild_group(1, 2);
    assert_eq!(indexes(&world), ["0", "1"]);
    world.restart_controller(&[]);
    assert_eq!((world.tasks().len(), world.plan().doubted_pods.len()), (0, 0));
}

#[test]
fn a_record_of_another_leader_says_nothing() {
    let mut world = one_group();
    let record = world.annotation("s", annotations::MEMBERS).unwrap();
    restart_container(&mut world, "s-0-1");
    world.carry_out();
    world.rebuild_group(0, 3);
    assert_ne!(world.annotation("s", annotations::MEMBERS).unwrap(), record);
    world.change("StatefulSet", "s", |it| {
        it["metadata"]["annotations"][annotations::MEMBERS] = json!(record);
    });
    world.restart_controller(&[]);
    assert_eq!(world.plan().doubted_pods, [].into());
    assert_eq!(world.tasks(), [RECORD]);
}

#[test]
fn a_group_that_stays_incomplete_is_recorded_as_it_is() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 4}}));
    world.carry_out_all();
    world.start_leader(0);
    world.carry_out_all();
    world.start_worker(0, 1);
    assert_eq!(world.plan().recheck.unwrap().as_secs(), 2);
    world.pass(1);
    world.start_worker(0, 2);
    assert_eq!(world.plan().recheck.unwrap().as_secs(), 2, "counted from the youngest");
    world.pass(2);
    assert_eq!(world.tasks(), [RECORD]);
    world.carry_out();
    // Workers that never existed are not missed.
    world.restart_controller(&[]);
    assert_eq!((world.tasks().len(), world.plan().doubted_pods.len()), (0, 0));
}

#[test]
fn a_clock_that_runs_behind_delays_no_record() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3}}));
    world.carry_out_all();
    world.start_leader(0);
    world.carry_out_all();
    world.pass(3600);
    world.start_worker(0, 1);
    world.now = Timestamp::UNIX_EPOCH;
    assert_eq!(world.tasks(), [RECORD]);
}

#[test]
fn a_worker_that_was_replaced_while_no_controller_ran_recreates_its_group_once() {
    let mut world = one_group();
    world.replace_pod_unseen("s-0-2");
    world.restart_controller(&[]);
    assert_eq!(world.tasks(), [""; 0], "it is looked for first");
    world.read_pods();
    assert_eq!(world.tasks(), RECREATION);
    world.carry_out();
    assert_eq!(
        world.told,
        [
            "Normal RecreateGroup: Worker pod s-0-2 failed, deleted leader pod s-0 to recreate group 0"
        ]
    );
    world.rebuild_group(0, 3);
    world.restart_controller(&[]);
    assert_eq!((world.tasks().len(), world.plan().doubted_pods.len()), (0, 0));
}

#[test]
fn a_worker_set_that_went_while_no_controller_ran_takes_its_group_with_it() {
    let go: fn(&mut World, &str) = |world, pod| world.forget("Pod", pod);
    let end: fn(&mut World, &str) = |world, pod| world.change("Pod", pod, terminating(0, 30));
    let stay: fn(&mut World, &str) = |_, _| ();
    let orphan: fn(&mut World, &str) = |world, pod| {
        world.change("Pod", pod, |it| it["metadata"]["ownerReferences"] = json!([]));
    };
    for (policy, first, second, lost) in [
        ("RecreateGroupOnPodRestart", go, go, Some("s-0-1")),
        ("RecreateGroupOnPodRestart", end, end, Some("s-0-1")),
        // The garbage collector has yet to see to it.
        ("RecreateGroupOnPodRestart", stay, stay, Some("s-0-1")),
        ("RecreateGroupAfterStart", go, go, Some("s-0-1")),
        ("RecreateGroupOnPodRestart", orphan, go, Some("s-0-2")),
        ("RecreateGroupOnPodRestart", orphan, orphan, None),
        ("RecreateGroupAfterStart", orphan, orphan, None),
        ("None", go, go, None),
    ] {
        let mut world = with_policy(policy);
        world.forget("StatefulSet", "s-0");
        first(&mut world, "s-0-1");
        second(&mut world, "s-0-2");
        world.restart_controller(&[]);
        let Some(lost) = lost else {
            assert_eq!(world.tasks(), ["create statefulset s-0"], "{policy}");
            continue;
        };
        assert_eq!(world.tasks(), [""; 0], "the leader may be going, too");
        world.read_pods();
        assert_eq!(world.tasks(), RECREATION, "{policy} {lost}");
        // It is one incident, whoever goes on with it.
        world.carry_out_first(1);
        world.restart_controller(&[]);
        assert_eq!(world.tasks(), ["delete pod s-0"]);
        world.carry_out();
        assert_eq!(world.told.len(), 1, "{:?}", world.told);
        assert!(world.told[0].contains(&format!("Worker pod {lost} failed")), "{:?}", world.told);
        assert_eq!(world.tasks(), [""; 0]);
    }
}

#[test]
fn a_leader_without_a_record_gets_its_worker_set() {
    for record in [json!(""), json!("0:another,w"), json!("1:another,w"), json!("?")] {
        let mut world = one_group();
        for (kind, name) in [("StatefulSet", "s-0"), ("Pod", "s-0-1"), ("Pod", "s-0-2")] {
            world.forget(kind, name);
        }
        world.change("StatefulSet", "s", |it| {
            it["metadata"]["annotations"][annotations::MEMBERS] = record.clone();
        });
        world.restart_controller(&[]);
        assert_eq!(world.tasks(), ["create statefulset s-0"], "{record}");
    }
}

#[test]
fn workers_that_are_gone_before_their_worker_set_are_missed() {
    let mut world = one_group();
    world.change("StatefulSet", "s-0", terminating(0, 0));
    for pod in ["s-0-1", "s-0-2"] {
        world.forget("Pod", pod);
    }
    world.restart_controller(&[]);
    world.read_pods();
    assert_eq!(world.tasks(), RECREATION);
}

#[test]
fn a_worker_that_is_younger_than_what_is_known_of_pods_is_not_missed() {
    let mut world = one_group();
    world.change("Pod", "s-0-1", |it| it["status"]["podIP"] = json!("10.0.0.1"));
    world.restart_controller(&["s-0-1"]);
    assert_eq!(world.plan().doubted_pods.len(), 1);
    world.read_pods();
    assert_eq!((world.tasks().len(), world.plan().doubted_pods.len()), (0, 0));
}

#[test]
fn nothing_is_on_record_without_a_restart_policy() {
    let mut world = with_policy("None");
    assert_eq!(world.annotation("s", annotations::MEMBERS), None);
    // One from a time with another policy must not come to mean something again.
    let record = format!("0:{}/{},former", uid_mark(&world, "s-0"), revision_mark(&world));
    world.change("StatefulSet", "s", |it| {
        it["metadata"]["annotations"][annotations::MEMBERS] = json!(record);
    });
    assert_eq!(world.tasks(), [RECORD]);
    world.carry_out();
    assert_eq!(world.annotation("s", annotations::MEMBERS), None);
    world.replace_pod("s-0-1");
    assert_eq!(world.tasks(), [""; 0]);
}

#[test]
fn a_worker_that_had_not_started_is_not_missed_by_a_policy_that_waits_for_the_start() {
    let mut world = with_policy("RecreateGroupAfterStart");
    world.rebuild_group(0, 3);
    world.change("StatefulSet", "s", |it| {
        it["metadata"]["annotations"][annotations::MEMBERS] = json!("");
    });
    world.change("Pod", "s-0-2", |it| it["status"]["phase"] = json!("Pending"));
    world.pass(2);
    assert_eq!(world.tasks(), [RECORD]);
    world.carry_out();
    world.replace_pod_unseen("s-0-2");
    world.restart_controller(&[]);
    assert_eq!((world.tasks().len(), world.plan().doubted_pods.len()), (0, 0));
    // One that had started is, as soon as the others have.
    world.replace_pod_unseen("s-0-1");
    world.restart_controller(&[]);
    world.read_pods();
    assert_eq!(world.tasks(), [""; 0]);
    world.make_ready("s-0-2");
    assert!(world.deletes("s-0"));
}

#[test]
fn a_container_that_restarted_while_a_sibling_was_pending_recreates_its_group_later() {
    let mut world = with_policy("RecreateGroupAfterStart");
    world.change("Pod", "s-0-2", |it| it["status"]["phase"] = json!("Pending"));
    restart_container(&mut world, "s-0-1");
    assert_eq!(world.tasks(), [""; 0]);
    world.make_ready("s-0-2");
    assert_eq!(world.tasks(), RECREATION);
}

#[test]
fn a_record_of_another_revision_or_from_the_set_means_nothing() {
    let mut world = one_group();
    world.change("Pod", "s-0", |it| it["metadata"]["labels"][labels::REVISION] = json!("x"));
    world.replace_pod_unseen("s-0-1");
    world.restart_controller(&[]);
    assert_eq!(world.plan().doubted_pods, [].into());
    assert!(!world.deletes("s-0"));

    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    world.change_set(|set| {
        set["metadata"]["annotations"] =
            json!({annotations::MEMBERS: "0:x,y", annotations::GROUP_RESTARTS: "{}", "mine": "kept"});
    });
    world.carry_out_all();
    world.start_leader(0);
    world.carry_out_all();
    for stateful_set in ["s", "s-0"] {
        assert_eq!(world.annotation(stateful_set, annotations::MEMBERS), None);
        assert_eq!(world.annotation(stateful_set, annotations::GROUP_RESTARTS), None);
        assert_eq!(world.annotation(stateful_set, "mine").as_deref(), Some("kept"));
    }
}

#[test]
fn a_group_that_keeps_failing_waits_and_tells_so_once() {
    let mut world = one_group();
    fail_once(&mut world);
    fail_once(&mut world);
    assert!(world.told.iter().all(|it| !it.contains("Backoff")), "{:?}", world.told);
    world.told.clear();

    restart_container(&mut world, "s-0-1");
    assert_eq!(world.tasks(), [HISTORY]);
    world.carry_out();
    let note = "Group 0 failed 3 times in a row, now because a container of pod s-0-1 restarted: \
                it is recreated in 10 s";
    assert_eq!(world.told, [format!("Warning RecreateGroupBackoff: {note}")]);
    world.pass(4);
    // Another member, another controller: the same failure.
    restart_container(&mut world, "s-0-2");
    world.restart_controller(&[]);
    let plan = world.plan();
    assert_eq!((plan.tasks.len(), plan.failing.waiting), (0, 1));
    assert_eq!(plan.recheck.unwrap().as_secs(), 6);
    world.pass(6);
    assert_eq!(world.tasks(), ["delete pod s-0"]);
    assert_eq!(world.plan().failing.waiting, 0);
    world.carry_out();
    world.rebuild_group(0, 3);
    restart_container(&mut world, "s-0-1");
    world.carry_out();
    assert_eq!(world.plan().recheck.unwrap().as_secs(), 20);
}

#[test]
fn a_clock_that_is_put_back_makes_no_group_wait_longer() {
    let mut world = one_group();
    fail_once(&mut world);
    fail_once(&mut world);
    restart_container(&mut world, "s-0-1");
    world.carry_out();
    world.pass(4);
    world.put_back(3600);
    assert!(!world.deletes("s-0"), "it still waits");
    world.carry_out();
    assert_eq!(world.tasks(), [""; 0]);
    world.pass(10);
    assert!(world.deletes("s-0"), "the delay is over");
}

#[test]
fn failures_are_forgotten_once_the_group_has_been_ready_for_long() {
    let mut world = one_group();
    fail_once(&mut world);
    fail_once(&mut world);
    assert_eq!(world.plan().recheck.unwrap().as_secs(), 600);
    world.pass(599);
    assert_eq!(world.tasks(), [""; 0]);
    world.pass(1);
    assert_eq!(world.tasks(), [HISTORY]);
    world.carry_out();
    assert_eq!(world.annotation("s", annotations::GROUP_RESTARTS), None);
    assert_eq!((world.tasks().len(), world.plan().recheck), (0, None));
    restart_container(&mut world, "s-0-1");
    assert_eq!(world.tasks(), RECREATION);
}

#[test]
fn a_group_is_ready_since_its_last_pod_is() {
    let mut world = one_group();
    fail_once(&mut world);
    fail_once(&mut world);
    world.pass(300);
    world.make_ready("s-0-2");
    world.pass(599);
    assert_eq!(world.tasks(), [""; 0]);
    world.pass(1);
    assert_eq!(world.tasks(), [HISTORY]);
}

#[test]
fn failures_of_another_revision_do_not_count() {
    let mut world = one_group();
    fail_once(&mut world);
    fail_once(&mut world);
    let history = world.annotation("s", annotations::GROUP_RESTARTS).unwrap();
    let mut history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["0"]["count"], 2);
    history["0"]["revision"] = json!("former");
    world.change("StatefulSet", "s", |it| {
        it["metadata"]["annotations"][annotations::GROUP_RESTARTS] = json!(history.to_string());
    });
    assert_eq!(world.plan().failing.groups, [], "it is forgotten");
    restart_container(&mut world, "s-0-1");
    world.carry_out_first(1);
    let history = world.annotation("s", annotations::GROUP_RESTARTS).unwrap();
    assert!(history.contains("\"count\":1"), "{history}");
}

#[test]
fn a_failure_is_counted_once_and_not_forgotten_when_the_controller_ends_meanwhile() {
    let mut world = one_group();
    world.replace_pod("s-0-1");
    // Only the history is written.
    world.carry_out_first(1);
    world.restart_controller(&[]);
    assert_eq!(world.tasks(), ["delete pod s-0"]);
    world.carry_out();
    let history = world.annotation("s", annotations::GROUP_RESTARTS).unwrap();
    assert!(history.contains("\"count\":1") && history.contains("\"pod_lost\""), "{history}");
}

#[test]
fn a_group_is_recreated_in_time_although_its_failure_cannot_be_recorded() {
    let mut world = one_group();
    fail_once(&mut world);
    fail_once(&mut world);
    restart_container(&mut world, "s-0-1");
    world.told.clear();
    for waited in [0, 4] {
        world.pass(waited);
        assert_eq!(world.tasks(), [HISTORY]);
        assert_eq!(world.plan().recheck.unwrap().as_secs(), 10 - waited);
        world.fail();
    }
    world.pass(6);
    assert_eq!(world.tasks(), RECREATION);
    world.carry_out();
    assert_eq!((world.plan().unwritten.len(), world.tasks().len()), (0, 0));
    let history = world.annotation("s", annotations::GROUP_RESTARTS).unwrap();
    assert!(history.contains("\"count\":3"), "{history}");
}

#[test]
fn that_a_group_waits_is_told_once_its_failure_is_recorded() {
    let mut world = one_group();
    fail_once(&mut world);
    fail_once(&mut world);
    restart_container(&mut world, "s-0-1");
    world.told.clear();
    world.fail();
    world.pass(4);
    world.carry_out();
    assert!(world.told[0].ends_with("it is recreated in 6 s"), "{:?}", world.told);
    world.carry_out_all();
    assert_eq!(world.told.len(), 1, "once: {:?}", world.told);
}

#[test]
fn a_failure_is_recorded_after_its_leader_was_deleted() {
    let mut world = one_group();
    restart_container(&mut world, "s-0-1");
    assert_eq!(world.tasks(), RECREATION);
    world.fail();
    world.change("Pod", "s-0", terminating(0, 30));
    assert_eq!(world.tasks()[0], HISTORY);
    world.forget("Pod", "s-0");
    assert_eq!(world.tasks()[0], HISTORY);
    world.carry_out();
    let history = world.annotation("s", annotations::GROUP_RESTARTS).unwrap();
    assert!(history.contains("\"count\":1"), "{history}");
}

#[test]
fn a_live_policy_that_was_not_rolled_out_loses_no_failure() {
    let strategy = json!({"type": "RollingUpdate",
        "rollingUpdateConfiguration": {"partition": 2, "maxUnavailable": 1, "maxSurge": 0}});
    let template = json!({"size": 3});
    let mut world = World::settled(
        json!({"replicas": 2, "leaderWorkerTemplate": template, "rolloutStrategy": strategy}),
    );
    world.change_set(|set| {
        set["spec"]["leaderWorkerTemplate"]["restartPolicy"] = json!("None");
    });
    world.carry_out_all();
    world.forget("StatefulSet", "s-0");
    for worker in ["s-0-1", "s-0-2"] {
        world.forget("Pod", worker);
    }
    world.read_pods();
    assert!(world.deletes("s-0"), "{:?}", world.tasks());
}

#[test]
fn a_worker_that_has_come_to_another_set_is_missed() {
    let mut world = one_group();
    world.change("Pod", "s-0-1", |it| it["metadata"]["labels"][labels::NAME] = json!("other"));
    world.restart_controller(&[]);
    world.read_pods();
    assert_eq!(world.tasks(), RECREATION);
}

#[test]
fn a_pod_in_doubt_is_read_once() {
    let mut world = one_group();
    world.forget("StatefulSet", "s-0");
    world.forget("Pod", "s-0-1");
    assert_eq!(world.plan().doubted_pods.len(), 1);
}

#[test]
fn a_lost_worker_is_missing_whatever_its_stateful_set_says() {
    let mut world = with_policy("None");
    let ready = |world: &World| world.plan().status.map_or(1, |it| it.status.ready_replicas);
    world.forget("Pod", "s-0-1");
    assert_eq!(ready(&world), 0);
    world.start_worker(0, 1);
    assert_eq!(ready(&world), 1);
}

#[test]
fn a_group_that_is_about_to_be_recreated_is_not_ready_for_a_rollout() {
    let template = json!({"size": 3});
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": template}));
    world.change_image("new");
    world.carry_out_all();
    // Group 1 fails before it is ready, the third time too: it waits, and its pods become ready.
    for _ in 0..3 {
        for pod in ["s-1-1", "s-1-2", "s-1"] {
            world.forget_if_there("Pod", pod);
        }
        world.forget_if_there("StatefulSet", "s-1");
        world.start_leader(1);
        world.carry_out_all();
        world.start_worker(1, 1);
        restart_container(&mut world, "s-1-1");
        world.carry_out_all();
    }
    world.start_worker(1, 2);
    world.change("StatefulSet", "s-1", |it| it["status"] = json!({"availableReplicas": 2}));
    world.make_ready("s-1");
    world.carry_out_all();
    assert_eq!(world.plan().failing.waiting, 1);
    assert_eq!(world.status().ready_replicas, 1);
    assert!(!world.told.iter().any(|it| it.contains("Updating replica 0")), "{:?}", world.told);
    assert!(!world.deletes("s-0"));
}

#[test]
fn no_group_is_released_while_another_is_in_doubt() {
    let template = json!({"size": 3});
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": template}));
    world.change_image("new");
    world.carry_out_all();
    world.rebuild_group(1, 3);
    assert_eq!(world.partition(), 0);
    let mut world = World::settled(json!({"replicas": 3, "leaderWorkerTemplate": template}));
    world.change_image("new");
    world.carry_out_all();
    world.replace_pod_unseen("s-0-1");
    world.restart_controller(&[]);
    let before = world.partition();
    assert!(!world.plan().doubted_pods.is_empty());
    assert_eq!(world.tasks(), [""; 0]);
    assert_eq!(world.partition(), before);
}

#[test]
fn causes_are_told_apart() {
    let disrupted = |reason: &'static str| {
        move |it: &mut Value| {
            terminating(0, 30)(it);
            it["status"]["conditions"] =
                json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
        }
    };
    let cases: [(Change, &str); 4] = [
        (Box::new(terminating(0, 30)), "pod_deleted"),
        (Box::new(disrupted("EvictionByEvictionAPI")), "pod_evicted"),
        (Box::new(disrupted("DeletionByTaintManager")), "node_lost"),
        (
            Box::new(|it| it["status"]["initContainerStatuses"] = json!([{"restartCount": 2}])),
            "container_restart",
        ),
    ];
    for (change, cause) in cases {
        let mut world = one_group();
        world.change("Pod", "s-0-2", change);
        let task = world.plan().tasks.pop().unwrap();
        assert_eq!(task.cause.unwrap().label(), cause);
    }
}

#[test]
fn an_evicted_pod_counts_once_it_is_deleted() {
    let mut world = one_group();
    world.change("Pod", "s-0-1", |it| it["status"]["phase"] = json!("Failed"));
    restart_container(&mut world, "s-0-1");
    assert_eq!(world.tasks(), [""; 0]);
    world.replace_pod("s-0-1");
    assert_eq!(world.tasks(), RECREATION);
}

#[test]
fn workers_end_with_a_leader_that_somebody_else_deleted() {
    for (policy, grace, finalizers, ends) in [
        ("RecreateGroupOnPodRestart", 30, json!(null), true),
        ("RecreateGroupOnPodRestart", 30, json!(["example.org/other"]), true),
        ("None", 30, json!(null), true),
        // The garbage collector deletes them, or is told not to.
        ("RecreateGroupOnPodRestart", 30, json!(["foregroundDeletion"]), false),
        ("None", 30, json!(["orphan"]), false),
        // It is gone the next moment, unless something holds it.
        ("RecreateGroupOnPodRestart", 0, json!(null), false),
        ("RecreateGroupOnPodRestart", 0, json!(["example.org/other"]), true),
    ] {
        let mut world = with_policy(policy);
        world.change("Pod", "s-0", |it| {
            terminating(0, grace)(it);
            it["metadata"]["finalizers"] = finalizers.clone();
        });
        let expected: &[&str] = if ends { &["delete statefulset s-0"] } else { &[] };
        assert_eq!(world.tasks(), expected, "{policy} {grace} {finalizers}");
        world.carry_out_all();
        assert_eq!(world.tasks(), [""; 0]);
    }
}

#[test]
fn a_worker_set_whose_claims_go_with_it_stays_until_these_are_gone() {
    let claim = json!([{"metadata": {"name": "data"}}]);
    for (claims, when_deleted, stays) in [
        (json!(null), "Delete", false),
        (json!([]), "Delete", false),
        (claim.clone(), "Retain", false),
        (claim, "Delete", true),
    ] {
        let template = json!({
            "size": 3,
            "volumeClaimTemplates": claims,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted},
        });
        let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": template}));
        world.change("Pod", "s-0", terminating(0, 30));
        let task = world.plan().tasks.pop().unwrap();
        let Action::DeleteWorkerSet { stays: found, .. } = task.action else { panic!("{task:?}") };
        assert_eq!(found, stays, "{claims} {when_deleted}");
    }
}

#[test]
fn workers_of_the_next_leader_wait_until_those_of_the_former_one_are_gone() {
    let mut world = one_group();
    world.pass(3600);
    world.change("Pod", "s-0", terminating(3600, 30));
    assert_eq!(world.tasks(), ["delete statefulset s-0"]);
    world.carry_out_all();
    assert!(!world.has("StatefulSet", "s-0"));
    world.forget("Pod", "s-0");
    world.start_leader(0);
    world.carry_out_all();
    assert!(!world.has("StatefulSet", "s-0"), "the garbage collector was not there yet");
    assert_eq!(world.plan().recheck, Some(Duration::from_secs(5)));
    world.pass(60);
    world.restart_controller(&[]);
    assert_eq!(world.tasks(), [""; 0]);
    for worker in ["s-0-1", "s-0-2"] {
        world.change("Pod", worker, terminating(3660, 30));
    }
    world.pass(20);
    assert_eq!(world.tasks(), [""; 0]);
    world.forget("Pod", "s-0-2");
    assert_eq!(world.tasks(), [""; 0]);
    world.forget("Pod", "s-0-1");
    assert_eq!(world.tasks(), ["create statefulset s-0"]);
}

#[test]
fn a_pod_whose_name_no_worker_gets_is_not_waited_for() {
    for (name, waits) in [("s-0-2", true), ("s-0-3", false), ("s-0-x", false)] {
        let mut world = one_group();
        let mut pod = world.get("Pod", "s-0-2");
        for (kind, name) in
            [("StatefulSet", "s-0"), ("Pod", "s-0-1"), ("Pod", "s-0-2"), ("Pod", "s-0")]
        {
            world.forget(kind, name);
        }
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["uid"] = json!(null);
        world.put(pod);
        world.start_leader(0);
        let expected: &[&str] = if waits { &[] } else { &["create statefulset s-0"] };
        assert_eq!(world.tasks(), expected, "{name}");
    }
}

#[test]
fn a_pod_is_released_when_it_should_have_ended_and_its_node_is_lost() {
    for (policy, grace, after, health, released) in [
        ("RecreateGroupOnPodRestart", 30, 90, NodeHealth::NotReady, true),
        ("RecreateGroupOnPodRestart", 30, 90, NodeHealth::OutOfService, true),
        ("RecreateGroupAfterStart", 30, 90, NodeHealth::Gone, true),
        ("RecreateGroupOnPodRestart", 30, 89, NodeHealth::Gone, false),
        ("RecreateGroupOnPodRestart", 30, 1000, NodeHealth::Ready, false),
        // Its node has confirmed the end: finalizers keep it.
        ("RecreateGroupOnPodRestart", 0, 1000, NodeHealth::Gone, false),
        ("None", 30, 1000, NodeHealth::Gone, false),
    ] {
        for pod in ["s-0", "s-0-2"] {
            let mut world = with_policy(policy);
            world.change("Pod", pod, |it| {
                it["spec"]["nodeName"] = json!("n1");
                terminating(0, grace)(it);
            });
            world.carry_out_all();
            world.pass(after);
            world.read_node("n1", &[], health);
            let expected = format!("delete pod {pod} for good");
            let case = format!("{policy}, grace {grace}, after {after}, {health:?}, {pod}");
            assert_eq!(world.tasks().contains(&expected), released, "{case}");
        }
    }
}

#[test]
fn the_node_of_a_pod_that_does_not_end_is_read_when_it_matters() {
    let mut world = one_group();
    world.change("Pod", "s-0-2", |it| {
        it["spec"]["nodeName"] = json!("n1");
        terminating(0, 30)(it);
    });
    world.carry_out_all();
    assert_eq!(world.unknown_nodes(), [""; 0]);
    assert_eq!(world.plan().recheck.unwrap().as_secs(), 90);
    world.pass(90);
    assert_eq!(world.unknown_nodes(), ["n1"]);
    world.restarts.node_lost_after = None;
    assert_eq!(world.unknown_nodes(), [""; 0], "switched off");
}

#[test]
fn a_worker_of_a_former_leader_is_released_too() {
    // The garbage collector deletes the StatefulSet, and the one of the next leader waits for the pod.
    for worker_set_is_gone in [false, true] {
        let mut world = one_group();
        world.change("Pod", "s-0-2", |it| {
            it["spec"]["nodeName"] = json!("n1");
            terminating(0, 30)(it);
        });
        world.carry_out_all();
        world.forget("Pod", "s-0-1");
        world.forget("Pod", "s-0");
        if worker_set_is_gone {
            world.forget("StatefulSet", "s-0");
        }
        world.start_leader(0);
        world.carry_out_all();
        world.pass(90);
        world.read_node("n1", &[], NodeHealth::NotReady);
        assert_eq!(world.tasks(), ["delete pod s-0-2 for good"], "{worker_set_is_gone}");
        world.carry_out();
        let next: &[&str] = if worker_set_is_gone { &["create statefulset s-0"] } else { &[] };
        assert_eq!(world.tasks(), next);
        assert_eq!(
            world.told.last().unwrap(),
            "Warning NodeLost: Node n1 is not ready and has not ended pod s-0-2 in time: the pod is \
             deleted for good, its containers may go on where the node does"
        );
    }
}

#[test]
fn a_pod_that_merely_has_the_name_of_a_worker_is_not_released() {
    let mut world = one_group();
    world.change("Pod", "s-0-2", |it| {
        it["spec"]["nodeName"] = json!("n1");
        it["metadata"]["labels"][labels::GROUP_INDEX] = json!("1");
        it["metadata"]["ownerReferences"][0]["uid"] = json!("somebody");
        terminating(0, 30)(it);
    });
    world.read_node("n1", &[], NodeHealth::NotReady);
    world.carry_out_all();
    world.pass(90);
    assert!(!world.tasks().iter().any(|it| it.contains("for good")), "{:?}", world.tasks());
}

#[test]
fn a_policy_that_is_rolled_out_recreates_no_group_that_the_rollout_has_not_reached() {
    let template = json!({"size": 3, "restartPolicy": "None"});
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": template}));
    for group in 0..2 {
        restart_container(&mut world, &format!("s-{group}-1"));
    }
    assert_eq!(world.tasks(), [""; 0]);
    world.change_set(|set| {
        set["spec"]["leaderWorkerTemplate"]["restartPolicy"] = json!("RecreateGroupOnPodRestart");
    });
    world.carry_out_all();
    assert!(!world.told.iter().any(|it| it.contains("RecreateGroup")), "{:?}", world.told);
    let leader = world.get("Pod", "s-0");
    assert!(leader["metadata"]["deletionTimestamp"].is_null(), "{leader}");
    // Of the new revision, a group has the new policy.
    world.rebuild_group(1, 3);
    restart_container(&mut world, "s-1-1");
    assert!(world.deletes("s-1"), "{:?}", world.tasks());
    assert!(!world.deletes("s-0"));
}

#[test]
fn a_worker_stateful_set_that_is_deleted_recreates_its_group_once() {
    let mut world = one_group();
    world.forget("StatefulSet", "s-0");
    // Somebody may have deleted the leader, and this may be the garbage collector.
    assert_eq!(world.plan().doubted_pods.first().unwrap().name, "s-0");
    world.read_pods();
    for worker in ["s-0-1", "s-0-2"] {
        world.change("Pod", worker, terminating(0, 30));
    }
    assert!(world.deletes("s-0"), "{:?}", world.tasks());
    world.carry_out();
    assert_eq!(world.tasks(), [""; 0]);
    assert_eq!(world.told.iter().filter(|it| it.contains("RecreateGroup")).count(), 1);
}

#[test]
fn workers_that_vanish_with_their_stateful_set_recreate_their_group() {
    let mut world = one_group();
    world.forget("StatefulSet", "s-0");
    world.forget("Pod", "s-0-1");
    assert!(!world.deletes("s-0"), "the leader is doubted");
    world.read_pods();
    assert!(world.deletes("s-0"), "{:?}", world.tasks());
}

#[test]
fn workers_that_were_orphaned_get_another_stateful_set_and_no_restart() {
    let mut world = one_group();
    for worker in ["s-0-1", "s-0-2"] {
        world.change("Pod", worker, |it| it["metadata"]["ownerReferences"] = json!([]));
    }
    world.forget("StatefulSet", "s-0");
    world.read_pods();
    assert_eq!(world.tasks(), ["create statefulset s-0"]);
}

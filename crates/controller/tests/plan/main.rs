//! Plans for whole sets: a pretend API server carries them out, and the next plan is made from
//! what it answers, as the controller does.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its support code too"
)]

mod doubts;
mod failures;
mod gang;
mod obstacles;
mod placement;
mod restarts;
mod shortages;
mod world;

use lws_api_types::keys::{annotations, labels};
use lws_controller::observe::nodes::NodeHealth;
use lws_controller::plan::task::Action;
use serde_json::{Value, json};
use world::World;

#[test]
fn a_new_set_gets_its_revision_then_its_stateful_set_and_service() {
    let mut world = World::with_set(json!({"replicas": 2}));
    assert_eq!(world.tasks(), [world.revision_task(1)]);
    world.carry_out();
    assert_eq!(world.tasks(), ["create service s", "apply statefulset s: replicas 2, partition 0"]);
    world.carry_out();
    assert_eq!(world.tasks(), [""; 0]);
    assert_eq!(
        world.told,
        [
            "Normal CreatingRevision: Creating revision with key KEY for a newly created LeaderWorkerSet",
            "Normal GroupsProgressing: Created leader statefulset s",
        ]
    );
}

#[test]
fn a_settled_set_wants_nothing() {
    let world = World::settled(json!({"replicas": 3, "leaderWorkerTemplate": {"size": 2}}));
    let plan = world.plan();
    assert_eq!(plan.status, None);
    assert_eq!(plan.events, []);
    assert_eq!(plan.recheck, None);
    assert_eq!(world.tasks(), [""; 0]);
}

/// The feature `MaxUnavailableStatefulSet` is off.
#[test]
fn what_the_server_does_not_store_is_not_applied_again_by_another_controller() {
    let mut world = World::settled(json!({"replicas": 2}));
    let rolling_update = "/spec/updateStrategy/rollingUpdate";
    world.change("StatefulSet", "s", |it| {
        let fields = it.pointer_mut(rolling_update).and_then(Value::as_object_mut).unwrap();
        fields.remove("maxUnavailable").unwrap();
    });
    world.restart_controller(&[]);
    assert_eq!(world.tasks(), [""; 0]);

    // It is on.
    world.change("StatefulSet", "s", |it| {
        it.pointer_mut(rolling_update).unwrap()["maxUnavailable"] = json!(2);
    });
    assert_eq!(world.tasks(), ["apply statefulset s: replicas 2, partition 0"]);
}

#[test]
fn a_set_that_is_being_deleted_wants_nothing() {
    let mut world = World::settled(json!({"replicas": 2}));
    world.change_set(|set| set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    world.forget("Pod", "s-0");
    assert_eq!(world.tasks(), [""; 0]);
    assert_eq!(world.plan().status, None);
}

#[test]
fn a_changed_template_makes_one_revision_however_often_the_apply_fails() {
    let mut world = World::settled(json!({"replicas": 2}));
    world.change_image("new");
    world.carry_out();
    for _ in 0..10 {
        assert_eq!(
            world.tasks(),
            ["apply statefulset s: replicas 2, partition 2"],
            "the apply is repeated, nothing else"
        );
    }
    assert_eq!(world.revisions(), 2);
}

#[test]
fn as_many_former_revisions_are_kept_as_the_set_wants() {
    for (limit, kept) in [(None, 1), (Some("0"), 1), (Some("2"), 3), (Some("9"), 4), (Some("x"), 1)]
    {
        let mut world = World::settled(json!({"replicas": 1}));
        if let Some(limit) = limit {
            world.change_set(|set| {
                set["metadata"]["annotations"] =
                    json!({annotations::REVISION_HISTORY_LIMIT: limit});
            });
        }
        for image in ["second", "third", "fourth"] {
            world.change_image(image);
            world.carry_out_all();
            world.rebuild_group(0, 1);
            world.carry_out_all();
        }
        assert_eq!(world.revisions(), kept, "{limit:?}");
        assert_eq!(world.tasks(), [""; 0], "{limit:?}");
    }
}

#[test]
fn going_back_raises_the_former_revision() {
    let mut world = World::settled(json!({"replicas": 2}));
    world.change_image("new");
    world.carry_out();
    world.carry_out();
    world.change_image("old");
    let [raised] = &world.tasks()[..] else { panic!("{:?}", world.tasks()) };
    assert!(
        raised.starts_with("raise controllerrevision s-") && raised.ends_with("-1 to 3"),
        "{raised}"
    );
}

#[test]
fn foreign_objects_are_left_alone_and_told() {
    for (kind, name) in [("StatefulSet", "s"), ("Service", "s")] {
        let mut world = World::with_set(json!({"replicas": 1}));
        world.put(json!({"kind": kind, "metadata": {
            "name": name,
            "labels": {labels::NAME: "s"},
            "ownerReferences": [{"kind": "Deployment", "name": "d", "uid": "d", "controller": true}],
        }}));
        world.carry_out_all();
        let plan = world.plan();
        assert_eq!(plan.events.len(), 1, "{kind}");
        assert!(
            plan.events[0].is_warning && plan.events[0].note.contains("Deployment d"),
            "{kind}"
        );
        assert_eq!(world.tasks(), [""; 0], "{kind}");
    }
}

#[test]
fn what_the_former_set_left_is_waited_for() {
    let mut world = World::with_set(json!({"replicas": 1}));
    world.put(json!({"kind": "StatefulSet", "metadata": {
        "name": "s",
        "labels": {labels::NAME: "s"},
        "ownerReferences": [{"kind": "LeaderWorkerSet", "name": "s", "uid": "former", "controller": true}],
    }}));
    let plan = world.plan();
    assert!(plan.recheck.is_some() && plan.events.is_empty() && plan.tasks.is_empty());
}

#[test]
fn the_service_that_a_former_leader_left_is_waited_for() {
    let mut world = World::with_set(json!({
        "replicas": 1, "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
    }));
    world.carry_out_all();
    world.put(json!({"kind": "Service", "metadata": {
        "name": "s-0",
        "labels": {labels::NAME: "s"},
        "ownerReferences": [{"kind": "Pod", "name": "s-0", "uid": "former", "controller": true}],
    }}));
    world.start_leader(0);
    let plan = world.plan();
    assert!(plan.recheck.is_some() && plan.events.is_empty() && plan.tasks.is_empty());
    world.forget("Service", "s-0");
    assert_eq!(world.tasks(), ["create service s-0"]);
}

#[test]
fn groups_of_an_earlier_size_are_judged_by_that_size() {
    for (size, resized) in [(1, 3), (3, 1)] {
        let spec = json!({"replicas": 2, "leaderWorkerTemplate": {"size": size}});
        let mut world = World::settled(spec);
        world.change_set(|set| set["spec"]["leaderWorkerTemplate"]["size"] = json!(resized));
        world.carry_out_all();
        let status = world.status();
        assert_eq!((status.ready_replicas, status.updated_replicas), (2, 0), "{size} to {resized}");
        let holds: Vec<_> = status.conditions.iter().filter(|it| it.status == "True").collect();
        let types: Vec<_> = holds.iter().map(|it| it.type_.as_str()).collect();
        assert_eq!(types, ["Progressing", "UpdateInProgress"], "{size} to {resized}");
    }
}

#[test]
fn an_orphaned_stateful_set_is_adopted() {
    let mut world = World::settled(json!({"replicas": 2}));
    world.change("StatefulSet", "s", |it| it["metadata"]["ownerReferences"] = json!([]));
    assert_eq!(world.tasks(), ["adopt statefulset s"]);
    world.carry_out_all();
    let uid = |kind: &str, pointer| world.get(kind, "s").pointer(pointer).cloned();
    let owner = uid("StatefulSet", "/metadata/ownerReferences/0/uid");
    assert_eq!(owner, uid("LeaderWorkerSet", "/metadata/uid"));
}

#[test]
fn what_an_orphaning_deletion_has_left_is_adopted() {
    let mut world = World::settled(json!({"replicas": 1}));
    let revision = world.revision()["metadata"]["name"].as_str().unwrap().to_owned();
    for (kind, name) in [("ControllerRevision", &*revision), ("Service", "s")] {
        world.change(kind, name, |it| it["metadata"]["ownerReferences"] = json!([]));
    }
    let adopted = format!("adopt controllerrevision {revision}");
    assert_eq!(world.tasks(), ["adopt service s", &adopted]);
    world.carry_out_all();
    assert_eq!(world.tasks(), [""; 0]);
}

#[test]
fn a_service_that_nobody_controls_and_that_serves_others_is_left_alone_and_told() {
    let mut world = World::settled(json!({"replicas": 1}));
    world.change("Service", "s", |it| {
        it["metadata"]["ownerReferences"] = json!([]);
        it["spec"]["selector"] = json!({"app": "other"});
    });
    let plan = world.plan();
    assert!(plan.tasks.is_empty(), "{:?}", plan.tasks);
    assert!(plan.events[0].note.contains("controlled by nobody"), "{:?}", plan.events);
}

#[test]
fn a_leader_that_is_not_scheduled_yet_gets_no_exclusively_placed_workers() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    world.change_set(|set| {
        set["metadata"]["annotations"] = json!({annotations::EXCLUSIVE_TOPOLOGY: "zone"});
    });
    world.carry_out_all();
    world.start_leader(0);
    assert_eq!(world.tasks(), [""; 0]);
    world.change("Pod", "s-0", |it| it["spec"]["nodeName"] = json!("n1"));
    assert_eq!(world.unknown_nodes(), ["n1"]);
    world.read_node("n1", &[], NodeHealth::Gone);
    let plan = world.plan();
    assert_eq!((plan.tasks, plan.unknown_nodes.len()), (Vec::new(), 0));
    assert_eq!(plan.events[0].note, "getting node \"n1\": nodes \"n1\" not found");
    assert!(plan.recheck.is_some());
    world.read_node("n1", &[("rack", "a")], NodeHealth::Ready);
    let plan = world.plan();
    assert!(plan.tasks.is_empty(), "{plan:?}");
    assert_eq!(
        plan.events[0].note,
        "Failed to create worker statefulset for leader pod s-0: node n1 does not have topology \
         label zone"
    );
    assert_eq!(plan.recheck.unwrap().as_secs(), 10, "it is not tried again and again");
    world.read_node("n1", &[("zone", "a")], NodeHealth::Ready);
    let plan = world.plan();
    let [Action::CreateWorkerSet(object)] = [&plan.tasks[0].action] else { panic!("{plan:?}") };
    let selector = &object["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(*selector, json!({"zone": "a"}));
}

#[test]
fn workers_wait_for_a_ready_leader_when_asked_to() {
    let mut world = World::with_set(
        json!({"replicas": 1, "startupPolicy": "LeaderReady", "leaderWorkerTemplate": {"size": 2}}),
    );
    world.carry_out_all();
    world.start_leader(0);
    assert_eq!(world.tasks(), [""; 0]);
    world.make_ready("s-0");
    assert_eq!(world.tasks(), ["create statefulset s-0"]);
}

#[test]
fn a_leader_that_claims_to_be_a_worker_gets_no_workers_of_its_own() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    world.pod_annotations = json!({annotations::LEADER_NAME: "s-0"});
    world.carry_out_all();
    world.start_leader(0);
    let plan = world.plan();
    assert!(plan.tasks.is_empty(), "{plan:?}");
    assert_eq!(
        plan.events[0].note,
        "leader pod n/s-0 contains mistake annotation 'leaderworkerset.sigs.k8s.io/leader-name': \
         requires Kubernetes ≥v1.27 or v1.26 with StatefulSetStartOrdinal feature"
    );
    assert_eq!((plan.events[0].reason, plan.events[0].is_warning), ("FailedCreate", true));
    assert_eq!(plan.recheck, None, "trying again is of no use");
}

#[test]
fn an_index_that_is_no_groups_is_ignored_whatever_it_is() {
    for index in ["-1", "first", "", "4294967296", "99"] {
        let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 2}}));
        world.change("Pod", "s-1", |it| {
            it["metadata"]["labels"][labels::GROUP_INDEX] = json!(index);
        });
        let plan = world.plan();
        assert_eq!(plan.events.len(), 1, "{index}: {:?}", plan.events);
        assert!(plan.events[0].note.contains("s-1"), "{index}: {:?}", plan.events);
        world.change_image("new");
        world.carry_out();
        world.carry_out();
        assert!(!world.deletes("s-0"), "{index}: the other group is the only one that is ready");
    }
}

#[test]
fn a_group_with_a_pod_on_its_way_out_is_not_ready_whatever_its_conditions_say() {
    let template = json!({"size": 2, "restartPolicy": "None"});
    for pod in ["s-1", "s-1-1"] {
        let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": template}));
        assert_eq!(world.status().ready_replicas, 2);
        world.change("Pod", pod, |it| {
            it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        });
        world.carry_out_all();
        assert_eq!(world.status().ready_replicas, 1, "{pod}");
        world.change_image("new");
        world.carry_out();
        assert_eq!(world.tasks(), ["apply statefulset s: replicas 2, partition 2"], "{pod}");
        world.carry_out_all();
        assert!(!world.deletes("s-0"), "{pod}: no other group may be down now");
    }
}

#[test]
fn a_status_that_was_meant_for_the_former_stateful_set_makes_no_group_ready() {
    let mut world = World::settled(json!({"replicas": 3, "leaderWorkerTemplate": {"size": 3}}));
    world.change_image("new");
    world.carry_out_all();
    for (kind, name) in [("Pod", "s-2-1"), ("Pod", "s-2-2"), ("Pod", "s-2"), ("StatefulSet", "s-2")]
    {
        world.forget(kind, name);
    }
    world.start_leader(2);
    world.carry_out_all();
    world.make_ready("s-2");
    world.change("StatefulSet", "s-2", |it| it["status"] = json!({"availableReplicas": 2}));
    for worker in 1..=2 {
        world.carry_out_all();
        assert_eq!((world.status().ready_replicas, world.partition()), (2, json!(2)), "{worker}");
        world.start_worker(2, worker);
    }
    world.carry_out_all();
    assert_eq!(world.partition(), json!(1));
}

#[test]
fn only_pods_of_the_stateful_set_itself_bear_it_out() {
    let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3}}));
    let leader = world.get("Pod", "s-0")["metadata"]["uid"].clone();
    let owner = json!([{"kind": "Pod", "name": "s-0", "uid": leader, "controller": true}]);
    world.change("Pod", "s-0-2", |it| it["metadata"]["ownerReferences"] = owner);
    world.carry_out_all();
    assert_eq!(world.status().ready_replicas, 0);
}

#[test]
fn a_loss_beyond_what_a_stateful_set_wants_now_leaves_its_group_ready() {
    let template = json!({"size": 3, "restartPolicy": "None"});
    let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": template}));
    world.change("StatefulSet", "s-0", |it| {
        it["spec"]["replicas"] = json!(1);
        it["status"] = json!({"availableReplicas": 1});
    });
    world.forget("Pod", "s-0-2");
    world.carry_out_all();
    assert_eq!(world.status().ready_replicas, 1);
    world.forget("Pod", "s-0-1");
    world.carry_out_all();
    assert_eq!(world.status().ready_replicas, 0);
}

#[test]
fn a_stateful_set_is_not_believed_when_all_groups_are_built_anew() {
    let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    for (kind, name) in [("Pod", "s-0-1"), ("Pod", "s-0"), ("StatefulSet", "s-0")] {
        world.forget(kind, name);
    }
    world.start_leader(0);
    world.make_ready("s-0");
    world.carry_out_all();
    world.change("StatefulSet", "s-0", |it| it["status"] = json!({"availableReplicas": 1}));
    world.carry_out_all();
    assert_eq!(world.status().ready_replicas, 0);
}

#[test]
fn a_stateful_set_is_believed_where_nobody_makes_its_pods() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3}}));
    world.carry_out_all();
    world.start_leader(0);
    world.carry_out_all();
    world.make_ready("s-0");
    world.change("StatefulSet", "s-0", |it| it["status"] = json!({"availableReplicas": 2}));
    world.carry_out_all();
    assert_eq!(world.status().ready_replicas, 1);
    world.start_worker(0, 1);
    world.carry_out_all();
    assert_eq!(world.status().ready_replicas, 0, "one of its pods is missing");
}

#[test]
fn a_status_that_was_meant_for_the_former_stateful_set_makes_no_leader_outdated() {
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 1}}));
    for leader in ["s-0", "s-1"] {
        world.change("Pod", leader, |it| {
            it["metadata"]["labels"]["controller-revision-hash"] = json!("present");
        });
    }
    for (generation, replaced) in [(1, 0), (2, 1)] {
        world.change("StatefulSet", "s", |it| {
            it["metadata"]["generation"] = json!(generation);
            it["status"] = json!({"observedGeneration": generation, "updateRevision": "other"});
        });
        assert_eq!(world.plan().tasks.len(), replaced, "{generation}");
    }
}

#[test]
fn groups_change_to_services_of_their_own_and_back() {
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 2}}));
    let change = |world: &mut World, policy: &str| {
        world.change_set(|set| set["spec"]["networkConfig"] = json!({"subdomainPolicy": policy}));
        world.carry_out_all();
    };
    let services = |world: &World| ["s", "s-0", "s-1"].map(|name| world.has("Service", name));
    change(&mut world, "UniquePerReplica");
    assert_eq!(services(&world), [true, false, false], "old groups need none");
    world.rebuild_group(1, 2);
    assert_eq!(services(&world), [true, false, true]);
    world.forget("Service", "s-1");
    assert_eq!(world.tasks(), ["create service s-1"]);
    world.carry_out_all();
    world.forget("Service", "s");
    assert_eq!(world.tasks(), [""; 0]);
    change(&mut world, "Shared");
    assert_eq!(services(&world), [true, false, true], "the shared one is there at once");
}

#[test]
fn a_group_that_is_about_to_go_gets_nothing_more() {
    let mut world = World::settled(json!({"replicas": 3, "leaderWorkerTemplate": {"size": 2}}));
    world.change_set(|set| set["spec"]["replicas"] = json!(2));
    world.forget("StatefulSet", "s-2");
    assert_eq!(world.tasks(), ["apply statefulset s: replicas 2, partition 0"]);
    world.carry_out_all();
    assert_eq!(world.tasks(), [""; 0]);
}

#[test]
fn a_worker_stateful_set_that_disappeared_is_made_anew_once_its_leader_is_confirmed() {
    let template = json!({"size": 2, "restartPolicy": "None"});
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": template}));
    world.forget("StatefulSet", "s-1");
    assert_eq!(world.tasks(), [""; 0]);
    world.read_pods();
    assert_eq!(world.tasks(), [""; 0], "its pod is about to end");
    world.forget("Pod", "s-1-1");
    assert_eq!(world.tasks(), ["create statefulset s-1"]);
}

#[test]
fn metadata_that_drifted_is_put_back() {
    let mut world = World::settled(json!({"replicas": 2}));
    for (field, value) in [
        ("annotations", json!({annotations::REPLICAS: "99"})),
        ("labels", json!({labels::NAME: "s"})),
        ("ownerReferences", json!([])),
    ] {
        world.change("StatefulSet", "s", |it| it["metadata"][field] = value.clone());
        assert!(!world.tasks().is_empty(), "{field}");
        world.carry_out_all();
        assert_eq!(world.tasks(), [""; 0], "{field}");
    }
}

#[test]
fn what_the_server_stores_differently_is_not_applied_for_ever_but_an_edit_is_put_back() {
    let mut world = World::settled(json!({"replicas": 2}));
    let change_image = |it: &mut serde_json::Value| {
        it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("mirror/old");
    };
    world.change("StatefulSet", "s", change_image);
    assert_eq!(world.tasks(), [""; 0]);
    world.change("StatefulSet", "s", |it| it["metadata"]["generation"] = json!(9));
    assert_eq!(world.tasks(), ["apply statefulset s: replicas 2, partition 0"]);
}

#[test]
fn what_admission_makes_of_an_annotation_is_not_applied_for_ever_but_an_edit_is_put_back() {
    const APPLY: [&str; 1] = ["apply statefulset s: replicas 2, partition 0"];
    let mut world = World::with_set(json!({"replicas": 2}));
    world.change_set(|set| set["metadata"]["annotations"] = json!({"team": "a"}));
    world.forced_annotations = json!({"team": "b"});
    world.carry_out_all();
    assert_eq!(world.tasks(), [""; 0]);
    assert_eq!(world.annotation("s", "team").as_deref(), Some("b"));
    // What others write beside it is theirs.
    world.change("StatefulSet", "s", |it| it["metadata"]["annotations"]["other"] = json!("x"));
    assert_eq!(world.tasks(), [""; 0]);
    world.change("StatefulSet", "s", |it| it["metadata"]["annotations"]["team"] = json!("c"));
    assert_eq!(world.tasks(), APPLY);
    world.carry_out();
    assert_eq!(world.tasks(), [""; 0]);
    // Another controller finds out with one apply.
    world.restart_controller(&[]);
    assert_eq!(world.tasks(), APPLY);
    world.carry_out();
    assert_eq!(world.tasks(), [""; 0]);
}

#[test]
fn a_revision_that_is_on_its_way_out_is_not_deleted_again() {
    let mut world = World::settled(json!({"replicas": 1}));
    let mut unused = world.revision();
    unused["metadata"]["name"] = json!("unused");
    unused["metadata"]["uid"] = json!("unused");
    unused["metadata"]["labels"][labels::REVISION] = json!("unused");
    world.put(unused.clone());
    assert_eq!(world.tasks(), ["delete controllerrevision unused"]);
    unused["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.put(unused);
    assert_eq!(world.tasks(), [""; 0]);
}

#[test]
fn reserved_keys_in_a_template_decide_nothing() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    world.change_set(|set| {
        set["spec"]["leaderWorkerTemplate"]["workerTemplate"]["metadata"] =
            json!({"annotations": {annotations::LEADER_NAME: "x", "mine": "kept"}});
    });
    world.carry_out_all();
    world.start_leader(0);
    assert_eq!(world.tasks(), ["create statefulset s-0"]);
}

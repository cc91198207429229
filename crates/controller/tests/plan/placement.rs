//! Changes of placement: rolled out like content, and one placement in each group.

use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
use lws_controller::observe::nodes::NodeHealth;
use lws_controller::plan::task::Action;
use serde_json::{Value, json};

use crate::world::World;

fn place(world: &mut World, topology: &Value) {
    world.change_set(|set| set["metadata"]["annotations"] = topology.clone());
}

#[test]
fn a_change_of_placement_starts_at_the_top_and_goes_on_within_the_budget() {
    let mut world = World::settled(json!({"replicas": 4}));
    for topology in [json!({EXCLUSIVE_TOPOLOGY: "zone"}), json!({EXCLUSIVE_TOPOLOGY: "rack"})] {
        place(&mut world, &topology);
        let revisions = world.revisions();
        world.carry_out();
        assert_eq!(world.revisions(), revisions + 1);
        assert_eq!(world.tasks(), ["apply statefulset s: replicas 4, partition 4"]);
        world.carry_out();
        assert_eq!(world.status().updated_replicas, 0);
        assert_eq!(world.tasks(), ["apply statefulset s: replicas 4, partition 3"]);
    }
    place(&mut world, &json!({}));
    assert!(world.tasks()[0].starts_with("raise controllerrevision s-"), "{:?}", world.tasks());
    world.carry_out_all();
    assert_eq!(world.tasks(), [""; 0], "no group has left the former placement");
    assert_eq!(world.revisions(), 1);
}

#[test]
fn an_empty_topology_is_none() {
    let mut world = World::settled(json!({"replicas": 2}));
    place(&mut world, &json!({EXCLUSIVE_TOPOLOGY: ""}));
    // The annotation itself is copied, as all are.
    assert_eq!(world.tasks(), ["apply statefulset s: replicas 2, partition 0"]);
    world.carry_out_all();
    assert_eq!(world.revisions(), 1);
}

#[test]
fn a_group_that_is_completed_during_an_update_is_placed_as_its_leader_is() {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    place(&mut world, &json!({EXCLUSIVE_TOPOLOGY: "zone"}));
    world.carry_out_all();
    world.read_node("n1", &[("zone", "a"), ("rack", "b")], NodeHealth::Ready);
    world.start_leader(0);
    world.change("Pod", "s-0", |it| it["spec"]["nodeName"] = json!("n1"));
    place(&mut world, &json!({EXCLUSIVE_TOPOLOGY: "rack"}));
    world.carry_out();
    let tasks = world.plan().tasks;
    let worker_set = tasks.iter().find_map(|task| match &task.action {
        Action::CreateWorkerSet(object) => Some(object.clone()),
        _ => None,
    });
    let template = &worker_set.unwrap_or_else(|| panic!("{tasks:?}"))["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"][EXCLUSIVE_TOPOLOGY], "zone");
    assert_eq!(template["spec"]["nodeSelector"], json!({"zone": "a"}));
}

/// A new leader that the scheduler has looked at while a worker of its predecessor was there.
fn stuck() -> World {
    let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    place(&mut world, &json!({EXCLUSIVE_TOPOLOGY: "zone"}));
    world.carry_out_all();
    world.forget("StatefulSet", "s-0");
    world.forget("Pod", "s-0");
    start_unschedulable_leader(&mut world);
    world
}

fn start_unschedulable_leader(world: &mut World) {
    world.start_leader(0);
    world.change("Pod", "s-0", |it| {
        let unschedulable =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
        it["status"]["conditions"] = json!([unschedulable]);
    });
}

#[test]
fn a_leader_that_found_no_node_because_of_the_former_group_is_made_anew_once() {
    let mut world = stuck();
    world.carry_out_all();
    assert_eq!(world.tasks(), [""; 0], "the worker is still there");
    world.forget("Pod", "s-0-1");
    assert!(world.deletes("s-0"));
    world.told.clear();
    world.carry_out();
    let told = "Normal LeaderRescheduled: Leader pod s-0 ";
    assert!(world.told.iter().any(|it| it.starts_with(told)), "{:?}", world.told);
    // The next one has met nobody: if it finds no node, there is none.
    world.forget("Pod", "s-0");
    start_unschedulable_leader(&mut world);
    world.carry_out_all();
    assert!(!world.deletes("s-0"));
}

#[test]
fn a_leader_that_may_be_anywhere_or_has_a_node_is_left_alone() {
    let mut world = stuck();
    world.change("Pod", "s-0", |it| {
        it["metadata"]["annotations"][EXCLUSIVE_TOPOLOGY] = json!("");
        it["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/template-revision-hash"] =
            json!("old");
    });
    world.forget("Pod", "s-0-1");
    assert!(!world.deletes("s-0"));
    let mut world = stuck();
    world.change("Pod", "s-0", |it| it["spec"]["nodeName"] = json!("n1"));
    world.forget("Pod", "s-0-1");
    assert!(!world.deletes("s-0"));
}

/// Four ready groups and a fifth that was added together with a new template, in a cluster that has
/// no room for it.
#[test]
fn a_rollout_that_waits_for_a_node_says_so_after_a_while() {
    let mut world = World::settled(json!({"replicas": 4, "leaderWorkerTemplate": {"size": 2}}));
    world.change_set(|set| set["spec"]["replicas"] = json!(5));
    world.change_image("new");
    world.carry_out_all();
    world.start_leader(4);
    world.change("Pod", "s-4", |it| {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
        it["status"]["conditions"] = json!([condition]);
    });
    world.carry_out_all();
    let told = |world: &World| -> Vec<String> {
        world.plan().events.into_iter().map(|it| it.note).collect()
    };
    assert_eq!((told(&world), world.plan().recheck.unwrap().as_secs()), (vec![], 30));
    world.pass(30);
    let note = "The rollout waits for group 4: pod s-4 finds no node, and maxUnavailable permits to \
                replace no other group meanwhile. Add nodes, raise maxUnavailable or set replicas back";
    assert_eq!(told(&world), [note, "pod s-4 finds no node"]);
    // With room for another one, the rollout goes on.
    world.change_set(|set| {
        set["spec"]["rolloutStrategy"] = json!({"type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxUnavailable": 2}});
    });
    assert_eq!(told(&world), ["pod s-4 finds no node"], "{:?}", world.tasks());
}

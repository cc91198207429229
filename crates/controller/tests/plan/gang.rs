//! Gang scheduling: a `PodGroup` for each leader pod.

use lws_api_types::keys::{annotations, labels};
use lws_controller::observe::watch::PodGroups;
use serde_json::{Value, json};

use crate::world::World;

/// A set of one group of three, with gang scheduling on. Its leader template asks for 1 CPU, its
/// worker template for 2.
fn gang(spec: &Value) -> World {
    let container = |cpu| {
        json!({"spec": {"containers": [
            {"name": "c", "image": "old", "resources": {"requests": {"cpu": cpu}}},
        ]}})
    };
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {
        "size": 3, "leaderTemplate": container("1"), "workerTemplate": container("2"),
    }}));
    world.pod_groups = PodGroups::Watched;
    world.change_set(|set| {
        for (field, value) in spec.as_object().into_iter().flatten() {
            set["spec"][field] = value.clone();
        }
    });
    world.carry_out_all();
    world
}

/// Starts the leader of group 0 as admission lets it pass when gang scheduling is on.
fn start_leader(world: &mut World) {
    world.pod_annotations = json!({annotations::POD_GROUP_NAME: "admission names it"});
    world.start_leader(0);
}

/// The revision key of the leader of group 0.
fn key(world: &World) -> String {
    let leader = world.get("Pod", "s-0");
    leader["metadata"]["labels"][labels::REVISION].as_str().unwrap().to_owned()
}

fn create(world: &World) -> String {
    format!("create podgroup s-0-{}", key(world))
}

#[test]
fn workers_follow_their_pod_group() {
    let mut world = gang(&json!({}));
    start_leader(&mut world);
    assert_eq!(world.tasks(), [create(&world)]);
    world.carry_out();
    assert_eq!(world.tasks(), ["create statefulset s-0"]);
    world.carry_out_all();
    assert_eq!(world.tasks(), [""; 0]);
}

#[test]
fn a_pod_group_tells_what_its_group_needs() {
    for (spec, members) in [(json!({}), 3), (json!({"startupPolicy": "LeaderReady"}), 1)] {
        let mut world = gang(&spec);
        world.change_set(|set| {
            set["metadata"]["annotations"] = json!({
                annotations::VOLCANO_QUEUE: "research",
                "volcano.sh/sla-waiting-time": "10m",
                "scheduling.volcano.sh/other": "x",
                "other": "x",
            });
        });
        world.carry_out_all();
        start_leader(&mut world);
        world.carry_out();
        let key = key(&world);
        let pod_group = world.get("PodGroup", &format!("s-0-{key}"));
        let expected =
            json!({"minMember": members, "minResources": {"cpu": "5"}, "queue": "research"});
        assert_eq!(pod_group["spec"], expected);
        let metadata = &pod_group["metadata"];
        let expected = json!({labels::NAME: "s", labels::GROUP_INDEX: "0", labels::REVISION: key});
        assert_eq!(metadata["labels"], expected);
        assert_eq!(metadata["annotations"], json!({"volcano.sh/sla-waiting-time": "10m"}));
        let owners = json!([{
            "apiVersion": "v1", "kind": "Pod", "name": "s-0",
            "uid": world.get("Pod", "s-0")["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true,
        }]);
        assert_eq!(metadata["ownerReferences"], owners);
    }
}

#[test]
fn a_group_of_one_pod_has_a_pod_group_too() {
    let mut world = gang(&json!({}));
    world.change_set(|set| set["spec"]["leaderWorkerTemplate"]["size"] = json!(1));
    world.carry_out_all();
    start_leader(&mut world);
    world.carry_out();
    let pod_group = world.get("PodGroup", &format!("s-0-{}", key(&world)));
    assert_eq!(pod_group["spec"], json!({"minMember": 1, "minResources": {"cpu": "1"}}));
    assert_eq!(world.tasks(), [""; 0]);
}

#[test]
fn a_group_at_an_old_revision_is_judged_by_that() {
    let mut world = gang(&json!({}));
    start_leader(&mut world);
    let old = key(&world);
    world.change_set(|set| {
        let content = &mut set["spec"]["leaderWorkerTemplate"];
        content["size"] = json!(9);
        content["workerTemplate"]["spec"]["containers"][0]["resources"] = json!({});
    });
    world.carry_out_all();
    let pod_group = world.get("PodGroup", &format!("s-0-{old}"));
    assert_eq!(pod_group["spec"], json!({"minMember": 3, "minResources": {"cpu": "5"}}));
}

#[test]
fn without_gang_scheduling_there_are_no_pod_groups() {
    let mut world = gang(&json!({}));
    world.pod_groups = PodGroups::Unwanted;
    start_leader(&mut world);
    assert_eq!(world.tasks(), ["create statefulset s-0"]);
}

#[test]
fn a_leader_from_before_gang_scheduling_runs_without() {
    for annotation in [json!({}), json!({annotations::POD_GROUP_NAME: ""})] {
        let mut world = gang(&json!({}));
        world.pod_annotations = annotation;
        world.start_leader(0);
        assert_eq!(world.tasks(), ["create statefulset s-0"]);
    }
}

#[test]
fn the_pod_group_of_a_former_leader_is_waited_for_and_then_replaced() {
    let mut world = gang(&json!({}));
    start_leader(&mut world);
    world.carry_out_all();
    let name = format!("s-0-{}", key(&world));
    world.forget("StatefulSet", "s-0");
    world.replace_pod("s-0");
    let plan = world.plan();
    assert!(plan.tasks.is_empty() && plan.events.is_empty() && plan.recheck.is_some(), "{plan:?}");

    world.forget("PodGroup", &name);
    assert_eq!(world.tasks(), [create(&world)]);
    world.carry_out();
    assert_eq!(world.tasks(), ["create statefulset s-0"]);
}

#[test]
fn a_pod_group_on_its_way_out_is_waited_for() {
    let mut world = gang(&json!({}));
    start_leader(&mut world);
    world.carry_out();
    let name = format!("s-0-{}", key(&world));
    world.change("PodGroup", &name, |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    let plan = world.plan();
    assert!(plan.tasks.is_empty() && plan.events.is_empty() && plan.recheck.is_some(), "{plan:?}");
}

#[test]
fn a_pod_group_that_disappeared_is_made_anew_once_its_leader_is_confirmed() {
    let mut world = gang(&json!({}));
    start_leader(&mut world);
    world.carry_out_all();
    world.forget("PodGroup", &format!("s-0-{}", key(&world)));
    assert_eq!(world.tasks(), [""; 0]);
    world.read_pods();
    assert_eq!(world.tasks(), [create(&world)]);
}

#[test]
fn a_foreign_pod_group_is_left_alone_and_told() {
    for (owners, told) in [
        (json!([]), "nobody"),
        (json!([{"kind": "Job", "name": "j", "uid": "j", "controller": true}]), "Job j"),
        (json!([{"kind": "Pod", "name": "s-1", "uid": "p", "controller": true}]), "Pod s-1"),
    ] {
        let mut world = gang(&json!({}));
        start_leader(&mut world);
        let name = format!("s-0-{}", key(&world));
        world.put(json!({"kind": "PodGroup", "metadata": {
            "name": name, "labels": {labels::NAME: "s"}, "ownerReferences": owners,
        }}));
        let plan = world.plan();
        assert!(plan.tasks.is_empty(), "{plan:?}");
        let [event] = &plan.events[..] else { panic!("{plan:?}") };
        assert!(event.is_warning && event.note.contains(told), "{event:?}");
        assert!(event.note.contains(&name), "{event:?}");
    }
}

#[test]
fn what_stands_in_the_way_is_told_and_nothing_is_tried() {
    for (pod_groups, told) in [
        (PodGroups::NotInstalled, "install Volcano"),
        (PodGroups::Forbidden, "grant it create, get, list and watch"),
    ] {
        let mut world = gang(&json!({}));
        start_leader(&mut world);
        world.pod_groups = pod_groups;
        let plan = world.plan();
        assert!(plan.is_complete() && plan.recheck.is_none(), "{plan:?}");
        let [event] = &plan.events[..] else { panic!("{plan:?}") };
        assert!(event.is_warning && event.note.contains(told), "{event:?}");
        world.pod_groups = PodGroups::Watched;
        assert_eq!(world.tasks(), [create(&world)]);
    }
}

#[test]
fn requests_that_cannot_be_added_up_are_told() {
    let mut world = gang(&json!({}));
    world.change_set(|set| {
        let worker = &mut set["spec"]["leaderWorkerTemplate"]["workerTemplate"];
        worker["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "lots"}});
    });
    world.carry_out_all();
    start_leader(&mut world);
    let plan = world.plan();
    assert!(plan.tasks.is_empty(), "{plan:?}");
    let [event] = &plan.events[..] else { panic!("{plan:?}") };
    assert!(event.is_warning && event.note.contains("requests of memory"), "{event:?}");
}

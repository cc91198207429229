//! What cannot be done: told in the status as long as it is so.

use lws_api_types::LeaderWorkerSetStatus;
use lws_api_types::conditions::REPLICA_FAILURE;
use lws_api_types::keys::labels;
use lws_controller::plan::task::Failure;
use serde_json::json;

use crate::world::World;

fn failure() -> Failure {
    Failure { reason: "FailedCreate", message: "Failed to create x: exceeded quota".to_owned() }
}

/// The present status: the one to be written, or else the stored one.
fn status(world: &World) -> LeaderWorkerSetStatus {
    world.plan().status.map_or_else(|| world.status(), |it| it.status)
}

fn told(world: &World) -> Option<String> {
    let conditions = status(world).conditions;
    let found = conditions.into_iter().find(|it| it.type_ == REPLICA_FAILURE)?;
    Some(format!("{} {}: {}", found.status, found.reason, found.message))
}

#[test]
fn a_refused_request_is_told_once_and_forgotten_when_it_heals() {
    let mut world = World::settled(json!({"replicas": 2}));
    let before = world.status();
    world.failure = Some(failure());
    assert!(!world.plan().status.unwrap().may_wait);
    world.carry_out();
    let expected = "True FailedCreate: Failed to create x: exceeded quota";
    assert_eq!(told(&world).as_deref(), Some(expected));
    assert_eq!(world.plan().status, None, "the same failure is no news");
    world.failure = None;
    world.carry_out();
    assert_eq!(world.status(), before);
    assert_eq!(world.plan().status, None);
}

#[test]
fn an_object_in_the_way_is_told_until_it_is_gone() {
    let mut world = World::with_set(json!({"replicas": 1}));
    world.put(json!({"kind": "StatefulSet", "metadata": {
        "name": "s",
        "labels": {labels::NAME: "s"},
        "ownerReferences": [{"kind": "Deployment", "name": "d", "uid": "d", "controller": true}],
    }}));
    world.carry_out();
    let told_of_it = told(&world).unwrap();
    assert_eq!(
        told_of_it,
        "True FailedCreate: Failed to create leader statefulset s: statefulset s exists and is \
         controlled by Deployment d: it is left as it is; create this set under another name, or \
         remove that statefulset"
    );
    assert_eq!(status(&world).conditions.len(), 1, "nothing is known of the groups");
    let standing = world.plan().standing.unwrap();
    assert_eq!(standing.states.iter().sum::<usize>(), 1, "its group is missing: {standing:?}");
    assert_eq!(status(&world).observed_generation, None);
    assert_eq!(world.plan().status, None);
    world.forget("StatefulSet", "s");
    world.carry_out_all();
    assert_eq!(told(&world), None);
}

#[test]
fn what_is_in_the_way_of_several_groups_is_told_once() {
    let mut world = World::with_set(json!({"replicas": 11, "leaderWorkerTemplate": {"size": 2}}));
    world.carry_out_all();
    for group in 0..11 {
        world.put(json!({"kind": "StatefulSet", "metadata": {
            "name": format!("s-{group}"),
            "labels": {labels::NAME: "s"},
            "ownerReferences": [{"kind": "Pod", "name": "other", "uid": "o", "controller": true}],
        }}));
        world.start_leader(group);
    }
    let [event] = &world.plan().events[..] else { panic!("{:?}", world.plan().events) };
    assert_eq!(event.others, 10);
    let told = told(&world).unwrap();
    assert!(told.contains("worker statefulset s-0: statefulset s-0 exists"), "{told}");
    assert!(told.contains("controlled by Pod other of set s: "), "{told}");
    assert!(told.ends_with("remove that statefulset (and 10 more like this)"), "{told}");
}

#[test]
fn a_generation_is_observed_once_its_stateful_set_is_applied() {
    let mut world = World::settled(json!({"replicas": 2}));
    world.change_image("new");
    world.carry_out();
    world.failure = Some(failure());
    let refused = status(&world);
    assert_eq!(refused.observed_generation, Some(1));
    let updating = refused.conditions.iter().find(|it| it.type_ == "UpdateInProgress").unwrap();
    assert_eq!((updating.status.as_str(), updating.observed_generation), ("True", Some(1)));
    world.failure = None;
    world.carry_out_all();
    let applied = status(&world);
    assert_eq!(applied.observed_generation, Some(2));
    assert!(applied.conditions.iter().all(|it| it.observed_generation == Some(2)));
}

#[test]
fn a_refused_scale_down_satisfies_nobody_who_waits_for_its_generation() {
    let mut world = World::settled(json!({"replicas": 2}));
    world.change_set(|set| set["spec"]["replicas"] = json!(1));
    world.failure = Some(failure());
    let available = |world: &World| {
        let conditions = status(world).conditions;
        let found = conditions.into_iter().find(|it| it.type_ == "Available").unwrap();
        (found.status, found.observed_generation)
    };
    // Both groups are ready, so one of one is.
    assert_eq!(available(&world), ("True".to_owned(), Some(1)));
    world.failure = None;
    world.carry_out_all();
    assert_eq!(available(&world), ("True".to_owned(), Some(2)));
}

#[test]
fn a_request_that_shows_nothing_neither_makes_a_failure_nor_ends_one() {
    let mut world = World::settled(json!({"replicas": 2}));
    world.is_open = true;
    assert_eq!(world.plan().status, None);
    world.failure = Some(failure());
    world.carry_out();
    let refused = world.status();
    world.failure = None;
    assert_eq!(world.plan().status, None, "it is told still");
    world.change("Pod", "s-0", |it| it["status"]["conditions"] = json!([]));
    let recounted = status(&world);
    assert_eq!(recounted.ready_replicas, 1);
    let told = |it: &LeaderWorkerSetStatus| {
        it.conditions.iter().find(|it| it.type_ == REPLICA_FAILURE).cloned()
    };
    assert_eq!(told(&recounted), told(&refused));
    world.make_ready("s-0");
    world.is_open = false;
    assert_eq!(told(&status(&world)), None);
}

#[test]
fn numbers_of_groups_may_wait_but_no_changed_condition() {
    let mut world = World::with_set(json!({"replicas": 2}));
    world.carry_out();
    world.carry_out_first(usize::MAX);
    assert!(!world.plan().status.unwrap().may_wait, "the first one");
    world.carry_out();
    for (group, may_wait) in [(0, true), (1, false)] {
        world.start_leader(group);
        world.carry_out();
        world.make_ready(&format!("s-{group}"));
        assert_eq!(world.plan().status.unwrap().may_wait, may_wait, "group {group}");
        world.carry_out();
    }
}

//! `StatefulSet`s that stay short of pods.

use lws_api_types::conditions::REPLICA_FAILURE;
use lws_controller::plan::shortage::Shortage;
use serde_json::json;

use crate::world::World;

/// The `StatefulSet` has so many of its pods, and its controller knows how many it is to have.
fn has_pods(world: &mut World, stateful_set: &str, count: i64) {
    world.change("StatefulSet", stateful_set, |it| {
        it["metadata"]["generation"] = json!(1);
        it["status"]["observedGeneration"] = json!(1);
        it["status"]["replicas"] = json!(count);
    });
}

/// What the plan knows of shortages is known the next time.
fn remember(world: &mut World) {
    world.shortages = world.plan().shortages;
}

/// One group of three pods, one of which is missing.
fn short() -> World {
    let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3}}));
    has_pods(&mut world, "s-0", 1);
    remember(&mut world);
    world
}

fn answer(world: &mut World, reason: Option<&str>) {
    let uid = world.plan().unexplained.unwrap().uid;
    let shortage: &mut Shortage = world.shortages.get_mut(&uid).unwrap();
    shortage.asked = Some(world.now);
    shortage.reason = reason.map(str::to_owned);
}

fn told(world: &World) -> Option<String> {
    let status = world.plan().status.map_or_else(|| world.status(), |it| it.status);
    let found = status.conditions.into_iter().find(|it| it.type_ == REPLICA_FAILURE)?;
    Some(format!("{}: {}", found.reason, found.message))
}

#[test]
fn a_stateful_set_is_asked_after_a_while_and_again_now_and_then() {
    let mut world = short();
    let plan = world.plan();
    assert_eq!((plan.unexplained, plan.recheck.unwrap().as_secs()), (None, 5));
    assert_eq!(plan.events, []);
    world.pass(5);
    assert_eq!(world.plan().unexplained.unwrap().name, "s-0");
    assert!(!world.plan().is_complete());
    answer(&mut world, Some("create Pod s-0-2 failed: 100% of the quota"));
    let plan = world.plan();
    assert_eq!((plan.unexplained, plan.recheck.unwrap().as_secs()), (None, 30));
    let expected = "FailedCreate: create Pod s-0-2 failed: 100% of the quota";
    assert_eq!(told(&world).as_deref(), Some(expected));
    world.pass(30);
    assert!(world.plan().unexplained.is_some());
    has_pods(&mut world, "s-0", 2);
    assert_eq!(told(&world), None);
    let plan = world.plan();
    assert_eq!((plan.unexplained, plan.recheck), (None, None));
    assert!(plan.shortages.is_empty());
}

#[test]
fn nobody_is_asked_where_no_pod_is_missing_or_nobody_creates_any() {
    let mut world = short();
    world.pass(60);
    has_pods(&mut world, "s-0", 2);
    assert!(world.plan().shortages.is_empty());
    world.change("StatefulSet", "s-0", |it| {
        it["metadata"]["generation"] = json!(2);
        it["status"]["replicas"] = json!(0);
    });
    assert!(world.plan().shortages.is_empty(), "its controller does not know yet");
}

#[test]
fn a_failure_is_not_forgotten_before_the_next_controller_has_asked() {
    let mut world = short();
    world.pass(5);
    answer(&mut world, Some("quota"));
    world.carry_out();
    world.shortages.clear();
    assert_eq!(told(&world).as_deref(), Some("FailedCreate: quota"));
    remember(&mut world);
    world.pass(5);
    answer(&mut world, None);
    assert_eq!(told(&world), None, "nobody complains");
}

#[test]
fn the_one_that_is_short_for_longest_is_asked_for_all() {
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 3}}));
    has_pods(&mut world, "s-1", 1);
    remember(&mut world);
    world.pass(2);
    has_pods(&mut world, "s-0", 1);
    remember(&mut world);
    world.pass(3);
    assert_eq!(world.plan().unexplained, None, "each that is short adds a moment");
    world.pass(1);
    assert_eq!(world.plan().unexplained.unwrap().name, "s-1");
    answer(&mut world, None);
    world.pass(1);
    assert_eq!(world.plan().unexplained, None);
}

#[test]
fn the_more_are_short_the_longer_nobody_is_asked() {
    for (groups, seconds) in [(11, 6), (51, 10), (400, 30)] {
        let set = json!({"replicas": groups, "leaderWorkerTemplate": {"size": 3}});
        let mut world = World::settled(set);
        for index in 0..groups {
            has_pods(&mut world, &format!("s-{index}"), 1);
        }
        remember(&mut world);
        world.pass(seconds - 1);
        let plan = world.plan();
        assert_eq!((plan.unexplained, plan.recheck.unwrap().as_secs()), (None, 1), "{groups}");
        world.pass(1);
        assert!(world.plan().unexplained.is_some(), "{groups}");
    }
}

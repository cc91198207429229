//! What is read anew before anything is made for it, because streams of different kinds are not in step.

use lws_controller::plan::task::Action;
use serde_json::json;

use crate::world::World;

#[test]
fn nothing_is_made_for_a_set_whose_stateful_set_has_gone_until_it_is_read_anew() {
    let mut world = World::settled(json!({"replicas": 2}));
    for kind in ["Service", "StatefulSet"] {
        world.forget(kind, "s");
    }
    let plan = world.plan();
    assert!(plan.doubts_set && !plan.is_complete());
    assert_eq!(plan.tasks, [], "the set may have gone, too");
    world.read_set();
    let plan = world.plan();
    assert!(!plan.doubts_set);
    let [service, leader_set] = &plan.tasks[..] else { panic!("{:?}", plan.tasks) };
    assert!(matches!(service.action, Action::CreateService(_)), "{service:?}");
    let Action::ApplyLeaderSet { existing: None, .. } = leader_set.action else {
        panic!("{leader_set:?}")
    };
}

#[test]
fn a_new_set_and_one_whose_stateful_set_is_there_are_not_doubted() {
    assert!(!World::with_set(json!({})).plan().doubts_set);
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 2}}));
    world.forget("StatefulSet", "s-1");
    assert!(!world.plan().doubts_set, "that of a group is up to its leader");
}

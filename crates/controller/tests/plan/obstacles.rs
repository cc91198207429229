//! Pods that do not come up: what the status tells of them, and how groups are counted meanwhile.

use lws_api_types::conditions::REPLICA_FAILURE;
use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
use lws_api_types::keys::labels::NAME;
use lws_controller::observe::nodes::NodeHealth;
use lws_controller::plan::obstacle::Obstacle;
use lws_controller::plan::standing::State;
use lws_controller::plan::task::EventDraft;
use serde_json::{Value, json};

use crate::world::World;

/// Two groups of two pods, of which worker `s-1-1` has `status`.
fn troubled(status: &Value) -> World {
    let mut world = World::settled(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 2}}));
    world.change("StatefulSet", "s-1", |it| it["status"] = json!({"availableReplicas": 0}));
    world.change("Pod", "s-1-1", |it| it["status"] = status.clone());
    world
}

fn waiting(reason: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [
        {"name": "c", "image": "old", "state": {"waiting": {"reason": reason}}},
    ]})
}

fn unscheduled(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
    }]})
}

fn told(world: &World) -> Option<String> {
    let status = world.plan().status.map_or_else(|| world.status(), |it| it.status);
    let found = status.conditions.into_iter().find(|it| it.type_ == REPLICA_FAILURE)?;
    Some(format!("{}: {}", found.reason, found.message))
}

fn count(world: &World, state: State) -> usize {
    let all = State::ALL.into_iter().zip(world.plan().standing.unwrap_or_default().states);
    all.filter(|(it, _)| *it == state).map(|(_, count)| count).sum()
}

#[test]
fn a_pod_that_does_not_come_up_is_told_after_a_while_and_until_it_does() {
    for (status, patience, state, expected) in [
        (
            waiting("ErrImagePull"),
            10,
            State::Failing,
            "ImagePullFailed: pod s-1-1: the image old of container c cannot be pulled",
        ),
        (
            waiting("CreateContainerConfigError"),
            10,
            State::Failing,
            "ContainerStartFailed: pod s-1-1: container c cannot be started: CreateContainerConfigError",
        ),
        (
            waiting("CrashLoopBackOff"),
            10,
            State::Failing,
            "ContainerCrashing: pod s-1-1: container c ends again and again",
        ),
        (
            unscheduled("0/3 nodes are available: 3 Insufficient cpu. preemption: none"),
            30,
            State::Pending,
            "Unschedulable: pod s-1-1 finds no node: Insufficient cpu",
        ),
    ] {
        let mut world = troubled(&status);
        assert_eq!((count(&world, state), count(&world, State::Ready)), (1, 1), "{status}");
        assert_eq!(told(&world), None, "{status}");
        assert_eq!(world.plan().recheck.map(|it| it.as_secs()), Some(patience), "{status}");
        world.pass(patience);
        assert_eq!(told(&world).as_deref(), Some(expected));
        let events = world.plan().events;
        let is_told =
            |it: &EventDraft| it.is_warning && format!("{}: {}", it.reason, it.note) == expected;
        assert!(events.iter().any(is_told), "{events:?}");
        world.carry_out_all();
        assert_eq!(world.plan().status, None, "it is told once");
        world.change("Pod", "s-1-1", |it| {
            it["status"] = json!({"phase": "Running"});
        });
        assert_eq!(told(&world), None, "{status}");
        assert_eq!(count(&world, State::Starting), 1);
    }
}

#[test]
fn a_lost_node_that_does_not_end_a_pod_is_told_until_the_pod_is_gone() {
    let evicted = json!({"phase": "Running", "conditions": [
        {"type": "Ready", "status": "False"},
        {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
    ]});
    for policy in ["None", "RecreateGroupOnPodRestart"] {
        let template = json!({"size": 2, "restartPolicy": policy});
        let spec = json!({"replicas": 2, "leaderWorkerTemplate": template});
        let mut world = World::settled(spec);
        world.change("StatefulSet", "s-1", |it| it["status"] = json!({"availableReplicas": 0}));
        world.change("Pod", "s-1-1", |it| {
            it["status"] = evicted.clone();
            it["spec"]["nodeName"] = json!("n1");
            it["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:30Z");
            it["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        });
        world.carry_out_all();
        assert_eq!(
            (count(&world, State::Failing), count(&world, State::Ready)),
            (1, 1),
            "{policy}"
        );
        assert_eq!(told(&world), None, "{policy}: it has its time");
        assert_eq!(world.plan().recheck.map(|it| it.as_secs()), Some(40), "{policy}");
        world.pass(40);
        let expected = "NodeNotAnswering: pod s-1-1: its node n1 does not answer, and has not ended it in time";
        assert_eq!(told(&world).as_deref(), Some(expected), "{policy}");
        world.change_set(|set| set["spec"]["replicas"] = json!(1));
        world.carry_out_all();
        world.forget("Pod", "s-1-1");
        world.forget("Pod", "s-1");
        assert_eq!((told(&world), count(&world, State::Failing)), (None, 0), "{policy}");
    }
}

#[test]
fn a_pod_of_a_former_leader_that_a_lost_node_does_not_end_is_told_too() {
    let template = json!({"size": 2, "restartPolicy": "None"});
    let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": template}));
    world.change("Pod", "s-0-1", |it| {
        it["status"] = json!({"phase": "Running", "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
        ]});
        it["spec"]["nodeName"] = json!("n1");
        it["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:30Z");
        it["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    });
    world.forget("StatefulSet", "s-0");
    world.forget("Pod", "s-0");
    world.start_leader(0);
    world.make_ready("s-0");
    world.pass(39);
    world.carry_out_all();
    assert_eq!(told(&world), None);
    world.pass(1);
    let expected =
        "NodeNotAnswering: pod s-0-1: its node n1 does not answer, and has not ended it in time";
    assert_eq!(told(&world).as_deref(), Some(expected));
}

#[test]
fn a_pod_of_a_former_leader_that_does_not_end_is_told_with_what_it_waits_for() {
    for (finalizers, why) in [
        (json!([]), "its node has not confirmed its end"),
        (json!(["a/b", "c/d"]), "it waits for finalizers a/b, c/d"),
    ] {
        let mut world = World::settled(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 3}}));
        world.change("Pod", "s-0-1", |it| {
            it["metadata"]["finalizers"] = finalizers.clone();
            it["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:30Z");
        });
        world.carry_out_all();
        for (kind, name) in [("StatefulSet", "s-0"), ("Pod", "s-0-2"), ("Pod", "s-0")] {
            world.forget(kind, name);
        }
        world.start_leader(0);
        world.make_ready("s-0");
        world.pass(39);
        world.carry_out_all();
        assert_eq!(told(&world), None);
        assert!(world.plan().recheck.is_some_and(|it| it.as_secs() <= 1));
        world.pass(1);
        let expected = format!(
            "PodNotEnding: workers of leader pod s-0 cannot be created: pod s-0-1 of the former group \
             has not ended in time, {why}"
        );
        assert_eq!(told(&world), Some(expected));
        world.carry_out_all();
        world.forget("Pod", "s-0-1");
        assert_eq!(world.tasks(), ["create statefulset s-0"]);
        world.carry_out();
        assert_eq!(told(&world), None);
    }
}

/// What failures of ours are about is read in their texts.
#[test]
fn what_a_failure_is_about_is_known_from_its_text() {
    let about = |world: &World| {
        let status = world.plan().status.map(|it| it.status).unwrap_or_default();
        let told = status.conditions.into_iter().find(|it| it.type_ == REPLICA_FAILURE);
        told.map(|it| Obstacle::of_failure(&it.reason, &it.message))
    };
    let mut world = World::with_set(json!({"replicas": 1}));
    world.put(json!({"kind": "StatefulSet", "metadata": {
        "name": "s",
        "labels": {NAME: "s"},
        "ownerReferences": [{"kind": "Deployment", "name": "d", "uid": "d", "controller": true}],
    }}));
    assert_eq!(about(&world), Some(Obstacle::NameTaken));

    let mut world = homeless();
    world.read_node("n1", &[], NodeHealth::Ready);
    world.change("Pod", "s-0", |it| {
        it["spec"]["nodeName"] = json!("n1");
        it["status"] = json!({"phase": "Running"});
    });
    assert_eq!(about(&world), Some(Obstacle::TopologyLabel));
}

/// A container that crashes runs for a moment after each pause.
#[test]
fn a_crash_is_told_through_the_attempts_until_one_lasts() {
    let mut world = troubled(&waiting("CrashLoopBackOff"));
    world.pass(10);
    world.carry_out_all();
    let expected = told(&world);
    assert!(
        expected.as_ref().is_some_and(|it| it.starts_with("ContainerCrashing")),
        "{expected:?}"
    );
    let ended = world.now;
    world.change("Pod", "s-1-1", |it| {
        it["status"] = json!({"phase": "Running", "containerStatuses": [{
            "name": "c", "image": "old", "restartCount": 4, "ready": false, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": ended}},
        }]});
    });
    assert_eq!((told(&world), world.plan().status), (expected, None));
    world.pass(6 * 60);
    assert_eq!(told(&world), None);
}

#[test]
fn a_pod_that_starts_or_ends_is_no_trouble() {
    let mut world = troubled(&waiting("ContainerCreating"));
    world.pass(60);
    assert_eq!(told(&world), None);
    let mut world = troubled(&waiting("ErrImagePull"));
    world.pass(60);
    world.change("Pod", "s-1-1", |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    assert_eq!(told(&world), None);
    assert_eq!(count(&world, State::Recreating), 1);
}

/// A leader that may only be where its group has a domain for itself, and finds no node.
fn homeless() -> World {
    let mut world = World::with_set(json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2}}));
    world.change_set(|set| set["metadata"]["annotations"] = json!({EXCLUSIVE_TOPOLOGY: "rack"}));
    world.carry_out_all();
    assert_eq!(count(&world, State::Missing), 1);
    world.start_leader(0);
    let message = "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.";
    world.change("Pod", "s-0", |it| it["status"] = unscheduled(message));
    world.carry_out_all();
    assert_eq!(world.plan().recheck.map(|it| it.as_secs()), Some(10));
    world.pass(10);
    world
}

#[test]
fn it_is_read_whether_any_node_is_in_a_domain_before_that_is_told() {
    let general = "Unschedulable: pod s-0 finds no node: node(s) didn't match pod affinity rules";
    let missing = format!(
        "TopologyLabelMissing: pod s-0 finds no node: none has the label rack that annotation \
         {EXCLUSIVE_TOPOLOGY} names"
    );
    let mut world = homeless();
    let plan = world.plan();
    assert!(!plan.is_complete());
    assert_eq!(plan.unknown_topologies.into_iter().collect::<Vec<_>>(), ["rack"]);
    world.read_topology("rack", Some(true));
    assert_eq!(told(&world), None, "it is early");
    assert_eq!(world.plan().recheck.map(|it| it.as_secs()), Some(20));
    world.read_topology("rack", Some(false));
    assert_eq!(told(&world).as_deref(), Some(&*missing));
    world.pass(20);
    for (is_carried, expected) in [(Some(false), &*missing), (Some(true), general), (None, general)]
    {
        world.read_topology("rack", is_carried);
        assert!(world.plan().is_complete());
        assert_eq!(told(&world).as_deref(), Some(expected), "{is_carried:?}");
    }
    world.read_topology("rack", Some(false));
    assert_eq!(world.plan().recheck.map(|it| it.as_secs()), Some(30), "nodes are not watched");
}

/// A leader that is created anew again and again, say by somebody's hand, is always young.
#[test]
fn a_young_pod_without_a_node_hides_no_old_one() {
    let mut world = World::with_set(json!({"replicas": 2, "leaderWorkerTemplate": {"size": 2}}));
    world.change_set(|set| set["metadata"]["annotations"] = json!({EXCLUSIVE_TOPOLOGY: "rack"}));
    world.carry_out_all();
    world.read_topology("rack", Some(true));
    let message = "0/2 nodes are available: 2 Insufficient cpu.";
    let start = |world: &mut World, index| {
        world.start_leader(index);
        world.change("Pod", &format!("s-{index}"), |it| it["status"] = unscheduled(message));
    };
    start(&mut world, 1);
    world.pass(30);
    let expected = Some("Unschedulable: pod s-1 finds no node: Insufficient cpu".to_owned());
    assert_eq!(told(&world), expected);
    start(&mut world, 0);
    for seconds in [0, 10, 19] {
        world.pass(seconds);
        assert_eq!(told(&world), expected, "{seconds} s later");
    }
}

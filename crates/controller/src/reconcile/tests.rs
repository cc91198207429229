//! Reconciles against a server of few words: how often what is requested while requests fail.

mod server;

use k8s_openapi::jiff::Timestamp;
use lws_api_types::keys::labels;
use serde_json::json;

use super::*;
use crate::plan::shortage::Shortage;
use server::World;

const MEMBERS: &str = "PATCH members";
/// The request for the workers of group 1.
const WORKERS: &str = "POST /apis/apps/v1/namespaces/n/statefulsets/s-1";
const MINUTE: Duration = Duration::from_mins(1);

/// Two groups of two pods: group 0 is complete, the worker of group 1 has not come yet. What is
/// `refused` is from the beginning.
async fn two_groups(refused: Option<(&'static str, u16)>) -> World {
    let world = World::new(2);
    world.server().refused = refused;
    world.run(Duration::from_secs(1)).await;
    for index in 0..2 {
        world.put_pod("s", &format!("s-{index}"), &json!({labels::GROUP_INDEX: index.to_string()}));
    }
    world.run(Duration::from_secs(1)).await;
    world.put_pod("s-0", "s-0-1", &json!({labels::WORKER_INDEX: "1"}));
    world.set_available("s-0", 1);
    world
}

#[tokio::test(start_paused = true)]
async fn members_are_recorded_once_whatever_else_fails() {
    for refused in [None, Some((WORKERS, 403))] {
        let world = two_groups(refused).await;
        world.run(MINUTE).await;
        assert_eq!(world.requests(MEMBERS), 1, "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn groups_that_follow_each_other_are_recorded_together() {
    let world = World::new(20);
    world.run(Duration::from_secs(1)).await;
    for index in 0..20 {
        let leader = format!("s-{index}");
        world.put_pod("s", &leader, &json!({labels::GROUP_INDEX: index.to_string()}));
        world.run(Duration::from_millis(50)).await;
        world.put_pod(&leader, &format!("{leader}-1"), &json!({labels::WORKER_INDEX: "1"}));
        world.set_available(&leader, 1);
        world.run(Duration::from_millis(100)).await;
    }
    world.run(MINUTE).await;
    let records = world.requests(MEMBERS);
    assert!((2..=5).contains(&records), "{records} in 3 s");
}

#[tokio::test(start_paused = true)]
async fn where_many_sets_change_records_wait_half_as_long_as_numbers() {
    let world = two_groups(None).await;
    for other in 0..50 {
        let other = SetKey::new("n", &format!("other-{other}"));
        assert!(world.reconciler.numbers.wait(&other).is_some());
        assert!(world.reconciler.records.wait(&other).is_some());
    }
    let statuses = world.requests("PUT");
    let written = || (world.requests(MEMBERS), world.requests("PUT") - statuses);
    for (seconds, expected) in [(4, (0, 0)), (2, (1, 0)), (3, (1, 0)), (2, (1, 1))] {
        world.run(Duration::from_secs(seconds)).await;
        assert_eq!(written(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_waits_no_longer_while_there_is_always_a_group_to_complete() {
    let world = World::new(1000);
    world.run(Duration::from_secs(1)).await;
    let before = world.requests("PUT");
    let leaders = async {
        for index in 0..600 {
            let group = json!({labels::GROUP_INDEX: index.to_string()});
            world.put_pod("s", &format!("s-{index}"), &group);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::join!(world.run(Duration::from_secs(2)), leaders);
    let (writes, created) = (world.requests("PUT") - before, world.requests("POST /apis/apps"));
    assert!((1..=4).contains(&writes), "{writes} in 2 s");
    assert!(created > 100, "{created}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_groups_at_rest_cost_no_request_however_often_they_are_looked_at() {
    let world = World::new(1000);
    world.run(Duration::from_secs(1)).await;
    for index in 0..1000 {
        let group = json!({labels::GROUP_INDEX: index.to_string()});
        world.put_pod("s", &format!("s-{index}"), &group);
    }
    world.run(MINUTE).await;
    for index in 0..1000 {
        let leader = format!("s-{index}");
        world.put_pod(&leader, &format!("{leader}-1"), &json!({labels::WORKER_INDEX: "1"}));
        world.set_available(&leader, 1);
    }
    world.set_available("s", 1000);
    world.run(MINUTE).await;
    assert_eq!(world.ready_groups(), 1000);
    let before = world.requests("");
    for _ in 0..10 {
        world.reconciler.queue.add(world.key.clone());
        world.run(MINUTE).await;
    }
    assert_eq!(world.requests("") - before, 0);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_ever_more_rarely() {
    for what in [MEMBERS, WORKERS] {
        for code in [403, 409, 429, 500, 503] {
            let world = two_groups(Some((what, code))).await;
            world.run(2 * MINUTE).await;
            let before = world.requests(what);
            world.run(5 * MINUTE).await;
            let tries = world.requests(what) - before;
            assert!((9..=12).contains(&tries), "{what} with {code}: {tries} in 5 min");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_is_not_kept_is_a_failure() {
    let world = two_groups(None).await;
    world.server().drops = Some("members");
    world.run(2 * MINUTE).await;
    let before = world.requests(MEMBERS);
    world.run(5 * MINUTE).await;
    let tries = world.requests(MEMBERS) - before;
    assert!((9..=12).contains(&tries), "{tries} in 5 min");
    let told = world.replica_failure().unwrap();
    assert!(told.contains("has not kept annotation") && told.contains("policy"), "{told}");
    world.server().drops = None;
    world.run(MINUTE).await;
    assert_eq!(world.replica_failure(), None);
}

#[tokio::test(start_paused = true)]
async fn looking_is_no_progress() {
    let world = two_groups(Some((WORKERS, 403))).await;
    world.set_available("s-0", 0);
    world.run(2 * MINUTE).await;
    let before = world.requests(WORKERS);
    for _ in 0..10 {
        // It is asked again why a StatefulSet lacks pods.
        let long_ago = Timestamp::UNIX_EPOCH;
        let short = Shortage { since: long_ago, asked: Some(long_ago), reason: None };
        world.reconciler.shortages.replace(&world.key, [(world.uid("s-0"), short)].into());
        world.run(MINUTE / 2).await;
    }
    assert!(world.requests("GET /api/v1/namespaces/n/events") > 5);
    let tries = world.requests(WORKERS) - before;
    assert!(tries <= 12, "{tries} in 5 min");
}

#[tokio::test(start_paused = true)]
async fn numbers_wait_also_while_a_request_fails() {
    for refused in [None, Some((WORKERS, 403))] {
        let world = two_groups(refused).await;
        world.run(MINUTE).await;
        let before = world.requests("PUT");
        for change in 0..40 {
            world.set_available("s-0", change % 2);
            world.run(Duration::from_millis(100)).await;
        }
        let writes = world.requests("PUT") - before;
        assert!(writes <= 8, "{writes} for 40 changes in 4 s, {refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_recorded_although_the_first_attempt_fails() {
    let world = two_groups(None).await;
    world.run(MINUTE).await;
    world.server().fails_once = Some("group-restarts");
    world.restart_container("s-0-1");
    world.run(MINUTE).await;
    assert_eq!(world.requests("DELETE"), 1);
    assert_eq!(world.requests("group-restarts"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_single_fault_does_not_hide_what_is_refused() {
    let world = two_groups(Some((WORKERS, 403))).await;
    world.run(2 * MINUTE).await;
    let told = world.replica_failure();
    assert!(told.as_ref().unwrap().contains("no, by policy"), "{told:?}");
    let before = world.requests("PUT");
    world.server().fails_once = Some("/services/s");
    world.forget_service();
    world.run(MINUTE).await;
    assert_eq!(world.requests("POST /api/v1/namespaces/n/services/s"), 3);
    assert_eq!(world.replica_failure(), told);
    assert_eq!(world.requests("PUT"), before);
}

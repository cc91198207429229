//! Observations and answers in every order, and what is noted of groups meanwhile.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::observe::views::Phase;

fn pod(name: &str, uid: &str, version: u64, owner: Option<(&str, &str, &str)>) -> PodView {
    let owners = owner.map(
        |(kind, name, uid)| json!([{"kind": kind, "name": name, "uid": uid, "controller": true}]),
    );
    let worker = if name.matches('-').count() == 1 { "0" } else { "1" };
    serde_json::from_value(json!({"metadata": {
        "name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string(),
        "labels": {
            "leaderworkerset.sigs.k8s.io/name": "s",
            "leaderworkerset.sigs.k8s.io/worker-index": worker,
        },
        "ownerReferences": owners.unwrap_or_else(|| json!([])),
    }}))
    .unwrap()
}

fn running(pod: PodView) -> PodView {
    PodView { phase: Phase::Running, ..pod }
}

fn stateful_set(name: &str, uid: &str, owner: (&str, &str, &str)) -> StatefulSetView {
    let (kind, owner_name, owner_uid) = owner;
    serde_json::from_value(json!({"metadata": {
        "name": name, "namespace": "n", "uid": uid, "resourceVersion": "1",
        "labels": {"leaderworkerset.sigs.k8s.io/name": "s"},
        "ownerReferences": [{"kind": kind, "name": owner_name, "uid": owner_uid, "controller": true}],
    }}))
    .unwrap()
}

fn key() -> SetKey {
    SetKey::new("n", "s")
}

fn uid_of(index: &Index, pod: &str) -> Option<String> {
    index.read(&key(), |it| it.pods.get(pod).map(|it| it.identity.uid().to_owned())).flatten()
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let index = Index::default();
    assert_eq!(index.observed(pod("s-0", "b", 20, None)).sets, [key()]);
    assert!(index.observed(pod("s-0", "a", 10, None)).sets.is_empty());
    assert_eq!(uid_of(&index, "s-0").as_deref(), Some("b"));
}

#[test]
fn a_late_deletion_of_the_former_pod_leaves_its_successor() {
    let index = Index::default();
    index.observed(pod("s-0", "b", 20, None));
    assert!(index.deleted(&pod("s-0", "a", 15, None)).sets.is_empty());
    assert_eq!(uid_of(&index, "s-0").as_deref(), Some("b"));
    assert_eq!(index.deleted(&pod("s-0", "b", 21, None)).sets, [key()]);
    assert!(index.entry(&key()).is_none(), "an empty entry is dropped");
}

#[test]
fn the_answer_to_a_write_does_not_bring_back_what_was_deleted_meanwhile() {
    let index = Index::default();
    index.observed(pod("s-1", "other", 30, None));
    assert!(!index.written(pod("s-0", "a", 25, None)), "the watch is past 25 without it");
    assert!(index.written(pod("s-0", "a", 31, None)));
    assert!(index.written(running(pod("s-1", "other", 30, None))), "a known object is refreshed");
}

#[test]
fn the_watch_repeats_an_answer_without_concerning_anybody() {
    let index = Index::default();
    index.written(pod("s-0", "a", 10, None));
    assert!(index.observed(pod("s-0", "a", 10, None)).sets.is_empty());
    assert_eq!(index.observed(running(pod("s-0", "a", 11, None))).sets, [key()]);
    assert_eq!(index.observed(pod("s-0", "b", 12, None)).sets, [key()]);
}

#[test]
fn a_new_version_that_shows_nothing_new_concerns_nobody_and_is_kept() {
    let index = Index::default();
    index.observed(pod("s-0", "a", 10, None));
    assert_eq!(index.observed(pod("s-0", "a", 11, None)), Concerned::default());
    assert!(index.observed(running(pod("s-0", "a", 10, None))).sets.is_empty(), "it is older");
}

#[test]
fn what_is_kept_is_counted_whatever_becomes_of_it() {
    let index = Index::default();
    let kept = || index.kept().map(|it| (it.objects, it.bytes));
    let of = |stateful_sets: &[&StatefulSetView], pods: &[&PodView]| {
        let mut expected = [(0, 0); 6];
        expected[1] = (stateful_sets.len(), stateful_sets.iter().map(|it| it.bytes()).sum());
        expected[2] = (pods.len(), pods.iter().map(|it| it.bytes()).sum());
        expected
    };
    let [small, large] = [1, 2].map(|it| pod("s-0", "l", it, None));
    let large = PodView { node: Some("n".repeat(100)), ..large };
    assert_eq!(large.bytes(), small.bytes() + 100);
    index.observed(small.clone());
    assert_eq!(kept(), of(&[], &[&small]));
    index.observed(large.clone());
    assert!(index.observed(small).sets.is_empty(), "it is older");
    let (other, workers) =
        (pod("s-1", "m", 3, None), stateful_set("s-0", "w", ("Pod", "s-0", "l")));
    index.written(other.clone());
    index.observed(workers.clone());
    assert_eq!(kept(), of(&[&workers], &[&large, &other]));
    // Another of the same name, one that belongs to another set by now, and one to none.
    let successor = pod("s-0", "n", 4, None);
    let moved = PodView { set: Some("t".to_owned()), ..pod("s-1", "m", 5, None) };
    index.observed(successor.clone());
    index.observed(moved.clone());
    assert_eq!(kept(), of(&[&workers], &[&successor, &moved]));
    index.observed(PodView { set: None, ..pod("s-1", "m", 6, None) });
    index.deleted(&workers);
    assert_eq!(kept(), of(&[], &[&successor]));
    index.relist_started::<PodView>();
    index.relist_done::<PodView>();
    assert_eq!(kept(), of(&[], &[]));
}

#[test]
fn workers_that_start_or_leave_with_their_leader_may_wait() {
    let index = Index::default();
    let worker = |version| pod("s-0-1", "w", version, Some(("StatefulSet", "s-0", "ws")));
    let going = |pod: PodView| {
        let mut pod = pod;
        pod.identity.meta.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        pod
    };
    let may_wait = |concerned: Concerned| {
        assert_eq!(concerned.sets, [key()]);
        concerned.may_wait
    };
    let leader = |version| pod("s-0", "l", version, Some(("StatefulSet", "s", "ls")));
    assert!(!may_wait(index.observed(leader(1))), "a leader wants workers");
    assert!(!may_wait(index.observed(stateful_set("s-0", "ws", ("Pod", "s-0", "l")))));
    assert!(may_wait(index.observed(worker(2))));
    assert!(may_wait(index.observed(running(worker(3)))));
    let restarted = PodView { restarted: true, ..running(worker(4)) };
    assert!(!may_wait(index.observed(restarted)), "a failure");
    assert!(!may_wait(index.observed(going(worker(5)))), "it goes alone");
    assert!(!may_wait(index.observed(going(leader(6)))));
    assert!(may_wait(index.observed(going(running(worker(7))))), "it goes with its leader");
    assert!(may_wait(index.deleted(&worker(8))));
    index.observed(leader(9));
    assert!(may_wait(index.observed(worker(10))));
    let successor = pod("s-0-1", "x", 11, Some(("StatefulSet", "s-0", "ws")));
    assert!(!may_wait(index.observed(successor)), "the former one is a loss");
}

#[test]
fn of_the_workers_that_a_former_leader_has_left_the_last_counts() {
    let index = Index::default();
    let worker = |name, version| pod(name, name, version, Some(("StatefulSet", "s-0", "former")));
    let leader = |version| pod("s-0", "l", version, Some(("StatefulSet", "s", "ls")));
    index.observed(worker("s-0-1", 1));
    index.observed(worker("s-0-2", 2));
    index.observed(pod("s-00-1", "other", 3, None));
    index.observed(leader(4));
    assert!(index.deleted(&worker("s-0-1", 5)).may_wait);
    assert!(!index.deleted(&worker("s-0-2", 6)).may_wait);
}

#[test]
fn workers_are_counted_once_all_are_ready() {
    let index = Index::default();
    let counted = |version: u64, replicas, available_replicas| {
        let mut view = stateful_set("s-0", "ws", ("Pod", "s-0", "l"));
        view.identity.meta.resource_version = Some(version.to_string());
        StatefulSetView { replicas: 2, status_replicas: replicas, available_replicas, ..view }
    };
    assert!(!index.observed(counted(1, 0, 0)).may_wait);
    assert!(index.observed(counted(2, 2, 0)).may_wait);
    assert!(index.observed(counted(3, 2, 1)).may_wait);
    assert!(!index.observed(counted(4, 2, 2)).may_wait);
    assert!(!index.observed(counted(5, 2, 1)).may_wait);
}

#[test]
fn a_relist_removes_what_it_does_not_name_but_not_what_was_written_meanwhile() {
    let index = Index::default();
    index.observed(pod("s-0", "a", 1, None));
    index.observed(pod("s-1", "b", 2, None));
    index.relist_started::<PodView>();
    index.observed(pod("s-0", "a", 1, None));
    index.written(pod("s-2", "c", 9, None));
    assert_eq!(index.relist_done::<PodView>().sets, [key()]);
    let names = index.read(&key(), |it| it.pods.keys().cloned().collect::<Vec<_>>());
    assert_eq!(names.unwrap(), ["s-0", "s-2"]);
}

#[test]
fn a_worker_that_vanishes_from_a_living_group_is_a_loss_until_the_leader_goes() {
    let index = Index::default();
    let worker = |uid, version| pod("s-0-1", uid, version, Some(("StatefulSet", "s-0", "w")));
    index.observed(pod("s-0", "l", 1, Some(("StatefulSet", "s", "ls"))));
    index.observed(stateful_set("s-0", "w", ("Pod", "s-0", "l")));
    index.observed(worker("x", 2));
    // Replaced under the same name before anyone looked.
    index.observed(worker("y", 3));
    let losses = |index: &Index| index.read(&key(), |it| it.losses("l").count()).unwrap();
    assert_eq!(losses(&index), 1);
    let mut leader = pod("s-0", "l", 4, Some(("StatefulSet", "s", "ls")));
    leader.identity.meta.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        ));
    index.observed(leader);
    assert_eq!(losses(&index), 0);
    index.deleted(&worker("y", 5));
    assert_eq!(losses(&index), 0, "workers of a group that is going are no losses");
}

#[test]
fn a_recorded_worker_is_gone_when_it_is_not_found_as_the_same_pod_of_its_set() {
    let leader = |uid, version| pod("s-0", uid, version, Some(("StatefulSet", "s", "ls")));
    let owner = Some(("StatefulSet", "s-0", "w"));
    let mut unlabelled = pod("s-0-1", "x", 9, owner);
    unlabelled.set = None;
    for (found, gone) in [
        (None, true),
        (Some(pod("s-0-1", "y", 9, owner)), true),
        (Some(unlabelled), true),
        (Some(pod("s-0-1", "x and more", 9, owner)), false),
    ] {
        let index = Index::default();
        index.observed(leader("l", 8));
        index.confirmed(&key(), "s-0-1", "x", found.clone());
        let is_gone = || index.read(&key(), |it| it.is_gone("l", "x")).unwrap();
        assert_eq!(is_gone(), gone, "{found:?}");
        // With its leader goes what was found about it.
        index.observed(leader("k", 10));
        assert!(!is_gone());
    }
}

#[test]
fn an_object_that_changes_its_set_leaves_the_former_one() {
    let index = Index::default();
    index.observed(pod("s-0", "a", 1, None));
    let mut moved = pod("s-0", "a", 2, None);
    moved.set = Some("t".into());
    assert_eq!(index.observed(moved).sets, [key(), SetKey::new("n", "t")]);
    assert!(index.entry(&key()).is_none());
}

fn notes(index: &Index) -> usize {
    let entry = index.entry(&key()).unwrap();
    lock(&entry).notes_len()
}

#[test]
fn notes_that_nobody_reads_stay_as_few_as_the_objects_they_are_about() {
    let index = Index::default();
    let mut version = 0;
    let mut next = || {
        version += 1;
        version
    };
    for generation in 0..1000 {
        let (leader, set) = (format!("l{generation}"), format!("w{generation}"));
        index.observed(pod("s-0", &leader, next(), Some(("StatefulSet", "s", "ls"))));
        let mut worker_set = stateful_set("s-0", &set, ("Pod", "s-0", &leader));
        worker_set.identity.meta.resource_version = Some(next().to_string());
        index.observed(worker_set.clone());
        // One that never starts: each of its workers is replaced again and again.
        for round in 0..10 {
            for worker in ["s-0-1", "s-0-2"] {
                let uid = format!("{worker} {generation} {round}");
                index.observed(pod(worker, &uid, next(), Some(("StatefulSet", "s-0", &set))));
                index.confirmed(&key(), worker, "recorded", None);
            }
        }
        assert!(notes(&index) <= 4, "{} notes of a leader and two workers", notes(&index));
        index.deleted(&worker_set);
        assert!(index.read(&key(), |it| it.is_doubted(&leader)).unwrap());
    }
    index.deleted(&pod("s-0", "l999", next(), None));
    assert_eq!(notes(&index), 0);
}

#[test]
fn a_set_is_doubted_once_its_stateful_set_has_gone_until_it_is_read_anew() {
    let set = |uid: &str, version: u64| -> SetView {
        serde_json::from_value(json!({"metadata": {
            "name": "s", "namespace": "n", "uid": uid, "resourceVersion": version.to_string(),
        }}))
        .unwrap()
    };
    let index = Index::default();
    let is_doubted = |uid: &str| index.read(&key(), |it| it.is_doubted(uid)).unwrap_or_default();
    let known = || index.read(&key(), |it| it.set().map(|it| it.identity.uid().to_owned()));
    index.observed(set("a", 10));
    index.observed(stateful_set("s", "l1", ("LeaderWorkerSet", "s", "a")));
    index.deleted(&stateful_set("s", "l1", ("LeaderWorkerSet", "s", "a")));
    assert!(is_doubted("a"));
    index.set_confirmed(set("a", 11));
    assert!(!is_doubted("a"));
    for _ in 0..2 {
        index.observed(stateful_set("s", "l2", ("LeaderWorkerSet", "s", "a")));
        index.deleted(&stateful_set("s", "l2", ("LeaderWorkerSet", "s", "a")));
    }
    assert!(is_doubted("a"));
    index.set_confirmed(set("b", 20));
    assert_eq!(known().flatten().as_deref(), Some("b"));
    // What the watch still has of the former one changes nothing.
    index.observed(set("a", 12));
    index.deleted(&set("a", 19));
    assert_eq!(known().flatten().as_deref(), Some("b"));
    assert_eq!(notes(&index), 0);
}

//! What TPU containers are warned of.

use super::warnings::created;
use super::*;

const LEADER_CONTAINERS: &str = "/spec/leaderWorkerTemplate/leaderTemplate/spec/containers";
const WORKER_CONTAINERS: &str = "/spec/leaderWorkerTemplate/workerTemplate/spec/containers";

fn container(env: &Value) -> Value {
    json!({"image": "i", "env": env, "resources": {"limits": {"google.com/tpu": "4"}}})
}

/// The containers, each with a name of its own.
fn named(containers: &[Value]) -> Value {
    let with_name = |(mut container, name): (Value, char)| {
        container["name"] = json!(name);
        container
    };
    containers.iter().cloned().zip('a'..='z').map(with_name).collect()
}

#[test]
fn tpu_containers_of_leader_and_workers_are_alike() {
    let text = "spec.leaderWorkerTemplate: leaderTemplate and workerTemplate differ in their TPU \
        containers or TPU_PROCESS_PORT: the pods of a group will be told different TPU hosts";
    let plain = || container(&json!([]));
    let with = |name: &str, value: &str| container(&json!([{"name": name, "value": value}]));
    let other = || json!({"name": "other", "image": "i"});
    let excluded = || json!({"subGroupSize": 1, "subGroupPolicyType": "LeaderExcluded"});
    let alone = || json!({"subGroupSize": 1});
    let leader_only = "spec.leaderWorkerTemplate: leaderTemplate requests TPUs and workerTemplate \
        does not: leaders will be told that their workers are TPU hosts";
    for (leader, sub_group, expected) in [
        (plain(), Value::Null, vec![leader_only]),
        (plain(), json!({"subGroupSize": 2}), vec![leader_only]),
        (plain(), excluded(), vec![]),
        (plain(), alone(), vec![]),
        (with("TPU_WORKER_HOSTNAMES", "a"), Value::Null, vec![]),
    ] {
        let warnings = created(&[
            (LEADER_CONTAINERS, named(&[leader])),
            (WORKER_CONTAINERS, named(&[other()])),
            (SUB_GROUP, sub_group.clone()),
        ]);
        assert_eq!(warnings, expected, "{sub_group}");
    }
    for (leader, worker, sub_group, differ) in [
        (vec![plain()], vec![plain()], Value::Null, false),
        (vec![other(), plain()], vec![plain(), other()], Value::Null, false),
        (vec![other()], vec![plain()], Value::Null, false),
        (vec![plain(), plain()], vec![plain()], Value::Null, true),
        (vec![plain(), plain()], vec![plain()], excluded(), false),
        (vec![plain(), plain()], vec![plain()], alone(), false),
        (vec![with("TPU_PROCESS_PORT", "1")], vec![plain()], Value::Null, true),
        (vec![with("TPU_PROCESS_PORT", "8476")], vec![plain()], Value::Null, false),
        (
            vec![with("TPU_PROCESS_PORT", "1")],
            vec![with("TPU_PROCESS_PORT", "1")],
            Value::Null,
            false,
        ),
        (vec![with("TPU_WORKER_ID", "1"), plain()], vec![plain()], Value::Null, true),
        (
            vec![with("TPU_WORKER_ID", "1"), with("TPU_WORKER_HOSTNAMES", "a")],
            vec![with("TPU_WORKER_ID", "1")],
            Value::Null,
            false,
        ),
    ] {
        let warnings = created(&[
            (LEADER_CONTAINERS, named(&leader)),
            (WORKER_CONTAINERS, named(&worker)),
            (SUB_GROUP, sub_group),
        ]);
        let expected = if differ { vec![text] } else { vec![] };
        assert_eq!(warnings, expected, "{leader:?} {worker:?}");
    }
}

#[test]
fn host_lists_have_room_in_a_variable() {
    let text = |template: &str, bytes: u32, pods: u32, containers: u32| {
        format!(
            "spec.leaderWorkerTemplate.{template}: TPU_PROCESS_ADDRESSES will take about {bytes} \
             bytes with {pods} pods of {containers} TPU containers in a TPU group: Linux starts no \
             process with a variable of more than 131072 bytes"
        )
    };
    let plain = || container(&json!([]));
    let told = || container(&json!([{"name": "TPU_WORKER_HOSTNAMES", "value": "a"}]));
    let sub_group = |size: u32| json!({"subGroupSize": size});
    let long = "n".repeat(49);
    // In a set `n`: `n-0.n:8476` for the leader, `n-0-1.n:8476` for the first worker.
    for (size, name, containers, sub_group, expected) in [
        (8000, "n", vec![plain()], Value::Null, None),
        (9000, "n", vec![plain()], Value::Null, Some((142_910, 9000, 1))),
        (4500, "n", vec![plain(), plain()], Value::Null, Some((141_799, 4500, 2))),
        (9000, "n", vec![told()], Value::Null, None),
        (9000, "n", vec![], Value::Null, None),
        (9000, "n", vec![plain()], sub_group(4500), None),
        (1000, &long, vec![plain()], Value::Null, None),
        (1500, &long, vec![plain()], Value::Null, Some((166_910, 1500, 1))),
    ] {
        let mut workers = containers.clone();
        workers.push(json!({"image": "i"}));
        let warnings = created(&[
            (NAME, json!(name)),
            (SIZE, json!(size)),
            (SUB_GROUP, sub_group),
            (WORKER_CONTAINERS, named(&workers)),
        ]);
        let expected =
            expected.map(|(bytes, pods, count)| text("workerTemplate", bytes, pods, count));
        assert_eq!(warnings, expected.into_iter().collect::<Vec<_>>(), "{size} {name}");
    }
}

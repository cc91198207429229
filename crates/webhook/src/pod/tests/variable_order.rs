//! Order of the variables, and what becomes of the user's.

use super::*;

const GROUP: [&str; 3] = ["LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX"];

#[test]
fn group_variables_come_first_in_every_container() {
    let users =
        json!([{"name": "A", "value": "$(LWS_GROUP_SIZE)"}, {"name": "B", "valueFrom": {"x": 1}}]);
    let mut it = pod("test-1-1", 2);
    it["spec"]["containers"] = json!([{"name": "c", "env": users}, {"name": "d", "env": users}]);
    it["spec"]["initContainers"] = json!([{"name": "i", "env": users}, {"name": "j"}]);
    it["spec"]["ephemeralContainers"] = json!([{"name": "e"}]);
    let admitted = admit(&it);
    let spec = &admitted["spec"];
    let expected = json!([
        {"name": "LWS_LEADER_ADDRESS", "value": "test-1.test.default"},
        {"name": "LWS_GROUP_SIZE", "value": "2"},
        {"name": "LWS_WORKER_INDEX", "value": "1"},
        {"name": "A", "value": "$(LWS_GROUP_SIZE)"},
        {"name": "B", "valueFrom": {"x": 1}},
    ]);
    for container in [&spec["containers"][0], &spec["containers"][1], &spec["initContainers"][0]] {
        assert_eq!(container["env"], expected);
    }
    assert_eq!(env_names(&spec["initContainers"][1]), GROUP);
    assert_eq!(spec["ephemeralContainers"], it["spec"]["ephemeralContainers"]);
}

#[test]
fn only_insertions_where_nothing_is_replaced() {
    let mut it = pod("test-1-1", 2);
    it["spec"]["containers"][0]["env"] = json!([{"name": "A"}]);
    let operations = operations(&it, SETTINGS).unwrap();
    let paths: Vec<_> = operations.as_array().unwrap()[1..]
        .iter()
        .map(|it| format!("{} {}", it["op"].as_str().unwrap(), it["path"].as_str().unwrap()))
        .collect();
    assert_eq!(
        paths,
        [
            "add /spec/containers/0/env/0",
            "add /spec/containers/0/env/1",
            "add /spec/containers/0/env/2",
        ]
    );
}

#[test]
fn the_first_of_a_name_stays_and_group_variables_win() {
    let address = json!({"name": "LWS_LEADER_ADDRESS", "value": "test-1.test.default"});
    let size = json!({"name": "LWS_GROUP_SIZE", "value": "2"});
    let index = json!({"name": "LWS_WORKER_INDEX", "value": "1"});
    let a = json!({"name": "A", "value": "1"});
    let wrong = json!({"name": "LWS_GROUP_SIZE", "value": "wrong"});
    let indirect = json!({"name": "LWS_GROUP_SIZE", "valueFrom": {}, "value": "2"});
    let other_a = json!({"name": "A", "value": "2"});
    for users in [
        json!([a, other_a]),
        json!([wrong, a, other_a, other_a]),
        json!([a, address, size, index]),
        json!([size, address, index, a]),
        json!([address, size, index, a, other_a, wrong]),
        json!([address, indirect, index, a]),
        json!([address, size, a]),
    ] {
        let mut it = pod("test-1-1", 2);
        it["spec"]["containers"][0]["env"] = users.clone();
        let admitted = admit(&it);
        assert_eq!(
            admitted["spec"]["containers"][0]["env"],
            json!([address, size, index, a]),
            "{users}"
        );
    }
}

#[test]
fn tpu_variables_come_last_and_the_users_stay() {
    let mut it = pod("test-1", 2);
    let users = json!([{"name": "TPU_NAME", "value": "mine"}, {"name": "A", "value": "1"}]);
    it["spec"]["containers"] = json!([tpu_container(&users)]);
    let admitted = admit(&it);
    let container = &admitted["spec"]["containers"][0];
    assert_eq!(
        env_names(container),
        [
            "LWS_LEADER_ADDRESS",
            "LWS_GROUP_SIZE",
            "LWS_WORKER_INDEX",
            "TPU_NAME",
            "A",
            "TPU_WORKER_HOSTNAMES",
            "TPU_WORKER_ID",
            "TPU_PROCESS_ADDRESSES",
            "TPU_PROCESS_PORT",
        ]
    );
    assert_eq!(env(container)["TPU_NAME"], "mine");
}

//! The variables of a group: first in every container, so that the user's can refer to them.

use anyhow::Result;
use lws_api_types::keys::labels;
use serde_json::{Value, json};

use super::*;
use crate::world::world;

fn container(name: &str, env: &Value) -> Value {
    json!({"name": name, "image": "busybox", "env": env})
}

#[tokio::test]
async fn they_come_first_in_every_container() -> Result<()> {
    let own = json!([variable("env1", "value1"), variable("env2", "value2")]);
    let pod = Pod::worker("test-sample", 1, 2)
        .put("/spec/subdomain", json!("test-sample"))
        .put("/spec/containers", json!([container("first", &own), container("second", &own)]))
        .put("/spec/initContainers", json!([container("init-1", &own), container("init-2", &own)]));
    let env = json!([
        {"name": "LWS_LEADER_ADDRESS", "value": "test-sample-1.test-sample.c-135"},
        {"name": "LWS_GROUP_SIZE", "value": "2"},
        {"name": "LWS_WORKER_INDEX", "value": "1"},
        {"name": "env1", "value": "value1"},
        {"name": "env2", "value": "value2"},
    ]);
    let lists = [
        "/spec/containers/0/env",
        "/spec/containers/1/env",
        "/spec/initContainers/0/env",
        "/spec/initContainers/1/env",
    ];
    let mut changes: Vec<_> = lists.map(|list| (list.to_owned(), env.clone())).into();
    changes.push((format!("/metadata/labels/{}", escape(labels::WORKER_INDEX)), json!("1")));
    let world = &world().await?;
    admit_with(world, "C-135", &pod, changes).await
}

#[tokio::test]
async fn they_replace_those_of_the_user() -> Result<()> {
    let reference = json!({"name": "URL", "value": "http://$(LWS_LEADER_ADDRESS):8080"});
    let node = json!({"name": "LWS_WORKER_INDEX", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}});
    let pod = Pod::worker("test-sample", 1, 2).put(
        "/spec/containers/0/env",
        json!([
            reference,
            variable("LWS_GROUP_SIZE", "99"),
            variable("A", "1"),
            node,
            variable("A", "2"),
        ]),
    );
    let env = json!([
        {"name": "LWS_LEADER_ADDRESS", "value": "test-sample-1.default.v-1"},
        {"name": "LWS_GROUP_SIZE", "value": "2"},
        {"name": "LWS_WORKER_INDEX", "value": "1"},
        reference,
        {"name": "A", "value": "1"},
    ]);
    let worker_index = format!("/metadata/labels/{}", escape(labels::WORKER_INDEX));
    let changes = vec![("/spec/containers/0/env".to_owned(), env), (worker_index, json!("1"))];
    let world = &world().await?;
    admit_with(world, "V-1", &pod, changes).await
}

//! Pods as they come from the API server, admitted, with the patch applied.

mod labels_and_placement;
mod properties;
mod rejections;
mod tpu_hosts;
mod variable_order;

use lws_api_types::keys::{TPU_RESOURCE, annotations, labels};
use serde_json::{Map, Value, json};

use super::{Pod, Settings, mutate};
use crate::json::decode;

const SETTINGS: Settings = Settings { gang_scheduling: false };

/// The operations that admission answers with.
fn operations(pod: &Value, settings: Settings) -> Result<Value, String> {
    let json = serde_json::to_vec(pod).unwrap();
    let view: Pod<'_> = decode(&json).map_err(|error| error.to_string())?;
    let namespace = view.metadata.namespace.to_string();
    let patch = mutate(&view, &namespace, settings).map_err(|error| error.to_string())?;
    let operations: Value = serde_json::from_slice(patch.as_json()).unwrap();
    assert_eq!(operations.as_array().unwrap().len(), patch.count() as usize);
    Ok(operations)
}

/// `pod` as it is stored. A second admission must find nothing to change.
fn admit_with(pod: &Value, settings: Settings) -> Result<Value, String> {
    let mut admitted = pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(operations(pod, settings)?).unwrap();
    json_patch::patch(&mut admitted, &patch).unwrap();
    assert_eq!(operations(&admitted, settings), Ok(json!([])), "second admission of {admitted}");
    Ok(admitted)
}

fn admit(pod: &Value) -> Value {
    admit_with(pod, SETTINGS).unwrap()
}

/// A pod of set `test` in namespace `default`: a leader when the name has one ordinal.
fn pod(name: &str, size: u32) -> Value {
    let ordinals = name.strip_prefix("test-").unwrap();
    let mut pod = json!({
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {labels::NAME: "test", labels::REVISION: "key"},
            "annotations": {annotations::SIZE: size.to_string()},
        },
        "spec": {"subdomain": "test", "containers": [{"name": "c"}]},
    });
    if let Some((group, _)) = ordinals.split_once('-') {
        pod["metadata"]["labels"][labels::GROUP_INDEX] = group.into();
        annotate(&mut pod, annotations::LEADER_NAME, &format!("test-{group}"));
    } else {
        pod["metadata"]["labels"][labels::WORKER_INDEX] = "0".into();
    }
    pod
}

fn annotate(pod: &mut Value, key: &str, value: &str) {
    pod["metadata"]["annotations"][key] = value.into();
}

fn label(pod: &Value, key: &str) -> Option<String> {
    pod["metadata"]["labels"][key].as_str().map(str::to_owned)
}

/// A container that requests TPUs and sets these variables.
fn tpu_container(env: &Value) -> Value {
    json!({"name": "c", "env": env, "resources": {"limits": {TPU_RESOURCE: "4"}}})
}

/// The variables of a container, by name; a repeated name is an error.
fn env(container: &Value) -> Map<String, Value> {
    let mut variables = Map::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap().to_owned();
        assert!(variables.insert(name, variable["value"].clone()).is_none(), "{container}");
    }
    variables
}

/// The names of the variables of a container, in order.
fn env_names(container: &Value) -> Vec<&str> {
    let variables = container["env"].as_array().unwrap();
    variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect()
}

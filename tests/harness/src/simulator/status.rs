//! A pod's status as a kubelet writes it.

use serde_json::{Value, json};

use super::pod::{Container, Pod, Role, Stage};

/// The patch of a pod's `status` subresource, for a strategic merge: conditions of others stay.
pub(super) fn patch(pod: &Pod, host_ip: &str) -> Value {
    let status = if matches!(pod.stage, Stage::Running { .. }) {
        running(pod, host_ip)
    } else {
        json!({"message": pod.complaint, "reason": "InvalidSimulation"})
    };
    // The uid makes the server refuse the patch of another pod of the same name.
    json!({"metadata": {"uid": pod.uid}, "status": status})
}

fn running(pod: &Pod, host_ip: &str) -> Value {
    let condition = |kind: &str, on: bool, since: &str| {
        json!({
            "type": kind,
            "status": if on { "True" } else { "False" },
            "reason": (!on).then_some("ContainersNotReady"),
            "message": (!on).then_some("containers with unready status"),
            "lastProbeTime": null,
            "lastTransitionTime": since,
        })
    };
    let [started, ready_since] = [pod.started, pod.ready_since].map(seconds);
    let statuses = |init: bool| -> Vec<Value> {
        let chosen =
            pod.containers.iter().filter(|container| (container.role != Role::Main) == init);
        chosen.map(|container| container_status(pod, container)).collect()
    };
    json!({
        "phase": "Running",
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod.ip,
        "podIPs": [{"ip": pod.ip}],
        "startTime": started,
        "conditions": [
            condition("PodReadyToStartContainers", true, &started),
            condition("Initialized", true, &started),
            condition("PodScheduled", true, &started),
            condition("ContainersReady", pod.ready, &ready_since),
            condition("Ready", pod.ready, &ready_since),
        ],
        "initContainerStatuses": statuses(true),
        "containerStatuses": statuses(false),
    })
}

fn container_status(pod: &Pod, container: &Container) -> Value {
    let id = |restarts: u32| format!("containerd://{}-{}-{restarts}", pod.uid, container.name);
    let ended = |restarts, at: &str, exit_code, reason: &str| {
        json!({"terminated": {
            "containerID": id(restarts),
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": at,
            "finishedAt": at,
        }})
    };
    let started = seconds(container.started);
    let state = match container.role {
        Role::Init => ended(container.restarts, &started, 0, "Completed"),
        Role::Sidecar | Role::Main => json!({"running": {"startedAt": started}}),
    };
    let last_state = match (container.ended.map(seconds), container.restarts.checked_sub(1)) {
        (Some(at), Some(before)) => ended(before, &at, 1, "Error"),
        _ => json!({}),
    };
    // While the pod is not ready, that is for want of its main containers.
    let ready = container.role != Role::Main || pod.ready;
    json!({
        "name": container.name,
        "image": container.image,
        "imageID": format!("docker.io/{}", container.image),
        "containerID": id(container.restarts),
        "ready": ready,
        "started": container.role != Role::Init,
        "restartCount": container.restarts,
        "state": state,
        "lastState": last_state,
    })
}

/// A time as Kubernetes writes it, which knows no fractions of a second.
pub(super) fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

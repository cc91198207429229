//! One pod as its kubelet knows it, and what happens to it as time passes. No requests are made here.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod as FullPod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use tokio::time::Instant;

use super::annotations::{Behaviour, Restart};

/// A container that restarts is not ready for at least this long, so that it can be seen.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// The part of a pod that the simulator reads.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PodObject {
    metadata: ObjectMeta,
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

impl Resource for PodObject {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        FullPod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        FullPod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        FullPod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        FullPod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    #[serde(default)]
    node_name: String,
    #[serde(default)]
    containers: Vec<ContainerSpec>,
    #[serde(default)]
    init_containers: Vec<ContainerSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSpec {
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    restart_policy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    start_time: Option<Timestamp>,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    restart_count: u32,
}

/// How long things take for pods without an annotation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delays {
    pub(super) ready: Duration,
    pub(super) termination: Duration,
}

/// Which part a container has in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Has ended before the others began.
    Init,
    /// An init container that keeps running.
    Sidecar,
    Main,
}

#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) role: Role,
    pub(super) restarts: u32,
    pub(super) started: Timestamp,
    /// When it last ended and was restarted.
    pub(super) ended: Option<Timestamp>,
}

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Bound to its node.
    Bound,
    /// Its containers run.
    Running { since: Instant },
    /// It ended by itself; only its deletion is left.
    Finished,
}

/// One pod as its kubelet knows it.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) node: String,
    pub(super) ip: Option<String>,
    pub(super) containers: Vec<Container>,
    pub(super) stage: Stage,
    pub(super) started: Timestamp,
    pub(super) ready: bool,
    pub(super) ready_since: Timestamp,
    /// Why the pod does not run although it is bound.
    pub(super) complaint: Option<String>,
    /// True when the API server has not been told the present state.
    pub(super) unreported: bool,
    behaviour: Behaviour,
    ready_due: Instant,
    end_due: Option<Instant>,
    /// The restart that was asked for by annotation and has taken place.
    restarted: Option<Restart>,
}

impl Pod {
    /// A pod that is seen for the first time; one that runs already is taken over as it is.
    pub(super) fn new(object: &PodObject, now: Instant, clock: Timestamp) -> Self {
        let status = &object.status;
        let restarts = |name: &str| {
            let mut statuses =
                status.container_statuses.iter().chain(&status.init_container_statuses);
            statuses.find(|status| status.name == name).map_or(0, |status| status.restart_count)
        };
        let started = status.start_time.unwrap_or(clock);
        let containers = roles(&object.spec).map(|(spec, role)| Container {
            name: spec.name.clone(),
            image: spec.image.clone(),
            role,
            restarts: restarts(&spec.name),
            started,
            ended: None,
        });
        let mut pod = Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            node: object.spec.node_name.clone(),
            containers: containers.collect(),
            stage: match status.phase.as_str() {
                "Running" => Stage::Running { since: now },
                "Succeeded" | "Failed" => Stage::Finished,
                _ => Stage::Bound,
            },
            ip: status.pod_ip.clone(),
            started,
            ready: is_ready(object),
            ready_since: started,
            complaint: None,
            unreported: false,
            behaviour: Behaviour::default(),
            ready_due: now,
            end_due: None,
            restarted: None,
        };
        pod.read_annotations(object);
        if pod.containers.iter().any(|container| container.restarts > 0) {
            pod.restarted.clone_from(&pod.behaviour.restart);
        }
        pod
    }

    /// Takes note of what others have changed.
    pub(super) fn observe(&mut self, object: &PodObject, delays: Delays, now: Instant) {
        self.read_annotations(object);
        // The node controller takes pods for not ready whose node was silent, as all are while etcd does not answer.
        // It changes no container.
        let runs_on = object.status.container_statuses.iter().all(|it| it.ready);
        self.unreported |= self.ready && !is_ready(object) && runs_on;
        if object.metadata.deletion_timestamp.is_some() && self.end_due.is_none() {
            self.end_due = Some(now + self.behaviour.terminate_after.unwrap_or(delays.termination));
        }
    }

    fn read_annotations(&mut self, object: &PodObject) {
        match Behaviour::parse(object.annotations()) {
            Ok(behaviour) => {
                self.behaviour = behaviour;
                self.complaint = None;
            }
            Err(complaint) => {
                self.unreported |= self.complaint.as_ref() != Some(&complaint);
                self.complaint = Some(complaint);
            }
        }
    }

    /// Does what is due, and tells when the next thing is.
    pub(super) fn advance(
        &mut self,
        delays: Delays,
        now: Instant,
        clock: Timestamp,
    ) -> Option<Instant> {
        if self.stage == Stage::Bound && self.complaint.is_none() && self.end_due.is_none() {
            self.begin(delays, now, clock);
        }
        let Stage::Running { since } = self.stage else { return self.end_due };
        let end = [self.end_due, self.behaviour.vanish_after.map(|delay| since + delay)]
            .into_iter()
            .flatten()
            .min();
        let mut next = end;
        let mut at = |due: Instant| {
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            due <= now
        };
        if let Some(restart) = self.behaviour.restart.clone()
            && self.restarted.as_ref() != Some(&restart)
            && at(since + restart.delay)
        {
            self.restart(&restart.container, delays, now, clock);
            self.restarted = Some(restart);
        }
        let ready = at(self.ready_due) && !self.behaviour.never_ready;
        if ready != self.ready {
            self.ready = ready;
            self.ready_since = clock;
            self.unreported = true;
        }
        next
    }

    /// True once the pod has come to its end and is to be removed.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let vanishes = match (self.stage, self.behaviour.vanish_after) {
            (Stage::Running { since }, Some(delay)) => since + delay <= now,
            _ => false,
        };
        vanishes || self.end_due.is_some_and(|due| due <= now)
    }

    fn begin(&mut self, delays: Delays, now: Instant, clock: Timestamp) {
        self.stage = Stage::Running { since: now };
        self.started = clock;
        self.ready_since = clock;
        self.ready_due = now + self.behaviour.ready_after.unwrap_or(delays.ready);
        self.unreported = true;
        for container in &mut self.containers {
            container.started = clock;
        }
    }

    /// Restarts a container of a running pod; false when there is none of this name.
    pub(super) fn restart(
        &mut self,
        name: &str,
        delays: Delays,
        now: Instant,
        clock: Timestamp,
    ) -> bool {
        let running = matches!(self.stage, Stage::Running { .. });
        let Some(container) =
            self.containers.iter_mut().find(|container| running && container.name == name)
        else {
            return false;
        };
        container.restarts += 1;
        container.started = clock;
        container.ended = Some(clock);
        self.ready_due =
            now + self.behaviour.ready_after.unwrap_or(delays.ready).max(RESTART_PAUSE);
        self.unreported = true;
        true
    }
}

/// Whether the API server has the pod as ready.
fn is_ready(object: &PodObject) -> bool {
    object.status.conditions.iter().any(|it| it.kind == "Ready" && it.status == "True")
}

fn roles(spec: &PodSpec) -> impl Iterator<Item = (&ContainerSpec, Role)> {
    let init =
        spec.init_containers.iter().map(|container| match container.restart_policy.as_deref() {
            Some("Always") => (container, Role::Sidecar),
            _ => (container, Role::Init),
        });
    init.chain(spec.containers.iter().map(|container| (container, Role::Main)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DELAYS: Delays = Delays { ready: SECOND, termination: SECOND };

    fn object(annotations: &[(&str, &str)], deleted: bool, phase: &str) -> PodObject {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        serde_json::from_value(json!({
            "metadata": {
                "name": "pod",
                "uid": "1",
                "annotations": annotations,
                "deletionTimestamp": deleted.then_some("2026-01-01T00:00:00Z"),
            },
            "spec": {"nodeName": "node-0", "containers": [{"name": "main"}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    /// What happens to a pod, told at each half second up to its end: `.` nothing, `-` it is reported as not ready,
    /// `+` as ready, `x` it is over.
    fn story(object: &PodObject) -> String {
        let mut now = Instant::now();
        let mut pod = Pod::new(object, now, Timestamp::UNIX_EPOCH);
        pod.observe(object, DELAYS, now);
        let mut next = Some(now);
        let mut story = String::new();
        while story.len() < 6 && !story.ends_with('x') {
            // Nothing may be missed by who looks only when told to.
            let due = next.is_some_and(|due| due <= now);
            if due {
                next = pod.advance(DELAYS, now, Timestamp::UNIX_EPOCH);
            }
            story.push(
                match (due && pod.is_over(now), std::mem::take(&mut pod.unreported), pod.ready) {
                    (true, ..) => 'x',
                    (false, true, true) => '+',
                    (false, true, false) => '-',
                    (false, false, _) => '.',
                },
            );
            now += SECOND / 2;
        }
        story
    }

    #[test]
    fn time_passes() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 9] = [
            ("-.+...", &[], "Pending"),
            ("+.....", &[("simulator/ready-after", "0s")], "Pending"),
            ("-...+.", &[("simulator/ready-after", "2s")], "Pending"),
            ("-.....", &[("simulator/never-ready", "true")], "Pending"),
            ("-.+.x", &[("simulator/vanish-after", "2s")], "Pending"),
            ("-.+-.+", &[("simulator/restart-container", "main@1500ms")], "Pending"),
            ("-.+...", &[("simulator/restart-container", "other@1500ms")], "Pending"),
            ("+.....", &[], "Running"),
            ("......", &[], "Failed"),
        ];
        for (expected, annotations, phase) in cases {
            assert_eq!(
                story(&object(annotations, false, phase)),
                expected,
                "{annotations:?} {phase}"
            );
        }
    }

    #[test]
    fn deletion_comes_to_an_end() {
        for (expected, annotations, phase) in [
            ("..x", &[] as &[_], "Pending"),
            ("..x", &[], "Failed"),
            ("+.x", &[], "Running"),
            ("+x", &[("simulator/terminate-after", "500ms")], "Running"),
            ("x", &[("simulator/terminate-after", "0s")], "Running"),
        ] {
            assert_eq!(
                story(&object(annotations, true, phase)),
                expected,
                "{annotations:?} {phase}"
            );
        }
    }
}

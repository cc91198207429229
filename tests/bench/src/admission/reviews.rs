//! The reviews that are sent: what an API server asks when a `StatefulSet` makes a pod, or a user a set.

use std::collections::BTreeMap;

use clap::ValueEnum;
use lws_api_types::keys::{API_VERSION, KIND, TPU_RESOURCE, annotations, labels};
use serde_json::{Map, Value, json};

use super::client::Request;

const POD_PATH: &str = "/mutate--v1-pod";
const SET_PATHS: [&str; 2] = [
    "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset",
    "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset",
];

/// How many variables the user has given each container.
const VARIABLES: usize = 12;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Review {
    /// A worker of a group of 4 with two containers.
    Worker,
    /// A worker of a TPU group of 256 pods.
    Tpu,
    /// A worker of a group of 4 with nine containers.
    NineContainers,
    /// A new set that gets its defaults.
    MutateSet,
    /// A new set that is validated.
    ValidateSet,
    /// A new set that is refused.
    RefuseSet,
}

impl Review {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Worker,
        Self::Tpu,
        Self::NineContainers,
        Self::MutateSet,
        Self::ValidateSet,
        Self::RefuseSet,
    ];

    /// What it is, in a few words.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Worker => "worker pod, 2 containers",
            Self::Tpu => "pod of a TPU group of 256",
            Self::NineContainers => "worker pod, 9 containers",
            Self::MutateSet => "defaults of a set",
            Self::ValidateSet => "validation of a set",
            Self::RefuseSet => "validation of a set that is refused",
        }
    }

    /// The target of processor time for a request in µs, and what the existing implementation needs.
    pub(super) fn processor_target(self) -> Option<(f64, &'static str)> {
        match self {
            Self::Worker => Some((65.0, "610–700")),
            Self::Tpu => Some((110.0, "1130")),
            Self::NineContainers => Some((150.0, "1560")),
            Self::MutateSet | Self::ValidateSet | Self::RefuseSet => None,
        }
    }

    /// Whether the webhook shall allow what is asked for.
    pub(crate) fn is_allowed(self) -> bool {
        self != Self::RefuseSet
    }

    /// The request that asks for it.
    pub(crate) fn request(self) -> Request {
        let [mutate, validate] = SET_PATHS;
        match self {
            Self::Worker => Request::post(POD_PATH, &pod_review(&Pod::plain(2)).to_string()),
            Self::Tpu => Request::post(POD_PATH, &pod_review(&Pod::tpu()).to_string()),
            Self::NineContainers => {
                Request::post(POD_PATH, &pod_review(&Pod::plain(9)).to_string())
            }
            Self::MutateSet => Request::post(mutate, &set_review(4).to_string()),
            Self::ValidateSet => Request::post(validate, &set_review(4).to_string()),
            Self::RefuseSet => Request::post(validate, &set_review(-1).to_string()),
        }
    }
}

/// What pods differ in.
struct Pod {
    set: &'static str,
    group: u32,
    worker: u32,
    size: u32,
    containers: usize,
    tpu: bool,
}

impl Pod {
    fn plain(containers: usize) -> Self {
        Self { set: "llama-serving", group: 1, worker: 2, size: 4, containers, tpu: false }
    }

    fn tpu() -> Self {
        Self { set: "tpu-serving", group: 3, worker: 17, size: 256, containers: 1, tpu: true }
    }

    fn leader(&self) -> String {
        format!("{}-{}", self.set, self.group)
    }

    fn name(&self) -> String {
        format!("{}-{}", self.leader(), self.worker)
    }

    fn metadata(&self) -> Value {
        let name = self.name();
        let mut annotations = BTreeMap::from([
            (annotations::SIZE, self.size.to_string()),
            (annotations::LEADER_NAME, self.leader()),
        ]);
        if self.tpu {
            annotations.insert(annotations::LEADER_REQUESTS_TPUS, "true".to_owned());
        }
        let labels = BTreeMap::from([
            ("apps.kubernetes.io/pod-index", self.worker.to_string()),
            ("controller-revision-hash", format!("{}-6c5b8d7f9", self.leader())),
            (labels::NAME, self.set.to_owned()),
            (labels::GROUP_INDEX, self.group.to_string()),
            (labels::GROUP_KEY, "95e88034e460983f51a9952fe128729fbc0663b5".to_owned()),
            (labels::REVISION, "7d9f8c6b5".to_owned()),
            ("statefulset.kubernetes.io/pod-name", name.clone()),
        ]);
        json!({
            "name": name,
            "generateName": format!("{}-", self.leader()),
            "namespace": "serving",
            "creationTimestamp": null,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": self.leader(),
                "uid": "3f0c5be8-8c1f-4d3a-9d59-6a3c1a0f7a11", "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": [self.managed_fields()],
        })
    }

    /// Who set which fields, as the API server tracks it for the controller that makes the pod.
    fn managed_fields(&self) -> Value {
        let variables = || {
            (0..VARIABLES).map(|index| {
                let key = format!("k:{}", json!({"name": variable_name(index)}));
                (key, json!({".": {}, "f:name": {}, "f:value": {}}))
            })
        };
        let containers: Map<String, Value> = (0..self.containers)
            .map(|index| {
                let mut env: Map<String, Value> = variables().collect();
                env.insert(".".to_owned(), json!({}));
                let key = format!("k:{}", json!({"name": container_name(index)}));
                (
                    key,
                    json!({".": {}, "f:env": env, "f:image": {}, "f:name": {}, "f:resources": {}}),
                )
            })
            .collect();
        json!({
            "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "time": "2026-11-24T12:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:annotations": {".": {}}, "f:labels": {".": {}}, "f:ownerReferences": {".": {}}},
                "f:spec": {"f:containers": containers, "f:restartPolicy": {}, "f:subdomain": {}},
            },
        })
    }

    fn object(&self) -> Value {
        let containers: Vec<Value> =
            (0..self.containers).map(|index| container(index, self.tpu)).collect();
        json!({
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": self.metadata(),
            "spec": {
                "volumes": [{"name": "kube-api-access-x7k2p", "projected": {"sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                ], "defaultMode": 420}}],
                "containers": containers,
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "serviceAccountName": "default",
                "serviceAccount": "default",
                "securityContext": {},
                "hostname": self.name(),
                "subdomain": self.set,
                "schedulerName": "default-scheduler",
                "tolerations": [
                    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                ],
                "priority": 0,
                "enableServiceLinks": true,
                "preemptionPolicy": "PreemptLowerPriority",
            },
            "status": {},
        })
    }
}

fn container_name(index: usize) -> String {
    format!("server-{index}")
}

fn variable_name(index: usize) -> String {
    format!("OPTION_{index:02}")
}

fn container(index: usize, tpu: bool) -> Value {
    let env: Vec<Value> = (0..VARIABLES)
        .map(|variable| json!({"name": variable_name(variable), "value": format!("value-{variable}")}))
        .collect();
    let resources = if tpu {
        json!({"limits": {TPU_RESOURCE: "4"}, "requests": {TPU_RESOURCE: "4"}})
    } else {
        json!({"limits": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "8"}})
    };
    json!({
        "name": container_name(index),
        "image": "registry.example.com/serving/runtime:v1.27.3",
        "env": env,
        "resources": resources,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    })
}

fn pod_review(pod: &Pod) -> Value {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let user = "system:serviceaccount:kube-system:statefulset-controller";
    review(&kind, &resource, &pod.name(), user, &pod.object())
}

fn review(kind: &Value, resource: &Value, name: &str, user: &str, object: &Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": name, "namespace": "serving", "operation": "CREATE",
            "userInfo": {
                "username": user,
                "uid": "a0e1c1f2-1c7e-4c5e-9a29-3d3a5d3b8d01",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": object, "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

/// A set of so many groups with two templates, after the defaults of its schema.
fn set_review(replicas: i32) -> Value {
    let template = || {
        let containers: Vec<Value> = (0..2).map(|index| container(index, false)).collect();
        json!({"spec": {"containers": containers}})
    };
    let object = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "llama-serving", "namespace": "serving"},
        "spec": {
            "replicas": replicas,
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "Shared"},
            "leaderWorkerTemplate": {
                "size": 4, "leaderTemplate": template(), "workerTemplate": template(),
            },
        },
    });
    let kind = json!({"group": "leaderworkerset.x-k8s.io", "version": "v1", "kind": KIND});
    let resource = json!({"group": "leaderworkerset.x-k8s.io", "version": "v1", "resource": "leaderworkersets"});
    review(&kind, &resource, "llama-serving", "kubernetes-admin", &object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_has_the_size_that_targets_are_given_for() {
        let bytes = Review::Worker.request().body_bytes();
        assert!((5600..5800).contains(&bytes), "{bytes}");
    }

    #[test]
    fn containers_have_their_variables() {
        for (pod, containers) in [(Pod::plain(9), 9), (Pod::tpu(), 1)] {
            let review = pod_review(&pod);
            let list = review.pointer("/request/object/spec/containers").unwrap();
            let list = list.as_array().unwrap();
            assert_eq!(list.len(), containers);
            assert!(list.iter().all(|it| it["env"].as_array().unwrap().len() == VARIABLES));
        }
    }
}

//! Playing the `StatefulSet` controller, the garbage collector and kubelets, where none of them runs.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use lws_api_types::keys::{annotations, labels};
use lws_api_types::names;
use lws_harness::wait;
use serde_json::{Value, json};

use crate::{DEADLINE, Namespace, TestSet};

impl TestSet {
    /// Creates the leader pods that the leader `StatefulSet` wants and that are not there, at its revision.
    pub async fn create_leaders(&self) -> Result<()> {
        let replicas = crate::set::replicas(&self.created_leader_set().await?);
        for group in 0..replicas {
            if self.namespace().pods().get_opt(&self.group(group)).await?.is_none() {
                self.create_leader(group).await?;
            }
        }
        Ok(())
    }

    /// Creates a leader pod at the revision of the leader `StatefulSet`.
    pub async fn create_leader(&self, group: i32) -> Result<Pod> {
        let key = label(&self.created_leader_set().await?, labels::REVISION)?;
        self.create_leader_at(group, &key).await
    }

    /// Creates a leader pod at the revision `key`.
    pub async fn create_leader_at(&self, group: i32, key: &str) -> Result<Pod> {
        let leader_set = self.created_leader_set().await?;
        let name = self.group(group);
        let template = serde_json::to_value(leader_set.spec.clone().context("no spec")?.template)?;
        let pod = json!({
            "metadata": {
                "name": name,
                "labels": {
                    labels::NAME: self.name(),
                    labels::WORKER_INDEX: "0",
                    labels::GROUP_INDEX: group.to_string(),
                    labels::GROUP_KEY: "randomValue",
                    labels::REVISION: key,
                },
                "annotations": template.pointer("/metadata/annotations"),
                "ownerReferences": [owner("apps/v1", "StatefulSet", &leader_set)],
            },
            "spec": template.get("spec"),
        });
        self.create_pod(&pod).await
    }

    /// Creates all worker pods of a group, owned by its leader pod and at its revision.
    pub async fn create_workers(&self, group: i32) -> Result<()> {
        let size = self.live().await?.spec.leader_worker_template.size();
        for worker in 1..size {
            self.create_worker(group, worker).await?;
        }
        Ok(())
    }

    /// Creates a worker pod, owned by its leader pod and at its revision.
    pub async fn create_worker(&self, group: i32, worker: i32) -> Result<Pod> {
        let leader = self.namespace().pods().get(&self.group(group)).await?;
        let mut pod_labels = leader.labels().clone();
        pod_labels.insert(labels::WORKER_INDEX.to_owned(), worker.to_string());
        let template = self.live().await?.spec.leader_worker_template.worker_template;
        let pod = json!({
            "metadata": {
                "name": names::worker_pod(&leader.name_any(), worker.unsigned_abs()),
                "labels": pod_labels,
                "annotations": {annotations::LEADER_NAME: leader.name_any()},
                "ownerReferences": [owner("v1", "Pod", &leader)],
            },
            "spec": template.spec(),
        });
        self.create_pod(&pod).await
    }

    async fn create_pod(&self, pod: &Value) -> Result<Pod> {
        let pod: Pod = serde_json::from_value(pod.clone())?;
        Ok(self.namespace().pods().create(&PostParams::default(), &pod).await?)
    }

    /// Brings every group that the leader `StatefulSet` wants to its revision, and makes it ready.
    pub async fn all_ready(&self) -> Result<()> {
        let replicas = crate::set::replicas(&self.created_leader_set().await?);
        let groups: Vec<_> = (0..replicas).rev().collect();
        self.ready(&groups).await
    }

    /// Brings groups to the revision of the leader `StatefulSet`, one after the other, and makes them ready. Pods that
    /// are not there are created.
    pub async fn ready(&self, groups: &[i32]) -> Result<()> {
        for group in groups {
            let updated = self.updated(*group).await;
            updated.with_context(|| format!("bring group {group} to the current revision"))?;
            self.leader_ready(*group).await?;
            if self.live().await?.spec.leader_worker_template.size() > 1 {
                self.workers_ready(*group).await?;
            }
        }
        Ok(())
    }

    /// Brings a group to the revision of the leader `StatefulSet`.
    async fn updated(&self, group: i32) -> Result<()> {
        let (pods, name) = (self.namespace().pods(), self.group(group));
        let key = label(&self.leader_set().await?, labels::REVISION)?;
        let leader = match pods.get_opt(&name).await? {
            Some(leader) => leader,
            None => self.create_leader(group).await?,
        };
        if label(&leader, labels::REVISION)? != key {
            let relabelled = json!({"metadata": {"labels": {labels::REVISION: key}}});
            pods.patch(&name, &PatchParams::default(), &Patch::Merge(relabelled)).await?;
            self.delete_worker_set(group).await?;
        }
        Ok(())
    }

    /// Makes a leader pod ready.
    pub async fn leader_ready(&self, group: i32) -> Result<()> {
        let status =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        self.set_pod_status(&self.group(group), &status).await
    }

    /// Starts a pod, without making it ready.
    pub async fn run_pod(&self, name: &str) -> Result<()> {
        self.set_pod_status(name, &json!({"phase": "Running"})).await
    }

    async fn set_pod_status(&self, name: &str, status: &Value) -> Result<()> {
        let patch = Patch::Strategic(json!({"status": status}));
        let pods = self.namespace().pods();
        pods.patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Makes the workers of a group ready, once their `StatefulSet` is there at the revision of the leader.
    pub async fn workers_ready(&self, group: i32) -> Result<()> {
        let worker_set = self.created_worker_set(group).await?;
        self.set_available(group, crate::set::replicas(&worker_set)).await
    }

    /// Makes the workers of a group unready.
    pub async fn workers_unready(&self, group: i32) -> Result<()> {
        self.set_available(group, 0).await
    }

    async fn set_available(&self, group: i32, available: i32) -> Result<()> {
        let status = json!({"status": {
            "replicas": available,
            "readyReplicas": available,
            "availableReplicas": available,
            "currentRevision": "only",
            "updateRevision": "only",
        }});
        let stateful_sets = self.namespace().stateful_sets();
        let params = PatchParams::default();
        stateful_sets.patch_status(&self.group(group), &params, &Patch::Merge(status)).await?;
        Ok(())
    }

    /// The worker `StatefulSet` of a group, once it is there, owned by the leader pod and at its revision.
    ///
    /// Where leaders are brought to another revision by [`Self::ready`], which does not happen in a cluster, worker sets
    /// that the controller makes before it gets to know of that are deleted.
    pub async fn created_worker_set(&self, group: i32) -> Result<StatefulSet> {
        let (namespace, name) = (self.namespace(), self.group(group));
        let description = format!("worker StatefulSet {name} at the revision of its leader");
        let get = async || {
            namespace.play_garbage_collector().await?;
            let leader = namespace.pods().get(&name).await?;
            let worker_set = namespace.stateful_sets().get(&name).await?;
            let owners = worker_set.owner_references();
            anyhow::ensure!(owners.iter().any(|it| it.uid == uid(&leader)), "owned by {owners:?}");
            let wanted = label(&leader, labels::REVISION)?;
            let seen = label(&worker_set, labels::REVISION)?;
            if seen != wanted && !namespace.has_controllers() {
                gone(namespace.stateful_sets().delete(&name, &exactly(&worker_set)).await)?;
            }
            anyhow::ensure!(seen == wanted, "expected {wanted}, seen {seen}");
            Ok(Some(worker_set))
        };
        Ok(wait::eventually(DEADLINE, &description, get).await?)
    }

    /// Deletes the worker `StatefulSet` of a group, if it is there.
    pub async fn delete_worker_set(&self, group: i32) -> Result<()> {
        gone(self.namespace().stateful_sets().delete(&self.group(group), &now()).await)
    }

    /// Deletes the leader pod of a group at once; its worker `StatefulSet` goes with it.
    pub async fn delete_group(&self, group: i32) -> Result<()> {
        self.delete_pod(&self.group(group)).await?;
        self.namespace().play_garbage_collector().await
    }

    /// Deletes a pod at once.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        gone(self.namespace().pods().delete(name, &now()).await)
    }

    /// Deletes a pod; it stays terminating, as one whose containers take their time to end.
    pub async fn begin_to_delete_pod(&self, name: &str) -> Result<()> {
        gone(self.namespace().pods().delete(name, &DeleteParams::foreground()).await)
    }

    /// Deletes the groups that the leader `StatefulSet` no longer wants. Does nothing where its controller runs.
    pub async fn delete_surplus(&self) -> Result<()> {
        if self.namespace().has_controllers() {
            return Ok(());
        }
        let replicas = crate::set::replicas(&self.leader_set().await?);
        for pod in self.namespace().all::<Pod>().await? {
            let of_this_set = pod.labels().get(labels::NAME).is_some_and(|it| it == self.name());
            let index = pod.labels().get(labels::GROUP_INDEX).and_then(|it| it.parse().ok());
            if let Some(index) = index.filter(|index| of_this_set && *index >= replicas) {
                self.delete_group(index).await?;
            }
        }
        Ok(())
    }
}

impl Namespace {
    /// Deletes worker `StatefulSet`s whose leader pod is gone; the controller may create one when it gets to know of
    /// the deletion of the former one first. Does nothing where the garbage collector runs.
    pub(crate) async fn play_garbage_collector(&self) -> Result<()> {
        if self.has_controllers() {
            return Ok(());
        }
        // In this order: a leader that is younger than the list of leaders has no worker set in the earlier list.
        let stateful_sets: Vec<StatefulSet> = self.all().await?;
        let leaders: Vec<_> = self.all::<Pod>().await?.iter().map(uid).collect();
        for it in stateful_sets {
            let owner = it.owner_references().iter().find(|owner| owner.kind == "Pod");
            if owner.is_some_and(|owner| !leaders.contains(&owner.uid)) {
                gone(self.stateful_sets().delete(&it.name_any(), &exactly(&it)).await)?;
            }
        }
        Ok(())
    }
}

/// This very object, not another of the same name.
fn exactly(object: &impl kube::ResourceExt) -> DeleteParams {
    let preconditions = Preconditions { uid: object.uid(), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// Without a grace period: no kubelet confirms the end of pods.
fn now() -> DeleteParams {
    DeleteParams::default().grace_period(0)
}

/// What is gone need not be deleted, nor what has made way for another object of the same name.
fn gone<T>(answer: kube::Result<T>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

pub(crate) fn owner(
    api_version: &str,
    kind: &str,
    object: &impl kube::ResourceExt,
) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: object.name_any(),
        uid: uid(object),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The UID of a stored object.
pub fn uid(object: &impl kube::ResourceExt) -> String {
    object.uid().unwrap_or_default()
}

/// A label that an object must have.
pub fn label(object: &impl kube::ResourceExt, key: &str) -> Result<String> {
    let value = object.labels().get(key).cloned();
    value.with_context(|| format!("{} has no label {key}", object.name_any()))
}

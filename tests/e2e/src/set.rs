//! A set in the cluster: changes, status, rollout stages.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use lws_api_types::conditions::{ConditionType, REPLICA_FAILURE};
use lws_api_types::keys::{annotations, labels};
use lws_api_types::pod_template::PodTemplate;
use lws_api_types::set::{RollingUpdateConfiguration, RolloutStrategy};
use lws_api_types::{LeaderWorkerSet, revision};
use lws_harness::wait;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::{self, Fixture};
use crate::stand_in::uid;
use crate::{DEADLINE, Namespace, QUIET};

/// How often something that must not happen is looked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// A set in the cluster.
#[derive(Clone)]
pub struct TestSet {
    namespace: Namespace,
    name: String,
}

impl TestSet {
    /// The set `name` in `namespace`, which need not exist yet.
    #[must_use]
    pub fn named(namespace: Namespace, name: &str) -> Self {
        Self { namespace, name: name.to_owned() }
    }

    /// Creates it.
    pub async fn create(&self, fixture: &Fixture) -> Result<()> {
        self.namespace.sets().create(&PostParams::default(), &fixture.object()).await?;
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The name of the leader pod, worker `StatefulSet` and Service of a group.
    #[must_use]
    pub fn group(&self, index: i32) -> String {
        format!("{}-{index}", self.name)
    }

    /// The name of a worker pod.
    #[must_use]
    pub fn worker(&self, group: i32, worker: i32) -> String {
        format!("{}-{worker}", self.group(group))
    }

    /// It as it is.
    pub async fn live(&self) -> Result<LeaderWorkerSet> {
        let object: DynamicObject = self.namespace.sets().get(&self.name).await?;
        Ok(serde_json::from_value(serde_json::to_value(object)?)?)
    }

    /// The revision key of its present content, computed here.
    pub async fn key(&self) -> Result<String> {
        Ok(revision::key(&revision::encode(&self.live().await?.spec)))
    }

    /// Its leader `StatefulSet` as it is.
    pub async fn leader_set(&self) -> Result<StatefulSet> {
        Ok(self.namespace.stateful_sets().get(&self.name).await?)
    }

    /// Its leader `StatefulSet` as soon as it is there.
    pub async fn created_leader_set(&self) -> Result<StatefulSet> {
        let api = self.namespace.stateful_sets();
        let description = format!("leader StatefulSet {}", self.name);
        let get = async || api.get_opt(&self.name).await;
        Ok(wait::eventually(DEADLINE, &description, get).await?)
    }

    /// Changes it, again if somebody else does so at the same time.
    pub async fn update(&self, change: impl Fn(&mut LeaderWorkerSet)) -> Result<()> {
        loop {
            let mut set = self.live().await?;
            change(&mut set);
            let object = fixture::object(&set);
            let answer =
                self.namespace.sets().replace(&self.name, &PostParams::default(), &object).await;
            match answer {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => return Ok(answer.map(drop)?),
            }
        }
    }

    /// Wants another number of groups.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        self.update(|set| set.spec.replicas = Some(replicas)).await
    }

    /// Lets groups below another index keep their revision.
    pub async fn set_partition(&self, partition: i32) -> Result<()> {
        self.update(|set| rolling_update(set).partition = Some(partition)).await
    }

    /// Gives the leaders another image.
    pub async fn change_leaders(&self, image: &str) -> Result<()> {
        self.update(|set| {
            if let Some(template) = &mut set.spec.leader_worker_template.leader_template {
                set_in_container(template, "image", image);
            }
        })
        .await
    }

    /// Gives the workers another image.
    pub async fn change_workers(&self, image: &str) -> Result<()> {
        self.update(|set| set_worker_image(set, image)).await
    }

    /// How it stands, in one line: which conditions hold, partition and replicas of the leader `StatefulSet`, and how
    /// many groups are ready and updated, as in `rolling p3 r4 (4/0)`.
    pub async fn stage(&self) -> Result<String> {
        let live = self.live().await?;
        let leader_set = self.leader_set().await?;
        let status = live.status.as_ref().context("no status")?;
        let (ready, updated) = (status.ready_replicas, status.updated_replicas);
        let conditions = conditions(&live);
        let (partition, replicas) = (partition(&leader_set), replicas(&leader_set));
        Ok(format!("{conditions} p{partition} r{replicas} ({ready}/{updated})"))
    }

    /// Waits until it stands as `expected` (see [`Self::stage`]). Pods of groups that the leader `StatefulSet` no
    /// longer wants are deleted on the way, where the `StatefulSet` controller does not.
    pub async fn expect(&self, expected: &str) -> Result<()> {
        self.expect_after(expected, async || self.delete_surplus().await).await
    }

    /// The same while the `StatefulSet` controller has not yet deleted pods that are no longer wanted.
    pub async fn expect_before_deletions(&self, expected: &str) -> Result<()> {
        self.expect_after(expected, async || Ok(())).await
    }

    async fn expect_after(&self, expected: &str, work: impl AsyncFn() -> Result<()>) -> Result<()> {
        let description = format!("{} stands as `{expected}`", self.name);
        let look = async || {
            work().await?;
            self.stage().await
        };
        wait::until(DEADLINE, &description, look, |seen| seen == expected).await?;
        Ok(())
    }

    /// Waits until these conditions hold: `available`, `progressing` or `rolling`.
    pub async fn expect_conditions(&self, expected: &str) -> Result<()> {
        let description = format!("{} is {expected}", self.name);
        let look = async || self.live().await.map(|live| conditions(&live));
        wait::until(DEADLINE, &description, look, |seen| seen == expected).await?;
        Ok(())
    }

    /// Condition `ReplicaFailure`, as `<status> <reason>: <message>`.
    pub async fn failure(&self) -> Result<Option<String>> {
        let conditions = self.live().await?.status.unwrap_or_default().conditions;
        let found = conditions.into_iter().find(|it| it.type_ == REPLICA_FAILURE);
        Ok(found.map(|it| format!("{} {}: {}", it.status, it.reason, it.message)))
    }

    /// Waits until condition `ReplicaFailure` contains all `parts`.
    pub async fn expect_failure(&self, parts: &[&str]) -> Result<()> {
        let description = format!("condition ReplicaFailure: {}", parts.join(" … "));
        let is = |seen: &Option<String>| {
            seen.as_ref().is_some_and(|seen| parts.iter().all(|part| seen.contains(part)))
        };
        wait::until(DEADLINE, &description, async || self.failure().await, is).await?;
        Ok(())
    }

    /// Waits until there is no condition `ReplicaFailure`.
    pub async fn expect_no_failure(&self) -> Result<()> {
        let look = async || self.failure().await;
        wait::until(DEADLINE, "no condition ReplicaFailure", look, Option::is_none).await?;
        Ok(())
    }

    /// Waits until the record is of the pods that are there, which is a moment after they are.
    pub async fn recorded(&self, groups: i32, size: i32) -> Result<()> {
        let description = format!("the members of {groups} groups are recorded");
        let look = async || {
            let mut wanted = Vec::new();
            for group in 0..groups {
                wanted.push(self.wanted_record(group, size).await?);
            }
            let record = self.record().await?;
            anyhow::ensure!(record == wanted, "{record:?} is recorded instead of {wanted:?}");
            Ok(Some(()))
        };
        Ok(wait::eventually(DEADLINE, &description, look).await?)
    }

    /// The image of this worker, `example.org/broken`, cannot be pulled, as its kubelet would say.
    pub async fn break_image(&self, group: i32, worker: i32) -> Result<()> {
        let status = json!({"status": {"phase": "Pending", "conditions": [
            {"type": "Ready", "status": "False"},
        ], "containerStatuses": [{
            "name": "worker", "image": "example.org/broken", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
        }]}});
        let (pods, params) = (self.namespace.pods(), PatchParams::default());
        pods.patch_status(&self.worker(group, worker), &params, &Patch::Strategic(status)).await?;
        Ok(())
    }

    /// What is recorded of each group.
    pub async fn record(&self) -> Result<Vec<String>> {
        let leader_set = self.namespace.stateful_sets().get(self.name()).await?;
        let record = leader_set.annotations().get(annotations::MEMBERS);
        Ok(record.into_iter().flat_map(|it| it.split(';')).map(str::to_owned).collect())
    }

    /// What is to be recorded of a group of so many pods.
    pub async fn wanted_record(&self, group: i32, size: i32) -> Result<String> {
        let pods = self.namespace.pods();
        let beginning = |text: &str, length| text.chars().take(length).collect::<String>();
        let leader = pods.get(&self.group(group)).await?;
        let revision = leader.labels().get(labels::REVISION).context("a leader has a revision")?;
        let mut record =
            format!("{group}:{}/{}", beginning(&uid(&leader), 8), beginning(revision, 4));
        for index in 1..size {
            let worker = pods.get(&self.worker(group, index)).await?;
            record = format!("{record},{}", beginning(&uid(&worker), 8));
        }
        Ok(record)
    }

    /// Waits until there are this many revisions.
    pub async fn expect_revisions(&self, expected: usize) -> Result<()> {
        let description = format!("{expected} revisions");
        let look = async || self.revision_keys().await;
        wait::until(DEADLINE, &description, look, |seen| seen.len() == expected).await?;
        Ok(())
    }

    /// The keys of all revisions, in the order in which they were made.
    pub async fn revision_keys(&self) -> Result<Vec<String>> {
        let mut revisions: Vec<ControllerRevision> = self.namespace.all().await?;
        // StatefulSets have revisions too, with the labels of their pods.
        let is_of_stateful_set = |it: &ControllerRevision| {
            it.owner_references().iter().any(|owner| owner.kind == "StatefulSet")
        };
        revisions.retain(|it| !is_of_stateful_set(it));
        revisions.sort_by_key(|it| it.revision);
        let key = |it: ControllerRevision| {
            it.metadata.labels.unwrap_or_default().remove(labels::REVISION).unwrap_or_default()
        };
        Ok(revisions.into_iter().map(key).collect())
    }
}

/// Looks for [`QUIET`] and fails as soon as `look` fails: something that must not happen has happened.
pub async fn stays(look: impl AsyncFn() -> Result<()>) -> Result<()> {
    stays_for(QUIET, look).await
}

/// Looks for so long, likewise.
pub async fn stays_for(time: Duration, look: impl AsyncFn() -> Result<()>) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        look().await?;
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}

/// Gives the workers another image.
pub fn set_worker_image(set: &mut LeaderWorkerSet, image: &str) {
    set_in_container(&mut set.spec.leader_worker_template.worker_template, "image", image);
}

/// Sets a field of the first container.
pub fn set_in_container(template: &mut PodTemplate, field: &str, value: &str) {
    let container = template.0.get_mut("spec").and_then(|spec| spec.pointer_mut("/containers/0"));
    if let Some(container) = container.and_then(Value::as_object_mut) {
        container.insert(field.to_owned(), value.into());
    }
}

/// The partition of a `StatefulSet`.
#[must_use]
pub fn partition(stateful_set: &StatefulSet) -> i32 {
    let strategy = stateful_set.spec.as_ref().and_then(|it| it.update_strategy.as_ref());
    strategy.and_then(|it| it.rolling_update.as_ref()?.partition).unwrap_or(0)
}

/// The wanted replicas of a `StatefulSet`.
#[must_use]
pub fn replicas(stateful_set: &StatefulSet) -> i32 {
    stateful_set.spec.as_ref().and_then(|it| it.replicas).unwrap_or(1)
}

/// The rollout strategy of a set, which gets one if it has none.
pub fn rolling_update(set: &mut LeaderWorkerSet) -> &mut RollingUpdateConfiguration {
    let strategy = set.spec.rollout_strategy.get_or_insert_with(RolloutStrategy::default);
    strategy.rolling_update_configuration.get_or_insert_default()
}

/// Which conditions hold, in one word if they go together, have their standard text, and are about the present content.
fn conditions(set: &LeaderWorkerSet) -> String {
    use ConditionType::{Available, Progressing, UpdateInProgress};
    let status = set.status.clone().unwrap_or_default();
    if status.observed_generation != set.metadata.generation {
        return "unobserved".to_owned();
    }
    let holds = |wanted: ConditionType| {
        status.conditions.iter().any(|it| {
            it.type_ == wanted.as_str()
                && it.status == "True"
                && it.reason == wanted.reason()
                && it.message == wanted.message()
        })
    };
    match [Available, Progressing, UpdateInProgress].map(holds) {
        [true, false, false] => "available".to_owned(),
        [false, true, false] => "progressing".to_owned(),
        [false, true, true] => "rolling".to_owned(),
        _ => format!("{:?}", status.conditions),
    }
}

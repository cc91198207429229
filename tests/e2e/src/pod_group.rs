//! `PodGroup`s of gang scheduling.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{CustomResource, ResourceExt as _};
use lws_api_types::keys::labels;
use lws_api_types::names;
use lws_harness::wait;
use serde::{Deserialize, Serialize};

use crate::differences::Differences;
use crate::stand_in::{label, owner, uid};
use crate::{DEADLINE, TestSet};

/// The fields of a `PodGroup` that are set for groups.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "scheduling.volcano.sh",
    version = "v1beta1",
    kind = "PodGroup",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct PodGroupSpec {
    /// Pods that must be placed together.
    pub min_member: i32,
    /// What they need.
    pub min_resources: BTreeMap<String, String>,
    /// Their queue.
    pub queue: Option<String>,
}

impl TestSet {
    /// Waits until each leader pod owns one `PodGroup` as it must be, and there is no other; gives them by leader pod.
    pub async fn valid_pod_groups(&self) -> Result<BTreeMap<String, PodGroup>> {
        let look = async || {
            let mut pods: Vec<Pod> = self.namespace().all().await?;
            pods.retain(|pod| pod.labels().get(labels::WORKER_INDEX).is_some_and(|it| it == "0"));
            let mut left: BTreeMap<_, _> = self.pod_groups().await?;
            let mut valid = BTreeMap::new();
            for leader in pods {
                let name = self.pod_group_name(&leader)?;
                let found = left.remove(&name).with_context(|| format!("no PodGroup {name}"))?;
                self.check_pod_group(&found, &leader)?;
                valid.insert(leader.name_any(), found);
            }
            anyhow::ensure!(left.is_empty(), "left over: {:?}", left.keys());
            Ok(Some(valid))
        };
        Ok(wait::eventually(DEADLINE, "a PodGroup for each leader pod, and no other", look).await?)
    }

    /// All `PodGroup`s in the namespace of the set, by name.
    pub async fn pod_groups(&self) -> Result<BTreeMap<String, PodGroup>> {
        let all: Vec<PodGroup> = self.namespace().all().await?;
        Ok(all.into_iter().map(|it| (it.name_any(), it)).collect())
    }

    /// The name of the `PodGroup` of a leader pod.
    pub fn pod_group_name(&self, leader: &Pod) -> Result<String> {
        let [index, key] = [label(leader, labels::GROUP_INDEX)?, label(leader, labels::REVISION)?];
        Ok(names::pod_group(self.name(), &index, &key))
    }

    fn check_pod_group(&self, seen: &PodGroup, leader: &Pod) -> Result<()> {
        let mut differences = Differences::default();
        differences.same("label name", label(seen, labels::NAME)?.as_str(), self.name());
        for key in [labels::GROUP_INDEX, labels::REVISION] {
            differences.same(key, label(seen, key)?, label(leader, key)?);
        }
        let expected = [owner("v1", "Pod", leader)];
        differences.same("owners", seen.owner_references(), &expected[..]);
        differences.same("being deleted", seen.metadata.deletion_timestamp.is_some(), false);
        let text = || format!("PodGroup {} of leader pod {}", seen.name_any(), uid(leader));
        differences.into_result().with_context(text)
    }
}

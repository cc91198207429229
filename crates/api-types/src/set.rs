//! The `LeaderWorkerSet` type, and one place where absent fields get their meaning.
//!
//! The API server and the webhook fill in defaults, but an object stored while either was off has
//! none. Readers therefore ask the accessors of [`LeaderWorkerSet`], never the optional fields.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::int_or_percent::{Rounding, scaled};
use crate::keys;
use crate::pod_template::PodTemplate;

/// A set of groups, each of one leader pod and `size − 1` workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LeaderWorkerSet {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user wants.
    #[serde(default)]
    pub spec: LeaderWorkerSetSpec,
    /// What the controller has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<LeaderWorkerSetStatus>,
}

/// What the user wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerSetSpec {
    /// Number of groups, 0 to 1 000 000; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods of a group. Any change inside makes a new revision.
    pub leader_worker_template: LeaderWorkerTemplate,
    /// How a new revision is rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_strategy: Option<RolloutStrategy>,
    /// When workers are created; [`StartupPolicy::LeaderCreated`] when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_policy: Option<StartupPolicy>,
    /// DNS of the pods. Any change makes a new revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_config: Option<NetworkConfig>,
}

/// The pods of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerTemplate {
    /// Template of the leader; the worker template when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_template: Option<PodTemplate>,
    /// Template of the workers.
    pub worker_template: PodTemplate,
    /// Pods of a group, leader included; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    /// What a failing pod does to its group; [`RestartPolicy::RecreateGroupOnPodRestart`] when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Division of a group into subgroups. Cannot be added or removed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_group_policy: Option<SubGroupPolicy>,
    /// Claims (`core/v1` `PersistentVolumeClaim`) of every leader and worker pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<Value>>,
    /// What becomes of the claims when the set is deleted or scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_retention_policy: Option<ClaimRetentionPolicy>,
}

/// What becomes of claims, as in `apps/v1` `StatefulSet`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimRetentionPolicy {
    /// `Retain` or `Delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_deleted: Option<String>,
    /// `Retain` or `Delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_scaled: Option<String>,
}

/// What a failing pod does to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Old spelling of [`RestartPolicy::None`].
    Default,
    /// A deleted pod or restarted container recreates the whole group.
    RecreateGroupOnPodRestart,
    /// The same, but not while a pod of the group is pending or missing.
    RecreateGroupAfterStart,
    /// Only the failing pod restarts.
    None,
}

/// Division of a group into subgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubGroupPolicy {
    /// Whether the leader belongs to subgroup 0; [`SubGroupPolicyType::LeaderWorker`] when absent.
    #[serde(rename = "subGroupPolicyType", skip_serializing_if = "Option::is_none")]
    pub policy_type: Option<SubGroupPolicyType>,
    /// Pods of a subgroup. The schema lets it be absent, admission does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_group_size: Option<i32>,
}

/// Whether the leader belongs to a subgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubGroupPolicyType {
    /// The leader is in subgroup 0.
    #[default]
    LeaderWorker,
    /// The leader is in no subgroup.
    LeaderExcluded,
}

impl SubGroupPolicyType {
    /// The value as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaderWorker => "LeaderWorker",
            Self::LeaderExcluded => "LeaderExcluded",
        }
    }
}

/// How a new revision is rolled out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStrategy {
    /// `RollingUpdate`, the only strategy.
    #[serde(rename = "type")]
    pub strategy_type: String,
    /// Settings of a rolling update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update_configuration: Option<RollingUpdateConfiguration>,
}

/// Settings of a rolling update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdateConfiguration {
    /// Groups with a lower index keep their revision; 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// How many groups may be unavailable, rounded down; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// How many groups may exist beyond `spec.replicas`, rounded up; 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
}

/// When workers are created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartupPolicy {
    /// As soon as the leader pod exists.
    #[default]
    LeaderCreated,
    /// Once the leader pod is Ready.
    LeaderReady,
}

/// DNS of the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkConfig {
    /// [`SubdomainPolicy::Shared`] when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdomain_policy: Option<SubdomainPolicy>,
}

/// Which headless Services a set has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubdomainPolicy {
    /// One, named like the set.
    #[default]
    Shared,
    /// One a group, named like its leader pod.
    UniquePerReplica,
}

impl SubdomainPolicy {
    /// The value as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "Shared",
            Self::UniquePerReplica => "UniquePerReplica",
        }
    }
}

/// What the controller has seen. Zero values are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderWorkerSetStatus {
    /// See `lws` printer columns and conditions ([`crate::conditions`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Groups that are ready, surge groups included.
    #[serde(skip_serializing_if = "is_zero")]
    pub ready_replicas: i32,
    /// Groups on the current revision, surge groups included.
    #[serde(skip_serializing_if = "is_zero")]
    pub updated_replicas: i32,
    /// Groups that exist: `status.replicas` of the leader `StatefulSet`.
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: i32,
    /// Label selector of the leader pods, read by the scale subresource. Set once.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hpa_pod_selector: String,
    /// The last `metadata.generation` that the leader `StatefulSet` was brought to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Skips a status number that is zero, as the existing implementation does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// Rolling-update settings with every default applied and percentages resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingUpdate {
    /// Groups with a lower index keep their revision. Not negative.
    pub partition: i64,
    /// Groups that may be unavailable. Not negative; may be 0 only when `max_surge` is not, or
    /// when there are no replicas.
    pub max_unavailable: i64,
    /// Groups that may exist beyond `replicas`, at most `replicas`.
    pub max_surge: i64,
}

impl LeaderWorkerSet {
    /// Name of the set; empty before the API server has given one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Namespace of the set.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// UID of the set.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The non-empty value of annotation `key`. An empty value counts as absent.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let value = self.metadata.annotations.as_ref()?.get(key)?.as_str();
        (!value.is_empty()).then_some(value)
    }

    /// Whether annotation `key` is present, with any value.
    #[must_use]
    pub fn has_annotation(&self, key: &str) -> bool {
        self.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(key))
    }

    /// How many revisions are kept that no group is at, for going back to them. What is no such
    /// number counts as 0.
    #[must_use]
    pub fn revision_history_limit(&self) -> usize {
        let limit = self.annotation(keys::annotations::REVISION_HISTORY_LIMIT);
        limit.and_then(|it| it.parse().ok()).unwrap_or(0)
    }
}

impl LeaderWorkerSetSpec {
    /// Desired number of groups.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }

    /// When workers are created.
    #[must_use]
    pub fn startup_policy(&self) -> StartupPolicy {
        self.startup_policy.unwrap_or_default()
    }

    /// Which headless Services the set has.
    #[must_use]
    pub fn subdomain_policy(&self) -> SubdomainPolicy {
        let config = self.network_config.as_ref();
        config.and_then(|it| it.subdomain_policy).unwrap_or_default()
    }

    /// Rolling-update settings relative to `spec.replicas`, whatever state the stored object is
    /// in: a value that cannot be scaled counts as 0, negative ones too, and when nothing may move
    /// (both are 0, as a scale write can bring about) one group may be unavailable.
    #[must_use]
    pub fn rolling_update(&self) -> RollingUpdate {
        let replicas = i64::from(self.replicas());
        let config = self
            .rollout_strategy
            .as_ref()
            .and_then(|strategy| strategy.rolling_update_configuration.as_ref())
            .map_or_else(Cow::default, Cow::Borrowed);
        let number = |value: Option<&IntOrString>, absent, rounding| {
            value.map_or(Some(absent), |it| scaled(it, replicas, rounding)).unwrap_or(0).max(0)
        };
        let max_surge = number(config.max_surge.as_ref(), 0, Rounding::Up).min(replicas);
        let mut max_unavailable = number(config.max_unavailable.as_ref(), 1, Rounding::Down);
        if max_unavailable == 0 && max_surge == 0 && replicas != 0 {
            max_unavailable = 1;
        }
        RollingUpdate {
            partition: i64::from(config.partition.unwrap_or(0)).max(0),
            max_unavailable,
            max_surge,
        }
    }
}

impl LeaderWorkerTemplate {
    /// Pods of a group, leader included.
    #[must_use]
    pub fn size(&self) -> i32 {
        self.size.unwrap_or(1)
    }

    /// Template of the leader pods.
    #[must_use]
    pub fn leader_template(&self) -> &PodTemplate {
        self.leader_template.as_ref().unwrap_or(&self.worker_template)
    }

    /// What a failing pod does to its group; never [`RestartPolicy::Default`].
    #[must_use]
    pub fn restart_policy(&self) -> RestartPolicy {
        match self.restart_policy {
            None => RestartPolicy::RecreateGroupOnPodRestart,
            Some(RestartPolicy::Default) => RestartPolicy::None,
            Some(policy) => policy,
        }
    }
}

impl SubGroupPolicy {
    /// Whether the leader belongs to subgroup 0.
    #[must_use]
    pub fn policy_type(&self) -> SubGroupPolicyType {
        self.policy_type.unwrap_or_default()
    }
}

impl kube_core::Resource for LeaderWorkerSet {
    type DynamicType = ();
    type Scope = kube_core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        keys::KIND.into()
    }
    fn group((): &()) -> Cow<'_, str> {
        keys::GROUP.into()
    }
    fn version((): &()) -> Cow<'_, str> {
        keys::VERSION.into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        keys::PLURAL.into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: Value) -> LeaderWorkerSetSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn absent_fields_have_their_documented_meaning() {
        let it = spec(json!({"leaderWorkerTemplate": {"workerTemplate": {"spec": {}}}}));
        assert_eq!(it.replicas(), 1);
        assert_eq!(it.leader_worker_template.size(), 1);
        assert_eq!(it.startup_policy(), StartupPolicy::LeaderCreated);
        assert_eq!(it.subdomain_policy(), SubdomainPolicy::Shared);
        assert_eq!(
            it.leader_worker_template.restart_policy(),
            RestartPolicy::RecreateGroupOnPodRestart
        );
        let all = RollingUpdate { partition: 0, max_unavailable: 1, max_surge: 0 };
        assert_eq!(it.rolling_update(), all);
    }

    #[test]
    fn rolling_update_resolves_percentages_and_survives_stored_nonsense() {
        for (config, replicas, expected) in [
            (json!({"partition": 2, "maxUnavailable": "50%", "maxSurge": "25%"}), 4, (2, 2, 1)),
            (json!({"maxUnavailable": 0, "maxSurge": 9}), 4, (0, 0, 4)),
            (json!({"maxUnavailable": "25%", "maxSurge": "0%"}), 2, (0, 1, 0)),
            (json!({"maxUnavailable": "25%", "maxSurge": "25%"}), 0, (0, 0, 0)),
            (json!({"maxUnavailable": "x", "maxSurge": -3, "partition": -1}), 4, (0, 1, 0)),
        ] {
            let it = spec(json!({
                "replicas": replicas,
                "leaderWorkerTemplate": {"workerTemplate": {}},
                "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": config},
            }));
            let RollingUpdate { partition, max_unavailable, max_surge } = it.rolling_update();
            assert_eq!((partition, max_unavailable, max_surge), expected, "{config}");
        }
    }

    #[test]
    fn unknown_template_fields_survive_a_round_trip() {
        let value = json!({
            "metadata": {"name": "s"},
            "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"fromTheFuture": [1, {"a": null}]}}}},
        });
        let set: LeaderWorkerSet = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&set).unwrap(), value);
    }
}

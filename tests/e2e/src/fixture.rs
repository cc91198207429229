//! The set that tests begin with.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::DynamicObject;
use lws_api_types::LeaderWorkerSet;
use lws_api_types::pod_template::PodTemplate;
use lws_api_types::set::{
    ClaimRetentionPolicy, NetworkConfig, RestartPolicy, RollingUpdateConfiguration,
    RolloutStrategy, StartupPolicy, SubdomainPolicy,
};
use serde_json::{Value, json};

use crate::namespace::set_resource;

/// The image of every container.
pub const IMAGE: &str = "docker.io/nginxinc/nginx-unprivileged:1.27";

/// A set to be created, with every default written out: 2 groups of 2 pods, replaced one by one, recreated when a
/// pod fails.
#[derive(Debug, Clone)]
pub struct Fixture {
    set: LeaderWorkerSet,
}

impl Default for Fixture {
    fn default() -> Self {
        Self::named("test-sample")
    }
}

impl Fixture {
    /// The fixture under a name of its own.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut set = LeaderWorkerSet::default();
        set.metadata.name = Some(name.to_owned());
        let template = &mut set.spec.leader_worker_template;
        template.leader_template = Some(pod_template("leader", &json!([])));
        template.worker_template =
            pod_template("worker", &json!([{"containerPort": 8080, "protocol": "TCP"}]));
        set.spec.rollout_strategy = Some(RolloutStrategy {
            strategy_type: "RollingUpdate".to_owned(),
            rolling_update_configuration: None,
        });
        Self { set }
            .replicas(2)
            .size(2)
            .restart_policy(RestartPolicy::RecreateGroupOnPodRestart)
            .partition(0)
            .max_unavailable(1)
            .max_surge(0)
            .startup_policy(StartupPolicy::LeaderCreated)
            .subdomain_policy(SubdomainPolicy::Shared)
    }

    /// The name of the set.
    #[must_use]
    pub fn name(&self) -> &str {
        self.set.name()
    }

    /// How many groups.
    #[must_use]
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.set.spec.replicas = Some(replicas);
        self
    }

    /// How many pods a group has.
    #[must_use]
    pub fn size(mut self, size: i32) -> Self {
        self.set.spec.leader_worker_template.size = Some(size);
        self
    }

    /// What becomes of a group with a failed pod.
    #[must_use]
    pub fn restart_policy(mut self, policy: RestartPolicy) -> Self {
        self.set.spec.leader_worker_template.restart_policy = Some(policy);
        self
    }

    /// Which groups keep their revision.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.rolling_update().partition = Some(partition);
        self
    }

    /// How many groups may be down during a rollout.
    #[must_use]
    pub fn max_unavailable(mut self, groups: i32) -> Self {
        self.rolling_update().max_unavailable = Some(IntOrString::Int(groups));
        self
    }

    /// How many groups may be created in addition during a rollout.
    #[must_use]
    pub fn max_surge(mut self, groups: i32) -> Self {
        self.rolling_update().max_surge = Some(IntOrString::Int(groups));
        self
    }

    /// When workers are created.
    #[must_use]
    pub fn startup_policy(mut self, policy: StartupPolicy) -> Self {
        self.set.spec.startup_policy = Some(policy);
        self
    }

    /// Which Services there are.
    #[must_use]
    pub fn subdomain_policy(mut self, policy: SubdomainPolicy) -> Self {
        self.set.spec.network_config = Some(NetworkConfig { subdomain_policy: Some(policy) });
        self
    }

    /// A volume claim of every pod, which goes when its pod is scaled away.
    #[must_use]
    pub fn claim(mut self, name: &str) -> Self {
        let template = &mut self.set.spec.leader_worker_template;
        template.volume_claim_templates.get_or_insert_default().push(json!({
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }));
        template.persistent_volume_claim_retention_policy = Some(ClaimRetentionPolicy {
            when_deleted: Some("Retain".to_owned()),
            when_scaled: Some("Delete".to_owned()),
        });
        self
    }

    /// An annotation of the set.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        let annotations = self.set.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A field of the spec of every pod.
    #[must_use]
    pub fn pod_spec(mut self, field: &str, value: &Value) -> Self {
        let template = &mut self.set.spec.leader_worker_template;
        for template in template.leader_template.iter_mut().chain([&mut template.worker_template]) {
            if let Some(spec) = template.0.get_mut("spec").and_then(Value::as_object_mut) {
                spec.insert(field.to_owned(), value.clone());
            }
        }
        self
    }

    /// Every pod ends soon, and leaves a node soon that is lost.
    #[must_use]
    pub fn short_lived(self) -> Self {
        let tolerations = ["unreachable", "not-ready"].map(|condition| {
            json!({
                "key": format!("node.kubernetes.io/{condition}"),
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 1,
            })
        });
        self.pod_spec("tolerations", &json!(tolerations))
            .pod_spec("terminationGracePeriodSeconds", &json!(1))
    }

    /// An annotation of every pod.
    #[must_use]
    pub fn pod_annotation(mut self, key: &str, value: &str) -> Self {
        let template = &mut self.set.spec.leader_worker_template;
        for template in template.leader_template.iter_mut().chain([&mut template.worker_template]) {
            template.set_annotation(key, value);
        }
        self
    }

    /// What the container of the leader and that of each worker ask for and are limited to.
    #[must_use]
    pub fn resources(mut self, leader: &Value, worker: &Value) -> Self {
        let template = &mut self.set.spec.leader_worker_template;
        let templates = template.leader_template.iter_mut().chain([&mut template.worker_template]);
        for (template, resources) in templates.zip([leader, worker]) {
            let spec = template.0.get_mut("spec");
            if let Some(present) = spec.and_then(|it| it.pointer_mut("/containers/0/resources")) {
                present.clone_from(resources);
            }
        }
        self
    }

    /// Any other change.
    #[must_use]
    pub fn changed(mut self, change: impl FnOnce(&mut LeaderWorkerSet)) -> Self {
        change(&mut self.set);
        self
    }

    /// The object to create.
    #[must_use]
    pub fn object(&self) -> DynamicObject {
        object(&self.set)
    }

    fn rolling_update(&mut self) -> &mut RollingUpdateConfiguration {
        let strategy = self.set.spec.rollout_strategy.get_or_insert_default();
        strategy.rolling_update_configuration.get_or_insert_default()
    }
}

/// A set as the API server takes it.
pub(crate) fn object(set: &LeaderWorkerSet) -> DynamicObject {
    let mut object = DynamicObject::new(set.name(), &set_resource());
    object.metadata = set.metadata.clone();
    object.data = json!({"spec": set.spec});
    object
}

fn pod_template(container: &str, ports: &Value) -> PodTemplate {
    let template = json!({"spec": {"containers": [{
        "name": container,
        "image": IMAGE,
        "ports": ports,
        "resources": {},
    }]}});
    PodTemplate(template.as_object().cloned().unwrap_or_default())
}

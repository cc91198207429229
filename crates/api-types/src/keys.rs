//! Every key that this system reads or writes on Kubernetes objects. Clients select, export and
//! schedule by these strings: they are public API and never change.

/// API group of [`crate::LeaderWorkerSet`].
pub const GROUP: &str = "leaderworkerset.x-k8s.io";
/// API version of [`crate::LeaderWorkerSet`].
pub const VERSION: &str = "v1";
/// `apiVersion` of [`crate::LeaderWorkerSet`].
pub const API_VERSION: &str = "leaderworkerset.x-k8s.io/v1";
/// Kind of [`crate::LeaderWorkerSet`].
pub const KIND: &str = "LeaderWorkerSet";
/// Plural resource name of [`crate::LeaderWorkerSet`].
pub const PLURAL: &str = "leaderworkersets";
/// Field manager of every write, shared with the existing implementation so that a server-side
/// apply takes over its fields.
pub const FIELD_MANAGER: &str = "lws";
/// Prefix of every label and annotation key that belongs to this system.
pub const PREFIX: &str = "leaderworkerset.sigs.k8s.io/";
/// The extended resource that makes a container a TPU container.
pub const TPU_RESOURCE: &str = "google.com/tpu";
/// Port of the first TPU container of a pod that does not choose its own; the next has the next.
pub const TPU_FIRST_PORT: usize = 8476;

/// Label keys.
pub mod labels {
    /// Name of the `LeaderWorkerSet`: on every object that belongs to it.
    pub const NAME: &str = "leaderworkerset.sigs.k8s.io/name";
    /// Revision key: which content of the set an object was built from.
    pub const REVISION: &str = "leaderworkerset.sigs.k8s.io/template-revision-hash";
    /// Ordinal of the group, counted from 0.
    pub const GROUP_INDEX: &str = "leaderworkerset.sigs.k8s.io/group-index";
    /// Hash that is unique to a group ([`crate::names::group_key`]).
    pub const GROUP_KEY: &str = "leaderworkerset.sigs.k8s.io/group-key";
    /// Ordinal of a pod in its group; the leader is `0`.
    pub const WORKER_INDEX: &str = "leaderworkerset.sigs.k8s.io/worker-index";
    /// Ordinal of the subgroup of a pod.
    pub const SUBGROUP_INDEX: &str = "leaderworkerset.sigs.k8s.io/subgroup-index";
    /// Hash that is unique to a subgroup ([`crate::names::subgroup_key`]).
    pub const SUBGROUP_KEY: &str = "leaderworkerset.sigs.k8s.io/subgroup-key";
}

/// Annotation keys.
pub mod annotations {
    /// Node label key: one group per topology domain.
    pub const EXCLUSIVE_TOPOLOGY: &str = "leaderworkerset.sigs.k8s.io/exclusive-topology";
    /// Node label key: one subgroup per topology domain.
    pub const SUBGROUP_EXCLUSIVE_TOPOLOGY: &str =
        "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology";
    /// Presence turns `RecreateGroupOnPodRestart` into its after-start variant.
    pub const RECREATE_AFTER_START: &str =
        "leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start";
    /// Decimal group size, on pods.
    pub const SIZE: &str = "leaderworkerset.sigs.k8s.io/size";
    /// Decimal `spec.replicas` at the last apply, on the leader `StatefulSet`.
    pub const REPLICAS: &str = "leaderworkerset.sigs.k8s.io/replicas";
    /// UIDs of the workers that a group has had, on its worker `StatefulSet`: a worker that is
    /// missing has vanished.
    pub const MEMBERS: &str = "leaderworkerset.sigs.k8s.io/members";
    /// How often groups have failed lately, as JSON by group index, on the leader `StatefulSet`.
    pub const GROUP_RESTARTS: &str = "leaderworkerset.sigs.k8s.io/group-restarts";
    /// Name of the leader pod, on worker pods.
    pub const LEADER_NAME: &str = "leaderworkerset.sigs.k8s.io/leader-name";
    /// Decimal subgroup size, on pods.
    pub const SUBGROUP_SIZE: &str = "leaderworkerset.sigs.k8s.io/subgroup-size";
    /// `LeaderWorker` or `LeaderExcluded`, on pods.
    pub const SUBGROUP_POLICY_TYPE: &str = "leaderworkerset.sigs.k8s.io/subgroup-policy-type";
    /// `UniquePerReplica`, on leader pods (the key is camel case, unlike the others).
    pub const SUBDOMAIN_POLICY: &str = "leaderworkerset.sigs.k8s.io/subdomainPolicy";
    /// `true` on worker pods whose leader requests TPUs.
    pub const LEADER_REQUESTS_TPUS: &str = "leaderworkerset.sigs.k8s.io/leader-requests-tpus";
    /// Name of the `PodGroup` of a pod, read by Volcano.
    pub const POD_GROUP_NAME: &str = "scheduling.k8s.io/group-name";
    /// Volcano queue of the set.
    pub const VOLCANO_QUEUE: &str = "scheduling.volcano.sh/queue-name";
    /// Prefix of the annotations that are copied to `PodGroup`s.
    pub const VOLCANO_PREFIX: &str = "volcano.sh/";
}

/// Environment variables that are injected into pods.
pub mod env {
    /// DNS address of the leader pod.
    pub const LEADER_ADDRESS: &str = "LWS_LEADER_ADDRESS";
    /// Number of pods in the group, leader included.
    pub const GROUP_SIZE: &str = "LWS_GROUP_SIZE";
    /// Ordinal of the pod in its group.
    pub const WORKER_INDEX: &str = "LWS_WORKER_INDEX";
    /// Comma-separated hosts of the TPU group.
    pub const TPU_WORKER_HOSTNAMES: &str = "TPU_WORKER_HOSTNAMES";
    /// Position of the container in [`TPU_WORKER_HOSTNAMES`].
    pub const TPU_WORKER_ID: &str = "TPU_WORKER_ID";
    /// Name of the leader pod.
    pub const TPU_NAME: &str = "TPU_NAME";
    /// Comma-separated `host:port` of the TPU group.
    pub const TPU_PROCESS_ADDRESSES: &str = "TPU_PROCESS_ADDRESSES";
    /// Port of the TPU runtime in the container.
    pub const TPU_PROCESS_PORT: &str = "TPU_PROCESS_PORT";
}

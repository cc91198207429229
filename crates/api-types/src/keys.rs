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

/// Declares keys and the list of them.
macro_rules! keys {
    ($($(#[$attribute:meta])* $name:ident = $key:literal,)*) => {
        $($(#[$attribute])* pub const $name: &str = $key;)*

        /// All of them.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

/// Label keys.
pub mod labels {
    keys! {
        /// Name of the `LeaderWorkerSet`: on every object that belongs to it.
        NAME = "leaderworkerset.sigs.k8s.io/name",
        /// Revision key: which content of the set an object was built from.
        REVISION = "leaderworkerset.sigs.k8s.io/template-revision-hash",
        /// Ordinal of the group, counted from 0.
        GROUP_INDEX = "leaderworkerset.sigs.k8s.io/group-index",
        /// Hash that is unique to a group ([`crate::names::group_key`]).
        GROUP_KEY = "leaderworkerset.sigs.k8s.io/group-key",
        /// Ordinal of a pod in its group; the leader is `0`.
        WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index",
        /// Ordinal of the subgroup of a pod.
        SUBGROUP_INDEX = "leaderworkerset.sigs.k8s.io/subgroup-index",
        /// Hash that is unique to a subgroup ([`crate::names::subgroup_key`]).
        SUBGROUP_KEY = "leaderworkerset.sigs.k8s.io/subgroup-key",
    }
}

/// Annotation keys.
pub mod annotations {
    keys! {
        /// Node label key: one group per topology domain.
        EXCLUSIVE_TOPOLOGY = "leaderworkerset.sigs.k8s.io/exclusive-topology",
        /// Node label key: one subgroup per topology domain.
        SUBGROUP_EXCLUSIVE_TOPOLOGY = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology",
        /// Presence turns `RecreateGroupOnPodRestart` into its after-start variant.
        RECREATE_AFTER_START = "leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start",
        /// Decimal group size, on pods.
        SIZE = "leaderworkerset.sigs.k8s.io/size",
        /// Decimal `spec.replicas` at the last apply, on the leader `StatefulSet`.
        REPLICAS = "leaderworkerset.sigs.k8s.io/replicas",
        /// Who belongs to each group, by the beginnings of UIDs, on the leader `StatefulSet`: a worker
        /// that is missing has vanished.
        MEMBERS = "leaderworkerset.sigs.k8s.io/members",
        /// How often groups have failed lately, as JSON by group index, on the leader
        /// `StatefulSet`.
        GROUP_RESTARTS = "leaderworkerset.sigs.k8s.io/group-restarts",
        /// On sets: how many revisions are kept that no group is at.
        REVISION_HISTORY_LIMIT = "leaderworkerset.sigs.k8s.io/revision-history-limit",
        /// On a paused set: its partition before the pause. `kubectl lws` writes and reads it.
        PAUSED_PARTITION = "leaderworkerset.sigs.k8s.io/paused-partition",
        /// Name of the leader pod, on worker pods.
        LEADER_NAME = "leaderworkerset.sigs.k8s.io/leader-name",
        /// Decimal subgroup size, on pods.
        SUBGROUP_SIZE = "leaderworkerset.sigs.k8s.io/subgroup-size",
        /// `LeaderWorker` or `LeaderExcluded`, on pods.
        SUBGROUP_POLICY_TYPE = "leaderworkerset.sigs.k8s.io/subgroup-policy-type",
        /// `UniquePerReplica`, on leader pods (the key is camel case, unlike the others).
        SUBDOMAIN_POLICY = "leaderworkerset.sigs.k8s.io/subdomainPolicy",
        /// `true` on worker pods whose leader requests TPUs.
        LEADER_REQUESTS_TPUS = "leaderworkerset.sigs.k8s.io/leader-requests-tpus",
        /// Name of the `PodGroup` of a pod, read by Volcano.
        POD_GROUP_NAME = "scheduling.k8s.io/group-name",
        /// Volcano queue of the set.
        VOLCANO_QUEUE = "scheduling.volcano.sh/queue-name",
        /// Prefix of the annotations that are copied to `PodGroup`s.
        VOLCANO_PREFIX = "volcano.sh/",
    }
}

/// Environment variables that are injected into pods.
pub mod env {
    keys! {
        /// DNS address of the leader pod.
        LEADER_ADDRESS = "LWS_LEADER_ADDRESS",
        /// Number of pods in the group, leader included.
        GROUP_SIZE = "LWS_GROUP_SIZE",
        /// Ordinal of the pod in its group.
        WORKER_INDEX = "LWS_WORKER_INDEX",
        /// Comma-separated hosts of the TPU group.
        TPU_WORKER_HOSTNAMES = "TPU_WORKER_HOSTNAMES",
        /// Position of the container in [`TPU_WORKER_HOSTNAMES`].
        TPU_WORKER_ID = "TPU_WORKER_ID",
        /// Name of the leader pod.
        TPU_NAME = "TPU_NAME",
        /// Comma-separated `host:port` of the TPU group.
        TPU_PROCESS_ADDRESSES = "TPU_PROCESS_ADDRESSES",
        /// Port of the TPU runtime in the container.
        TPU_PROCESS_PORT = "TPU_PROCESS_PORT",
    }
}

//! Admission of pods: what a pod of a group must carry, decided from the pod alone.
//!
//! | module | owns |
//! |---|---|
//! | `view` | the fields of a pod that decide something |
//! | `identity` | which pod of which group it is, and the labels that say so |
//! | `exclusive` | affinity that gives a group or subgroup a topology domain of its own |
//! | `gang` | the annotation that names its `PodGroup` |
//! | `tpu` | the hosts of its TPU group |
//! | `variables` | the environment of its containers |
//! | `mutate` | all of them, as one patch |

mod exclusive;
mod gang;
mod identity;
mod mutate;
mod tpu;
mod variables;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use mutate::mutate;
pub(crate) use view::Pod;

use lws_api_types::keys::{annotations, labels};

use view::Metadata;

/// What the configuration says about pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether pods are scheduled by group: each names its `PodGroup`.
    pub gang_scheduling: bool,
}

/// Why a pod is rejected. The texts are the ones of the existing implementation where it rejects
/// too: users search for them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    /// Every pod of a set carries the size of its group.
    #[error("size annotation is unexpectedly missing for pod {pod}")]
    SizeMissing { pod: String },
    /// An annotation that holds a number holds none.
    #[error("annotation {key}: strconv.Atoi: parsing {value:?}: {problem}")]
    NotANumber { key: &'static str, value: String, problem: &'static str },
    /// An annotation holds a number that makes no sense.
    #[error("annotation {key}: must be at least 1, is {value}")]
    NotPositive { key: &'static str, value: String },
    /// The ordinal is what tells a pod from its siblings.
    #[error("parsing pod ordinal for pod {pod}")]
    NoOrdinal { pod: String },
    /// Where Kubernetes does not know ordinals that begin with 1, the first pod of a StatefulSet of
    /// workers is a second leader. A pod with this ordinal that names no leader is none of those.
    #[error("pod {pod} cannot be a worker: its ordinal is 0, which is that of the leader")]
    NoWorker { pod: String },
    /// The name of a TPU worker must begin with the name of its leader.
    #[error("parsing parent name from pod {pod}")]
    NoParent { pod: String },
    /// The address of the leader cannot be told.
    #[error(
        "Failure constructing environment variables, no group index label found for pod \
         {namespace}/{pod}"
    )]
    NoGroupIndex { namespace: String, pod: String },
    /// A TPU pod that is in no list of TPU hosts cannot work.
    #[error(
        "pod {pod} cannot be a TPU host: its ordinal is {ordinal}, and annotation {} says {size}",
        annotations::SIZE
    )]
    OutsideGroup { pod: String, ordinal: u32, size: u32 },
    /// No API server could store the pod.
    #[error(
        "the TPU host lists of pod {pod} would take about {bytes} bytes, at most {limit} fit into \
         an object"
    )]
    HostListsTooLong { pod: String, bytes: usize, limit: usize },
    /// No API server could take what would come of the pod.
    #[error(
        "the changes to pod {pod} would take more than {limit} bytes: too many containers or repeated variables"
    )]
    PatchTooLong { pod: String, limit: usize },
    /// Pods of a set are named by their `StatefulSet`. One with at most the beginning of a name is
    /// of a `ReplicaSet` or a `Job`, and has the label by mistake, whatever else is wrong with it.
    #[error(
        "{reason}: it has no name yet, but label {} makes it a pod of LeaderWorkerSet {set:?}, \
         which names its pods: remove the label, or let the LeaderWorkerSet create the pod",
        labels::NAME
    )]
    Nameless { reason: Box<Rejection>, set: String },
    /// A change could not be written as JSON.
    #[error("writing the patch: {0}")]
    Patch(#[from] serde_json::Error),
}

impl Rejection {
    /// This rejection of a pod, with what to do if the pod has no name.
    fn of(self, pod: &Metadata<'_>) -> Self {
        match &pod.labels.set {
            Some(set) if pod.name.is_empty() && self.rule().is_some() => {
                Self::Nameless { reason: Box::new(self), set: set.to_string() }
            }
            _ => self,
        }
    }
}

/// Names the rules by which pods are rejected: labels of metrics, the same in every version.
macro_rules! rules {
    ($($rejection:ident = $name:literal,)*) => {
        impl Rejection {
            /// The name of every rule by which a pod is rejected.
            pub(crate) const RULES: &'static [&'static str] = &[$($name),*];

            /// The name of the rule that the pod breaks. `None` when the pod is not the reason.
            pub(crate) fn rule(&self) -> Option<&'static str> {
                match self {
                    $(Self::$rejection { .. } => Some($name),)*
                    Self::Nameless { reason, .. } => reason.rule(),
                    Self::Patch(_) => None,
                }
            }
        }
    };
}

rules! {
    SizeMissing = "size-missing",
    NotANumber = "not-a-number",
    NotPositive = "not-positive",
    NoOrdinal = "no-ordinal",
    NoWorker = "no-worker",
    NoParent = "no-parent",
    NoGroupIndex = "no-group-index",
    OutsideGroup = "outside-group",
    HostListsTooLong = "host-lists-too-long",
    PatchTooLong = "patch-too-long",
}

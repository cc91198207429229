//! Slim values of the Kubernetes objects that decisions read. Each is parsed straight from the
//! server's JSON and keeps only what some decision needs, so memory grows with the pods of sets by
//! a few hundred bytes each and never with what those objects carry besides.

mod footprint;
mod meta;
mod placement;
mod pod;
mod pod_group;
mod revision;
mod service;
mod set;
mod stateful_set;
mod trouble;

pub use footprint::Footprint;
pub use meta::{Identity, Owner};
pub use placement::Placement;
pub use pod::{Disruption, Phase, PodView, is_in_gang};
pub use pod_group::PodGroupView;
pub use revision::RevisionView;
pub use service::ServiceView;
pub use set::SetView;
pub use stateful_set::{Compared, StatefulSetView};
pub use trouble::{Trouble, TroubleKind};

/// What the index needs from every kind of object: who it is and which set it names.
pub trait View: Clone + Footprint + PartialEq + Send + Sync + 'static {
    /// Identity of the object.
    fn identity(&self) -> &Identity;
    /// Name of the set it belongs to by label, or its own for a set; `None` when it names none.
    fn set_name(&self) -> Option<&str>;
    /// What it takes in memory, in bytes and about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.heap()
    }
    /// Whether nothing is to be done at once about what this object, which was `before` (`None`
    /// when it is new), shows: it may wait for more of its kind.
    fn may_wait(&self, _before: Option<&Self>) -> bool {
        false
    }
    /// Whether it is a pod that a worker `StatefulSet` has made.
    fn is_of_worker_set(&self) -> bool {
        false
    }
}

/// Implements `kube::Resource` for a view that keeps an [`Identity`], so that typed API calls and
/// watches work on it.
macro_rules! resource {
    ($view:ty, $kind:literal, $group:literal, $version:literal, $plural:literal) => {
        impl kube::Resource for $view {
            type DynamicType = ();
            type Scope = kube::core::NamespaceResourceScope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }
            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }
            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.identity.meta
            }
            fn meta_mut(
                &mut self,
            ) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.identity.meta
            }
        }
    };
}
use resource;

//! Two simulations, without Kubernetes: of a rollout, whatever happens, and of a whole set, however large.
//!
//! In the first, what the arithmetic of rollouts decides is applied, the `StatefulSet` controller and the kubelets do their
//! part, and every rule that holds at all times is asserted where it would be broken. A pod stands for its whole group.
//!
//! | module | owns |
//! |---|---|
//! | [`cluster`] | the cluster: what may happen, the reconcile, and how a rollout runs to its end |
//! | `stateful_set` | the `StatefulSet` controller (policy `Parallel`, with and without the feature gate `MaxUnavailableStatefulSet`) |
//! | `rules` | what holds for every step |
//! | [`effort`] | how much the arithmetic had to do |
//! | [`whole`] | a set with everything that belongs to it, for whole plans |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a rule that is broken is a panic"
)]

pub mod cluster;
pub mod effort;
mod rules;
mod stateful_set;
pub mod whole;

pub use cluster::{Cluster, Event, Template, Wanted};
pub use effort::Effort;
pub use whole::WholeSet;

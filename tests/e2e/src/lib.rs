//! Support for end-to-end tests: a cluster that all tests of one binary share, sets to create in it, and what is
//! expected of them.
//!
//! | module | owns |
//! |---|---|
//! | [`environment`] | the shared cluster with the installed system |
//! | [`namespace`] | a namespace for one test, and what is in it |
//! | [`fixture`] | the set that tests begin with |
//! | [`set`] | a set in the cluster: changes, status, rollout stages |
//! | [`stand_in`] | playing the `StatefulSet` controller where none runs |
//! | [`mounted_secret`] | a mounted Secret, without a kubelet |
//! | [`network`] | the network between the API server and pods |
//! | [`workloads`] | the pods of the installed Deployments, run as processes |
//! | [`go`] | what programs in Go make of certificates |
//! | [`objects`] | what the objects of a set must look like |
//! | [`groups`] | the groups of pods, from what happened to the pods |
//! | [`witness`] | what must never happen, whatever fails |
//! | [`differences`] | saying how an object differs from what is expected |
//! | [`plugin`] | the plugin of kubectl |
//! | [`pod_group`] | `PodGroup`s of gang scheduling |
//! | [`policy`] | making the API server refuse requests |
//! | [`metrics`] | what a process measures |
//! | [`recording`] | everything that happens to objects, by watch |
//! | [`store`] | everything that is stored, in the order in which it is |
//! | [`webhooks`] | replicas of the webhook behind their Service |

pub mod differences;
pub mod environment;
pub mod fixture;
pub mod go;
pub mod groups;
pub mod metrics;
pub mod mounted_secret;
pub mod namespace;
pub mod network;
pub mod objects;
pub mod plugin;
pub mod pod_group;
pub mod policy;
pub mod recording;
pub mod set;
pub mod stand_in;
pub mod store;
pub mod webhooks;
pub mod witness;
pub mod workloads;

use std::time::Duration;

pub use environment::Environment;
pub use fixture::Fixture;
pub use mounted_secret::MountedSecret;
pub use namespace::Namespace;
pub use network::Network;
pub use set::TestSet;

/// How long anything may take that is expected to happen. Things take milliseconds on an idle machine.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// How long is looked for something that is expected not to happen.
pub const QUIET: Duration = Duration::from_millis(1500);

/// The user of the controller.
pub const CONTROLLER: &str = "system:serviceaccount:lws-system:lws-controller-manager";

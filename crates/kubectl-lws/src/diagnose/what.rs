//! What is wrong, in the words that several places tell it by.

pub(super) const CONTAINER: &str = "A container cannot be started";
pub(super) const CRASH: &str = "A container ends again and again";
pub(super) const IMAGE: &str = "An image cannot be pulled";
pub(super) const NAME_TAKEN: &str = "An object of somebody else has a name that the set needs";
pub(super) const NODE_LOST: &str = "The node of a pod does not answer";
pub(super) const NO_TOPOLOGY: &str = "No node has the topology label";
pub(super) const QUOTA: &str = "A quota is exceeded";
pub(super) const REFUSED: &str = "Pods cannot be created";
pub(super) const STUCK: &str = "A pod does not end";
pub(super) const UNLABELLED_NODE: &str = "A node has no topology label";
pub(super) const UNSCHEDULED: &str = "The scheduler finds no node";
pub(super) const WEBHOOK: &str = "An admission webhook does not answer";

//! What is known of the cluster: slim values parsed from watch streams and from the answers to our
//! own writes, indexed by the set they belong to.

pub mod entry;
pub mod index;
pub mod nodes;
mod notes;
pub mod views;
pub mod watch;

//! The contract of the LeaderWorkerSet system: what a user writes, what the webhook and the
//! controller agree on, and nothing that talks to a server.
//!
//! | module | owns |
//! |---|---|
//! | [`set`] | the `LeaderWorkerSet` type, its status, and how absent fields are read |
//! | [`pod_template`] | pod templates as pass-through JSON with typed accessors |
//! | [`int_or_percent`] | `maxUnavailable` and `maxSurge` as numbers of groups |
//! | [`keys`] | every label, annotation, variable and resource name |
//! | [`names`] | names, ordinals, addresses and hashes derived from a set |
//! | [`conditions`] | the condition types and how they are merged |
//! | [`defaults`] | what the mutating webhook fills in |
//! | [`validation`] | the rules V1–V25 |
//! | [`subgroup`] | which pods of a group form a subgroup |
//! | [`placement`] | when exclusive placement counts as applied |
//! | [`tpu`] | which containers are TPU containers, and their ports |
//! | [`quantity`] | resource quantities in canonical form |
//! | [`pointer`] | JSON pointers |
//! | [`revision`] | revision data, its byte form, key, and comparison |

pub mod conditions;
pub mod defaults;
pub mod int_or_percent;
pub mod keys;
pub mod names;
pub mod placement;
pub mod pod_template;
pub mod pointer;
pub mod quantity;
pub mod revision;
pub mod set;
pub mod subgroup;
pub mod tpu;
pub mod validation;

pub use set::{LeaderWorkerSet, LeaderWorkerSetSpec, LeaderWorkerSetStatus};

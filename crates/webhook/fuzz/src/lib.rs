//! What the fuzz targets of the webhook feed it with, and what must hold for its answers.
//!
//! | module | owns |
//! |---|---|
//! | [`targets`] | what each target does with the bytes it gets |
//! | [`pods`] | pods of groups, right and nearly right |
//! | [`model`] | what a pod of a group must look like once it is stored |
//! | [`verify`] | what holds for the answer to any request |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a finding is a panic"
)]

pub mod model;
pub mod pods;
pub mod targets;
pub mod verify;

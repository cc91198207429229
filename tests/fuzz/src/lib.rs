//! What the fuzz targets feed the system with, and what must hold for what it makes of it.
//!
//! | module | owns |
//! |---|---|
//! | [`targets`] | the targets, by name |
//! | [`admission`] | reviews, pods and patches: the webhook |
//! | [`configuration`] | the configuration file of both processes |
//! | [`revision`] | stored revisions, and specs that are recorded and restored |
//! | [`quantity`] | resource quantities, and what they amount to by a model with integers of any length |
//! | [`damage`] | every way to spoil a seed a little |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a finding is a panic"
)]

pub mod admission;
pub mod configuration;
pub mod damage;
pub mod quantity;
pub mod revision;
pub mod targets;

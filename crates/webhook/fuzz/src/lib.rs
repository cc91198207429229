//! What the fuzz targets of the webhook share.

pub mod pods;
pub mod verify;

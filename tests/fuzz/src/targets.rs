//! The fuzz targets. Each takes any bytes and panics when something does not hold. Tests play them too.

pub use crate::admission::{patch, pod, review};
pub use crate::configuration::configuration;
pub use crate::quantity::quantity;
pub use crate::revision::revision;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Target); 6] = [
    ("configuration", configuration),
    ("patch", patch),
    ("pod", pod),
    ("quantity", quantity),
    ("review", review),
    ("revision", revision),
];

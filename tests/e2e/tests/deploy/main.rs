//! What is in `deploy/` for users, on a whole control plane: the manifests, the command that installs them, and the
//! variants.
//!
//! | module | owns |
//! |---|---|
//! | `installing` | the command that installs and removes, and what runs afterwards |
//! | `looking` | what that command concludes from what is there, and from no answer |
//! | `rights` | who may do what |
//! | `usage` | permissions and requests, compared |
//! | `variants` | components and overlays |
//! | `chart` | the Helm chart |
//! | `tools` | running the command and kubectl |

#![allow(clippy::indexing_slicing, reason = "an absent field of a JSON value is null")]

mod chart;
mod installing;
mod looking;
mod rights;
mod tools;
mod usage;
mod variants;

//! The admission webhook of the LeaderWorkerSet system: stateless, and without write access to
//! anything. A request is decoded as far as a decision needs, decided by pure functions, and
//! answered with the smallest JSON Patch.
//!
//! | module | owns |
//! |---|---|
//! | [`server`] | HTTP: routes, answers, panics |
//! | `body` | the bodies of requests, within limits |
//! | `head` | whom an answer is for, from the first bytes of a body |
//! | `memory` | how much of them there is at once |
//! | `pool` | who waits for memory, and who gives it back |
//! | `weight` | how much memory their values take |
//! | [`hook`] | which path decides what |
//! | `review` | the admission protocol |
//! | `pod` | what pods of a group must carry |
//! | `set` | defaults and rules of a `LeaderWorkerSet` |
//! | [`patch`] | JSON Patch |
//! | `json` | decoding of the fields that are read |
//! | [`metrics`] | what is measured |

mod body;
mod head;
pub mod hook;
mod json;
mod memory;
pub mod metrics;
pub mod patch;
mod pod;
mod pool;
mod review;
pub mod server;
mod set;
mod weight;

pub use metrics::Metrics;
pub use pod::Settings;
pub use server::router;

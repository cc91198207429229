//! The controller: brings the groups of every `LeaderWorkerSet` to the state its user wants.
//!
//! ```text
//! watch streams ──► observe::index ──► queue (a set's key) ──► Observed snapshot
//!                        ▲                                          │ plan (pure)
//!                        └──── returned objects ◄──── act ◄──── Plan { actions, status, events }
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`observe`] | what is known of the cluster, as slim values |
//! | [`plan`] | every decision, as pure functions over those values |
//! | [`act`] | requests to the API server |
//! | [`reconcile`] | the loop that runs the three for one set after another |
//! | [`queue`], [`backoff`] | which set is next, and when again after a failure |
//! | [`pace`] | which status writes wait for more to say |
//! | [`kept`] | what is remembered of sets from one plan to the next |
//! | [`lease`] | that only one controller acts |
//! | [`server_version`] | that the API server is new enough |
//! | [`certificates`] | the certificate under which the webhook serves |

pub mod act;
pub mod backoff;
pub mod certificates;
pub mod kept;
pub mod lease;
pub mod metrics;
pub mod observe;
pub mod pace;
pub mod plan;
pub mod queue;
pub mod reconcile;
pub mod server_version;

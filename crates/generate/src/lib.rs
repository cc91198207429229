//! What is generated: the custom resource definition, and the pages of the guide about its fields and
//! about metrics.
//!
//! | module | owns |
//! |---|---|
//! | [`published`] | Kubernetes' own schemas and where they come from |
//! | [`schema`] | the keywords of a schema |
//! | [`structural`] | the rules that turn published schemas into structural ones |
//! | [`definition`] | the definition and its YAML form |
//! | [`reference`] | the page about its fields |
//! | [`metrics`] | the page about the metrics of both processes |

pub mod definition;
mod error;
pub mod metrics;
pub mod published;
pub mod reference;
pub mod schema;
pub mod structural;

pub use definition::Definition;
pub use error::Error;
pub use published::Published;

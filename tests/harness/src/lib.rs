//! A real Kubernetes control plane for tests and for trying things out, on 127.0.0.1 and nowhere else.
//!
//! [`Cluster`] starts etcd, the API server, the controller manager and the scheduler, and plays nodes and their kubelets
//! with the [`simulator`]. [`system`] installs the project on it, [`processes`] runs its binaries, [`proxy`] spoils their
//! requests, and [`wait`] polls for conditions.
//! Whatever is started here ends with the process that started it, also when that one is killed.

mod archive;
pub mod audit;
pub mod cluster;
mod components;
mod credentials;
mod error;
mod options;
pub mod processes;
pub mod proxy;
pub mod simulator;
mod startup;
pub mod system;
pub mod wait;

pub use cluster::Cluster;
pub use error::{Error, Result};
pub use options::ClusterOptions;
pub use startup::free_ports;

//! What every process of the system needs to run: its settings, logs, servers and shutdown.
//!
//! | module | owns |
//! |---|---|
//! | [`access`] | who may use an endpoint, as the API server says |
//! | [`client`] | the connection to the API server |
//! | [`config`] | the configuration file, its defaults and checks; the effective [`config::Settings`] |
//! | [`endpoints`] | the health and metrics endpoints of a process |
//! | [`flags`] | the command line |
//! | [`health`] | named checks and the endpoints that report them |
//! | [`http_server`] | HTTP connections under limits, and a drain that loses no request |
//! | [`listen`] | listening addresses |
//! | [`logging`] | log lines: level, layout, destination |
//! | [`metrics`] | the registry of metrics and the endpoint that shows it |
//! | [`shutdown`] | signals |
//! | [`tls_server`] | the same connections over TLS |
//! | [`version`] | what was built: version, commit, date |

pub mod access;
pub mod client;
pub mod config;
mod connection;
pub mod endpoints;
pub mod flags;
pub mod health;
pub mod http_server;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod shutdown;
pub mod tls_server;
pub mod version;

//! The webhook's certificate, from an empty Secret on: issued, trusted, served, healed and replaced, while the API
//! server calls the webhook through its Service.
//!
//! | module | owns |
//! |---|---|
//! | `installation` | the shipped manifests, and replicas of the webhook behind their Service |
//! | `care` | a controller as it is installed looks after the certificate |
//! | `cert_manager` | certificates that somebody else issues |
//! | `rotation` | authorities and certificates change every few seconds under load |

mod care;
mod cert_manager;
mod installation;
mod rotation;

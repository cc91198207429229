//! The certificate under which the webhook serves: issued, trusted and renewed by the leader.
//!
//! ```text
//! watches (Secret, two webhook configurations) ──► keeper ──► plan (pure) ──► keeper ──► API server
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `plan` | what has to change, as a pure function |
//! | `seen` | how long something has been as it is |
//! | `stored` | the content of the Secret |
//! | `configuration` | the entries of a webhook configuration that lead to our Service |
//! | `watched` | one object: its watch, its last state, its replacement |
//! | `keeper` | the loop that watches and writes |
//!
//! A new authority comes in three steps, so that at no moment the API server is served a
//! certificate that it does not trust:
//! 1. it is stored in the Secret beside the one in use, and added to every `caBundle`;
//! 2. once every API server can have noticed, the webhook's certificate is one that it has signed;
//! 3. once every replica of the webhook can have loaded that, the old one leaves the bundles.
//!
//! Where a rotation stands is read from the API alone. How long it has stood there is counted by
//! this process: a new leader begins to wait anew, which is always safe.

mod configuration;
mod keeper;
mod metrics;
mod plan;
mod seen;
mod stored;
mod watched;

use std::time::Duration;

use jiff::SignedDuration;
use lws_runtime::config::RotationSettings;
use rustls_pki_types::{InvalidDnsNameError, ServerName};

pub use keeper::Keeper;
pub use metrics::Metrics;

/// What to keep, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the Secret and the Service are.
    pub namespace: String,
    /// The Secret that holds authority and certificate. It must exist; it may be empty.
    pub secret: String,
    /// The Service through which the API server calls the webhook.
    pub service: String,
    /// The name that the certificate is for.
    server_name: ServerName<'static>,
    /// When things happen.
    pub schedule: Schedule,
}

impl Settings {
    /// The usual schedule for these objects. Fails when the names give no DNS name.
    pub fn new(
        namespace: String,
        secret: String,
        service: String,
    ) -> Result<Self, InvalidDnsNameError> {
        let server_name = ServerName::try_from(format!("{service}.{namespace}.svc"))?;
        Ok(Self {
            namespace,
            secret,
            service,
            server_name,
            schedule: RotationSettings::default().into(),
        })
    }
}

/// When certificates are replaced.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How long a new authority is valid.
    pub authority_lifetime: SignedDuration,
    /// How long a new serving certificate is valid.
    pub serving_lifetime: SignedDuration,
    /// How long before its end either is replaced.
    pub renew_before: SignedDuration,
    /// How long an authority is trusted by all configurations before a certificate that it has
    /// signed is served: until then every API server must have noticed.
    pub propagation: Duration,
    /// How long a serving certificate is stored before other authorities than its own are trusted
    /// no more: until then every replica must have loaded it.
    pub retirement: Duration,
}

impl From<RotationSettings> for Schedule {
    fn from(settings: RotationSettings) -> Self {
        let signed = |it| SignedDuration::try_from(it).unwrap_or(SignedDuration::MAX);
        Self {
            authority_lifetime: signed(settings.authority_lifetime),
            serving_lifetime: signed(settings.certificate_lifetime),
            renew_before: signed(settings.renew_before),
            propagation: settings.trust_before,
            retirement: settings.distrust_after,
        }
    }
}

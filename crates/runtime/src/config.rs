//! The effective settings of a process: the configuration file, then the flags that were given.
//!
//! | module | owns |
//! |---|---|
//! | `file` | the form of the file and its strict decoding |
//! | `checks` | which values are accepted |
//! | `tls` | names of TLS versions and cipher suites |
//!
//! Both binaries accept the whole file, also what only the other one uses: they share it.

mod checks;
pub(crate) mod file;
mod tls;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use lws_api_types::validation::{FieldError, aggregate};
use lws_certs::issue::{AUTHORITY_LIFETIME, SERVING_LIFETIME};
use serde::Serialize;

use crate::{flags::Flags, tls_server::TlsOptions};

/// Where Kubernetes tells a pod its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The namespace of the system when the process does not run in a pod.
const DEFAULT_NAMESPACE: &str = "lws-system";

/// What a process runs with: every value is present and checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Namespace that the system is installed in.
    pub namespace: String,
    /// The webhook's listener.
    pub webhook: WebhookSettings,
    /// Which replica of the controller works.
    pub leader_election: LeaderElectionSettings,
    /// Where metrics are served, and how.
    pub metrics: MetricsSettings,
    /// The endpoints that a kubelet probes.
    pub health: HealthSettings,
    /// What TLS clients of this process are offered.
    #[serde(serialize_with = "tls::as_names")]
    pub tls: TlsOptions,
    /// How certificates are issued; `None` when they come from elsewhere, such as cert-manager.
    pub internal_certificates: Option<InternalCertificateSettings>,
    /// The scheduler that places a group at once; `None` is off.
    pub gang_scheduler: Option<GangScheduler>,
    /// How groups with failed pods are recreated.
    pub group_restart: GroupRestartSettings,
    /// Requests to the API server.
    pub client: ClientSettings,
}

/// The webhook's listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSettings {
    /// Host to listen on; empty is all addresses.
    pub host: String,
    /// Port to listen on, from 1.
    pub port: u16,
    /// Directory that holds `tls.crt` and `tls.key`.
    pub cert_dir: PathBuf,
}

impl WebhookSettings {
    /// The address in the form that [`crate::listen::listen`] takes.
    #[must_use]
    pub fn bind_address(&self) -> String {
        if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Which replica of the controller works. The lease lasts longer than the holder tries to renew it,
/// and that lasts more than 1.2 times the pause between two tries.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderElectionSettings {
    /// Off means that this process works at once: there must be no second one.
    pub enabled: bool,
    /// How long others wait after the holder's last renewal.
    #[serde(serialize_with = "as_text")]
    pub lease_duration: Duration,
    /// How long the holder tries to renew before it stops.
    #[serde(serialize_with = "as_text")]
    pub renew_deadline: Duration,
    /// Pause between two tries.
    #[serde(serialize_with = "as_text")]
    pub retry_period: Duration,
    /// Name of the Lease.
    pub resource_name: String,
    /// Namespace of the Lease.
    pub resource_namespace: String,
}

/// The endpoints that a kubelet probes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthSettings {
    /// `host:port` or `:port`; `None` is nowhere.
    pub bind_address: Option<String>,
    /// Path of readiness, with its slash.
    pub readiness_path: String,
    /// Path of liveness, with its slash.
    pub liveness_path: String,
}

/// Where metrics are served, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSettings {
    /// `host:port` or `:port`; `None` is nowhere.
    pub bind_address: Option<String>,
    /// Over TLS, to those whom the API server permits it. Otherwise to anyone on this machine.
    pub secure: bool,
    /// Directory that may hold `tls.crt` and `tls.key`.
    pub cert_dir: PathBuf,
}

/// The objects through which certificates are issued, in the system's namespace, and when.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalCertificateSettings {
    /// Service of the webhook; the certificate is for `<service>.<namespace>.svc`.
    pub webhook_service_name: String,
    /// Secret that holds authority and certificate.
    pub webhook_secret_name: String,
    /// When they are replaced.
    pub rotation: RotationSettings,
}

/// When certificates are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationSettings {
    /// How long a new authority is valid.
    #[serde(serialize_with = "as_text")]
    pub authority_lifetime: Duration,
    /// How long a new serving certificate is valid.
    #[serde(serialize_with = "as_text")]
    pub certificate_lifetime: Duration,
    /// How long before its end either is replaced.
    #[serde(serialize_with = "as_text")]
    pub renew_before: Duration,
    /// How long an authority is trusted by all configurations before a certificate that it has
    /// signed is served: until then every API server must have noticed.
    #[serde(serialize_with = "as_text")]
    pub trust_before: Duration,
    /// How long a serving certificate is stored before other authorities than its own are trusted
    /// no more: until then every replica must have loaded it.
    #[serde(serialize_with = "as_text")]
    pub distrust_after: Duration,
}

impl Default for RotationSettings {
    /// Lifetimes and lead are those of the existing implementation. API servers notice within a
    /// second, unless their watch has just broken. A kubelet takes up to two minutes to bring a
    /// Secret into a pod, the webhook one second to load it.
    fn default() -> Self {
        Self {
            authority_lifetime: AUTHORITY_LIFETIME.unsigned_abs(),
            certificate_lifetime: SERVING_LIFETIME.unsigned_abs(),
            renew_before: Duration::from_hours(90 * 24),
            trust_before: Duration::from_secs(30),
            distrust_after: Duration::from_mins(10),
        }
    }
}

/// A scheduler that places all pods of a group or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GangScheduler {
    /// <https://volcano.sh>
    Volcano,
}

/// How groups with failed pods are recreated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRestartSettings {
    /// How often a group is recreated at once; after that, each recreation waits twice as long as
    /// the one before.
    pub backoff_after: u32,
    /// How long the first recreation that waits does so.
    #[serde(serialize_with = "as_text")]
    pub initial_delay: Duration,
    /// The longest that a recreation waits.
    #[serde(serialize_with = "as_text")]
    pub max_delay: Duration,
    /// How long a group has to be ready until its failures are forgotten.
    #[serde(serialize_with = "as_text")]
    pub reset_after: Duration,
    /// How long a pod on a lost node may outlast the end of its grace period until it is deleted
    /// for good; `None` is for ever.
    #[serde(serialize_with = "as_optional_text")]
    pub node_lost_after: Option<Duration>,
    /// How many groups that have failed lately have a time series of their own; 0 is none.
    pub metric_series: u32,
}

impl Default for GroupRestartSettings {
    fn default() -> Self {
        Self {
            backoff_after: 2,
            initial_delay: Duration::from_secs(10),
            max_delay: Duration::from_mins(5),
            reset_after: Duration::from_mins(10),
            node_lost_after: Some(Duration::from_mins(1)),
            metric_series: 1000,
        }
    }
}

/// Requests to the API server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSettings {
    /// Requests per second in the long run; above 0.
    pub qps: f64,
    /// Requests that may be sent at once; above 0.
    pub burst: u32,
    /// Credentials; `None` looks in the usual places.
    pub kubeconfig: Option<PathBuf>,
}

/// Why settings could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read {path}: {reason}", path = .path.display(), reason = system_text(.cause))]
    Read {
        /// The configuration file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is not YAML or JSON, a value has the wrong type, or a field is there twice.
    #[error("strict decoding error: {0}")]
    Decode(String),
    /// The file has fields that do not exist.
    #[error("strict decoding error: {}", unknown_fields(.0))]
    UnknownFields(Vec<String>),
    /// The file is something else than a configuration.
    #[error("expected apiVersion {expected_version}, kind {expected_kind}; found {found}", expected_version = file::API_VERSION, expected_kind = file::KIND)]
    NotAConfiguration {
        /// What it says it is.
        found: String,
    },
    /// Values are not accepted.
    #[error("{}", aggregate(.0))]
    Invalid(Vec<FieldError>),
    /// Names of TLS versions or suites are not accepted.
    #[error("unable to parse TLS options from configuration: {}", .0.join(", "))]
    Tls(Vec<String>),
    /// Both.
    #[error("{}; {}", .0[0], .0[1])]
    Both(Box<[ConfigError; 2]>),
}

fn unknown_fields(fields: &[String]) -> String {
    let texts: Vec<String> =
        fields.iter().map(|field| format!("unknown field {field:?}")).collect();
    texts.join(", ")
}

/// What the system says, as the existing implementation writes it: `is a directory`.
pub(crate) fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = error.raw_os_error().map_or(text.as_str(), |code| {
        text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text)
    });
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Reads the file that `flags` name, if any, and applies the flags that were given.
pub fn load(flags: &Flags) -> Result<Settings, ConfigError> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.clone(), cause })
    };
    let text = flags.config.as_ref().map(read).transpose()?;
    effective(text.as_deref(), flags, &namespace(Path::new(NAMESPACE_FILE)))
}

/// The settings of a process with these flags, whose configuration file has this content (`None`
/// when it has no file); `namespace` is the one of the system.
pub fn effective(
    text: Option<&str>,
    flags: &Flags,
    namespace: &str,
) -> Result<Settings, ConfigError> {
    let configuration = text.map(file::decode).transpose()?.unwrap_or_default();
    let mut settings = checks::settings(flags.over(configuration), namespace)?;
    settings.client.kubeconfig.clone_from(&flags.kubeconfig);
    settings.metrics.secure = flags.metrics_secure;
    Ok(settings)
}

/// The namespace that `file` names. A process outside a pod has no such file.
fn namespace(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = text.trim();
    if name.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { name.to_owned() }
}

/// A duration as Go writes it, such as `1m30s`.
fn duration_text(duration: Duration) -> String {
    use jiff::fmt::friendly::{Spacing, SpanPrinter};
    let printer = SpanPrinter::new().spacing(Spacing::None);
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{}s", duration.as_secs()), |it| printer.duration_to_string(&it))
}

fn as_text<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(*duration))
}

#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
fn as_optional_text<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(duration_text).serialize(serializer)
}

#[cfg(test)]
mod tests;

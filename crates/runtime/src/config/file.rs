//! The form of the configuration file, and its strict decoding.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_path_to_error::{Path, Track};
use serde_saphyr::{Location, UserMessageFormatter};

use super::ConfigError;

pub(super) const API_VERSION: &str = "config.lws.x-k8s.io/v1alpha1";
pub(super) const KIND: &str = "Configuration";

/// The file as it was written: what is absent has its default.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Configuration {
    api_version: Option<String>,
    kind: Option<String>,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) leader_election: Option<LeaderElection>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) health: Option<Probes>,
    pub(crate) tls: Option<Tls>,
    pub(crate) internal_cert_management: Option<InternalCertManagement>,
    pub(crate) gang_scheduling_management: Option<GangSchedulingManagement>,
    pub(crate) group_restart: Option<GroupRestart>,
    pub(crate) client_connection: Option<ClientConnection>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Webhook {
    #[serde(deserialize_with = "plain")]
    pub(crate) port: Option<i64>,
    pub(crate) host: Option<String>,
    pub(crate) cert_dir: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LeaderElection {
    #[serde(deserialize_with = "plain")]
    pub(crate) leader_elect: Option<bool>,
    pub(crate) lease_duration: Option<String>,
    pub(crate) renew_deadline: Option<String>,
    pub(crate) retry_period: Option<String>,
    pub(crate) resource_lock: Option<String>,
    pub(crate) resource_name: Option<String>,
    pub(crate) resource_namespace: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metrics {
    pub(crate) bind_address: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Probes {
    pub(crate) health_probe_bind_address: Option<String>,
    pub(crate) readiness_endpoint_name: Option<String>,
    pub(crate) liveness_endpoint_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Tls {
    pub(crate) min_version: Option<String>,
    pub(crate) cipher_suites: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InternalCertManagement {
    #[serde(deserialize_with = "plain")]
    pub(crate) enable: Option<bool>,
    pub(crate) webhook_service_name: Option<String>,
    pub(crate) webhook_secret_name: Option<String>,
    pub(crate) rotation: Option<Rotation>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rotation {
    pub(crate) authority_lifetime: Option<String>,
    pub(crate) certificate_lifetime: Option<String>,
    pub(crate) renew_before: Option<String>,
    pub(crate) trust_before: Option<String>,
    pub(crate) distrust_after: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GangSchedulingManagement {
    pub(crate) scheduler_provider: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GroupRestart {
    #[serde(deserialize_with = "plain")]
    pub(crate) backoff_after: Option<i64>,
    pub(crate) initial_delay: Option<String>,
    pub(crate) max_delay: Option<String>,
    pub(crate) reset_after: Option<String>,
    pub(crate) node_lost_after: Option<String>,
    #[serde(deserialize_with = "plain")]
    pub(crate) metric_series: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClientConnection {
    #[serde(deserialize_with = "plain")]
    pub(crate) qps: Option<f64>,
    #[serde(deserialize_with = "plain")]
    pub(crate) burst: Option<i64>,
}

/// Reads a number or truth value that is one without being converted: a text in quotes is none.
fn plain<'de, D: Deserializer<'de>, T: DeserializeOwned>(value: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        let text = text.replace("expected i64", "expected an integer");
        D::Error::custom(text.replace("expected f64", "expected a number"))
    })
}

/// Reads YAML or JSON. Every unknown field is named, with its path.
pub(super) fn decode(text: &str) -> Result<Configuration, ConfigError> {
    let mut unknown = Vec::new();
    let mut track = Track::new();
    // Without a schema, a text that reads like a number has to be in quotes.
    let options = serde_saphyr::options! { with_snippet: false, no_schema: true };
    let decoded: Result<Configuration, _> =
        serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            let deserializer = serde_path_to_error::Deserializer::new(deserializer, &mut track);
            serde_ignored::deserialize(deserializer, |path| unknown.push(path.to_string()))
        });
    let configuration =
        decoded.map_err(|error| ConfigError::Decode(problem(&error, &track.path())))?;
    if configuration.api_version.as_deref() != Some(API_VERSION)
        || configuration.kind.as_deref() != Some(KIND)
    {
        let [version, kind] = [configuration.api_version, configuration.kind]
            .map(|field| field.unwrap_or_else(|| "none".to_owned()));
        return Err(ConfigError::NotAConfiguration {
            found: format!("apiVersion {version}, kind {kind}"),
        });
    }
    if unknown.is_empty() {
        return Ok(configuration);
    }
    // The path has a step named `?` for each optional section that it leads through.
    let without_steps = |path: String| path.replace("?.", "");
    Err(ConfigError::UnknownFields(unknown.into_iter().map(without_steps).collect()))
}

/// What is wrong, and where: the library's own texts speak to programmers.
fn problem(error: &serde_saphyr::Error, path: &Path) -> String {
    use serde_saphyr::Error;
    // The path to what is wrong with a key ends in `?`, and the one to the whole file is a dot.
    let path = path.to_string();
    let path = path.trim_end_matches(['?', '.']);
    let [field, section] =
        [": ", "."].map(|end| if path.is_empty() { String::new() } else { format!("{path}{end}") });
    match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), location } => {
            format!("duplicate field \"{section}{key}\"{}", at(*location))
        }
        Error::MultipleDocuments { .. } => "the file has more than one document".to_owned(),
        Error::QuotingRequired { value, location } => {
            format!("{field}expected a string, found {value}{}: put it in quotes", at(*location))
        }
        other => format!("{field}{}", other.render_with_formatter(&UserMessageFormatter)),
    }
}

fn at(location: Location) -> String {
    format!(" at line {}, column {}", location.line(), location.column())
}

//! The form of the configuration file, and its strict decoding.

use serde::Deserialize;

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
    pub(crate) port: Option<i64>,
    pub(crate) host: Option<String>,
    pub(crate) cert_dir: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LeaderElection {
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
    pub(crate) enable: Option<bool>,
    pub(crate) webhook_service_name: Option<String>,
    pub(crate) webhook_secret_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GangSchedulingManagement {
    pub(crate) scheduler_provider: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GroupRestart {
    pub(crate) backoff_after: Option<i64>,
    pub(crate) initial_delay: Option<String>,
    pub(crate) max_delay: Option<String>,
    pub(crate) reset_after: Option<String>,
    pub(crate) node_lost_after: Option<String>,
    pub(crate) metric_series: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClientConnection {
    pub(crate) qps: Option<f64>,
    pub(crate) burst: Option<i64>,
}

/// Reads YAML or JSON. Every unknown field is named, with its path.
pub(super) fn decode(text: &str) -> Result<Configuration, ConfigError> {
    let mut unknown = Vec::new();
    let options = serde_saphyr::options! { with_snippet: false };
    let configuration: Configuration =
        serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            serde_ignored::deserialize(deserializer, |path| unknown.push(path.to_string()))
        })?;
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

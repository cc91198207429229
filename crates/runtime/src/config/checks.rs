//! Which values are accepted, and what stands for absent ones.

use std::{net::SocketAddr, time::Duration};

use jiff::SignedDuration;
use lws_api_types::validation::{FieldError, formats};

use super::{
    ClientSettings, ConfigError, GangScheduler, GroupRestartSettings, HealthSettings,
    InternalCertificateSettings, LeaderElectionSettings, MetricsSettings, RotationSettings,
    Settings, WebhookSettings, duration_text,
    file::{
        ClientConnection, Configuration, GangSchedulingManagement, GroupRestart,
        InternalCertManagement, LeaderElection, Metrics, Probes, Rotation, Webhook,
    },
    tls,
};
use crate::tls_server::TlsOptions;

/// Tries to renew are at least this factor shorter than the time that they may take in all: the
/// pause between them is stretched by up to as much.
const RETRY_JITTER: f64 = 1.2;

/// The longest that anything lasts or waits, a hundred years: clocks and certificates end before some
/// numbers do.
const LONGEST: Duration = Duration::from_hours(876_000);

/// Requests a second. With fewer of them the turn of the last in a burst would be out of any clock's range.
const LOWEST_RATE: f64 = 0.001;

/// Checks `configuration` and completes it; `namespace` is the one of the system.
pub(super) fn settings(
    configuration: Configuration,
    namespace: &str,
) -> Result<Settings, ConfigError> {
    let mut errors = Vec::new();
    let (tls, refused) = match tls::options(configuration.tls.unwrap_or_default()) {
        Ok(options) => (options, None),
        Err(error) => (TlsOptions::default(), Some(error)),
    };
    let settings = Settings {
        namespace: namespace.to_owned(),
        webhook: webhook(configuration.webhook.unwrap_or_default(), &mut errors),
        leader_election: leader_election(
            configuration.leader_election.unwrap_or_default(),
            namespace,
            &mut errors,
        ),
        metrics: metrics(configuration.metrics.unwrap_or_default(), &mut errors),
        health: health(configuration.health.unwrap_or_default(), &mut errors),
        tls,
        internal_certificates: internal_certificates(
            configuration.internal_cert_management.unwrap_or_default(),
            &mut errors,
        ),
        gang_scheduler: configuration
            .gang_scheduling_management
            .and_then(|section| gang_scheduler(section, &mut errors)),
        group_restart: group_restart(configuration.group_restart.unwrap_or_default(), &mut errors),
        client: client(configuration.client_connection.unwrap_or_default(), &mut errors),
    };
    let invalid = (!errors.is_empty()).then_some(ConfigError::Invalid(errors));
    match (invalid, refused) {
        (None, None) => Ok(settings),
        (Some(error), None) | (None, Some(error)) => Err(error),
        (Some(invalid), Some(refused)) => Err(ConfigError::Both(Box::new([invalid, refused]))),
    }
}

fn webhook(section: Webhook, errors: &mut Vec<FieldError>) -> WebhookSettings {
    // 0 is what an unset number looks like.
    let port = section.port.filter(|port| *port != 0).unwrap_or(9443);
    let settings = WebhookSettings {
        host: section.host.unwrap_or_default(),
        port: u16::try_from(port).unwrap_or_else(|_| {
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid("webhook.port", port, detail));
            0
        }),
        cert_dir: text(section.cert_dir, "/tmp/k8s-webhook-server/serving-certs").into(),
    };
    if !is_address(&settings.bind_address()) {
        let detail = "must be a name or an IP address, without a port";
        errors.push(FieldError::invalid("webhook.host", settings.host.clone(), detail));
    }
    settings
}

fn metrics(section: Metrics, errors: &mut Vec<FieldError>) -> MetricsSettings {
    MetricsSettings {
        bind_address: address("metrics.bindAddress", section.bind_address, ":8443", errors),
        secure: true,
        cert_dir: std::env::temp_dir().join("k8s-metrics-server/serving-certs"),
    }
}

fn leader_election(
    section: LeaderElection,
    namespace: &str,
    errors: &mut Vec<FieldError>,
) -> LeaderElectionSettings {
    if let Some(lock) = section.resource_lock.filter(|lock| !lock.is_empty() && lock != "leases") {
        errors.push(FieldError::unsupported("leaderElection.resourceLock", lock, &["leases"]));
    }
    let mut duration = |path: &'static str, value: Option<String>, seconds| {
        duration(path, value.as_deref(), Duration::from_secs(seconds), errors)
    };
    let settings = LeaderElectionSettings {
        enabled: section.leader_elect.unwrap_or(true),
        lease_duration: duration("leaderElection.leaseDuration", section.lease_duration, 15),
        renew_deadline: duration("leaderElection.renewDeadline", section.renew_deadline, 10),
        retry_period: duration("leaderElection.retryPeriod", section.retry_period, 2),
        resource_name: text(section.resource_name, "b8b2488c.x-k8s.io"),
        resource_namespace: text(section.resource_namespace, namespace),
    };
    if settings.enabled && settings.lease_duration <= settings.renew_deadline {
        let lease_duration = duration_text(settings.lease_duration);
        let detail = "must be greater than renewDeadline";
        errors.push(FieldError::invalid("leaderElection.leaseDuration", lease_duration, detail));
    }
    if settings.enabled && settings.renew_deadline <= settings.retry_period.mul_f64(RETRY_JITTER) {
        let renew_deadline = duration_text(settings.renew_deadline);
        let detail = format!("must be greater than {RETRY_JITTER} times retryPeriod");
        errors.push(FieldError::invalid("leaderElection.renewDeadline", renew_deadline, detail));
    }
    settings
}

fn health(section: Probes, errors: &mut Vec<FieldError>) -> HealthSettings {
    let path = |name: Option<String>, default| {
        let name = text(name, default);
        if name.starts_with('/') { name } else { format!("/{name}") }
    };
    HealthSettings {
        bind_address: address(
            "health.healthProbeBindAddress",
            section.health_probe_bind_address,
            ":8081",
            errors,
        ),
        readiness_path: path(section.readiness_endpoint_name, "/readyz"),
        liveness_path: path(section.liveness_endpoint_name, "/healthz"),
    }
}

fn internal_certificates(
    section: InternalCertManagement,
    errors: &mut Vec<FieldError>,
) -> Option<InternalCertificateSettings> {
    if section.enable == Some(false) {
        return None;
    }
    let settings = InternalCertificateSettings {
        webhook_service_name: text(section.webhook_service_name, "lws-webhook-service"),
        webhook_secret_name: text(section.webhook_secret_name, "lws-webhook-server-cert"),
        rotation: rotation(section.rotation.unwrap_or_default(), errors),
    };
    let mut check = |path: &'static str, name: &String, problems: Vec<String>| {
        if !problems.is_empty() {
            errors.push(FieldError::invalid(path, name.clone(), problems.join(",")));
        }
    };
    let service = &settings.webhook_service_name;
    check("internalCertManagement.webhookServiceName", service, formats::dns_1035_label(service));
    let secret = &settings.webhook_secret_name;
    check("internalCertManagement.webhookSecretName", secret, formats::dns_1123_subdomain(secret));
    Some(settings)
}

fn rotation(section: Rotation, errors: &mut Vec<FieldError>) -> RotationSettings {
    let default = RotationSettings::default();
    let mut duration = |path: &'static str, value: Option<String>, default| {
        self::duration(path, value.as_deref(), default, errors)
    };
    let settings = RotationSettings {
        authority_lifetime: duration(
            "internalCertManagement.rotation.authorityLifetime",
            section.authority_lifetime,
            default.authority_lifetime,
        ),
        certificate_lifetime: duration(
            "internalCertManagement.rotation.certificateLifetime",
            section.certificate_lifetime,
            default.certificate_lifetime,
        ),
        renew_before: duration(
            "internalCertManagement.rotation.renewBefore",
            section.renew_before,
            default.renew_before,
        ),
        trust_before: duration(
            "internalCertManagement.rotation.trustBefore",
            section.trust_before,
            default.trust_before,
        ),
        distrust_after: duration(
            "internalCertManagement.rotation.distrustAfter",
            section.distrust_after,
            default.distrust_after,
        ),
    };
    // A replacement must be over before what is replaced ends, and before the next one is due.
    let takes = settings.trust_before.saturating_add(settings.distrust_after);
    let shortest = settings.authority_lifetime.min(settings.certificate_lifetime);
    let detail = if settings.renew_before < takes {
        "must not be less than trustBefore and distrustAfter together"
    } else if shortest < settings.renew_before.saturating_add(takes) {
        "must be less than authorityLifetime and certificateLifetime, by trustBefore and \
         distrustAfter at least"
    } else {
        return settings;
    };
    let path = "internalCertManagement.rotation.renewBefore";
    errors.push(FieldError::invalid(path, duration_text(settings.renew_before), detail));
    settings
}

fn gang_scheduler(
    section: GangSchedulingManagement,
    errors: &mut Vec<FieldError>,
) -> Option<GangScheduler> {
    // The path has no parent in the existing implementation either.
    let path = "schedulerProvider";
    match section.scheduler_provider.unwrap_or_default().as_str() {
        "volcano" => return Some(GangScheduler::Volcano),
        "" => {
            let detail = "must be set when gang scheduling is enabled";
            errors.push(FieldError::required(path, detail));
        }
        other => errors.push(FieldError::unsupported(path, other, &["volcano"])),
    }
    None
}

fn group_restart(section: GroupRestart, errors: &mut Vec<FieldError>) -> GroupRestartSettings {
    let default = GroupRestartSettings::default();
    let mut count = |path: &'static str, value: Option<i64>, default: u32| {
        let value = value.unwrap_or_else(|| default.into());
        u32::try_from(value).unwrap_or_else(|_| {
            let detail = "must be between 0 and 4294967295, inclusive";
            errors.push(FieldError::invalid(path, value, detail));
            0
        })
    };
    let backoff_after =
        count("groupRestart.backoffAfter", section.backoff_after, default.backoff_after);
    let metric_series =
        count("groupRestart.metricSeries", section.metric_series, default.metric_series);
    let mut duration = |path: &'static str, value: Option<&str>, default| {
        self::duration(path, value, default, errors)
    };
    let settings = GroupRestartSettings {
        backoff_after,
        initial_delay: duration(
            "groupRestart.initialDelay",
            section.initial_delay.as_deref(),
            default.initial_delay,
        ),
        max_delay: duration(
            "groupRestart.maxDelay",
            section.max_delay.as_deref(),
            default.max_delay,
        ),
        reset_after: duration(
            "groupRestart.resetAfter",
            section.reset_after.as_deref(),
            default.reset_after,
        ),
        // As with addresses, `0` switches it off.
        node_lost_after: default
            .node_lost_after
            .map(|default| (section.node_lost_after, default))
            .filter(|(given, _)| given.as_deref() != Some("0"))
            .map(|(given, default)| {
                duration("groupRestart.nodeLostAfter", given.as_deref(), default)
            }),
        metric_series,
    };
    if settings.max_delay < settings.initial_delay {
        let max_delay = duration_text(settings.max_delay);
        let detail = "must not be less than initialDelay";
        errors.push(FieldError::invalid("groupRestart.maxDelay", max_delay, detail));
    }
    settings
}

fn client(section: ClientConnection, errors: &mut Vec<FieldError>) -> ClientSettings {
    // 0 is what an unset number looks like.
    let qps = section.qps.filter(|qps| *qps != 0.0).unwrap_or(500.0);
    let burst = section.burst.filter(|burst| *burst != 0).unwrap_or(500);
    let detail = "must be greater than 0";
    if !(qps > 0.0 && qps.is_finite()) {
        errors.push(FieldError::invalid("clientConnection.qps", qps, detail));
    } else if qps < LOWEST_RATE {
        let detail = format!("must not be less than {LOWEST_RATE}");
        errors.push(FieldError::invalid("clientConnection.qps", qps, detail));
    }
    let burst = u32::try_from(burst).unwrap_or_else(|_| {
        errors.push(FieldError::invalid("clientConnection.burst", burst, detail));
        0
    });
    ClientSettings { qps, burst, kubeconfig: None }
}

/// An empty text counts as unset.
fn text(value: Option<String>, default: &str) -> String {
    value.filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// The address `0` switches a server off.
fn address(
    path: &'static str,
    value: Option<String>,
    default: &str,
    errors: &mut Vec<FieldError>,
) -> Option<String> {
    let address = Some(text(value, default)).filter(|address| address != "0")?;
    if !is_address(&address) {
        let detail = "must be an address such as :8443 or 127.0.0.1:8443, or \"0\" for none";
        errors.push(FieldError::invalid(path, address.clone(), detail));
    }
    Some(address)
}

/// Whether [`crate::listen::listen`] understands `address`. Whether a name leads to an address of
/// this machine is only known then.
fn is_address(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok()
        || address.rsplit_once(':').is_some_and(|(host, port)| {
            port.parse::<u16>().is_ok()
                && !host.contains(|it: char| it.is_whitespace() || "[]:/".contains(it))
        })
}

fn duration(
    path: &'static str,
    value: Option<&str>,
    default: Duration,
    errors: &mut Vec<FieldError>,
) -> Duration {
    let Some(text) = value.filter(|text| !text.is_empty()) else { return default };
    match text.parse::<SignedDuration>().map(Duration::try_from) {
        Ok(Ok(duration)) if duration > LONGEST => {
            let detail = format!("must not be greater than {}", duration_text(LONGEST));
            errors.push(FieldError::invalid(path, text, detail));
        }
        Ok(Ok(duration)) if !duration.is_zero() => return duration,
        Ok(_) => errors.push(FieldError::invalid(path, text, "must be greater than 0")),
        Err(_) => {
            let detail = "must be a duration such as 15s, 1m30s or 100ms";
            errors.push(FieldError::invalid(path, text, detail));
        }
    }
    default
}

use clap::Parser;
use serde_json::json;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    flags: Flags,
}

fn flags(args: &[&str]) -> Flags {
    Command::try_parse_from([&["test"], args].concat()).unwrap().flags
}

fn load_text(text: &str, args: &[&str]) -> Result<Settings, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    fs::write(&path, text).unwrap();
    load(&flags(&[&["--config", path.to_str().unwrap()], args].concat()))
}

fn with_header(body: &str) -> String {
    format!("apiVersion: config.lws.x-k8s.io/v1alpha1\nkind: Configuration\n{body}")
}

/// Settings of a file with this `body`, as the log shows them.
fn loaded(body: &str) -> serde_json::Value {
    let settings = load_text(&with_header(body), &[]).unwrap_or_else(|error| panic!("{error}"));
    serde_json::to_value(settings).unwrap()
}

fn defaults() -> serde_json::Value {
    json!({
        "namespace": "lws-system",
        "webhook": {
            "host": "",
            "port": 9443,
            "certDir": "/tmp/k8s-webhook-server/serving-certs",
        },
        "leaderElection": {
            "enabled": true,
            "leaseDuration": "15s",
            "renewDeadline": "10s",
            "retryPeriod": "2s",
            "resourceName": "b8b2488c.x-k8s.io",
            "resourceNamespace": "lws-system",
        },
        "metrics": {
            "bindAddress": ":8443",
            "secure": true,
            "certDir": std::env::temp_dir().join("k8s-metrics-server/serving-certs"),
        },
        "health": {
            "bindAddress": ":8081",
            "readinessPath": "/readyz",
            "livenessPath": "/healthz",
        },
        "tls": {
            "minVersion": "VersionTLS12",
            "cipherSuites": [
                "TLS_AES_256_GCM_SHA384",
                "TLS_AES_128_GCM_SHA256",
                "TLS_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            ],
        },
        "internalCertificates": {
            "webhookServiceName": "lws-webhook-service",
            "webhookSecretName": "lws-webhook-server-cert",
            "rotation": {
                "authorityLifetime": "87600h",
                "certificateLifetime": "8760h",
                "renewBefore": "2160h",
                "trustBefore": "30s",
                "distrustAfter": "10m",
            },
        },
        "gangScheduler": null,
        "groupRestart": {
            "backoffAfter": 2,
            "initialDelay": "10s",
            "maxDelay": "5m",
            "resetAfter": "10m",
            "nodeLostAfter": "1m",
            "metricSeries": 1000,
        },
        "client": { "qps": 500.0, "burst": 500, "kubeconfig": null },
    })
}

/// The defaults with the values of `changes` in place of theirs.
fn defaults_but(changes: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let mut settings = defaults();
    for (pointer, value) in changes {
        *settings.pointer_mut(pointer).unwrap() = value.clone();
    }
    settings
}

#[test]
fn what_is_absent_empty_or_null_has_its_default() {
    let settings = serde_json::to_value(load(&flags(&[])).unwrap()).unwrap();
    assert_eq!(settings, defaults());
    for body in [
        "",
        "webhook:\nmetrics: {}\nhealth: null\n",
        "webhook: {port: 0, host: '', certDir: ''}\nmetrics: {bindAddress: ''}\n",
        "leaderElection: {leaseDuration: '', resourceLock: '', resourceName: ''}\n",
        "leaderElection: {resourceNamespace: ''}\ntls: {minVersion: '', cipherSuites: []}\n",
        "clientConnection: {qps: 0, burst: 0}\ninternalCertManagement: {webhookSecretName: ''}\n",
        "health: {readinessEndpointName: '', healthProbeBindAddress: ''}\n",
        "internalCertManagement: {rotation: {renewBefore: '', trustBefore: null}}\n",
        "groupRestart: {initialDelay: '', maxDelay: '', resetAfter: '', nodeLostAfter: ''}\n",
    ] {
        assert_eq!(loaded(body), defaults(), "{body}");
    }
}

#[test]
fn values_of_the_file_are_used() {
    let full = r#"
webhook: {port: 8443, host: "::1", certDir: /certs}
leaderElection:
  leaderElect: false
  leaseDuration: 1m30s
  renewDeadline: 1m
  retryPeriod: 100ms
  resourceLock: leases
  resourceName: other
  resourceNamespace: elsewhere
metrics: {bindAddress: "0"}
health:
  healthProbeBindAddress: 127.0.0.1:9000
  readinessEndpointName: /ready
  livenessEndpointName: live
tls:
  minVersion: VersionTLS12
  cipherSuites: [TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
internalCertManagement: {enable: false, webhookServiceName: "Not a name"}
gangSchedulingManagement: {schedulerProvider: volcano}
groupRestart: {backoffAfter: 0, initialDelay: 1s, maxDelay: 1m, resetAfter: 1h, nodeLostAfter: "0", metricSeries: 7}
clientConnection: {qps: 20.5, burst: 30}
"#;
    assert_eq!(
        loaded(full),
        defaults_but(&[
            ("/webhook", json!({ "port": 8443, "host": "::1", "certDir": "/certs" })),
            (
                "/leaderElection",
                json!({
                    "enabled": false,
                    "leaseDuration": "1m30s",
                    "renewDeadline": "1m",
                    "retryPeriod": "100ms",
                    "resourceName": "other",
                    "resourceNamespace": "elsewhere",
                })
            ),
            ("/metrics/bindAddress", json!(null)),
            (
                "/health",
                json!({
                    "bindAddress": "127.0.0.1:9000",
                    "readinessPath": "/ready",
                    "livenessPath": "/live",
                })
            ),
            (
                "/tls/cipherSuites",
                json!([
                    "TLS_AES_256_GCM_SHA384",
                    "TLS_AES_128_GCM_SHA256",
                    "TLS_CHACHA20_POLY1305_SHA256",
                    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                ])
            ),
            ("/internalCertificates", json!(null)),
            ("/gangScheduler", json!("volcano")),
            (
                "/groupRestart",
                json!({
                    "backoffAfter": 0,
                    "initialDelay": "1s",
                    "maxDelay": "1m",
                    "resetAfter": "1h",
                    "nodeLostAfter": null,
                    "metricSeries": 7,
                })
            ),
            ("/client", json!({ "qps": 20.5, "burst": 30, "kubeconfig": null })),
        ])
    );
}

#[test]
fn certificates_are_replaced_when_the_file_says() {
    let body = "internalCertManagement: {rotation: {authorityLifetime: 2160h, \
                certificateLifetime: 720h, renewBefore: 240h, trustBefore: 5m, distrustAfter: 1h}}";
    let expected = json!({
        "authorityLifetime": "2160h",
        "certificateLifetime": "720h",
        "renewBefore": "240h",
        "trustBefore": "5m",
        "distrustAfter": "1h",
    });
    assert_eq!(loaded(body), defaults_but(&[("/internalCertificates/rotation", expected)]));
    let section = "internalCertManagement.rotation";
    for (fields, error) in [
        (
            "{certificateLifetime: 1d, trustBefore: -1s}",
            format!(
                "[{section}.certificateLifetime: Invalid value: \"1d\": must be a duration such as \
                 15s, 1m30s or 100ms, {section}.trustBefore: Invalid value: \"-1s\": must be \
                 greater than 0]"
            ),
        ),
        (
            "{certificateLifetime: 720h}",
            format!(
                "{section}.renewBefore: Invalid value: \"2160h\": must be less than \
                 authorityLifetime and certificateLifetime, by trustBefore and distrustAfter at least"
            ),
        ),
        (
            "{authorityLifetime: 2160h10m29s}",
            format!(
                "{section}.renewBefore: Invalid value: \"2160h\": must be less than \
                 authorityLifetime and certificateLifetime, by trustBefore and distrustAfter at least"
            ),
        ),
        (
            "{renewBefore: 10m29s}",
            format!(
                "{section}.renewBefore: Invalid value: \"10m29s\": must not be less than \
                 trustBefore and distrustAfter together"
            ),
        ),
    ] {
        let text = with_header(&format!("internalCertManagement: {{rotation: {fields}}}"));
        assert_eq!(load_text(&text, &[]).unwrap_err().to_string(), error, "{fields}");
    }
}

#[test]
fn json_is_as_good_as_yaml() {
    let text = r#"{"apiVersion": "config.lws.x-k8s.io/v1alpha1", "kind": "Configuration",
                   "webhook": {"port": 1234}}"#;
    assert_eq!(load_text(text, &[]).unwrap().webhook.port, 1234);
}

#[test]
fn durations_are_those_of_go() {
    for (text, millis) in [
        ("15s", 15_000),
        ("1m30s", 90_000),
        ("1h2m3.5s", 3_723_500),
        ("15.5s", 15_500),
        ("500000us", 500),
        ("500ms", 500),
    ] {
        let body = format!("leaderElection: {{leaderElect: false, retryPeriod: {text}}}");
        let settings = load_text(&with_header(&body), &[]).unwrap();
        assert_eq!(settings.leader_election.retry_period, Duration::from_millis(millis), "{text}");
    }
}

#[test]
fn flags_override_the_file_only_when_they_are_given() {
    let body = "leaderElection: {leaderElect: false, leaseDuration: 30s}\n\
                metrics: {bindAddress: ':1'}\nclientConnection: {qps: 7, burst: 8}\n";
    let text = with_header(body);
    let from_file = load_text(&text, &[]).unwrap();
    assert!(!from_file.leader_election.enabled);
    assert_eq!(load_text(&text, &["--zap-log-level=2"]).unwrap(), from_file);
    let args = [
        "--leader-elect",
        "--leader-elect-lease-duration=40s",
        "--leader-elect-renew-deadline=20s",
        "--leader-elect-retry-period=5s",
        "--leader-elect-resource-name=mine",
        "--leader-elect-resource-lock=leases",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=:2",
        "--kube-api-qps=9.5",
        "--kube-api-burst=10",
        "--kubeconfig=/kube",
    ];
    let settings = load_text(&text, &args).unwrap();
    assert_eq!(
        settings.leader_election,
        LeaderElectionSettings {
            enabled: true,
            lease_duration: Duration::from_secs(40),
            renew_deadline: Duration::from_secs(20),
            retry_period: Duration::from_secs(5),
            resource_name: "mine".to_owned(),
            resource_namespace: "lws-system".to_owned(),
        }
    );
    assert_eq!(settings.metrics.bind_address, None);
    assert!(settings.metrics.secure);
    assert_eq!(settings.health.bind_address.as_deref(), Some(":2"));
    assert_eq!(
        settings.client,
        ClientSettings { qps: 9.5, burst: 10, kubeconfig: Some("/kube".into()) }
    );
}

#[test]
fn metrics_are_secure_unless_a_flag_says_otherwise() {
    for (args, expected) in [
        (&["--metrics-secure"][..], true),
        (&["--metrics-secure=true"], true),
        (&["--metrics-secure=false"], false),
    ] {
        let settings = load_text(&with_header(""), args).unwrap();
        assert_eq!(settings.metrics.secure, expected, "{args:?}");
    }
}

#[test]
fn files_that_are_not_a_configuration_are_refused() {
    let expected = "expected apiVersion config.lws.x-k8s.io/v1alpha1, kind Configuration; found ";
    for (text, error) in [
        (String::new(), format!("{expected}apiVersion none, kind none")),
        (
            "kind: Configuration".to_owned(),
            format!("{expected}apiVersion none, kind Configuration"),
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec: {}".to_owned(),
            format!("{expected}apiVersion v1, kind Pod"),
        ),
        (
            with_header("invalidField: 1"),
            "strict decoding error: unknown field \"invalidField\"".to_owned(),
        ),
        (
            with_header("webhook: {prot: 1, x: {y: 2}}\nmetrics: {a: 1}"),
            "strict decoding error: unknown field \"webhook.prot\", unknown field \"webhook.x\", \
             unknown field \"metrics.a\""
                .to_owned(),
        ),
    ] {
        assert_eq!(load_text(&text, &[]).unwrap_err().to_string(), error, "{text}");
    }
}

/// Errors of the decoder tell field, value and place, once and in words for those who write files.
#[test]
fn what_cannot_be_decoded_is_named() {
    for (body, error) in [
        ("webhook: {port: 1, port: 2}", "duplicate field \"webhook.port\" at line 3, column 20"),
        ("webhook: {}\nwebhook: {}", "duplicate field \"webhook\" at line 4, column 1"),
        ("kind: Configuration", "duplicate field \"kind\" at line 3, column 1"),
        ("---\nkind: Configuration", "the file has more than one document"),
        ("webhook: [", "webhook: expected mapping start at line 3, column 10"),
        ("webhook: [9443]", "webhook: expected mapping start at line 3, column 10"),
        ("1: 2", "expected a string, found 1 at line 3, column 1: put it in quotes"),
    ] {
        let refused = load_text(&with_header(body), &[]).unwrap_err();
        assert_eq!(refused.to_string(), format!("strict decoding error: {error}"), "{body}");
        assert!(std::error::Error::source(&refused).is_none(), "{body}");
    }
}

#[test]
fn values_of_other_types_are_refused() {
    let refused = |body: &str| {
        let error = load_text(&with_header(body), &[]).unwrap_err().to_string();
        error.strip_prefix("strict decoding error: ").unwrap().to_owned()
    };
    for (body, field, found) in [
        ("webhook: {port: many}", "webhook.port", "string \"many\", expected an integer"),
        ("webhook: {port: '9443'}", "webhook.port", "string \"9443\", expected an integer"),
        ("webhook: {port: 1.5}", "webhook.port", "floating point `1.5`, expected an integer"),
        (
            "clientConnection: {burst: '5'}",
            "clientConnection.burst",
            "string \"5\", expected an integer",
        ),
        ("clientConnection: {qps: '5'}", "clientConnection.qps", "string \"5\", expected a number"),
        (
            "groupRestart: {backoffAfter: '1'}",
            "groupRestart.backoffAfter",
            "string \"1\", expected an integer",
        ),
        (
            "groupRestart: {metricSeries: '1'}",
            "groupRestart.metricSeries",
            "string \"1\", expected an integer",
        ),
        (
            "leaderElection: {leaderElect: 'true'}",
            "leaderElection.leaderElect",
            "string \"true\", expected a boolean",
        ),
        (
            "leaderElection: {leaderElect: [1]}",
            "leaderElection.leaderElect",
            "sequence, expected a boolean",
        ),
        (
            "internalCertManagement: {enable: 1}",
            "internalCertManagement.enable",
            "integer `1`, expected a boolean",
        ),
    ] {
        let column = body.rfind(": ").unwrap() + 3;
        let error = format!("{field}: invalid type: {found} at line 3, column {column}");
        assert_eq!(refused(body), error, "{body}");
    }
    for (body, field, found) in [
        ("metrics: {bindAddress: 0}", "metrics.bindAddress", "0"),
        ("health: {healthProbeBindAddress: 0}", "health.healthProbeBindAddress", "0"),
        ("webhook: {host: true}", "webhook.host", "true"),
        ("leaderElection: {leaseDuration: 15}", "leaderElection.leaseDuration", "15"),
    ] {
        let column = body.rfind(": ").unwrap() + 3;
        let place = format!("at line 3, column {column}: put it in quotes");
        assert_eq!(refused(body), format!("{field}: expected a string, found {found} {place}"));
    }
    let suites = refused("tls: {cipherSuites: [1]}");
    let place = "at line 3, column 22: put it in quotes";
    assert_eq!(suites, format!("tls.cipherSuites[0]: expected a string, found 1 {place}"));
}

#[test]
fn unreadable_files_are_named() {
    for (path, error) in [
        (".", "read .: is a directory"),
        ("/does/not/exist", "read /does/not/exist: no such file or directory"),
    ] {
        let refused = load(&flags(&["--config", path])).unwrap_err();
        assert_eq!(refused.to_string(), error);
        assert!(std::error::Error::source(&refused).is_none(), "{path}");
    }
}

#[test]
fn values_that_are_not_accepted_are_named() {
    let label = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
                 with an alphabetic character, and end with an alphanumeric character (e.g. \
                 'my-name',  or 'abc-123', regex used for validation is \
                 '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
         '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex \
         used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    for (body, error) in [
        (
            "gangSchedulingManagement: {}",
            "schedulerProvider: Required value: must be set when gang scheduling is enabled"
                .to_owned(),
        ),
        (
            "gangSchedulingManagement: {schedulerProvider: ''}",
            "schedulerProvider: Required value: must be set when gang scheduling is enabled"
                .to_owned(),
        ),
        (
            "gangSchedulingManagement: {schedulerProvider: kueue}",
            "schedulerProvider: Unsupported value: \"kueue\": supported values: \"volcano\""
                .to_owned(),
        ),
        (
            "internalCertManagement: {webhookServiceName: 1a}",
            format!("internalCertManagement.webhookServiceName: Invalid value: \"1a\": {label}"),
        ),
        (
            "internalCertManagement: {webhookSecretName: a_b}",
            format!(
                "internalCertManagement.webhookSecretName: Invalid value: \"a_b\": {subdomain}"
            ),
        ),
        (
            "webhook: {port: 65536}\nclientConnection: {qps: -1, burst: -2}",
            "[webhook.port: Invalid value: 65536: must be between 1 and 65535, inclusive, \
             clientConnection.qps: Invalid value: -1.0: must be greater than 0, \
             clientConnection.burst: Invalid value: -2: must be greater than 0]"
                .to_owned(),
        ),
        (
            "groupRestart: {backoffAfter: -1, metricSeries: -2, initialDelay: 1h, resetAfter: 0s, \
             nodeLostAfter: x}",
            "[groupRestart.backoffAfter: Invalid value: -1: must be between 0 and 4294967295, \
             inclusive, groupRestart.metricSeries: Invalid value: -2: must be between 0 and \
             4294967295, inclusive, groupRestart.resetAfter: Invalid value: \"0s\": must be greater than 0, \
             groupRestart.nodeLostAfter: Invalid value: \"x\": must be a duration such as 15s, \
             1m30s or 100ms, groupRestart.maxDelay: Invalid value: \"5m\": must not be less than \
             initialDelay]"
                .to_owned(),
        ),
        (
            "leaderElection: {resourceLock: configmaps}",
            "leaderElection.resourceLock: Unsupported value: \"configmaps\": supported values: \
             \"leases\""
                .to_owned(),
        ),
        (
            "leaderElection: {retryPeriod: 0s}",
            "leaderElection.retryPeriod: Invalid value: \"0s\": must be greater than 0".to_owned(),
        ),
        (
            "leaderElection: {retryPeriod: -5s}",
            "leaderElection.retryPeriod: Invalid value: \"-5s\": must be greater than 0".to_owned(),
        ),
        (
            "leaderElection: {leaseDuration: 876001h}\nclientConnection: {qps: 0.0009}",
            "[leaderElection.leaseDuration: Invalid value: \"876001h\": must not be greater than \
             876000h, clientConnection.qps: Invalid value: 0.0009: must not be less than 0.001]"
                .to_owned(),
        ),
        (
            "leaderElection: {retryPeriod: '5'}",
            "leaderElection.retryPeriod: Invalid value: \"5\": must be a duration such as 15s, \
             1m30s or 100ms"
                .to_owned(),
        ),
        (
            "leaderElection: {leaseDuration: 10s}",
            "leaderElection.leaseDuration: Invalid value: \"10s\": must be greater than \
             renewDeadline"
                .to_owned(),
        ),
        (
            "leaderElection: {retryPeriod: 8500ms}",
            "leaderElection.renewDeadline: Invalid value: \"10s\": must be greater than 1.2 times \
             retryPeriod"
                .to_owned(),
        ),
    ] {
        assert_eq!(load_text(&with_header(body), &[]).unwrap_err().to_string(), error, "{body}");
    }
}

#[test]
fn names_of_versions_and_suites_are_checked() {
    let prefix = "unable to parse TLS options from configuration: ";
    let advice = "Please use VersionTLS12 or VersionTLS13";
    let suites = defaults()["tls"]["cipherSuites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect::<Vec<_>>()
        .join(", ");
    let unknown = format!(
        "invalid cipher suites: Cipher suite NONE not supported or doesn't exist. Please use the \
         secure cipher names: [{suites}]"
    );
    for (tls, error) in [
        (
            "{minVersion: VersionTLS13, cipherSuites: [TLS_AES_128_GCM_SHA256]}",
            "cipher suites may not be specified when minVersion is 'VersionTLS13'".to_owned(),
        ),
        ("{minVersion: VersionTLS10}", format!("invalid minVersion. {advice}")),
        ("{minVersion: VersionTLS11}", format!("invalid minVersion. {advice}")),
        (
            "{minVersion: TLS1.2}",
            format!("invalid minVersion: unknown tls version \"TLS1.2\". {advice}"),
        ),
        ("{cipherSuites: [NONE]}", unknown.clone()),
        (
            "{minVersion: VersionTLS10, cipherSuites: [NONE]}",
            format!("invalid minVersion. {advice}, {unknown}"),
        ),
    ] {
        let text = with_header(&format!("tls: {tls}"));
        assert_eq!(
            load_text(&text, &[]).unwrap_err().to_string(),
            format!("{prefix}{error}"),
            "{tls}"
        );
    }
}

/// Errors of one kind do not hide those of the other.
#[test]
fn names_of_tls_and_other_values_are_refused_together() {
    let text = with_header("webhook: {port: 65536}\ntls: {minVersion: VersionTLS10}");
    assert_eq!(
        load_text(&text, &[]).unwrap_err().to_string(),
        "webhook.port: Invalid value: 65536: must be between 1 and 65535, inclusive; unable to \
         parse TLS options from configuration: invalid minVersion. Please use VersionTLS12 or \
         VersionTLS13"
    );
}

/// A file with insecure suites loads, but they are not offered.
#[test]
fn insecure_suites_are_left_out() {
    let only_13 =
        json!(["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]);
    let body = "tls: {cipherSuites: [TLS_RSA_WITH_RC4_128_SHA, \
                TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256]}";
    assert_eq!(loaded(body), defaults_but(&[("/tls/cipherSuites", only_13)]));
    assert_eq!(
        loaded("tls: {minVersion: VersionTLS13}"),
        defaults_but(&[("/tls/minVersion", json!("VersionTLS13"))])
    );
}

#[test]
fn the_namespace_is_read_from_the_pod() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("namespace");
    assert_eq!(namespace(&file), "lws-system");
    fs::write(&file, "\n").unwrap();
    assert_eq!(namespace(&file), "lws-system");
    fs::write(&file, "tools\n").unwrap();
    assert_eq!(namespace(&file), "tools");
    let settings = checks::settings(file::Configuration::default(), "tools").unwrap();
    assert_eq!(settings.namespace, "tools");
    assert_eq!(settings.leader_election.resource_namespace, "tools");
}

#[test]
fn hosts_and_ports_make_addresses() {
    for (host, address) in [
        ("", ":9443"),
        ("127.0.0.1", "127.0.0.1:9443"),
        ("::1", "[::1]:9443"),
        ("[::1]", "[::1]:9443"),
        ("localhost", "localhost:9443"),
    ] {
        let webhook =
            WebhookSettings { host: host.to_owned(), port: 9443, cert_dir: PathBuf::new() };
        assert_eq!(webhook.bind_address(), address);
    }
}

#[test]
fn addresses_are_checked_with_the_file() {
    let advice = "must be an address such as :8443 or 127.0.0.1:8443, or \"0\" for none";
    for address in ["8081", "localhost", "host:", ":http", ":65536", "::1", "[::1]", "a b:1", "00"]
    {
        let refused = |path: &str| format!("{path}: Invalid value: \"{address}\": {advice}");
        let metrics = refused("metrics.bindAddress");
        let both = format!("[{metrics}, {}]", refused("health.healthProbeBindAddress"));
        let body = format!(
            "metrics: {{bindAddress: '{address}'}}\nhealth: {{healthProbeBindAddress: '{address}'}}"
        );
        assert_eq!(load_text(&with_header(&body), &[]).unwrap_err().to_string(), both);
        let flag = format!("--metrics-bind-address={address}");
        assert_eq!(load(&flags(&[&flag])).unwrap_err().to_string(), metrics);
    }
    for host in ["127.0.0.1:9443", "[::1", "a b", "http://a"] {
        let error = load_text(&with_header(&format!("webhook: {{host: '{host}'}}")), &[]);
        let advice = "must be a name or an IP address, without a port";
        let text = format!("webhook.host: Invalid value: \"{host}\": {advice}");
        assert_eq!(error.unwrap_err().to_string(), text);
    }
    for host in ["", "127.0.0.1", "::1", "[::1]", "localhost"] {
        assert_eq!(
            loaded(&format!("webhook: {{host: '{host}'}}")),
            defaults_but(&[("/webhook/host", json!(host))])
        );
    }
    for address in [":0", ":8443", "10.0.0.1:80", "[::1]:8443", "[::]:0", "localhost:8443"] {
        let body = format!(
            "metrics: {{bindAddress: '{address}'}}\nhealth: {{healthProbeBindAddress: '{address}'}}"
        );
        let changes =
            [("/metrics/bindAddress", json!(address)), ("/health/bindAddress", json!(address))];
        assert_eq!(loaded(&body), defaults_but(&changes));
    }
}

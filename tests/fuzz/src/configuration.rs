//! The configuration file of both processes: any text is refused with a reason, or gives settings
//! that a process can run with.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use lws_controller::certificates;
use lws_runtime::config::{ConfigError, Settings, effective};
use lws_runtime::flags::Flags;
use serde_json::Value;

/// Where the system is.
const NAMESPACE: &str = "lws-system";

/// What a flag sets.
const BURST: u32 = 12345;

/// A command line without flags, and one with a flag.
static PLAIN: LazyLock<Flags> = LazyLock::new(|| flags(&[]));
static FLAGGED: LazyLock<Flags> = LazyLock::new(|| flags(&[&format!("--kube-api-burst={BURST}")]));

fn flags(flags: &[&str]) -> Flags {
    let arguments = ["fuzz"].iter().chain(flags);
    Command::try_parse_from(arguments).expect("flags").flags
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    flags: Flags,
}

/// Any text as the configuration file.
pub fn configuration(data: &[u8]) {
    // A file that is not UTF-8 is refused before.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let settings = read(text, &PLAIN);
    assert_eq!(written(&settings), written(&read(text, &PLAIN)), "read twice");
    verify_flag(text, &settings);
    match &settings {
        Ok(settings) => {
            verify(settings);
            verify_json(text, settings);
        }
        Err(error) => assert!(!error.to_string().is_empty(), "{error:?}"),
    }
}

fn read(text: &str, flags: &Flags) -> Result<Settings, ConfigError> {
    effective(Some(text), flags, NAMESPACE)
}

/// What a log shows of them.
fn written(settings: &Result<Settings, ConfigError>) -> Result<Value, String> {
    match settings {
        Ok(settings) => Ok(serde_json::to_value(settings).expect("settings are JSON")),
        Err(error) => Err(error.to_string()),
    }
}

/// A flag overrides what the file says, and nothing else.
fn verify_flag(text: &str, settings: &Result<Settings, ConfigError>) {
    let flagged = read(text, &FLAGGED);
    if let Ok(settings) = settings {
        let mut expected = settings.clone();
        expected.client.burst = BURST;
        assert_eq!(flagged.expect("settings that were accepted"), expected);
    } else if let Ok(flagged) = flagged {
        assert_eq!(flagged.client.burst, BURST);
    }
}

/// JSON is YAML, however it is spaced and escaped.
fn verify_json(text: &str, settings: &Settings) {
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        assert_eq!(read(&json.to_string(), &PLAIN).expect("the same in JSON"), *settings, "{json}");
    }
}

/// What the documentation promises of settings, and what the processes rely on.
fn verify(settings: &Settings) {
    assert_eq!(settings.namespace, NAMESPACE);
    assert!(settings.webhook.port > 0);
    let addresses = [&settings.metrics.bind_address, &settings.health.bind_address];
    let addresses = addresses.into_iter().flatten().cloned();
    for address in addresses.chain([settings.webhook.bind_address()]) {
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        assert!(matches!(port, Some(Ok(_))), "{address}");
    }
    for path in [&settings.health.readiness_path, &settings.health.liveness_path] {
        assert!(path.starts_with('/'), "{path}");
    }
    assert!(settings.tls.cipher_suites.iter().any(|it| it.tls13().is_some()));
    verify_times(settings);
    verify_rate(settings);
    if let Some(certificates) = &settings.internal_certificates {
        certificates::Settings::new(
            settings.namespace.clone(),
            certificates.webhook_secret_name.clone(),
            certificates.webhook_service_name.clone(),
        )
        .expect("a DNS name");
    }
}

/// Times are positive, in order, and within what clocks and certificates hold.
fn verify_times(settings: &Settings) {
    let election = &settings.leader_election;
    if election.enabled {
        assert!(election.lease_duration > election.renew_deadline);
        assert!(election.renew_deadline.as_secs_f64() > 1.2 * election.retry_period.as_secs_f64());
    }
    let restarts = &settings.group_restart;
    assert!(restarts.max_delay >= restarts.initial_delay);
    let mut times = vec![
        election.lease_duration,
        election.renew_deadline,
        election.retry_period,
        restarts.initial_delay,
        restarts.max_delay,
        restarts.reset_after,
    ];
    times.extend(restarts.node_lost_after);
    if let Some(certificates) = &settings.internal_certificates {
        let rotation = certificates.rotation;
        let takes = rotation.trust_before + rotation.distrust_after;
        assert!(rotation.renew_before >= takes);
        let shortest = rotation.authority_lifetime.min(rotation.certificate_lifetime);
        assert!(shortest >= rotation.renew_before + takes);
        times.extend([shortest, rotation.authority_lifetime, rotation.certificate_lifetime]);
        times.extend([takes, rotation.renew_before]);
    }
    for time in times {
        assert!(!time.is_zero());
        assert!(Instant::now().checked_add(time).is_some(), "{time:?} from now");
        let signed = SignedDuration::try_from(time).expect("a time that a certificate may last");
        assert!(Timestamp::now().checked_add(signed).is_ok(), "{time:?} from now");
    }
}

/// All requests that may be sent at once can be paid for in time.
fn verify_rate(settings: &Settings) {
    let client = &settings.client;
    assert!(client.burst > 0 && client.qps > 0.0 && client.qps.is_finite());
    let interval = Duration::try_from_secs_f64(1.0 / client.qps).expect("an interval");
    let all = interval.checked_mul(client.burst).expect("an interval for each");
    assert!(Instant::now().checked_add(all).is_some(), "{all:?} from now");
}

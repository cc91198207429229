//! Names of TLS versions and cipher suites, which are Go's.

use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};
use serde::{Serialize as _, Serializer};
use serde_json::json;
use tracing::warn;

use super::{ConfigError, file::Tls};
use crate::tls_server::TlsOptions;

/// Older names, each with the one that replaced it.
const ALIASES: [(&str, &str); 2] = [
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// Suites that Go knows and that are never offered: without forward secrecy, or with a cipher or
/// mode that attacks exist for. A file that names them still loads.
const NOT_OFFERED: [&str; 16] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

const TLS13_ONLY: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Finds what the names stand for; all names that are not accepted are reported together.
pub(super) fn options(tls: Tls) -> Result<TlsOptions, ConfigError> {
    let min_version = tls.min_version.filter(|name| !name.is_empty());
    let names = tls.cipher_suites.unwrap_or_default();
    if min_version.as_deref() == Some("VersionTLS13") && !names.is_empty() {
        return Err(ConfigError::Tls(vec![
            "cipher suites may not be specified when minVersion is 'VersionTLS13'".to_owned(),
        ]));
    }
    match (versions(min_version.as_deref()), cipher_suites(&names)) {
        (Ok(versions), Ok(cipher_suites)) => {
            Ok(TlsOptions { versions, cipher_suites, ..TlsOptions::default() })
        }
        (versions, suites) => {
            Err(ConfigError::Tls(versions.err().into_iter().chain(suites.err()).collect()))
        }
    }
}

fn versions(min: Option<&str>) -> Result<&'static [&'static SupportedProtocolVersion], String> {
    let problem = match min {
        None | Some("VersionTLS12") => return Ok(rustls::ALL_VERSIONS),
        Some("VersionTLS13") => return Ok(TLS13_ONLY),
        Some("VersionTLS10" | "VersionTLS11") => String::new(),
        Some(other) => format!(": unknown tls version {other:?}"),
    };
    Err(format!("invalid minVersion{problem}. Please use VersionTLS12 or VersionTLS13"))
}

/// The suites of `names`, in the order of our preference. Those of TLS 1.3 are always there, as
/// they are in Go.
fn cipher_suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, String> {
    let offered = TlsOptions::default().cipher_suites;
    if names.is_empty() {
        return Ok(offered);
    }
    let names: Vec<&str> = names
        .iter()
        .map(|name| {
            ALIASES.iter().find(|(old, _)| old == name).map_or(name.as_str(), |(_, new)| new)
        })
        .collect();
    let known: Vec<String> = offered.iter().map(name).collect();
    for name in &names {
        if NOT_OFFERED.contains(name) {
            warn!(cipher_suite = name, "Cipher suite is insecure and will not be offered");
        } else if !known.iter().any(|known| known == name) {
            return Err(format!(
                "invalid cipher suites: Cipher suite {name} not supported or doesn't exist. \
                 Please use the secure cipher names: [{}]",
                known.join(", ")
            ));
        }
    }
    let chosen = |suite: &SupportedCipherSuite| {
        suite.tls13().is_some() || names.contains(&name(suite).as_str())
    };
    Ok(offered.into_iter().filter(chosen).collect())
}

/// Go's name of a suite, which has no version in it.
fn name(suite: &SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

/// Writes options as the names that stand for them.
pub(super) fn as_names<S: Serializer>(tls: &TlsOptions, serializer: S) -> Result<S::Ok, S::Error> {
    let min_version = if tls.versions == TLS13_ONLY { "VersionTLS13" } else { "VersionTLS12" };
    let cipher_suites: Vec<String> = tls.cipher_suites.iter().map(name).collect();
    json!({ "minVersion": min_version, "cipherSuites": cipher_suites }).serialize(serializer)
}

//! What was built: values that the build sets in its environment.

use std::fmt::Write as _;

/// Version of the release, from `LWS_VERSION` at build time.
pub const VERSION: &str = value(option_env!("LWS_VERSION"), "v0.0.0-main");

/// Commit that was built, from `LWS_COMMIT` at build time.
pub const COMMIT: &str = value(option_env!("LWS_COMMIT"), "abcd01234");

/// Date of the build, from `LWS_BUILD_DATE` at build time.
pub const BUILD_DATE: &str = value(option_env!("LWS_BUILD_DATE"), "N/A");

/// A variable that is set but empty counts as unset, as a build argument without a value.
const fn value(set: Option<&'static str>, default: &'static str) -> &'static str {
    match set {
        Some(text) if !text.is_empty() => text,
        _ => default,
    }
}

/// How requests to the API server name this program:
/// `lws/<version> (<os>/<architecture>) <first 7 of the commit>`. What comes before the first `/`
/// is also the manager that the API server notes for fields written without naming one.
#[must_use]
pub fn user_agent() -> String {
    let commit = COMMIT.get(..7).unwrap_or("unknown");
    format!("lws/{VERSION} ({}/{}) {commit}", go_os(), go_architecture())
}

/// The three lines that `--version` prints.
#[must_use]
pub fn text() -> String {
    let mut text = String::new();
    for (name, value) in [("Version", VERSION), ("Build Date", BUILD_DATE), ("Git Commit", COMMIT)]
    {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    text
}

/// The system's name among Kubernetes components, which use Go's.
fn go_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    }
}

/// The processor's name among Kubernetes components, which use Go's.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        architecture => architecture,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_count_as_unset() {
        assert_eq!(value(None, "d"), "d");
        assert_eq!(value(Some(""), "d"), "d");
        assert_eq!(value(Some("v1.2.3"), "d"), "v1.2.3");
    }

    #[test]
    fn texts_have_the_published_form() {
        let agent = user_agent();
        let (product, rest) = agent.split_once(' ').unwrap();
        assert_eq!(product, format!("lws/{VERSION}"));
        let (platform, commit) = rest.split_once(' ').unwrap();
        assert!(platform.starts_with('(') && platform.ends_with(')') && platform.contains('/'));
        assert_eq!(commit.len(), 7, "{agent}");
        assert_eq!(
            text(),
            format!("Version: {VERSION}\nBuild Date: {BUILD_DATE}\nGit Commit: {COMMIT}\n")
        );
    }
}

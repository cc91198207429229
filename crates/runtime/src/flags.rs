//! The command line. A flag overrides the configuration file when it is given, never by its
//! default.
//!
//! The flags, and that one dash is as good as two, are those of the existing implementation, so
//! that the arguments of an installation keep working.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, Parser, error::ErrorKind};

use crate::{config::file::Configuration, logging::LogFlags, version};

/// Flags that both binaries have.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Configuration file; without it the defaults hold
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Credentials for the API server; without it $KUBECONFIG, the pod's own or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Requests to the API server per second
    #[arg(long, value_name = "NUMBER")]
    kube_api_qps: Option<f64>,

    /// Requests to the API server that may be sent at once
    #[arg(long, value_name = "NUMBER")]
    kube_api_burst: Option<i64>,

    /// Address of the metrics, "0" for none (better set in the file)
    #[arg(long, value_name = "ADDRESS")]
    metrics_bind_address: Option<String>,

    /// Whether metrics are served over TLS, to those whom the API server permits it; without, to
    /// anyone on this machine and to nobody else
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    #[arg(value_parser = boolean)]
    pub(crate) metrics_secure: bool,

    /// Address of the health endpoints, "0" for none (better set in the file)
    #[arg(long, value_name = "ADDRESS")]
    health_probe_bind_address: Option<String>,

    /// Whether one of several replicas is chosen to work
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", action = ArgAction::Set, value_parser = boolean)]
    leader_elect: Option<bool>,

    /// How long other replicas wait after the last renewal (better set in the file)
    #[arg(long, value_name = "DURATION")]
    leader_elect_lease_duration: Option<String>,

    /// How long the working replica tries to renew (better set in the file)
    #[arg(long, value_name = "DURATION")]
    leader_elect_renew_deadline: Option<String>,

    /// Pause between two tries (better set in the file)
    #[arg(long, value_name = "DURATION")]
    leader_elect_retry_period: Option<String>,

    /// Kind of lock, always "leases" (better set in the file)
    #[arg(long, value_name = "KIND")]
    leader_elect_resource_lock: Option<String>,

    /// Name of the Lease (better set in the file)
    #[arg(long, value_name = "NAME")]
    leader_elect_resource_name: Option<String>,

    /// How logs are written
    #[command(flatten)]
    pub log: LogFlags,
}

impl Flags {
    /// `configuration` with the values of the flags that were given.
    pub(crate) fn over(&self, mut configuration: Configuration) -> Configuration {
        let client = configuration.client_connection.get_or_insert_default();
        replace(&mut client.qps, self.kube_api_qps.as_ref());
        replace(&mut client.burst, self.kube_api_burst.as_ref());
        let metrics = configuration.metrics.get_or_insert_default();
        replace(&mut metrics.bind_address, self.metrics_bind_address.as_ref());
        let health = configuration.health.get_or_insert_default();
        replace(&mut health.health_probe_bind_address, self.health_probe_bind_address.as_ref());
        let election = configuration.leader_election.get_or_insert_default();
        replace(&mut election.leader_elect, self.leader_elect.as_ref());
        replace(&mut election.lease_duration, self.leader_elect_lease_duration.as_ref());
        replace(&mut election.renew_deadline, self.leader_elect_renew_deadline.as_ref());
        replace(&mut election.retry_period, self.leader_elect_retry_period.as_ref());
        replace(&mut election.resource_lock, self.leader_elect_resource_lock.as_ref());
        replace(&mut election.resource_name, self.leader_elect_resource_name.as_ref());
        configuration
    }
}

fn replace<T: Clone>(value: &mut Option<T>, given: Option<&T>) {
    if given.is_some() {
        *value = given.cloned();
    }
}

/// Parses the command line of a binary, whose `P` flattens [`Flags`] and has a clap `version`.
///
/// Prints and ends the process for `--help`, `--version` and what it does not understand.
#[must_use]
pub fn parse<P: Parser>() -> P {
    try_parse(std::env::args_os()).unwrap_or_else(|error| {
        if error.kind() == ErrorKind::DisplayVersion {
            #[allow(clippy::print_stdout, reason = "this is what --version is for")]
            {
                print!("{}", version::text());
            }
            std::process::exit(0)
        }
        error.exit()
    })
}

fn try_parse<P: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<P, clap::Error> {
    // Of a flag that is given twice the last one counts.
    let matches = P::command().args_override_self(true).try_get_matches_from(two_dashes(args))?;
    P::from_arg_matches(&matches)
}

/// Writes `-name` as `--name`. What follows a lone `--` is not a flag.
fn two_dashes(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut flags_ended = false;
    let rewrite = |arg: OsString| {
        flags_ended |= arg == "--";
        match arg.to_str().and_then(|text| text.strip_prefix('-')) {
            Some(name)
                if !flags_ended
                    && name.len() > 1
                    && name.starts_with(|first: char| first.is_ascii_alphabetic()) =>
            {
                format!("--{name}").into()
            }
            _ => arg,
        }
    };
    args.into_iter().map(rewrite).collect()
}

/// Reads a truth value in the spellings that Go's flags take.
pub fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    #[command(version)]
    struct Command {
        #[command(flatten)]
        flags: Flags,
    }

    fn parsed(args: &[&str]) -> Result<Flags, clap::Error> {
        let args = ["test"].iter().chain(args).map(OsString::from);
        try_parse::<Command>(args).map(|command| command.flags)
    }

    /// The arguments of an existing installation, and those of its base manifests.
    #[test]
    fn installed_arguments_are_accepted() {
        let flags =
            parsed(&["--config=/controller_manager_config.yaml", "--zap-log-level=2"]).unwrap();
        assert_eq!(flags.config, Some("/controller_manager_config.yaml".into()));
        assert_eq!(flags.leader_elect, None);
        assert_eq!(parsed(&["--leader-elect"]).unwrap().leader_elect, Some(true));
        for stack_traces in ["info", "error", "panic"] {
            parsed(&["--zap-stacktrace-level", stack_traces]).unwrap();
        }
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        for (args, config, leader_elect) in [
            (&["-config", "/c"][..], Some("/c"), None),
            (&["-config=/c", "-leader-elect=false"], Some("/c"), Some(false)),
            (&["-leader-elect", "--config", "/c"], Some("/c"), Some(true)),
            (&["--leader-elect=0"], None, Some(false)),
            (&["--leader-elect=T", "-kube-api-qps", "1"], None, Some(true)),
            (&["--config", "/a", "--config", "/b"], Some("/b"), None),
        ] {
            let flags = parsed(args).unwrap_or_else(|error| panic!("{args:?}: {error}"));
            assert_eq!(flags.config, config.map(PathBuf::from), "{args:?}");
            assert_eq!(flags.leader_elect, leader_elect, "{args:?}");
        }
        let kept = ["a", "-", "--", "-config", "-1"].map(OsString::from);
        assert_eq!(two_dashes(kept.clone()), kept);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for args in [
            &["--confg=/c"][..],
            &["--leader-elect=yes"],
            &["--zap-log-level=loud"],
            &["--zap-encoder=xml"],
            &["--kube-api-burst=many"],
            &["word"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
        assert_eq!(parsed(&["-version"]).unwrap_err().kind(), ErrorKind::DisplayVersion);
    }
}

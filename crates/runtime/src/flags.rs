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
    P::try_parse_from(two_dashes(std::env::args_os())).unwrap_or_else(|error| {
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
pub(crate) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false"),
    }
}

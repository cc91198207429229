//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use jiff::SignedDuration;
use lws_api_types::keys;
use lws_api_types::validation::formats;
use lws_runtime::version;

use crate::output::Format;

/// The command line.
#[derive(Debug, Parser)]
#[command(about = "Tells how LeaderWorkerSets stand, and why", long_about = None)]
#[command(name = "kubectl-lws", bin_name = "kubectl lws", version = version::VERSION)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which cluster is asked, and about what.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// Credentials for the API server; without it $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; without it the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Namespace of the set; without it that of the context
    #[arg(long, short, global = true, value_name = "NAME", value_parser = object_name)]
    pub(crate) namespace: Option<String>,

    /// How long to wait for an answer of the server (30s, 2m; 0: for ever)
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    #[arg(default_value = "0")]
    pub(crate) request_timeout: Duration,
}

/// How a report is written.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Formatted {
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How a set and its groups stand, and why it is not available; without a name, all sets
    Status {
        /// Name of the set; without it, all of the namespace
        #[arg(value_parser = set_name)]
        name: Option<String>,
        /// All sets of all namespaces
        #[arg(long, short = 'A', conflicts_with = "name")]
        all_namespaces: bool,
        /// Show it again whenever something changes
        #[arg(long, short, requires = "name")]
        watch: bool,
        #[command(flatten)]
        format: Formatted,
    },
    /// The objects of a set, each below its owner, and what is wrong with them
    Tree {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
        #[command(flatten)]
        format: Formatted,
    },
    /// What has happened to a set and its objects, the latest last
    Events {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
        #[command(flatten)]
        format: Formatted,
    },
    /// What an apply of a file would do, without doing it
    Plan {
        /// File with sets, as for `kubectl apply`; - for the standard input
        #[arg(long, short, value_name = "FILE")]
        filename: PathBuf,
        /// Plan for `kubectl apply --server-side`
        #[arg(long)]
        server_side: bool,
        /// Plan for a controller that has gang scheduling on, also where no PodGroup shows that yet
        #[arg(long)]
        gang_scheduling: bool,
        #[command(flatten)]
        format: Formatted,
    },
    /// What is wrong with a set, how that shows, and what to do
    Diagnose {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
        #[command(flatten)]
        format: Formatted,
    },
    /// Watch, hold, undo and start rollouts
    Rollout {
        #[command(subcommand)]
        command: Rollout,
    },
    /// Write a completion script for a shell
    Completion {
        /// Which shell
        shell: Shell,
    },
}

/// What is done about a rollout.
#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Wait until the rollout is complete
    Status {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
        /// How long to wait (30s, 2m; 0: for ever)
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0")]
        timeout: Duration,
    },
    /// The stored revisions, and which groups are at each
    History {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
        #[command(flatten)]
        format: Formatted,
    },
    /// Go back to a stored revision
    Undo {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
        /// Number of the revision; without it the newest that the set is not at
        #[arg(long, value_name = "NUMBER")]
        to_revision: Option<i64>,
    },
    /// Hold the rollout where it is
    Pause {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
    },
    /// Let a paused rollout go on
    Resume {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
    },
    /// Replace every group by a new one, as a rollout
    Restart {
        /// Name of the set
        #[arg(value_parser = set_name)]
        name: String,
    },
}

/// Reads the name of a set, also with the resource in front as kubectl takes it.
fn set_name(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        None => text,
        Some((kind, name)) => {
            let kind = kind.to_lowercase();
            let (short, _) = kind.split_once('.').unwrap_or((&kind, ""));
            let is_set = [keys::PLURAL, "leaderworkerset", "lws"].contains(&short);
            if !is_set {
                return Err(format!("{kind} is not a LeaderWorkerSet: give lws/{name}, or {name}"));
            }
            name
        }
    };
    if name.is_empty() { Err("the name of a set is needed".to_owned()) } else { object_name(name) }
}

/// Reads a name that becomes part of addresses: no object has another one.
fn object_name(text: &str) -> Result<String, String> {
    let problems = formats::dns_1123_subdomain(text);
    if problems.is_empty() { Ok(text.to_owned()) } else { Err(problems.join(", ")) }
}

/// Reads a duration as kubectl takes it: with a unit, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let duration: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    duration.try_into().map_err(|_| format!("{text} is negative"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_set_is_named_as_kubectl_names_it() {
        for (text, expected) in [
            ("s", Ok("s")),
            ("lws/s", Ok("s")),
            ("LeaderWorkerSet/s", Ok("s")),
            ("leaderworkersets.leaderworkerset.x-k8s.io/s", Ok("s")),
            ("pod/s", Err("pod is not a LeaderWorkerSet: give lws/s, or s")),
            ("lws/", Err("the name of a set is needed")),
            ("", Err("the name of a set is needed")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(set_name(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for text in ["a%2Fb", "..", "a b", "A", "lws/a/b", "a?b"] {
            let refusal = set_name(text).unwrap_err();
            assert!(refusal.contains("RFC 1123"), "{text}: {refusal}");
        }
        let parsed = Arguments::try_parse_from(["x", "status", "s", "-n", "a/b"]);
        assert!(parsed.unwrap_err().to_string().contains("RFC 1123"));
    }

    #[test]
    fn a_duration_has_a_unit_or_is_in_seconds() {
        for (text, millis) in [("0", 0), ("30", 30_000), ("2m", 120_000), ("1500ms", 1500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["soon", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_may_follow_the_command() {
        let parsed = Arguments::try_parse_from(["x", "status", "s", "-n", "n", "-o", "json"]);
        let Arguments { common, command } = parsed.unwrap();
        assert_eq!(common.namespace.as_deref(), Some("n"));
        assert!(matches!(command, Command::Status { format, .. } if format.output == Format::Json));
    }
}

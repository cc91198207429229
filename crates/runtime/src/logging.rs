//! Log lines: which are written, and how they look. They go to standard error.
//!
//! The flags, the layouts and the names of the fields are those that operators of Kubernetes
//! components know, so that log pipelines keep working.

mod control;
mod layout;

use std::{io, str::FromStr};

use clap::{ArgAction, Args, ValueEnum};
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterFn, Targets},
    fmt::format::JsonFields,
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

pub use self::control::LogControl;

/// The part of the command line that is about logs.
#[derive(Args, Clone, Debug)]
pub struct LogFlags {
    /// Defaults for development: console layout and level debug; otherwise JSON and info
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "true", default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = crate::flags::boolean)]
    zap_devel: bool,

    /// Layout of log lines
    #[arg(long, value_name = "LAYOUT")]
    zap_encoder: Option<Encoder>,

    /// Least important lines that are written: debug, info, error, panic, or a verbosity above 0,
    /// of which 1 is debug and 4 and more is trace
    #[arg(long, value_name = "LEVEL")]
    zap_log_level: Option<Level>,

    /// Accepted and without effect: log lines carry no stack traces
    #[arg(long, value_name = "LEVEL", value_parser = ["info", "error", "panic"])]
    #[allow(dead_code, reason = "accepted so that an existing command line keeps working")]
    zap_stacktrace_level: Option<String>,

    /// How the time of a line is written
    #[arg(long, value_name = "ENCODING", default_value = "rfc3339")]
    zap_time_encoding: TimeEncoding,

    /// Levels by module, such as `info,lws_controller=trace,kube=debug`, instead of one for all
    #[arg(long, value_name = "DIRECTIVES", env = "RUST_LOG")]
    log_filter: Option<Targets>,
}

/// Layout of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encoder {
    /// Time, level, logger, message and a JSON object of the fields, separated by tabs.
    Console,
    /// One JSON object.
    Json,
}

/// How the time of a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TimeEncoding {
    /// Seconds since 1970, with a fraction.
    Epoch,
    /// Milliseconds since 1970, with a fraction.
    Millis,
    /// Nanoseconds since 1970.
    Nanos,
    /// With milliseconds, the zone as `Z`.
    Iso8601,
    /// As ISO 8601: RFC 3339 allows the fraction, and without it lines cannot be ordered.
    Rfc3339,
    /// With nanoseconds.
    Rfc3339nano,
}

/// A level as the flag names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level(LevelFilter);

/// A level that the flag does not know.
#[derive(Debug, thiserror::Error)]
#[error("expected debug, info, error, panic or a number above 0")]
struct LevelError;

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        Ok(Self(match text.to_ascii_lowercase().as_str() {
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" => LevelFilter::WARN,
            "error" | "panic" => LevelFilter::ERROR,
            number => match number.parse::<u8>() {
                Ok(1..=3) => LevelFilter::DEBUG,
                Ok(4..) => LevelFilter::TRACE,
                _ => return Err(LevelError),
            },
        }))
    }
}

/// A log destination that could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up logging: {0}")]
pub struct InitError(#[from] tracing_subscriber::util::TryInitError);

/// Starts logging as `flags` say; gives what changes that. Fails when the process logs already.
pub fn init(flags: &LogFlags) -> Result<LogControl, InitError> {
    let layer = tracing_subscriber::fmt::layer()
        // Fields of spans are kept as JSON, the form in which both layouts write them.
        .fmt_fields(JsonFields::new())
        .event_format(flags.layout())
        .with_writer(io::stderr);
    let (filter, handle) = reload::Layer::new(flags.filter());
    tracing_subscriber::registry().with(guarded(filter)).with(layer).try_init()?;
    Ok(LogControl::new(handle, flags.filter()))
}

/// Of the client's lines only its errors are written: its warnings repeat the whole answer that it
/// could not read, with whatever is in it.
const TELLS_ANSWERS: &str = "kube_client::client";

/// `filter`, without what may never be written, whatever the filter says.
fn guarded(filter: impl Layer<Registry>) -> impl Layer<Registry> {
    let is_permitted: fn(&Metadata<'_>) -> bool =
        |line| line.target() != TELLS_ANSWERS || *line.level() == tracing::Level::ERROR;
    FilterFn::new(is_permitted).and_then(filter)
}

impl LogFlags {
    fn layout(&self) -> layout::Layout {
        let default = if self.zap_devel { Encoder::Console } else { Encoder::Json };
        layout::Layout {
            encoder: self.zap_encoder.unwrap_or(default),
            time: self.zap_time_encoding,
        }
    }

    fn filter(&self) -> Targets {
        let default = if self.zap_devel { LevelFilter::DEBUG } else { LevelFilter::INFO };
        let level = self.zap_log_level.unwrap_or(Level(default));
        self.log_filter.clone().unwrap_or_else(|| targets(level))
    }
}

/// The level holds for our own lines; those of libraries are written from info on.
fn targets(Level(level): Level) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_target("lws", level)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use clap::Parser;
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::Context;

    use super::*;

    /// Counts the lines that are let through.
    struct Counted(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Counted {
        fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        log: LogFlags,
    }

    fn flags(args: &[&str]) -> LogFlags {
        Command::try_parse_from([&["test"], args].concat()).unwrap().log
    }

    #[test]
    fn levels_are_mapped() {
        use tracing::Level as L;
        for (args, own, libraries) in [
            (&[][..], L::DEBUG, L::INFO),
            (&["--zap-devel=false"], L::INFO, L::INFO),
            (&["--zap-log-level=debug"], L::DEBUG, L::INFO),
            (&["--zap-log-level=1"], L::DEBUG, L::INFO),
            (&["--zap-log-level=2"], L::DEBUG, L::INFO),
            (&["--zap-log-level=5"], L::TRACE, L::INFO),
            (&["--zap-log-level=info"], L::INFO, L::INFO),
            (&["--zap-log-level=error"], L::ERROR, L::ERROR),
            (&["--zap-log-level=panic"], L::ERROR, L::ERROR),
            (&["--log-filter=warn,lws_x=trace", "--zap-log-level=error"], L::TRACE, L::WARN),
        ] {
            let filter = flags(args).filter();
            let most = |target: &str| {
                [L::TRACE, L::DEBUG, L::INFO, L::WARN, L::ERROR]
                    .into_iter()
                    .find(|level| filter.would_enable(target, level))
            };
            assert_eq!(most("lws_x::y"), Some(own), "{args:?}");
            assert_eq!(most("hyper"), Some(libraries), "{args:?}");
        }
    }

    #[test]
    fn no_filter_lets_answers_be_written() {
        for filter in [
            "info",
            "trace",
            "kube=debug",
            "kube_client=trace",
            "kube_client::client=trace",
            "kube_client::client[{message}]=trace",
        ] {
            let lines = Arc::new(AtomicUsize::new(0));
            let layer = guarded(flags(&["--log-filter", filter]).filter());
            let subscriber = Registry::default().with(layer).with(Counted(lines.clone()));
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!(target: TELLS_ANSWERS, "no answer");
                tracing::warn!(target: TELLS_ANSWERS, "secret");
                tracing::info!(target: TELLS_ANSWERS, "secret");
                tracing::debug!(target: TELLS_ANSWERS, "secret");
                tracing::trace!(target: TELLS_ANSWERS, "secret");
            });
            assert_eq!(lines.load(Ordering::Relaxed), 1, "{filter}");
        }
    }

    #[test]
    fn unknown_levels_are_refused() {
        for level in ["0", "-1", "loud", "", "256"] {
            assert!(level.parse::<Level>().is_err(), "{level:?}");
        }
    }

    #[test]
    fn development_chooses_the_layout_unless_it_is_given() {
        for (args, encoder) in [
            (&[][..], Encoder::Console),
            (&["--zap-devel"], Encoder::Console),
            (&["--zap-devel=false"], Encoder::Json),
            (&["--zap-encoder=json"], Encoder::Json),
            (&["--zap-devel=false", "--zap-encoder=console"], Encoder::Console),
        ] {
            assert_eq!(flags(args).layout().encoder, encoder, "{args:?}");
        }
    }
}

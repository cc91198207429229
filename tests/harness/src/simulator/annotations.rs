//! What a pod's annotations ask the simulator for.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

/// How long the pod takes to become ready once it runs.
pub const READY_AFTER: &str = "simulator/ready-after";
/// How long the pod takes to end once it is deleted.
pub const TERMINATE_AFTER: &str = "simulator/terminate-after";
/// `true`: the pod runs, but is not ready as long as this is set.
pub const NEVER_READY: &str = "simulator/never-ready";
/// `<container>[@<delay>]`: this container restarts once, that long after the pod has begun to run.
pub const RESTART_CONTAINER: &str = "simulator/restart-container";
/// The pod is gone without a warning, that long after it has begun to run.
pub const VANISH_AFTER: &str = "simulator/vanish-after";

/// The same as [`NEVER_READY`], in clusters that were recorded before there was this simulator.
const RECORDED_NEVER_READY: &str = "test/never-ready";

/// What the annotations of a pod ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Behaviour {
    pub(super) ready_after: Option<Duration>,
    pub(super) terminate_after: Option<Duration>,
    pub(super) never_ready: bool,
    pub(super) restart: Option<Restart>,
    pub(super) vanish_after: Option<Duration>,
}

/// A container and the delay until it restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restart {
    pub(super) container: String,
    pub(super) delay: Duration,
}

impl Behaviour {
    /// Reads annotations; the error names the one that cannot be read.
    pub(super) fn parse(annotations: &BTreeMap<String, String>) -> Result<Self, String> {
        let get = |key: &str| annotations.get(key).map(String::as_str);
        let delay = |key: &str| {
            get(key)
                .map(parse_delay)
                .transpose()
                .map_err(|error| format!("the annotation {key} cannot be read: {error}"))
        };
        Ok(Self {
            ready_after: delay(READY_AFTER)?,
            terminate_after: delay(TERMINATE_AFTER)?,
            never_ready: [NEVER_READY, RECORDED_NEVER_READY]
                .into_iter()
                .any(|key| get(key) == Some("true")),
            restart: get(RESTART_CONTAINER).map(parse_restart).transpose().map_err(|error| {
                format!("the annotation {RESTART_CONTAINER} cannot be read: {error}")
            })?,
            vanish_after: delay(VANISH_AFTER)?,
        })
    }
}

fn parse_restart(text: &str) -> Result<Restart, String> {
    let (container, delay) = match text.split_once('@') {
        Some((container, delay)) => (container, parse_delay(delay)?),
        None => (text, Duration::ZERO),
    };
    Ok(Restart { container: container.to_owned(), delay })
}

fn parse_delay(text: &str) -> Result<Duration, String> {
    let delay: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    delay.try_into().map_err(|_| format!("{text} is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_annotations() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<Behaviour, &'a str>);
        let restart = |container: &str, millis| Restart {
            container: container.to_owned(),
            delay: Duration::from_millis(millis),
        };
        let default = Behaviour::default;
        let cases: [Case<'_>; 11] = [
            (&[], Ok(default())),
            (&[("other/never-ready", "true")], Ok(default())),
            (&[("simulator/never-ready", "false")], Ok(default())),
            (
                &[("simulator/never-ready", "true")],
                Ok(Behaviour { never_ready: true, ..default() }),
            ),
            (&[("test/never-ready", "true")], Ok(Behaviour { never_ready: true, ..default() })),
            (
                &[("simulator/ready-after", "1500ms"), ("simulator/terminate-after", "2s")],
                Ok(Behaviour {
                    ready_after: Some(Duration::from_millis(1500)),
                    terminate_after: Some(Duration::from_secs(2)),
                    ..default()
                }),
            ),
            (
                &[("simulator/vanish-after", "1m")],
                Ok(Behaviour { vanish_after: Some(Duration::from_mins(1)), ..default() }),
            ),
            (
                &[("simulator/restart-container", "main")],
                Ok(Behaviour { restart: Some(restart("main", 0)), ..default() }),
            ),
            (
                &[("simulator/restart-container", "main@250ms")],
                Ok(Behaviour { restart: Some(restart("main", 250)), ..default() }),
            ),
            (&[("simulator/ready-after", "soon")], Err("simulator/ready-after")),
            (&[("simulator/vanish-after", "-1s")], Err("-1s is negative")),
        ];
        for (annotations, expected) in cases {
            let map = annotations
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            match (Behaviour::parse(&map), expected) {
                (Ok(behaviour), Ok(expected)) => assert_eq!(behaviour, expected, "{annotations:?}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (outcome, _) => panic!("{annotations:?}: {outcome:?}"),
            }
        }
    }
}

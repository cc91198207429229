//! `events`: what has happened to a set and its objects.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use lws_api_types::{keys, names};
use lws_controller::act::reasons::{first_seen, last_seen};
use lws_controller::observe::views::StatefulSetView;
use serde::Serialize;

use crate::cluster::Events;
use crate::connection::Connection;
use crate::error::Error;
use crate::output::{Output, Paint, Table, Tone, age};
use crate::snapshot::Snapshot;

/// What has happened, the latest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Each event.
    pub(crate) events: Vec<EventReport>,
}

/// What has happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventReport {
    /// When it was last seen.
    pub(crate) last: Option<Timestamp>,
    /// When it was first seen.
    pub(crate) first: Option<Timestamp>,
    /// How often.
    pub(crate) count: i32,
    /// `Normal` or `Warning`.
    pub(crate) r#type: String,
    /// The reason in one word.
    pub(crate) reason: String,
    /// Kind of the object.
    pub(crate) kind: String,
    /// Name of the object.
    pub(crate) name: String,
    /// Who tells of it.
    pub(crate) source: String,
    /// The text.
    pub(crate) message: String,
}

/// Tells what has happened to the set and its objects.
pub(crate) async fn run(connection: &Connection, name: &str, output: Output) -> Result<(), Error> {
    let snapshot = connection.snapshot(name, Events::All).await?;
    output.report(&report(&snapshot), |report, paint| text(report, snapshot.now, paint))
}

/// The events of the set and its objects, those that are gone included.
pub(crate) fn report(snapshot: &Snapshot) -> Report {
    let events = snapshot.events.iter().filter(|it| is_about(snapshot, it));
    let mut events: Vec<_> = events.map(event_report).collect();
    events.sort_by(|one, two| {
        (one.last, one.first, &one.name).cmp(&(two.last, two.first, &two.name))
    });
    Report { events }
}

impl Snapshot {
    /// What is told last about the pods that a `StatefulSet` cannot create, while it lacks some.
    pub(crate) fn refusal(&self, stateful_set: &StatefulSetView) -> Option<&Event> {
        if !lacks_pods(stateful_set) {
            return None;
        }
        let about = |event: &&Event| {
            event.involved_object.uid.as_deref() == Some(stateful_set.identity.uid())
                && event.reason.as_deref() == Some("FailedCreate")
        };
        self.events.iter().filter(about).max_by_key(|event| last_seen(event))
    }
}

/// Whether pods of it are to be created.
pub(crate) fn lacks_pods(stateful_set: &StatefulSetView) -> bool {
    stateful_set.status_replicas < stateful_set.replicas
}

fn event_report(event: &Event) -> EventReport {
    let owned = |text: &Option<String>| text.clone().unwrap_or_default();
    let series = event.series.as_ref().and_then(|it| it.count);
    let reporter = owned(&event.reporting_component);
    let source = event.source.as_ref().map(|it| owned(&it.component)).unwrap_or_default();
    EventReport {
        last: last_seen(event),
        first: first_seen(event),
        count: series.or(event.count).unwrap_or(1).max(1),
        r#type: owned(&event.type_),
        reason: owned(&event.reason),
        kind: owned(&event.involved_object.kind),
        name: owned(&event.involved_object.name),
        source: if reporter.is_empty() { source } else { reporter },
        message: owned(&event.message),
    }
}

/// Whether an event is about the set or one of its objects. One that is gone is known by its name.
fn is_about(snapshot: &Snapshot, event: &Event) -> bool {
    let set = snapshot.set.name();
    let about = &event.involved_object;
    let [uid, kind, name] =
        [&about.uid, &about.kind, &about.name].map(|it| it.as_deref().unwrap_or_default());
    if kind == keys::KIND {
        return name == set && (uid.is_empty() || uid == snapshot.set.uid());
    }
    let of_set = |name: &str| names::parent_and_ordinal(name).is_some_and(|(it, _)| it == set);
    let of_group =
        |name: &str| names::parent_and_ordinal(name).is_some_and(|(parent, _)| of_set(parent));
    match kind {
        "StatefulSet" | "Service" => name == set || of_set(name),
        "Pod" => of_set(name) || of_group(name),
        "PodGroup" => snapshot.entry.pod_groups.contains_key(name),
        "ControllerRevision" => snapshot.entry.revisions.contains_key(name),
        _ => false,
    }
}

fn text(report: &Report, now: Timestamp, paint: Paint) -> String {
    if report.events.is_empty() {
        return "No events.\n".to_owned();
    }
    let mut table = Table::new(&["LAST SEEN", "COUNT", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    for event in &report.events {
        let tone = if event.r#type == "Warning" { Tone::Bad } else { Tone::Plain };
        let plain = |text: String| (text, Tone::Plain);
        table.row([
            plain(event.last.map(|it| age(it, now)).unwrap_or_default()),
            plain(event.count.to_string()),
            (event.r#type.clone(), tone),
            plain(event.reason.clone()),
            plain(format!("{}/{}", event.kind.to_lowercase(), event.name)),
            plain(event.message.trim_end().to_owned()),
        ]);
    }
    table.text(paint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_objects::{Objects, event};

    #[test]
    fn events_of_the_set_and_its_objects_are_shown_in_the_order_of_time() {
        let mut objects = Objects::ready(1, 2);
        let at = |mut event: serde_json::Value, time: &str| {
            event["lastTimestamp"] = json!(time);
            event
        };
        objects.events = vec![
            at(event("Pod", "s-0-1", "x", "Late", "m"), "2026-01-01T12:04:00Z"),
            at(event("LeaderWorkerSet", "s", "set", "Early", "m"), "2026-01-01T12:01:00Z"),
            at(event("LeaderWorkerSet", "s", "former", "Former", "m"), "2026-01-01T12:01:00Z"),
            at(event("StatefulSet", "s-0", "x", "Middle", "m"), "2026-01-01T12:02:00Z"),
            at(event("Pod", "other-0", "x", "Other", "m"), "2026-01-01T12:02:00Z"),
            at(event("Pod", "s-0-1-1", "x", "Other", "m"), "2026-01-01T12:02:00Z"),
            at(event("Node", "s-0", "x", "Other", "m"), "2026-01-01T12:02:00Z"),
        ];
        let report = report(&objects.snapshot());
        let reasons: Vec<_> = report.events.iter().map(|it| it.reason.as_str()).collect();
        assert_eq!(reasons, ["Early", "Middle", "Late"]);
    }

    #[test]
    fn a_series_counts_and_its_last_time_is_told() {
        let mut series = event("Pod", "s-0", "x", "Again", "m");
        series["lastTimestamp"] = json!(null);
        series["eventTime"] = json!("2026-01-01T12:00:00.000000Z");
        series["series"] = json!({"count": 7, "lastObservedTime": "2026-01-01T12:03:00.000000Z"});
        let mut objects = Objects::ready(1, 1);
        objects.events = vec![series];
        let report = report(&objects.snapshot());
        assert_eq!(report.events[0].count, 7);
        assert_eq!(report.events[0].last.unwrap().to_string(), "2026-01-01T12:03:00Z");
        let now = "2026-01-01T12:05:00Z".parse().unwrap();
        let text = text(&report, now, Paint::NONE);
        assert!(text.contains("\n2m          7       Warning   Again    pod/s-0   m\n"), "{text}");
    }
}

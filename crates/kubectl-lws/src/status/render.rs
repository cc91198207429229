//! The report for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{GroupReport, Report};
use crate::output::{Paint, Table, Tone, age};

/// The report as text.
pub(super) fn text(report: &Report, now: Timestamp, paint: Paint) -> String {
    let mut text = summary(report, now).text(paint);
    if let Some(cause) = &report.cause {
        let heading = if report.available { "Failing" } else { "Not available" };
        let heading = paint.paint(heading, Tone::Bad);
        // Writing to a String does not fail.
        let _ = writeln!(text, "\n{heading}: {cause}");
    }
    if !report.groups.is_empty() {
        text.push('\n');
        text += &groups(report, now).text(paint);
    }
    text
}

fn summary(report: &Report, now: Timestamp) -> Table {
    let headings = ["NAME", "DESIRED", "READY", "UPDATED", "REVISION", "CONDITIONS", "AGE"];
    let mut table = Table::new(&headings);
    let plain = |text: String| (text, Tone::Plain);
    let is_complete = report.ready >= report.desired;
    let tone = if report.available { Tone::Good } else { Tone::Busy };
    table.row([
        plain(report.name.clone()),
        plain(report.desired.to_string()),
        (report.ready.to_string(), if is_complete { Tone::Good } else { Tone::Bad }),
        plain(report.updated.to_string()),
        plain(report.revision.clone()),
        (report.conditions.join(","), tone),
        plain(report.created.map(|it| age(it, now)).unwrap_or_default()),
    ]);
    table
}

fn groups(report: &Report, now: Timestamp) -> Table {
    let headings = [
        "GROUP",
        "STATE",
        "REVISION",
        "READY",
        "RESTARTS",
        "FAILURES",
        "NODE",
        "DOMAIN",
        "AGE",
        "LAST CAUSE",
    ];
    let mut table = Table::new(&headings);
    let plain = |text: String| (text, Tone::Plain);
    for group in &report.groups {
        let GroupReport { index, state, .. } = group;
        let surge = if group.surge { " (surge)" } else { "" };
        let old = if group.updated || group.revision.is_none() { "" } else { " (old)" };
        let revision = group.revision.clone().map(|it| format!("{it}{old}"));
        table.row([
            plain(format!("{index}{surge}")),
            (state.word().to_owned(), state.tone()),
            plain(revision.unwrap_or_default()),
            plain(format!("{}/{}", group.ready_pods, group.size)),
            plain(group.restarts.to_string()),
            plain(group.recreations.to_string()),
            plain(group.node.clone().unwrap_or_default()),
            plain(group.domain.clone().unwrap_or_default()),
            plain(group.created.map(|it| age(it, now)).unwrap_or_default()),
            plain(group.cause.clone().unwrap_or_default()),
        ]);
    }
    table
}

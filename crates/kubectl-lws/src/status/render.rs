//! The report for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{GroupReport, Listed, Report};
use crate::cluster::Scope;
use crate::output::{Cell, Paint, Screen, Table, Tone, age};
use crate::snapshot::Unreadable;

/// The report as text.
pub(super) fn text(report: &Report, now: Timestamp, paint: Paint) -> String {
    page(report, report.groups.len(), now, paint)
}

/// The report and `warning` as text that fits on the screen: with as many groups as there is room for.
pub(super) fn fitted(
    report: &Report,
    warning: Option<&str>,
    now: Timestamp,
    paint: Paint,
    screen: Screen,
) -> String {
    let all = report.groups.len();
    let part = |shown: usize, paint: Paint| {
        let mut text = page(report, shown, now, paint);
        let noun = if all - shown == 1 { "group" } else { "groups" };
        // Writing to a String does not fail.
        if shown < all {
            let _ = writeln!(text, "… {} more {noun}", all - shown);
        }
        if let Some(warning) = warning {
            let _ = writeln!(text, "\n{}", paint.paint(warning, Tone::Bad));
        }
        text
    };
    // The cursor takes the last line. A group takes one at least, so that no more are tried.
    let fits = |shown: &usize| screen.height(&part(*shown, Paint::NONE)) < screen.lines;
    let shown = (0..=all.min(screen.lines)).rev().find(fits).unwrap_or(0);
    part(shown, paint)
}

/// The report with the first of its groups.
fn page(report: &Report, shown: usize, now: Timestamp, paint: Paint) -> String {
    let mut text = summary(report, now).text(paint);
    if let Some(cause) = &report.cause {
        let heading = if report.available { "Failing" } else { "Not available" };
        let heading = paint.paint(heading, Tone::Bad);
        // Writing to a String does not fail.
        let _ = writeln!(text, "\n{heading}: {cause}");
    }
    if !report.groups.is_empty() {
        text.push('\n');
        let first = report.groups.iter().take(shown);
        text += &groups(first, &report.revision, now).text(paint);
    }
    text
}

/// What is told of a set as a whole.
const SUMMARY: [&str; 7] = ["NAME", "DESIRED", "READY", "UPDATED", "REVISION", "CONDITIONS", "AGE"];

fn summary(report: &Report, now: Timestamp) -> Table {
    let mut table = Table::new(&SUMMARY);
    table.row(cells(report, now));
    table
}

/// All sets as text, one a line, with what is in the way of each.
pub(super) fn list(listed: &[Listed], scope: Scope, now: Timestamp, paint: Paint) -> String {
    let headings = ["NAMESPACE"].into_iter().chain(SUMMARY).chain(["CAUSE"]);
    let skipped = usize::from(scope == Scope::Namespace);
    let mut table = Table::new(&headings.skip(skipped).collect::<Vec<_>>());
    for listed in listed {
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        let (namespace, cells, cause) = match listed {
            Listed::Report(report) => {
                let cause = plain(report.cause.as_deref().unwrap_or_default());
                (&report.namespace, cells(report, now), cause)
            }
            Listed::Unreadable(Unreadable { namespace, name, error }) => {
                let mut cells = [""; SUMMARY.len()].map(plain);
                cells[0] = plain(name);
                (namespace, cells, (format!("cannot be read: {error}"), Tone::Bad))
            }
        };
        let all = [plain(namespace)].into_iter().chain(cells).chain([cause]);
        table.row(all.skip(skipped));
    }
    table.text(paint)
}

fn cells(report: &Report, now: Timestamp) -> [Cell; SUMMARY.len()] {
    let plain = |text: String| (text, Tone::Plain);
    let conditions = report.conditions.iter().map(String::as_str);
    let conditions: Vec<_> = conditions.chain(report.paused.then_some("Paused")).collect();
    let is_complete = report.ready >= report.desired;
    let tone = if report.available { Tone::Good } else { Tone::Busy };
    [
        plain(report.name.clone()),
        plain(report.desired.to_string()),
        (report.ready.to_string(), if is_complete { Tone::Good } else { Tone::Bad }),
        plain(report.updated.to_string()),
        plain(report.revision.clone()),
        (conditions.join(","), tone),
        plain(report.created.map(|it| age(it, now)).unwrap_or_default()),
    ]
}

fn groups<'a>(
    groups: impl Iterator<Item = &'a GroupReport>,
    current: &str,
    now: Timestamp,
) -> Table {
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
    for group in groups {
        let GroupReport { index, state, .. } = group;
        let surge = if group.surge { " (surge)" } else { "" };
        let mark = |it: &String| if it == current { "" } else { " (old)" };
        let revision = group.revision.as_ref().map(|it| format!("{it}{}", mark(it)));
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

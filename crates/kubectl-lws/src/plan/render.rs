//! The plan for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::Report;
use super::effects::Verb;
use super::forecast::{Group, Stage, ranges};
use crate::output::{Paint, Table, Tone};

/// With more groups than this, a group is one letter instead of a word.
const WIDE: usize = 12;
/// More stages than this are not all shown.
const LONG: usize = 40;
/// How many of them are shown at each end.
const ENDS: usize = 15;

/// The report as text.
pub(super) fn text(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    let Report { namespace, name, .. } = report;
    let what = match () {
        () if report.created => "would be created",
        () if report.changes.is_empty() => "would not change",
        () => "would change",
    };
    // Writing to a String does not fail.
    let _ = writeln!(text, "LeaderWorkerSet {namespace}/{name} {what}.");
    for warning in &report.warnings {
        let _ = writeln!(text, "{}: {warning}", paint.paint("Warning", Tone::Busy));
    }
    if !report.changes.is_empty() {
        text.push('\n');
        text += &changes(report).text(paint);
    }
    let _ = writeln!(text, "\n{}", revision(report));
    for effect in &report.effects {
        let tone = match effect.verb {
            Verb::Create => Tone::Good,
            Verb::Change => Tone::Plain,
            Verb::Replace => Tone::Busy,
            Verb::Delete => Tone::Bad,
        };
        let _ = writeln!(text, "  {} {}", paint.paint(effect.verb.word(), tone), effect.objects);
    }
    if report.pod_groups.is_none() {
        text += "  PodGroups: unknown, see --gang-scheduling\n";
    }
    text += "\nLongest names:\n";
    for it in &report.longest_names {
        let over =
            if it.length > it.limit { paint.paint(": too long", Tone::Bad) } else { String::new() };
        let _ = writeln!(
            text,
            "  {} {} ({} of {} characters){over}",
            it.kind, it.name, it.length, it.limit
        );
    }
    if !report.rollout.is_empty() {
        text += "\nRollout, if nothing fails:\n";
        text += &stages(&report.rollout, paint);
    }
    if !report.left_behind.is_empty() {
        let waits = format!(
            "{} would not be replaced: groups that are down use up maxUnavailable",
            ranges(&report.left_behind)
        );
        let _ = writeln!(text, "\n{}: {waits}.", paint.paint("Warning", Tone::Bad));
    }
    text
}

/// Which revision the groups are brought to.
fn revision(report: &Report) -> String {
    let Report { revision, new_revision, .. } = report;
    match report.revision_before.as_deref() {
        None => format!("Revision: {revision}, the first."),
        Some(before) if before == revision => {
            format!("Revision: {revision}, as before: no group is replaced because of this.")
        }
        Some(before) => {
            let known = if *new_revision { "new" } else { "stored already" };
            format!("Revision: {before} -> {revision}, which is {known}.")
        }
    }
}

fn changes(report: &Report) -> Table {
    let mut table = Table::new(&["FIELD", "NOW", "THEN", "NEW REVISION"]);
    for change in &report.changes {
        let plain = |text: String| (text, Tone::Plain);
        let makes = if change.new_revision { ("yes", Tone::Busy) } else { ("no", Tone::Plain) };
        table.row([
            plain(change.field.clone()),
            plain(value(change.before.as_ref())),
            plain(value(change.after.as_ref())),
            (makes.0.to_owned(), makes.1),
        ]);
    }
    table
}

/// A value in short.
fn value(value: Option<&Value>) -> String {
    const LONGEST: usize = 40;
    let text = match value {
        None => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn stages(stages: &[Stage], paint: Paint) -> String {
    let groups = stages.iter().map(|it| it.groups.len()).max().unwrap_or(0);
    let is_wide = groups > WIDE;
    let mut headings: Vec<String> = ["EVENT", "PARTITION", "REPLICAS"].map(str::to_owned).to_vec();
    if is_wide {
        headings.push("GROUPS (o: old, d: old and down, n: new, u: new and starting)".to_owned());
    } else {
        headings.extend((0..groups).map(|it| it.to_string()));
    }
    let headings: Vec<_> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    let hidden = if stages.len() > LONG { ENDS..stages.len() - ENDS } else { 0..0 };
    for (position, stage) in stages.iter().enumerate() {
        if hidden.contains(&position) {
            if position == hidden.start {
                table.row([(format!("… {} more stages", hidden.len()), Tone::Plain)]);
            }
            continue;
        }
        let plain = |text: String| (text, Tone::Plain);
        let mut cells = vec![
            plain(stage.event.clone()),
            plain(stage.partition.to_string()),
            plain(stage.replicas.to_string()),
        ];
        if is_wide {
            cells.push(plain(stage.groups.iter().map(|it| cell(*it).1).collect()));
        } else {
            cells.extend(stage.groups.iter().map(|it| (cell(*it).0.to_owned(), tone(*it))));
        }
        table.row(cells);
    }
    table.text(paint)
}

fn cell(group: Group) -> (&'static str, char) {
    match group {
        Group::Absent => ("", '.'),
        Group::Old => ("old", 'o'),
        Group::OldDown => ("old, down", 'd'),
        Group::New => ("new", 'n'),
        Group::NewDown => ("new, down", 'u'),
    }
}

fn tone(group: Group) -> Tone {
    match group {
        Group::New => Tone::Good,
        Group::NewDown => Tone::Busy,
        Group::OldDown => Tone::Bad,
        Group::Old | Group::Absent => Tone::Plain,
    }
}

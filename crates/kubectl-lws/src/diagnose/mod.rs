//! `diagnose`: what is wrong with a set, how that shows, and what to do.

mod failure;
mod findings;
mod installation;
mod probe;
mod refusals;
#[cfg(test)]
mod tests;
mod what;

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::connection::Connection;
use crate::error::Error;
use crate::output::{Output, Paint, Tone};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// What is wrong.
    pub(crate) what: String,
    /// How that shows.
    pub(crate) evidence: String,
    /// What to do.
    pub(crate) advice: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// What is wrong, the nearest cause first.
    pub(crate) findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub(crate) unchecked: Vec<String>,
}

/// Looks for what is wrong with the set; the exit code says whether anything is.
pub(crate) async fn run(
    connection: &Connection,
    name: &str,
    output: Output,
) -> Result<ExitCode, Error> {
    let report = look(connection, name).await?;
    output.report(&report, text)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(connection: &Connection, name: &str) -> Result<Report, Error> {
    let mut report = Report::default();
    let unchecked = &mut report.unchecked;
    let mut snapshot = match connection.whole_snapshot(name).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let finding = failure::unreadable(&error, &connection.namespace, name).ok_or(error)?;
            report.findings.push(finding);
            return Ok(report);
        }
    };
    connection.look_up_topologies(&mut snapshot).await?;
    let lost = connection.lost(&snapshot.doubtful_nodes()).await;
    let what = "whether the nodes of pods that are not ready, or do not end, answer";
    snapshot.lost = installation::permitted(lost, what, unchecked)?.unwrap_or_default();
    report.findings = findings::of(&snapshot);
    let installation = installation::look(connection, &snapshot, unchecked).await?;
    report.findings.extend(installation.findings(snapshot.now));
    if let Some(pod) = probe::pod(&snapshot) {
        let refusal = probe::try_out(connection, &pod, unchecked).await?;
        let finding = refusal.and_then(|it| probe::finding(&snapshot, &it));
        // What pods have shown already is not told again.
        let is_new = |it: &Finding| report.findings.iter().all(|known| known.what != it.what);
        let finding = finding.filter(is_new);
        report.findings.extend(finding);
    }
    Ok(report)
}

fn text(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    for Finding { what, evidence, advice } in &report.findings {
        let _ = writeln!(text, "{}", paint.paint(what, Tone::Bad));
        let _ = writeln!(text, "  Evidence:  {evidence}");
        let _ = writeln!(text, "  To do:     {advice}\n");
    }
    if report.findings.is_empty() {
        let _ = writeln!(text, "{}", paint.paint("Nothing wrong was found.", Tone::Good));
    }
    for it in &report.unchecked {
        let _ = writeln!(text, "Not checked: {it}");
    }
    text
}

//! What is told: tables in Markdown, in which each figure stands beside its target.

use std::fmt::Display;
use std::io::Write;

use anyhow::{Context as _, Result};

/// What a figure shall be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// No more than this.
    AtMost(f64),
    /// No target: the figure explains others.
    None,
}

/// One measured figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// What was measured, with its unit.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: f64,
    /// What it shall be.
    pub(crate) target: Target,
    /// What the existing implementation was measured to need; empty when that is not known.
    pub(crate) existing: String,
}

impl Figure {
    /// A figure that shall be no more than `target`.
    pub(crate) fn at_most(name: impl Into<String>, value: f64, target: f64) -> Self {
        let target = Target::AtMost(target);
        Self { name: name.into(), value, target, existing: String::new() }
    }

    /// A figure without a target.
    pub(crate) fn plain(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, target: Target::None, existing: String::new() }
    }

    /// The same with what the existing implementation needs.
    #[must_use]
    pub(crate) fn existing(mut self, figure: &str) -> Self {
        figure.clone_into(&mut self.existing);
        self
    }

    /// Whether the target is met; `None` without a target.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(target) => Some(self.value <= target),
            Target::None => None,
        }
    }

    fn cells(&self) -> [String; 5] {
        let target = match self.target {
            Target::AtMost(target) => format!("≤ {}", number(target)),
            Target::None => String::new(),
        };
        let verdict = match self.is_met() {
            Some(true) => "met",
            Some(false) => "**MISSED**",
            None => "",
        };
        let value = number(self.value);
        [self.name.clone(), value, target, verdict.to_owned(), self.existing.clone()]
    }
}

/// The figures of a scenario as a table.
pub(crate) fn figures(figures: &[Figure]) -> String {
    let header = ["figure", "measured", "target", "verdict", "existing implementation"];
    table(&header.map(str::to_owned), &figures.iter().map(Figure::cells).collect::<Vec<_>>())
}

/// A table in Markdown with aligned columns.
pub(crate) fn table<const N: usize>(header: &[String; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().chain([header]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} "));
        format!("|{}|\n", padded.collect::<Vec<_>>().join("|"))
    };
    let rules = widths.map(|width| "-".repeat(width + 2));
    let rule = format!("|{}|\n", rules.join("|"));
    let lines = [line(header), rule].into_iter().chain(rows.iter().map(line));
    lines.collect()
}

/// How many targets were met, in one sentence.
pub(crate) fn verdict(figures: &[Figure]) -> String {
    let missed: Vec<&str> = figures
        .iter()
        .filter(|figure| figure.is_met() == Some(false))
        .map(|figure| figure.name.as_str())
        .collect();
    let targets = figures.iter().filter(|figure| figure.is_met().is_some()).count();
    if missed.is_empty() {
        format!("All {targets} targets are met.")
    } else {
        format!("{} of {targets} targets are MISSED: {}.", missed.len(), missed.join("; "))
    }
}

/// A number with as many digits as tell something.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        small if small < 10.0 => 2,
        _ => 1,
    };
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some((whole, digits)) if digits.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => text,
    }
}

/// A count as a number that can be divided.
pub(crate) fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// What was measured on, for the head of a report.
pub(crate) fn machine(kubernetes: Option<&str>) -> Result<String> {
    let cores = std::thread::available_parallelism().context("cannot count the processors")?;
    let on = kubernetes.map(|version| format!(", Kubernetes {version}")).unwrap_or_default();
    Ok(format!("{cores} processors{on}.\n"))
}

/// Prints text and a line end, at once.
pub(crate) fn say(text: impl Display) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("cannot write to the output")
}

/// Prints an error with its causes. When even that fails there is nobody left to tell.
pub(crate) fn complain(error: &anyhow::Error) {
    _ = writeln!(std::io::stderr(), "error: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_beside_their_targets() {
        let figures = [
            Figure::at_most("CPU, µs", 42.25, 65.0).existing("610–700"),
            Figure::at_most("p99, ms", 9.0, 8.0),
            Figure::plain("requests/s", 12_345.6),
        ];
        assert_eq!(
            super::figures(&figures),
            "\
| figure     | measured | target | verdict    | existing implementation |
|------------|----------|--------|------------|-------------------------|
| CPU, µs    | 42.2     | ≤ 65   | met        | 610–700                 |
| p99, ms    | 9        | ≤ 8    | **MISSED** |                         |
| requests/s | 12346    |        |            |                         |
"
        );
        assert_eq!(verdict(&figures), "1 of 2 targets are MISSED: p99, ms.");
        assert_eq!(verdict(&figures[..1]), "All 1 targets are met.");
    }

    #[test]
    fn numbers_have_the_digits_that_tell_something() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (1.234, "1.23"),
            (9.5, "9.50"),
            (12.34, "12.3"),
            (10.0, "10"),
            (100.4, "100"),
            (12_345.6, "12346"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }
}

//! How reports are written: as tables for people, as JSON and YAML for programs.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::Error;

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// What a word tells at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Wrong.
    Bad,
    /// Nothing in particular.
    Plain,
}

/// Where and how a report is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    coloured: bool,
    /// Whether a later report can take the place of an earlier one.
    redrawn: bool,
}

/// Lines and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Its height.
    pub(crate) lines: usize,
    /// Its width.
    pub(crate) columns: usize,
}

impl Screen {
    /// How many lines `text` takes on it.
    pub(crate) fn height(self, text: &str) -> usize {
        let wrapped = |line: &str| line.chars().count().div_ceil(self.columns.max(1)).max(1);
        text.lines().map(wrapped).sum()
    }
}

impl Output {
    /// Writes to the standard output, in colours if that is a terminal whose user has not refused
    /// them.
    pub(crate) fn new(format: Format) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
        let is_plain = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
        let is_capable = std::io::stdout().is_terminal() && !is_plain;
        Self {
            format,
            coloured: is_capable && !refused,
            redrawn: is_capable && format == Format::Table,
        }
    }

    /// Whether people read it.
    pub(crate) fn is_for_people(self) -> bool {
        self.format == Format::Table
    }

    /// The terminal on which a later report takes the place of an earlier one, where there is one.
    pub(crate) fn screen(self) -> Option<Screen> {
        let endless = Screen { lines: usize::MAX, columns: usize::MAX };
        let sized = terminal_size::terminal_size_of(std::io::stdout())
            .map(|(columns, lines)| Screen { lines: lines.0.into(), columns: columns.0.into() });
        self.redrawn.then(|| sized.unwrap_or(endless))
    }

    /// Writes `report`, for people as `text` gives it.
    pub(crate) fn report<R: Serialize>(
        self,
        report: &R,
        text: impl FnOnce(&R, Paint) -> String,
    ) -> Result<(), Error> {
        let text = match self.format {
            Format::Table => text(report, self.paint()),
            Format::Json => {
                let failed = |source| Error::Json { what: "the report", source };
                serde_json::to_string_pretty(report).map_err(failed)? + "\n"
            }
            Format::Yaml => format!("---\n{}", serde_saphyr::to_string(report)?),
        };
        print(&text)
    }

    /// The colours.
    pub(crate) fn paint(self) -> Paint {
        Paint { coloured: self.coloured }
    }
}

/// Puts words in colours, or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    coloured: bool,
}

impl Paint {
    /// Without colours.
    pub(crate) const NONE: Self = Self { coloured: false };

    /// `text` in the colour of `tone`.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Busy => 33,
            Tone::Bad => 31,
            Tone::Plain => return text.to_owned(),
        };
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// What stands in a table at one place.
pub(crate) type Cell = (String, Tone);

/// A table with aligned columns, as kubectl's.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let plain = |it: &&str| ((*it).to_owned(), Tone::Plain);
        Self { rows: vec![headings.iter().map(plain).collect()] }
    }

    /// Adds a row; an empty cell is a dash.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let shown = |(text, tone): Cell| {
            if text.is_empty() { ("-".to_owned(), tone) } else { (text, tone) }
        };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// Its text.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<Cell>| {
            let cells =
                row.iter().zip(&widths).enumerate().map(|(column, ((text, tone), width))| {
                    let is_last = column + 1 == row.len();
                    let gap = if is_last { 0 } else { width + 3 - text.chars().count() };
                    paint.paint(text, *tone) + &" ".repeat(gap)
                });
            cells.collect::<String>() + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

/// Writes to the standard output.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line to the standard error; where that fails there is nobody to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes `text` to a terminal in place of all that is on it.
pub(crate) fn redraw(text: &str) -> Result<(), Error> {
    print(&format!("\x1b[H\x1b[2J{text}"))
}

/// How long ago `then` was, as kubectl writes ages: the two leading units while the first is small.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    elapsed(now.duration_since(then))
}

fn elapsed(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |first: i64, unit: &str, second: i64, below: &str| {
        if second == 0 { format!("{first}{unit}") } else { format!("{first}{unit}{second}{below}") }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () => two(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_kubectl() {
        for (seconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (605, "10m"),
            (3 * 3600 - 1, "179m"),
            (3 * 3600, "3h"),
            (4 * 3600 + 300, "4h5m"),
            (30 * 3600, "30h"),
            (2 * 86_400 + 3600, "2d1h"),
            (100 * 86_400, "100d"),
            (731 * 86_400, "2y1d"),
        ] {
            assert_eq!(elapsed(SignedDuration::from_secs(seconds)), expected, "{seconds} s");
        }
    }

    #[test]
    fn lines_that_are_too_wide_take_more_of_the_screen() {
        let screen = Screen { lines: 5, columns: 10 };
        for (text, expected) in
            [("", 0), ("a\n\nb\n", 3), ("0123456789\n", 1), ("0123456789a\n", 2)]
        {
            assert_eq!(screen.height(text), expected, "{text:?}");
        }
    }

    #[test]
    fn columns_are_aligned_and_empty_cells_shown() {
        let mut table = Table::new(&["GROUP", "STATE", "NODE"]);
        table.row([
            ("0".into(), Tone::Plain),
            ("Ready".into(), Tone::Good),
            (String::new(), Tone::Plain),
        ]);
        assert_eq!(table.text(Paint::NONE), "GROUP   STATE   NODE\n0       Ready   -\n");
        let coloured = table.text(Paint { coloured: true });
        assert_eq!(coloured, "GROUP   STATE   NODE\n0       \x1b[32mReady\x1b[0m   -\n");
    }
}

//! How rows look in a terminal.

use std::time::Duration;

use crate::board::{Cell, Row};

/// With more groups than this, a group is one letter instead of a word.
const WIDE: usize = 12;

/// The columns of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    groups: usize,
}

impl Table {
    /// A table of rows with `groups` cells.
    pub(crate) fn new(groups: usize) -> Self {
        Self { groups }
    }

    /// The line above the rows.
    pub(crate) fn header(self) -> String {
        let groups = if self.groups > WIDE {
            "groups (o: old, u: updating, n: new, .: empty)".to_owned()
        } else {
            (0..self.groups).map(|group| padded(&format!("group {group}"))).collect()
        };
        line("time", "event", "partition", "replicas", &groups)
    }

    /// The line of a row that came `after` the rollout began.
    pub(crate) fn row(self, after: Duration, row: &Row) -> String {
        let cell = |cell: &Cell| {
            let (word, letter) = match cell {
                Cell::Empty => ("-", '.'),
                Cell::Old => ("old", 'o'),
                Cell::Updating => ("updating", 'u'),
                Cell::New => ("new", 'n'),
            };
            if self.groups > WIDE { letter.to_string() } else { padded(word) }
        };
        let cells: String = row.cells.iter().map(cell).collect();
        let time = format!("{:.1} s", after.as_secs_f64());
        line(&time, &row.event, &row.partition.to_string(), &row.replicas.to_string(), &cells)
    }
}

fn padded(cell: &str) -> String {
    format!("{cell:10}")
}

fn line(time: &str, event: &str, partition: &str, replicas: &str, groups: &str) -> String {
    let line = format!("{time:>7}  {event:<40}  {partition:>9}  {replicas:>8}  {groups}");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_their_headings() {
        let row = Row {
            event: "groups 0 to 1 released".to_owned(),
            partition: 0,
            replicas: 3,
            cells: vec![Cell::Old, Cell::Updating, Cell::New, Cell::Empty],
        };
        let table = Table::new(4);
        let (header, row) = (table.header(), table.row(Duration::from_millis(1540), &row));
        for (heading, cell) in [("group 0", "old"), ("group 1", "updating"), ("group 3", "-")] {
            let column = header.find(heading).unwrap();
            assert!(row[column..].starts_with(cell), "{header}\n{row}");
        }
        assert!(row.starts_with("  1.5 s  groups 0 to 1 released "), "{row}");
    }

    #[test]
    fn many_groups_are_one_letter_each() {
        let mut cells = vec![Cell::Old; 20];
        cells.extend([Cell::Updating, Cell::New, Cell::Empty]);
        let row = Row { event: "before".to_owned(), partition: 0, replicas: 22, cells };
        let text = Table::new(23).row(Duration::ZERO, &row);
        assert!(text.ends_with(&format!("  {}un.", "o".repeat(20))), "{text}");
    }
}

//! What a process has, from begin to end, and whether that grows.

use anyhow::Result;

use crate::chart::{Chart, Scale};
use crate::process::Measured;
use crate::report::{self, Figure, count, number};

/// MiB by which memory may be higher in the end than in the second quarter: an allocator takes pages when it likes.
const MEMORY_TOLERANCE: f64 = 1.0;

/// A look at a process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    /// How much of the work was done.
    done: u32,
    /// Resident, in MiB.
    memory: f64,
    open_files: usize,
}

/// Looks at a process in the course of its work.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

/// A part of the work, as shares of all.
type Part = (f64, f64);

/// The parts that are compared: first what every cache and buffer is full in, then the last.
const SECOND_QUARTER: Part = (0.25, 0.5);
const LAST_QUARTER: Part = (0.75, 1.0);

impl Samples {
    /// Looks at a process that has done so much of its work.
    pub(super) fn look(&mut self, process: Measured, done: u32) -> Result<()> {
        let memory = process.memory()?.resident_mebibytes();
        self.0.push(Sample { done, memory, open_files: process.open_files()? });
        Ok(())
    }

    fn all(&self) -> u32 {
        self.0.last().map_or(0, |it| it.done)
    }

    fn within(&self, (from, to): Part) -> impl Iterator<Item = &Sample> {
        let all = f64::from(self.all());
        let part = (from * all)..=(to * all);
        self.0.iter().filter(move |it| part.contains(&f64::from(it.done)))
    }

    /// The most memory in a part, in MiB.
    fn memory(&self, part: Part) -> f64 {
        self.within(part).map(|it| it.memory).fold(0.0, f64::max)
    }

    /// The most files that were open in a part.
    fn open_files(&self, part: Part) -> usize {
        self.within(part).map(|it| it.open_files).max().unwrap_or_default()
    }

    /// How it stood at the begin, after each quarter, and in the end.
    pub(super) fn table(&self, work: &str) -> String {
        let header = ["", work, "resident memory, MiB", "open files"].map(str::to_owned);
        let marks = [("start", 0.0), ("quarter", 0.25), ("half", 0.5), ("three quarters", 0.75)];
        let reached = |(name, share): (&str, f64)| {
            let least = share * f64::from(self.all());
            let sample = self.0.iter().find(|it| f64::from(it.done) >= least)?;
            Some(row(name, sample))
        };
        let mut rows: Vec<_> = marks.into_iter().filter_map(reached).collect();
        rows.extend(self.0.last().map(|sample| row("end", sample)));
        report::table(&header, &rows)
    }

    /// Whether anything has grown.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let memory = self.memory(LAST_QUARTER) - self.memory(SECOND_QUARTER);
        let files = count(self.open_files(LAST_QUARTER)) - count(self.open_files(SECOND_QUARTER));
        let [first, last] =
            [self.0.first(), self.0.last()].map(|it| it.map_or(0, |it| it.open_files));
        vec![
            Figure::at_most(
                "more memory in the last quarter than in the second, MiB",
                memory,
                MEMORY_TOLERANCE,
            ),
            Figure::at_most("more open files in the last quarter than in the second", files, 0.0),
            Figure::at_most("more open files in the end", count(last) - count(first), 0.0),
        ]
    }

    /// All looks, as a picture.
    pub(super) fn chart<'a>(&self, title: &'a str, work: &'a str) -> Chart<'a> {
        let line = |name: &str, value: fn(&Sample) -> f64| {
            let points = self.0.iter().map(|it| (f64::from(it.done), value(it))).collect();
            (name.to_owned(), points)
        };
        let lines = vec![
            line("resident memory, MiB", |it| it.memory),
            line("open files", |it| count(it.open_files)),
        ];
        Chart { title, over: work, scale: Scale::Linear, lines }
    }
}

fn row(name: &str, sample: &Sample) -> [String; 4] {
    let Sample { done, memory, open_files } = sample;
    [name.to_owned(), done.to_string(), number(*memory), open_files.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seen: &[(u32, f64, usize)]) -> Samples {
        let sample = |&(done, memory, open_files): &_| Sample { done, memory, open_files };
        Samples(seen.iter().map(sample).collect())
    }

    fn verdicts(samples: &Samples) -> Vec<Option<bool>> {
        samples.figures().iter().map(Figure::is_met).collect()
    }

    #[test]
    fn what_stays_is_flat() {
        let flat =
            samples(&[(0, 5.0, 9), (30, 11.0, 12), (50, 10.0, 12), (80, 11.9, 12), (100, 10.0, 9)]);
        assert_eq!(verdicts(&flat), [Some(true); 3]);
    }

    #[test]
    fn what_grows_is_told() {
        let grown = samples(&[(0, 5.0, 9), (30, 11.0, 12), (80, 12.5, 13), (100, 12.0, 10)]);
        assert_eq!(verdicts(&grown), [Some(false); 3]);
        let table = grown.table("reviews");
        let rows: Vec<_> = table.lines().skip(2).map(|it| it.replace(' ', "")).collect();
        assert_eq!(
            rows,
            [
                "|start|0|5|9|",
                "|quarter|30|11|12|",
                "|half|80|12.5|13|",
                "|threequarters|80|12.5|13|",
                "|end|100|12|10|"
            ]
        );
    }
}

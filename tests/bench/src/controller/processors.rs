//! Who had the machine's processors while something was done: what sets the pace.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::Measured;
use crate::report::count;

/// What each process had spent on the processors at one moment.
#[derive(Debug, Clone)]
pub(super) struct Processors {
    at: Instant,
    spent: Vec<(&'static str, Duration)>,
}

/// Shares of the time of all processors, by process, the largest first.
pub(super) type Shares = Vec<(&'static str, f64)>;

impl Processors {
    /// Looks at processes now.
    pub(super) fn look(processes: &[(&'static str, Measured)]) -> Result<Self> {
        let spent = |&(name, process): &(_, Measured)| Ok((name, process.processor_time()?));
        Ok(Self { at: Instant::now(), spent: processes.iter().map(spent).collect::<Result<_>>()? })
    }

    /// What each of the processes had of all the processors since an earlier look at the same ones.
    pub(super) fn shares_since(&self, before: &Self) -> Result<Shares> {
        let processors = count(std::thread::available_parallelism()?.get());
        let all = self.at.duration_since(before.at).as_secs_f64() * processors;
        let both = self.spent.iter().zip(&before.spent);
        let share = |(&(name, now), &(_, then)): (&(_, Duration), &(_, Duration))| {
            (name, now.saturating_sub(then).as_secs_f64() / all)
        };
        let mut shares: Shares = both.map(share).collect();
        shares.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Ok(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_all_processors() {
        let at = Instant::now();
        let seconds = Duration::from_secs;
        let look = |after, one, other| Processors {
            at: at + seconds(after),
            spent: vec![("one", seconds(one)), ("other", seconds(other))],
        };
        let processors = count(std::thread::available_parallelism().unwrap().get());
        let shares = look(10, 3, 14).shares_since(&look(0, 2, 10)).unwrap();
        let [(first, large), (second, small)] = shares.as_slice() else { panic!("{shares:?}") };
        assert_eq!([*first, *second], ["other", "one"]);
        assert!((large * processors - 0.4).abs() < 1e-9 && (small * processors - 0.1).abs() < 1e-9);
    }
}

//! Processor time and memory of a process, as Linux counts them in `/proc`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How long a tick of `/proc/<pid>/stat` is: all of Linux' interfaces to programs count 100 in a second.
const TICK: Duration = Duration::from_millis(10);

/// Places of `utime` and `stime` behind the name in `/proc/<pid>/stat`, which may contain blanks.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// A process that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pid: u32,
}

/// Memory of a process in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What it holds now.
    pub(crate) resident: u64,
    /// The most it ever held.
    pub(crate) peak: u64,
}

impl Memory {
    /// What it holds now, in MiB.
    pub(crate) fn resident_mebibytes(self) -> f64 {
        mebibytes(self.resident)
    }

    /// The most it ever held, in MiB.
    pub(crate) fn peak_mebibytes(self) -> f64 {
        mebibytes(self.peak)
    }
}

fn mebibytes(kibibytes: u64) -> f64 {
    u32::try_from(kibibytes).map_or(f64::MAX, f64::from) / 1024.0
}

impl Measured {
    /// The process with this id, which must belong to a child that has not been waited for.
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// The time that all its threads have spent on a processor, in the program and in the kernel for it.
    pub(crate) fn processor_time(self) -> Result<Duration> {
        self.read("stat", processor_time)
    }

    /// The memory it has.
    pub(crate) fn memory(self) -> Result<Memory> {
        self.read("status", memory)
    }

    fn read<T>(self, file: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        let path = PathBuf::from(format!("/proc/{}/{file}", self.pid));
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        parse(&text).with_context(|| format!("{} has an unknown form", path.display()))
    }
}

fn processor_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = |place| fields.split(' ').nth(place)?.parse::<u32>().ok();
    Some(TICK * (ticks(USER_TIME)? + ticks(SYSTEM_TIME)?))
}

fn memory(status: &str) -> Option<Memory> {
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { resident: kibibytes("VmRSS")?, peak: kibibytes("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_with_an_odd_name() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194304 500 0 0 0 123 45 6 7 20 0 3 0 900 1 2";
        assert_eq!(processor_time(stat), Some(Duration::from_millis(1680)));
        assert_eq!(processor_time("77 (a) S 1 77"), None);
    }

    #[test]
    fn the_memory_of_a_process() {
        let status = "Name:\tx\nVmPeak:\t  9000 kB\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!(memory(status), Some(Memory { resident: 4096, peak: 5120 }));
        assert_eq!(memory("VmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn a_process_that_runs_and_one_that_does_not() {
        let own = Measured::new(std::process::id());
        let memory = own.memory().unwrap();
        assert!(memory.resident > 0 && memory.peak >= memory.resident, "{memory:?}");
        own.processor_time().unwrap();
        let error = Measured::new(u32::MAX).memory().unwrap_err();
        assert_eq!(error.to_string(), "cannot read /proc/4294967295/status");
    }
}

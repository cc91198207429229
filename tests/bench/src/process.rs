//! Processor time of a process, by its clock; memory and open files, as Linux counts them in `/proc`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// Places of the state and the inode in a line of `/proc/net/tcp`, and the state of a listener.
const STATE: usize = 3;
const INODE: usize = 9;
const LISTENING: &str = "0A";

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

    /// The time that all its threads, also those that have ended, have spent on a processor, in the program and in the kernel
    /// for it: to the nanosecond.
    pub(crate) fn processor_time(self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(self.pid)?));
        let time = clock.and_then(ClockId::now);
        let time =
            time.with_context(|| format!("cannot read the clock of process {}", self.pid))?;
        Ok(time.into())
    }

    /// The memory it has.
    pub(crate) fn memory(self) -> Result<Memory> {
        self.read("status", memory)
    }

    /// How many files, sockets included, it has open.
    pub(crate) fn open_files(self) -> Result<usize> {
        Ok(self.entries("fd")?.count())
    }

    /// How many of these are connections: established, or half closed.
    pub(crate) fn open_connections(self) -> Result<usize> {
        let mut own = HashSet::new();
        for file in self.entries("fd")? {
            // One may have been closed meanwhile.
            own.extend(std::fs::read_link(file?.path()).ok().as_deref().and_then(socket));
        }
        let connections = |table: &str| Some(connections(table).collect::<Vec<_>>());
        let [four, six] = ["net/tcp", "net/tcp6"].map(|file| self.read(file, connections));
        let all = four?.into_iter().chain(six?);
        Ok(all.filter(|inode| own.contains(inode)).count())
    }

    fn entries(self, directory: &str) -> Result<std::fs::ReadDir> {
        let path = self.path(directory);
        std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn path(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    fn read<T>(self, file: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        read(&self.path(file), parse)
    }
}

fn read<T>(path: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} has an unknown form", path.display()))
}

/// The inode of the socket that a link such as `socket:[123]` leads to.
fn socket(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The inodes of the sockets of a table such as `/proc/net/tcp` that do not listen.
fn connections(table: &str) -> impl Iterator<Item = u64> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(STATE);
        let is_listening = fields.next()? == LISTENING;
        (!is_listening).then_some(())?;
        fields.nth(INODE - STATE - 1)?.parse().ok()
    })
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
    fn the_memory_of_a_process() {
        let status = "Name:\tx\nVmPeak:\t  9000 kB\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!(memory(status), Some(Memory { resident: 4096, peak: 5120 }));
        assert_eq!(memory("VmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn sockets_that_do_not_listen_are_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100\n\
             1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20\n";
        assert_eq!(connections(table).collect::<Vec<_>>(), [222]);
        assert_eq!(socket(Path::new("socket:[222]")), Some(222));
        assert_eq!(socket(Path::new("/dev/null")), None);
    }

    #[test]
    fn the_time_of_threads_that_have_ended_counts() {
        let own = Measured::new(std::process::id());
        let before = own.processor_time().unwrap();
        let work = Duration::from_millis(5);
        let thread = std::thread::spawn(move || {
            let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
            while Duration::from(clock.now().unwrap()) < work {}
        });
        thread.join().unwrap();
        assert!(own.processor_time().unwrap() >= before + work);
    }

    #[test]
    fn a_process_that_runs_and_one_that_does_not() {
        let own = Measured::new(std::process::id());
        let memory = own.memory().unwrap();
        assert!(memory.resident > 0 && memory.peak >= memory.resident, "{memory:?}");
        // Input, output and errors at least.
        assert!(own.open_files().unwrap() >= 3);
        let error = Measured::new(u32::MAX).memory().unwrap_err();
        assert_eq!(error.to_string(), "cannot read /proc/4294967295/status");
    }
}

//! Starts children from one thread that lives as long as this process, and reaps them.
//!
//! The kernel's parent-death signal is sent when the *thread* that started a child ends, and threads of an async runtime come and
//! go. Hence the thread of its own.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
use std::thread;

use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};

type Request = (Command, oneshot::Sender<io::Result<std::process::Child>>);

static SPAWNER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
    let (requests, inbox) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for (mut command, answer) in inbox {
            // Who asked may be gone; the child then has no owner and must not stay.
            if let Err(Ok(mut orphan)) = answer.send(command.spawn())
                && let Err(error) = orphan.kill().and_then(|()| orphan.wait())
            {
                tracing::warn!(%error, "a child without an owner was left behind");
            }
        }
    });
    requests
});

/// Starts `command` from the spawner thread.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, started) = oneshot::channel();
    SPAWNER.send((command, answer)).map_err(|_| gone())?;
    Child::watch(started.await.map_err(|_| gone())??)
}

/// A child that is reaped by a thread of its own. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// True until the child is reaped: until then the pid is this child and no other process.
    unreaped: Arc<Mutex<bool>>,
    status: watch::Receiver<Option<ExitStatus>>,
    reaper: Option<thread::JoinHandle<()>>,
}

impl Child {
    fn watch(mut child: std::process::Child) -> io::Result<Self> {
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let unreaped = Arc::new(Mutex::new(true));
        let (ended, status) = watch::channel(None);
        let guard = Arc::clone(&unreaped);
        let reaper = thread::Builder::new().name(format!("reaper-{pid}")).spawn(move || {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while waitid(Id::Pid(pid), flags) == Err(nix::Error::EINTR) {}
            let mut unreaped = guard.lock().unwrap_or_else(PoisonError::into_inner);
            match child.wait() {
                Ok(status) => _ = ended.send_replace(Some(status)),
                Err(error) => tracing::error!(%pid, %error, "cannot reap a child"),
            }
            *unreaped = false;
        })?;
        Ok(Self { pid, unreaped, status, reaper: Some(reaper) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }

    pub(super) async fn exited(&self) -> ExitStatus {
        let mut status = self.status.clone();
        match status.wait_for(Option::is_some).await.map(|ended| *ended) {
            Ok(Some(ended)) => ended,
            // Only a child that could not be reaped gets here; how it ended is not known and never will be.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> nix::Result<()> {
        let unreaped = self.unreaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *unreaped { signal::kill(self.pid, signal) } else { Ok(()) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.signal(Signal::SIGKILL) {
            tracing::error!(pid = %self.pid, %error, "cannot kill a child");
            return;
        }
        // The end of a killed child is a matter of milliseconds, and afterwards its directory can be removed.
        if self.reaper.take().is_some_and(|reaper| reaper.join().is_err()) {
            tracing::error!(pid = %self.pid, "the thread that reaps a child has panicked");
        }
    }
}

//! The directory that outlives a `run`: which host runs, and where its cluster is.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The state directory, by default `.run`.
#[derive(Clone, Debug)]
pub(crate) struct State {
    directory: PathBuf,
}

/// How to reach a cluster that is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Access {
    /// Such as `1.36.3`.
    pub(crate) kubernetes_version: String,
    /// The command.
    pub(crate) kubectl: PathBuf,
    /// May do everything.
    pub(crate) kubeconfig: PathBuf,
}

/// The host's right to be the only one. It ends with the process, however that ends: the kernel holds the lock on the
/// pid file.
#[derive(Debug)]
pub(crate) struct Claim {
    _pid_file: File,
}

impl State {
    /// The state in `directory`, which need not be there yet.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory);
        Ok(Self { directory: directory.context("cannot find the current directory")? })
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the cluster is kept.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.directory.join("cluster")
    }

    /// What the host has to say.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("host.log")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    fn access_file(&self) -> PathBuf {
        self.directory.join("cluster.json")
    }

    /// Makes the directory if it is not there.
    pub(crate) fn create(&self) -> Result<()> {
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot create {}", self.directory.display()))
    }

    /// Makes this process the host. Fails when there is another.
    pub(crate) fn claim(&self) -> Result<Claim> {
        self.create()?;
        let path = self.pid_file();
        let failed = || format!("cannot write {}", path.display());
        let mut pid_file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .with_context(failed)?;
        match pid_file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another `make run` has just started a cluster"),
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        pid_file.set_len(0).with_context(failed)?;
        write!(pid_file, "{}", std::process::id()).with_context(failed)?;
        Ok(Claim { _pid_file: pid_file })
    }

    /// The process id of the host that runs, if there is one.
    pub(crate) fn host(&self) -> Result<Option<i32>> {
        let path = self.pid_file();
        let failed = || format!("cannot read {}", path.display());
        let pid_file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(failed),
        };
        match pid_file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(&path).with_context(failed)?;
                Ok(Some(pid.parse().with_context(failed)?))
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(failed),
        }
    }

    /// Publishes how to reach the cluster.
    pub(crate) fn publish(&self, access: &Access) -> Result<()> {
        let path = self.access_file();
        std::fs::write(&path, serde_json::to_vec_pretty(access)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// How to reach the cluster. Fails before it is ready.
    pub(crate) fn access(&self) -> Result<Access> {
        let path = self.access_file();
        let failed = || format!("the cluster is not ready: cannot read {}", path.display());
        let text = std::fs::read(&path).with_context(failed)?;
        serde_json::from_slice(&text).with_context(failed)
    }

    /// Removes what an earlier host has left of its cluster.
    pub(crate) fn clear(&self) -> Result<()> {
        remove(&self.access_file(), |path| std::fs::remove_file(path))?;
        remove(&self.cluster(), |path| std::fs::remove_dir_all(path))
    }

    /// Removes everything.
    pub(crate) fn remove(&self) -> Result<()> {
        remove(&self.directory, |path| std::fs::remove_dir_all(path))
    }
}

fn remove(path: &Path, remove: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
    match remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, State) {
        let directory = tempfile::tempdir().unwrap();
        let state = State::new(&directory.path().join("state")).unwrap();
        (directory, state)
    }

    #[test]
    fn a_host_is_there_as_long_as_its_claim() {
        let (_directory, state) = state();
        assert_eq!(state.host().unwrap(), None);
        let claim = state.claim().unwrap();
        assert_eq!(state.host().unwrap(), i32::try_from(std::process::id()).ok());
        let error = state.claim().unwrap_err().to_string();
        assert!(error.contains("another"), "{error}");
        drop(claim);
        assert_eq!(state.host().unwrap(), None);
        state.claim().unwrap();
    }

    #[test]
    fn access_is_there_from_its_publication_until_it_is_cleared() {
        let (_directory, state) = state();
        state.create().unwrap();
        let error = state.access().unwrap_err().to_string();
        assert!(error.contains("not ready"), "{error}");
        let access = Access {
            kubernetes_version: "1.36.3".to_owned(),
            kubectl: "/k".into(),
            kubeconfig: "/c".into(),
        };
        state.publish(&access).unwrap();
        assert_eq!(state.access().unwrap(), access);
        state.clear().unwrap();
        assert!(state.access().is_err());
        state.remove().unwrap();
        state.remove().unwrap();
    }
}

//! The certificate of a running server, re-read when its files change.
//!
//! A change is noticed by looking at the files once in a while, which sees every way of replacing
//! them: writing in place, renaming over, and the symbolic link that Kubernetes swaps for a mounted
//! Secret. What is not usable is reported and the certificate in use is kept.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{info, warn};

use crate::{
    CERTIFICATE_FILE, KEY_FILE, Pair,
    verify::{self, VerifyError},
};

/// Why the files hold no certificate that can be served.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A file could not be read.
    #[error("read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The files do not hold a valid pair.
    #[error("load the certificate in {directory}: {source}", directory = .directory.display())]
    Load {
        /// Where the files are.
        directory: PathBuf,
        /// What is wrong.
        source: VerifyError,
    },
}

impl ReloadError {
    /// Whether the same files can be served later.
    fn passes(&self) -> bool {
        matches!(self, Self::Load { source: VerifyError::NotYetValid { .. }, .. })
    }
}

/// A certificate that is served to new connections and replaced when its files change.
#[derive(Debug)]
pub struct ReloadingCertificate {
    directory: PathBuf,
    current: ArcSwapOption<Loaded>,
    /// What the files looked like when they were last read, and what was wrong with them.
    seen: Mutex<Seen>,
    reads: AtomicU64,
    errors: AtomicU64,
}

#[derive(Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    not_after: Timestamp,
}

#[derive(Debug, Default)]
struct Seen {
    stamps: Option<[Stamp; 2]>,
    problem: Option<String>,
}

/// Changes whenever a file is replaced or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl ReloadingCertificate {
    /// Looks for `tls.crt` and `tls.key` in `directory`. Nothing is loaded yet: until then,
    /// handshakes fail.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            current: ArcSwapOption::empty(),
            seen: Mutex::default(),
            reads: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// Reads the files and serves what they hold from now on. On an error the certificate in use
    /// stays.
    pub fn reload(&self) -> Result<(), ReloadError> {
        self.reload_at(Timestamp::now())
    }

    /// Reloads when the files have changed since the last call, could not be read then, or held
    /// what was not valid yet. Reports each problem once.
    pub fn reload_if_changed(&self) {
        self.reload_if_changed_at(Timestamp::now());
    }

    fn reload_at(&self, now: Timestamp) -> Result<(), ReloadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let loaded = self.read(now).inspect_err(|_| {
            self.errors.fetch_add(1, Ordering::Relaxed);
        })?;
        info!(directory = %self.directory.display(), not_after = %loaded.not_after, "Serving certificate loaded");
        self.current.store(Some(Arc::new(loaded)));
        Ok(())
    }

    fn reload_if_changed_at(&self, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The stamps are older than the content: a change in between is seen the next time.
        let stamps = self.stamps().ok();
        if stamps.is_some() && stamps == seen.stamps {
            return;
        }
        let error = self.reload_at(now).err();
        // What is not valid yet becomes so without a change.
        seen.stamps = stamps.filter(|_| !error.as_ref().is_some_and(ReloadError::passes));
        let problem = error.map(|error| error.to_string());
        if let Some(problem) = &problem
            && seen.problem.as_ref() != Some(problem)
        {
            let kept = self.not_after().is_some();
            warn!(problem, kept, "Serving certificate cannot be loaded");
        }
        seen.problem = problem;
    }

    /// Calls [`ReloadingCertificate::reload_if_changed`] now and every `interval`, for ever.
    pub async fn watch(&self, interval: Duration) {
        loop {
            self.reload_if_changed();
            tokio::time::sleep(interval).await;
        }
    }

    /// What is served now; `None` when nothing has been loaded, or that has expired.
    pub(crate) fn key(&self) -> Option<Arc<CertifiedKey>> {
        self.key_at(Timestamp::now())
    }

    fn key_at(&self, now: Timestamp) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        let valid = current.as_ref().filter(|loaded| loaded.not_after >= now);
        valid.map(|loaded| Arc::clone(&loaded.key))
    }

    /// Where the files are looked for.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether both files are there.
    pub(crate) fn exists(&self) -> bool {
        self.stamps().is_ok()
    }

    /// Last second of the certificate in use; `None` when none has been loaded.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        self.current.load().as_ref().map(|loaded| loaded.not_after)
    }

    /// Whether clients can be served at the time `now`: a certificate is loaded and has not
    /// expired. The error says what is wrong.
    pub fn check(&self, now: Timestamp) -> Result<(), String> {
        match self.not_after() {
            None => Err("no certificate is loaded".to_owned()),
            Some(not_after) if not_after < now => Err(format!("expired at {not_after}")),
            Some(_) => Ok(()),
        }
    }

    /// How often the files were read.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// How often the files held nothing that can be served.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn read(&self, now: Timestamp) -> Result<Loaded, ReloadError> {
        let pair = Pair {
            certificate_pem: read(&self.directory.join(CERTIFICATE_FILE))?,
            private_key_pem: read(&self.directory.join(KEY_FILE))?,
        };
        let load = || {
            let key = verify::certified_key(&pair)?;
            key.cert.iter().try_for_each(|it| verify::valid_at(it, now))?;
            let not_after = verify::expiry(&pair.certificate_pem)?;
            Ok(Loaded { key: Arc::new(key), not_after })
        };
        load().map_err(|source| ReloadError::Load { directory: self.directory.clone(), source })
    }

    fn stamps(&self) -> io::Result<[Stamp; 2]> {
        Ok([stamp(&self.directory.join(CERTIFICATE_FILE))?, stamp(&self.directory.join(KEY_FILE))?])
    }
}

impl ResolvesServerCert for ReloadingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key()
    }
}

fn read(path: &Path) -> Result<String, ReloadError> {
    fs::read_to_string(path).map_err(|source| ReloadError::Read { path: path.to_owned(), source })
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests;

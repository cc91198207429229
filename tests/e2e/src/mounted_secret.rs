//! A mounted Secret, without a kubelet.

use std::cell::Cell;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use lws_certs::{CERTIFICATE_FILE, KEY_FILE, Pair};

/// A directory that changes as a kubelet changes a mounted Secret: `tls.crt` and `tls.key` lead through `..data`, and
/// that is exchanged as a whole.
pub struct MountedSecret {
    directory: PathBuf,
    version: Cell<u32>,
}

impl MountedSecret {
    /// An empty directory, which is made.
    pub fn new(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir(&directory)?;
        Ok(Self { directory, version: Cell::new(0) })
    }

    /// Its path.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Exchanges the content for this pair.
    pub fn publish(&self, pair: &Pair) -> Result<()> {
        self.version.set(self.version.get() + 1);
        let data = format!("..{}", self.version.get());
        let new = self.directory.join(&data);
        std::fs::create_dir(&new)?;
        std::fs::write(new.join(CERTIFICATE_FILE), &pair.certificate_pem)?;
        std::fs::write(new.join(KEY_FILE), &pair.private_key_pem)?;
        let next = self.directory.join("..data_tmp");
        symlink(&data, &next)?;
        std::fs::rename(&next, self.directory.join("..data"))?;
        if self.version.get() == 1 {
            for file in [CERTIFICATE_FILE, KEY_FILE] {
                symlink(Path::new("..data").join(file), self.directory.join(file))?;
            }
        }
        ensure!(self.directory.join(CERTIFICATE_FILE).exists(), "the certificate is not readable");
        Ok(())
    }
}

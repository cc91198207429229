//! The data of a cluster that has run elsewhere.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use lzma_rust2::XzReader;

use crate::{Error, Result};

/// Unpacks a `.tar.xz` into `directory`, unless that is there already from an earlier start.
pub(crate) async fn unpack(archive: &Path, directory: &Path) -> Result<()> {
    if directory.exists() {
        return Ok(());
    }
    let file = File::open(archive).map_err(Error::file("open", archive))?;
    let target = directory.to_owned();
    let unpack = move || {
        let mut archive = tar::Archive::new(XzReader::new(BufReader::new(file), false));
        archive.unpack(target)
    };
    let unpacked = tokio::task::spawn_blocking(unpack).await.map_err(std::io::Error::other);
    unpacked.flatten().map_err(Error::file("unpack", archive))
}

//! Writes a certificate authority and a serving certificate for development into a directory.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use lws_certs::{
    AUTHORITY_CERTIFICATE_FILE, AUTHORITY_KEY_FILE, CERTIFICATE_FILE, KEY_FILE,
    issue::{AUTHORITY_LIFETIME, Authority},
};
use rustls_pki_types::ServerName;

/// Write ca.crt, ca.key, tls.crt and tls.key for development
#[derive(Parser)]
struct Command {
    /// Directory to write to; made if it is not there
    #[arg(long)]
    dir: PathBuf,

    /// DNS name or IP address of the server; several are possible
    #[arg(long, required = true, num_args = 1..)]
    name: Vec<String>,

    /// Days that the serving certificate is valid
    #[arg(long, default_value_t = 365)]
    days: u16,
}

fn main() -> anyhow::Result<()> {
    let Command { dir, name, days } = Command::parse();
    let names = name
        .iter()
        .map(|name| ServerName::try_from(name.as_str()).with_context(|| format!("name {name:?}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let now = Timestamp::now();
    let authority = Authority::generate(now, AUTHORITY_LIFETIME)?;
    let serving = authority.issue(&names, now, SignedDuration::from_hours(24 * i64::from(days)))?;
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    write(&dir.join(AUTHORITY_CERTIFICATE_FILE), &authority.pair().certificate_pem, 0o644)?;
    write(&dir.join(AUTHORITY_KEY_FILE), &authority.pair().private_key_pem, 0o600)?;
    write(&dir.join(CERTIFICATE_FILE), &serving.certificate_pem, 0o644)?;
    write(&dir.join(KEY_FILE), &serving.private_key_pem, 0o600)
}

/// Replaces the file at once, so that a server that reads it never sees half of it.
fn write(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    let replace = || {
        let new = path.with_extension("new");
        // A file that is left from an interrupted run would keep its mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(content.as_bytes())?;
        fs::rename(&new, path)
    };
    replace().with_context(|| format!("write {}", path.display()))
}

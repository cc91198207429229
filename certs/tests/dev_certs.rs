//! The files of the development command make up a working pair, and its keys are private.
#![allow(clippy::unwrap_used, reason = "a failure ends the test")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use jiff::Timestamp;
use lws_certs::{AUTHORITY_CERTIFICATE_FILE, CERTIFICATE_FILE, KEY_FILE, Pair, verify};
use rustls_pki_types::ServerName;

const NAMES: [&str; 2] = ["lws-webhook-service.lws-system.svc", "127.0.0.1"];

fn dev_certs(directory: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_dev-certs"))
        .arg("--name")
        .args(NAMES)
        .args(["--days", "2", "--dir"])
        .arg(directory)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn each_run_writes_a_working_pair() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("certs");
    let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
    dev_certs(&directory);
    let first = read(CERTIFICATE_FILE);
    dev_certs(&directory);
    assert_ne!(read(CERTIFICATE_FILE), first);
    let pair = Pair { certificate_pem: read(CERTIFICATE_FILE), private_key_pem: read(KEY_FILE) };
    let names = NAMES.map(|name| ServerName::try_from(name).unwrap());
    let now = Timestamp::now();
    verify::serving(&pair, &read(AUTHORITY_CERTIFICATE_FILE), &names, now).unwrap();
    let left = verify::expiry(&pair.certificate_pem).unwrap().duration_since(now);
    assert!((47..=48).contains(&left.as_hours()), "{left}");
    let modes = ["ca.crt", "ca.key", "tls.crt", "tls.key"].map(|file| {
        let metadata = fs::metadata(directory.join(file)).unwrap();
        metadata.permissions().mode() & 0o077
    });
    assert_eq!([modes[1], modes[3]], [0, 0], "keys are for their owner only");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), modes.len());
}

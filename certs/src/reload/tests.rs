use std::{os::unix::fs::symlink, sync::LazyLock};

use jiff::SignedDuration;
use rustls_pki_types::ServerName;
use tempfile::TempDir;

use super::*;
use crate::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};

static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::generate(Timestamp::now(), AUTHORITY_LIFETIME).unwrap());

/// A pair that is valid for `days` from now, or, if negative, expired that long ago.
fn pair(days: i32) -> Pair {
    let name = ServerName::try_from("localhost").unwrap();
    let lifetime = SignedDuration::from_hours(24) * days;
    let issued = Timestamp::now() + lifetime - SERVING_LIFETIME;
    AUTHORITY.issue(&[name], issued, SERVING_LIFETIME).unwrap()
}

fn write(directory: &Path, pair: &Pair) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join(CERTIFICATE_FILE), &pair.certificate_pem).unwrap();
    fs::write(directory.join(KEY_FILE), &pair.private_key_pem).unwrap();
}

fn days_left(certificate: &ReloadingCertificate) -> Option<i64> {
    let left = certificate.not_after()?.duration_since(Timestamp::now());
    Some((left.as_hours() + 12) / 24)
}

fn loaded(pair: &Pair) -> (TempDir, ReloadingCertificate) {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), pair);
    let certificate = ReloadingCertificate::new(directory.path());
    certificate.reload_if_changed();
    (directory, certificate)
}

#[test]
fn nothing_is_read_while_nothing_changes() {
    let (_directory, certificate) = loaded(&pair(10));
    for _ in 0..3 {
        certificate.reload_if_changed();
    }
    assert_eq!((certificate.reads(), certificate.errors()), (1, 0));
    assert_eq!(days_left(&certificate), Some(10));
    certificate.check(Timestamp::now()).unwrap();
}

#[test]
fn changed_files_are_loaded() {
    let (directory, certificate) = loaded(&pair(10));
    write(directory.path(), &pair(20));
    certificate.reload_if_changed();
    assert_eq!(days_left(&certificate), Some(20));
    assert_eq!((certificate.reads(), certificate.errors()), (2, 0));
}

/// Kubernetes writes a new directory and swaps the link that the files lead through.
#[test]
fn the_link_of_a_mounted_secret_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (version, days) in [("..1", 10), ("..2", 20)] {
        write(&root.join(version), &pair(days));
    }
    symlink("..1", root.join("..data")).unwrap();
    for file in [CERTIFICATE_FILE, KEY_FILE] {
        symlink(Path::new("..data").join(file), root.join(file)).unwrap();
    }
    let certificate = ReloadingCertificate::new(root);
    certificate.reload_if_changed();
    assert_eq!(days_left(&certificate), Some(10));
    symlink("..2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    certificate.reload_if_changed();
    assert_eq!(days_left(&certificate), Some(20));
}

#[test]
fn a_bad_pair_leaves_the_one_in_use() {
    let good = pair(10);
    let other = pair(20);
    let mixed = Pair { private_key_pem: good.private_key_pem.clone(), ..other.clone() };
    let cut = Pair { certificate_pem: good.certificate_pem[..200].to_owned(), ..good.clone() };
    for (what, bad, problem) in [
        ("mixed", mixed, "private key does not belong to the certificate"),
        ("cut", cut, "certificate is not PEM: the end marker is missing"),
        ("expired", pair(-1), " expired at "),
    ] {
        let (directory, certificate) = loaded(&good);
        write(directory.path(), &bad);
        certificate.reload_if_changed();
        assert_eq!(days_left(&certificate), Some(10), "{what}");
        assert_eq!((certificate.reads(), certificate.errors()), (2, 1), "{what}");
        let seen = certificate.seen.lock().unwrap().problem.clone().unwrap();
        assert!(seen.contains(problem), "{what}: {seen}");
        // A bad pair is not read again until it changes.
        certificate.reload_if_changed();
        assert_eq!(certificate.reads(), 2, "{what}");
        write(directory.path(), &other);
        certificate.reload_if_changed();
        assert_eq!(days_left(&certificate), Some(20), "{what}");
        assert_eq!(certificate.seen.lock().unwrap().problem, None, "{what}");
    }
}

/// A clock that is behind, or one that was ahead where the certificate was issued.
#[test]
fn what_is_not_valid_yet_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let day = SignedDuration::from_hours(24);
    let days = i32::try_from(SERVING_LIFETIME.as_hours() / 24).unwrap() + 1;
    write(directory.path(), &pair(days));
    let certificate = ReloadingCertificate::new(directory.path());
    let now = Timestamp::now();
    for reads in 1..=2 {
        certificate.reload_if_changed_at(now);
        assert_eq!((certificate.reads(), certificate.errors()), (reads, reads));
        let problem = certificate.seen.lock().unwrap().problem.clone().unwrap();
        assert!(problem.contains(" is not valid before "), "{problem}");
    }
    for _ in 0..2 {
        certificate.reload_if_changed_at(now + day + day);
        assert_eq!((certificate.reads(), certificate.errors()), (3, 2));
    }
    assert_eq!(days_left(&certificate), Some(days.into()));
}

#[test]
fn missing_files_are_looked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = ReloadingCertificate::new(directory.path());
    certificate.reload_if_changed();
    certificate.reload_if_changed();
    assert_eq!((certificate.reads(), certificate.errors()), (2, 2));
    assert_eq!(certificate.check(Timestamp::now()).unwrap_err(), "no certificate is loaded");
    write(directory.path(), &pair(10));
    certificate.reload_if_changed();
    assert_eq!(days_left(&certificate), Some(10));
    let expired = certificate.check(Timestamp::now() + SERVING_LIFETIME).unwrap_err();
    assert!(expired.starts_with("expired at "), "{expired}");
    assert!(certificate.key_at(Timestamp::now()).is_some());
    assert!(certificate.key_at(Timestamp::now() + SERVING_LIFETIME).is_none(), "it is not served");
}

//! The certificate of a server that serves in any case: that of its files, and until there is one,
//! one that the process has signed itself. Who wants to know whom it talks to needs the files.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::ServerName;
use tracing::info;

use crate::{
    issue::{AUTHORITY_LIFETIME, IssueError, self_signed},
    reload::ReloadingCertificate,
    verify,
};

/// The name that a certificate of our own is for.
const NAME: &str = "localhost";

/// A certificate from files, with another one in reserve.
#[derive(Debug)]
pub struct FallbackCertificate {
    files: ReloadingCertificate,
    own: Arc<CertifiedKey>,
}

impl FallbackCertificate {
    /// Looks for `tls.crt` and `tls.key` in `directory`, once for now.
    pub fn new(directory: impl Into<PathBuf>) -> Result<Self, IssueError> {
        let name =
            ServerName::try_from(NAME).map_err(|_| IssueError::Name { name: NAME.to_owned() })?;
        let pair = self_signed(&name, Timestamp::now(), AUTHORITY_LIFETIME)?;
        let own = Arc::new(verify::certified_key(&pair).map_err(IssueError::CheckSelfSigned)?);
        let certificate = Self { files: ReloadingCertificate::new(directory), own };
        certificate.look();
        if certificate.files.not_after().is_none() {
            let directory = certificate.files.directory().display();
            info!(%directory, "No certificate in files: serving with one that is signed by itself");
        }
        Ok(certificate)
    }

    /// Looks at the files every `interval`, for ever.
    pub async fn watch(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.look();
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.files.key().unwrap_or_else(|| Arc::clone(&self.own))
    }

    /// No files are nothing to complain about.
    fn look(&self) {
        if self.files.exists() {
            self.files.reload_if_changed();
        }
    }
}

impl ResolvesServerCert for FallbackCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{CERTIFICATE_FILE, KEY_FILE, Pair};

    fn pair(name: &'static str) -> Pair {
        let name = ServerName::try_from(name).unwrap();
        self_signed(&name, Timestamp::now(), AUTHORITY_LIFETIME).unwrap()
    }

    fn serves(certificate: &FallbackCertificate, pair: &Pair) -> bool {
        certificate.look();
        certificate.current().cert == verify::certified_key(pair).unwrap().cert
    }

    #[test]
    fn files_are_preferred_once_both_are_there_and_good() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file, text: &str| fs::write(directory.path().join(file), text).unwrap();
        let certificate = FallbackCertificate::new(directory.path()).unwrap();
        let own = Arc::clone(&certificate.own);
        let is_own = |certificate: &FallbackCertificate| {
            certificate.look();
            Arc::ptr_eq(&certificate.current(), &own)
        };
        assert!(is_own(&certificate));
        let [first, second] = ["first", "second"].map(pair);
        write(CERTIFICATE_FILE, &first.certificate_pem);
        assert!(is_own(&certificate), "the key is missing");
        assert_eq!(certificate.files.errors(), 0, "half of a pair is none");
        write(KEY_FILE, &second.private_key_pem);
        assert!(is_own(&certificate), "the key is another one's");
        assert_eq!(certificate.files.errors(), 1);
        write(KEY_FILE, &first.private_key_pem);
        assert!(serves(&certificate, &first));
        write(CERTIFICATE_FILE, &second.certificate_pem);
        write(KEY_FILE, &second.private_key_pem);
        assert!(serves(&certificate, &second));
        fs::remove_file(directory.path().join(KEY_FILE)).unwrap();
        assert!(serves(&certificate, &second), "it stays in use");
    }

    #[test]
    fn files_that_are_there_are_served_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let there = pair("there");
        fs::write(directory.path().join(CERTIFICATE_FILE), &there.certificate_pem).unwrap();
        fs::write(directory.path().join(KEY_FILE), &there.private_key_pem).unwrap();
        let certificate = FallbackCertificate::new(directory.path()).unwrap();
        let served = certificate.current().cert.clone();
        assert_eq!(served, verify::certified_key(&there).unwrap().cert);
    }
}

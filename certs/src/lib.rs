//! Certificates of the system's own servers: issuing them, judging them, and serving them while
//! they are replaced.
//!
//! | module | owns |
//! |---|---|
//! | [`bundle`] | the authorities that a client trusts |
//! | [`fallback`] | the certificate of a server that serves without files, too |
//! | [`issue`] | a certificate authority and the pairs it signs |
//! | [`verify`] | what is wrong with a pair, and when it expires |
//! | [`reload`] | the certificate of a running server, re-read when its files change |
//!
//! Everything is PEM. A pair and its authority have the form that the existing implementation
//! stores, so that either one reads what the other has written.

pub mod bundle;
pub mod fallback;
pub mod issue;
pub mod reload;
pub mod verify;

/// Name of the file, or the key of the Secret, that holds the authority's certificate.
pub const AUTHORITY_CERTIFICATE_FILE: &str = "ca.crt";
/// Name of the file, or the key of the Secret, that holds the authority's private key.
pub const AUTHORITY_KEY_FILE: &str = "ca.key";
/// Name of the file, or the key of the Secret, that holds the serving certificate.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// Name of the file, or the key of the Secret, that holds the serving certificate's private key.
pub const KEY_FILE: &str = "tls.key";

/// A certificate and the private key that belongs to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pair {
    /// The certificate in PEM, followed by intermediate ones if there are any.
    pub certificate_pem: String,
    /// The private key in PEM: PKCS#1, PKCS#8 or SEC 1.
    pub private_key_pem: String,
}

impl std::fmt::Debug for Pair {
    /// Leaves the private key out, so that it never gets into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

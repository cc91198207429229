//! What is wrong with a certificate and its key, and when it expires.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    CertificateError, InconsistentKeys, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{self, PemObject as _},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::Pair;

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no certificate in the text.
    #[error("no certificate in PEM form")]
    NoCertificate,
    /// The PEM of a certificate is damaged.
    #[error("certificate is not PEM: {}", pem_problem(.0))]
    CertificatePem(pem::Error),
    /// The PEM holds something else than a certificate.
    #[error("certificate cannot be parsed: {0}")]
    CertificateForm(String),
    /// There is no private key in the text, or its PEM is damaged.
    #[error("private key is not PEM: {}", pem_problem(.0))]
    KeyPem(pem::Error),
    /// The key is damaged or of a kind that is not supported.
    #[error("private key cannot be used: {0}")]
    KeyForm(rustls::Error),
    /// The key belongs to another certificate.
    #[error("private key does not belong to the certificate")]
    KeyMismatch,
    /// The certificate, or one it depends on, has expired.
    #[error("certificate of {subject} expired at {not_after}")]
    Expired {
        /// Whose certificate it is.
        subject: String,
        /// Its last second.
        not_after: Timestamp,
    },
    /// The certificate, or one it depends on, is not valid yet.
    #[error("certificate of {subject} is not valid before {not_before}")]
    NotYetValid {
        /// Whose certificate it is.
        subject: String,
        /// Its first second.
        not_before: Timestamp,
    },
    /// The certificate is for other names.
    #[error("certificate is not for {name}")]
    WrongName {
        /// The name that was asked for.
        name: String,
    },
    /// No given authority has signed the certificate.
    #[error("certificate is not signed by the authority")]
    UnknownAuthority,
    /// The certificate must not be used to sign others.
    #[error("certificate of {subject} is not one of an authority")]
    NotAnAuthority {
        /// Whose certificate it is.
        subject: String,
    },
    /// Another rule for certificates is broken.
    #[error("certificate is not accepted: {0}")]
    Other(rustls::Error),
}

/// The library prints lines of the file as numbers.
fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "the end marker is missing".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "the start marker is damaged".to_owned(),
        pem::Error::NoItemsFound => "there is none".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a client that trusts `authorities_pem` (one or several) accepts `pair` at the time `at`
/// for every one of `names`.
pub fn serving(
    pair: &Pair,
    authorities_pem: &str,
    names: &[ServerName<'_>],
    at: Timestamp,
) -> Result<(), VerifyError> {
    let key = certified_key(pair)?;
    let Some((certificate, intermediates)) = key.cert.split_first() else {
        return Err(VerifyError::NoCertificate);
    };
    valid_at(certificate, at)?;
    let verifier = verifier(authorities_pem, at)?;
    let second = u64::try_from(at.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(second));
    for name in names {
        verifier
            .verify_server_cert(certificate, intermediates, name, &[], now)
            .map_err(|error| explained(error, name))?;
    }
    Ok(())
}

/// Whether `pair` is an authority that can sign at the time `at`.
pub fn authority(pair: &Pair, at: Timestamp) -> Result<(), VerifyError> {
    is_authority(pair)?;
    certificates(&pair.certificate_pem)?.iter().try_for_each(|it| valid_at(it, at))
}

/// Whether `pair` is an authority, valid or not.
pub(crate) fn is_authority(pair: &Pair) -> Result<(), VerifyError> {
    let key = certified_key(pair)?;
    let certificate = parsed(key.end_entity_cert().map_err(|_| VerifyError::NoCertificate)?)?;
    if certificate.is_ca() {
        Ok(())
    } else {
        Err(VerifyError::NotAnAuthority { subject: certificate.subject().to_string() })
    }
}

/// The second after which the first of the certificates in `certificate_pem` expires.
pub fn expiry(certificate_pem: &str) -> Result<Timestamp, VerifyError> {
    let mut first = Timestamp::MAX;
    for certificate in certificates(certificate_pem)? {
        first = first.min(validity(&parsed(&certificate)?)?.1);
    }
    Ok(first)
}

/// The pair in the form that servers use. The key is known to belong to the certificate.
pub(crate) fn certified_key(pair: &Pair) -> Result<CertifiedKey, VerifyError> {
    let certificates = certificates(&pair.certificate_pem)?;
    let key = PrivateKeyDer::from_pem_slice(pair.private_key_pem.as_bytes())
        .map_err(VerifyError::KeyPem)?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(VerifyError::KeyForm)?;
    let certified = CertifiedKey::new(certificates, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(VerifyError::KeyMismatch)
        }
        Err(error) => Err(VerifyError::Other(error)),
    }
}

/// Whether `certificate` is valid at the time `at`, whoever signed it.
pub(crate) fn valid_at(certificate: &CertificateDer<'_>, at: Timestamp) -> Result<(), VerifyError> {
    let certificate = parsed(certificate)?;
    let subject = || certificate.subject().to_string();
    let (not_before, not_after) = validity(&certificate)?;
    if at < not_before {
        return Err(VerifyError::NotYetValid { subject: subject(), not_before });
    }
    if at > not_after {
        return Err(VerifyError::Expired { subject: subject(), not_after });
    }
    Ok(())
}

/// A verifier that trusts those authorities that are valid at the time `at`: it does not ask for
/// the validity of what it trusts.
fn verifier(
    authorities_pem: &str,
    at: Timestamp,
) -> Result<Arc<WebPkiServerVerifier>, VerifyError> {
    let mut roots = RootCertStore::empty();
    let mut invalid = None;
    for authority in certificates(authorities_pem)? {
        match valid_at(&authority, at) {
            Ok(()) => roots.add(authority).map_err(VerifyError::Other)?,
            Err(error) => invalid = Some(error),
        }
    }
    if let (true, Some(error)) = (roots.is_empty(), invalid) {
        return Err(error);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| VerifyError::CertificateForm(error.to_string()))
}

fn explained(error: rustls::Error, name: &ServerName<'_>) -> VerifyError {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => VerifyError::WrongName { name: name.to_str().into_owned() },
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => VerifyError::UnknownAuthority,
        error => VerifyError::Other(error),
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(VerifyError::CertificatePem)?;
    if certificates.is_empty() { Err(VerifyError::NoCertificate) } else { Ok(certificates) }
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, VerifyError> {
    X509Certificate::from_der(certificate)
        .map(|(_, certificate)| certificate)
        .map_err(|error| VerifyError::CertificateForm(error.to_string()))
}

/// First and last second of a certificate.
fn validity(certificate: &X509Certificate<'_>) -> Result<(Timestamp, Timestamp), VerifyError> {
    let validity = certificate.validity();
    let [not_before, not_after] =
        [validity.not_before, validity.not_after].map(|it| Timestamp::from_second(it.timestamp()));
    match (not_before, not_after) {
        (Ok(not_before), Ok(not_after)) => Ok((not_before, not_after)),
        (Err(error), _) | (_, Err(error)) => Err(VerifyError::CertificateForm(error.to_string())),
    }
}

#[cfg(test)]
mod tests;

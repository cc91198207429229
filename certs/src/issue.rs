//! A certificate authority and the serving certificates it signs.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls_pki_types::ServerName;
use time::OffsetDateTime;
use x509_parser::asn1_rs::{Any, FromDer as _, Integer, OctetString, Sequence};

use crate::{
    Pair,
    verify::{self, VerifyError},
};

/// How long an authority is valid: 10 years.
pub const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// How long a serving certificate is valid: 1 year.
pub const SERVING_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Certificates begin this much earlier, for clients whose clock is behind.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Common name and DNS name of an authority.
const AUTHORITY_NAME: &str = "lws-ca";

/// Organization of an authority.
const ORGANIZATION: &str = "lws";

/// Longest common name that X.509 allows, in bytes.
const COMMON_NAME_LENGTH: usize = 64;

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The system gave no key.
    #[error("generate a private key: {0}")]
    GenerateKey(#[source] rcgen::Error),
    /// The generated key has a form that cannot be written.
    #[error("encode a private key: {0}")]
    EncodeKey(String),
    /// The pair of an authority cannot be used to sign.
    #[error("read the authority: {0}")]
    ReadAuthority(#[source] rcgen::Error),
    /// The pair of an authority is not one.
    #[error("check the authority: {0}")]
    CheckAuthority(#[from] VerifyError),
    /// What was made to be served with cannot be.
    #[error("check the certificate that signs itself: {0}")]
    CheckSelfSigned(#[source] VerifyError),
    /// No name to issue a certificate for.
    #[error("issue a certificate: at least one name is needed")]
    NoName,
    /// A name that a certificate cannot hold.
    #[error("issue a certificate for {name}: not a name that a certificate can hold")]
    Name {
        /// The name.
        name: String,
    },
    /// The validity begins or ends outside the years that a certificate can express.
    #[error("issue a certificate that is valid for {lifetime} from {now}: out of range")]
    Validity {
        /// When it was to be issued.
        now: Timestamp,
        /// How long it was to be valid.
        lifetime: SignedDuration,
    },
    /// Signing failed.
    #[error("sign the certificate of {subject}: {source}")]
    Sign {
        /// The common name.
        subject: String,
        /// What the library says.
        source: rcgen::Error,
    },
}

/// A certificate authority that can sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pair: Pair,
}

impl Authority {
    /// A new authority with a new key, valid from shortly before `now` for `lifetime` after it.
    pub fn generate(now: Timestamp, lifetime: SignedDuration) -> Result<Self, IssueError> {
        let mut params = params(AUTHORITY_NAME, now, lifetime)?;
        params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
        params.subject_alt_names = vec![dns_name(AUTHORITY_NAME)?];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let (key, private_key_pem) = generate_key()?;
        let certificate = params
            .self_signed(&key)
            .map_err(|source| IssueError::Sign { subject: AUTHORITY_NAME.to_owned(), source })?;
        let pair = Pair { certificate_pem: certificate.pem(), private_key_pem };
        Ok(Self { issuer: Issuer::new(params, key), pair })
    }

    /// An authority from what [`Authority::pair`] gave, or another implementation stored. Whether
    /// it is still valid is not asked: see [`verify::authority`].
    pub fn from_pair(pair: Pair) -> Result<Self, IssueError> {
        verify::is_authority(&pair)?;
        let key = KeyPair::from_pem(&pair.private_key_pem).map_err(IssueError::ReadAuthority)?;
        let issuer = Issuer::from_ca_cert_pem(&pair.certificate_pem, key)
            .map_err(IssueError::ReadAuthority)?;
        Ok(Self { issuer, pair })
    }

    /// Certificate and private key of the authority.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// A serving certificate for `names` with a new key, valid from shortly before `now` for
    /// `lifetime` after it. The first name is also the subject.
    pub fn issue(
        &self,
        names: &[ServerName<'_>],
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Pair, IssueError> {
        let subject = names.first().ok_or(IssueError::NoName)?.to_str().into_owned();
        let mut params = params(&subject, now, lifetime)?;
        params.subject_alt_names = names.iter().map(alternative_name).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Tells two authorities of the same name apart while one replaces the other.
        params.use_authority_key_identifier_extension = true;
        let (key, private_key_pem) = generate_key()?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|source| IssueError::Sign { subject, source })?;
        Ok(Pair { certificate_pem: certificate.pem(), private_key_pem })
    }
}

/// A certificate for `name` that nobody vouches for, with a new key, valid like those of an
/// authority. The key is an elliptic one: made in no time, and cheap to serve with.
pub fn self_signed(
    name: &ServerName<'_>,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<Pair, IssueError> {
    let subject = name.to_str().into_owned();
    let mut params = params(&subject, now, lifetime)?;
    params.subject_alt_names = vec![alternative_name(name)?];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(IssueError::GenerateKey)?;
    let certificate =
        params.self_signed(&key).map_err(|source| IssueError::Sign { subject, source })?;
    Ok(Pair { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
}

fn params(
    subject: &str,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<CertificateParams, IssueError> {
    let bound = |offset: SignedDuration| {
        let second = now.checked_add(offset).ok()?.as_second();
        OffsetDateTime::from_unix_timestamp(second).ok()
    };
    let (Some(not_before), Some(not_after)) = (bound(-CLOCK_SKEW), bound(lifetime)) else {
        return Err(IssueError::Validity { now, lifetime });
    };
    let mut params = CertificateParams::default();
    params.not_before = not_before;
    params.not_after = not_after;
    params.distinguished_name = DistinguishedName::new();
    if subject.len() <= COMMON_NAME_LENGTH {
        params.distinguished_name.push(DnType::CommonName, subject);
    }
    Ok(params)
}

fn alternative_name(name: &ServerName<'_>) -> Result<SanType, IssueError> {
    match name {
        ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
        other => dns_name(&other.to_str()),
    }
}

fn dns_name(name: &str) -> Result<SanType, IssueError> {
    let text = name.try_into().map_err(|_| IssueError::Name { name: name.to_owned() })?;
    Ok(SanType::DnsName(text))
}

/// A new key, and its PEM as `RSA PRIVATE KEY`: the only form that the existing implementation
/// reads.
fn generate_key() -> Result<(KeyPair, String), IssueError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .map_err(IssueError::GenerateKey)?;
    let pkcs1 = without_envelope(key.serialized_der()).map_err(IssueError::EncodeKey)?;
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok((key, pem::encode_config(&pem::Pem::new("RSA PRIVATE KEY", pkcs1), config)))
}

/// The key inside a PKCS#8 envelope, which is version, algorithm and key: PKCS#1 if it is RSA.
fn without_envelope(pkcs8: &[u8]) -> Result<Vec<u8>, String> {
    let read = || {
        let (_, envelope) = Sequence::from_der(pkcs8)?;
        let (rest, _version) = Integer::from_der(&envelope.content)?;
        let (rest, _algorithm) = Any::from_der(rest)?;
        let (_, key) = OctetString::from_der(rest)?;
        Ok::<_, x509_parser::asn1_rs::Err<x509_parser::asn1_rs::Error>>(key.as_ref().to_vec())
    };
    read().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;

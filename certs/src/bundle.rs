//! The authorities that a client trusts, as one text of PEM blocks.

use std::fmt;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::verify;

/// Certificates that are trusted, each once. Their order, in which they were added, says nothing.
#[derive(Clone, Default)]
pub struct Bundle(Vec<CertificateDer<'static>>);

impl PartialEq for Bundle {
    fn eq(&self, other: &Self) -> bool {
        self.contains(other) && other.contains(self)
    }
}

impl Eq for Bundle {}

impl fmt::Debug for Bundle {
    /// The last bytes of each certificate, which are of its signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = self.0.iter().map(|it| it.rchunks(4).next().unwrap_or_default());
        f.debug_set().entries(ends.map(|end| format!("{end:02x?}"))).finish()
    }
}

impl Bundle {
    /// The certificates in `pem`. What else is in it is left out, as clients do: a damaged block
    /// trusts nobody.
    #[must_use]
    pub fn from_pem(pem: &str) -> Self {
        let mut bundle = Self::default();
        bundle.extend(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
        bundle
    }

    /// The certificates that are valid at the time `at`.
    #[must_use]
    pub fn valid_at(&self, at: Timestamp) -> Self {
        let valid = |it: &&CertificateDer<'_>| verify::valid_at(it, at).is_ok();
        Self(self.0.iter().filter(valid).cloned().collect())
    }

    /// These certificates, then those of `other` that are not among them.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.extend(other.0.iter().cloned());
        self
    }

    /// The certificates that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|it| !other.0.contains(it)).cloned().collect())
    }

    /// Whether every certificate of `other` is trusted.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|it| self.0.contains(it))
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The form that [`Bundle::from_pem`] reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let block = |it: &CertificateDer<'_>| {
            pem::encode_config(&pem::Pem::new("CERTIFICATE", it.to_vec()), config)
        };
        self.0.iter().map(block).collect()
    }

    fn extend(&mut self, certificates: impl Iterator<Item = CertificateDer<'static>>) {
        for certificate in certificates {
            if !self.0.contains(&certificate) {
                self.0.push(certificate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::issue::Authority;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn authority(lifetime: SignedDuration) -> String {
        let now = "2026-03-04T05:06:07Z".parse().unwrap();
        Authority::generate(now, lifetime).unwrap().pair().certificate_pem.clone()
    }

    #[test]
    fn certificates_are_kept_once_and_in_order() {
        let [long, short] = [HOUR * 3, HOUR].map(authority);
        let both = Bundle::from_pem(&format!("# ours\n{long}{short}{long}"));
        assert_eq!(both.to_pem(), format!("{long}{short}"));
        let [only_long, only_short] = [&long, &short].map(|it| Bundle::from_pem(it));
        assert_eq!(only_long.clone().with(&only_short).with(&only_long), both);
        assert_eq!(both.without(&only_long), only_short);
        assert!(both.contains(&only_long) && !only_long.contains(&both));
        let later = "2026-03-04T07:06:07Z".parse().unwrap();
        assert_eq!(both.valid_at(later), only_long);
    }

    #[test]
    fn damage_trusts_nobody() {
        let whole = authority(HOUR);
        for text in ["", "no PEM", &whole.replacen("MII", "!!!", 1)] {
            assert!(Bundle::from_pem(text).is_empty(), "{text}");
        }
    }
}

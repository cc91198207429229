//! The beginning of a body, which says whom an answer is for, also where the rest cannot be read.

use crate::review::Version;

/// Bytes that are kept: what the API server writes before the object, up to the UID of the request.
const KEPT: usize = 192;

/// What stands before the UID.
const BEFORE_UID: &str = r#""request":{"uid":""#;

/// The longest text that passes for a UID.
const UID_LIMIT: usize = 64;

/// The first bytes of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    bytes: [u8; KEPT],
    length: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self { bytes: [0; KEPT], length: 0 }
    }
}

impl From<&[u8]> for Head {
    fn from(body: &[u8]) -> Self {
        let mut head = Self::default();
        head.add(body);
        head
    }
}

impl Head {
    /// Takes what it lacks from the next bytes of the body.
    pub(crate) fn add(&mut self, next: &[u8]) {
        if let Some(free) = self.bytes.get_mut(self.length..) {
            let taken = free.iter_mut().zip(next).map(|(to, from)| *to = *from).count();
            self.length += taken;
        }
    }

    /// The version of the review, and the UID of its request; the latest version and no UID where
    /// they are not where the API server writes them.
    pub(crate) fn address(&self) -> (Version, &str) {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let is_old = text.contains(r#""admission.k8s.io/v1beta1""#);
        let version = if is_old { Version::V1Beta1 } else { Version::V1 };
        let uid = text.split_once(BEFORE_UID).and_then(|(_, rest)| rest.split_once('"'));
        let is_uid = |uid: &&str| {
            uid.len() <= UID_LIMIT && uid.chars().all(|it| it.is_ascii_alphanumeric() || it == '-')
        };
        (version, uid.map(|(uid, _)| uid).filter(is_uid).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_addressed_by_the_first_bytes() {
        let v1 = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","kind":{"#;
        let v1beta1 = v1.replace("/v1\"", "/v1beta1\"");
        let uid = "705ab4f5-6393-11e8-b7cc-42010a800002";
        for (body, expected) in [
            (v1, (Version::V1, uid)),
            (&v1beta1, (Version::V1Beta1, uid)),
            (&v1[..100], (Version::V1, "")),
            ("", (Version::V1, "")),
            (r#"{"request":{"uid":"not \u0041 uid"}}"#, (Version::V1, "")),
            (&format!(r#"{{"request":{{"uid":"{}"}}}}"#, "a".repeat(65)), (Version::V1, "")),
        ] {
            assert_eq!(Head::from(body.as_bytes()).address(), expected, "{body}");
        }
        let mut pieces = Head::default();
        for piece in v1.as_bytes().chunks(7) {
            pieces.add(piece);
        }
        pieces.add(&[b'"'; 1000]);
        assert_eq!(pieces.address(), (Version::V1, uid));
    }
}

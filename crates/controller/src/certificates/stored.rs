//! The content of the Secret: PEM under keys that the existing implementation reads and writes too,
//! and the next authority under keys that it leaves alone.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::api::DynamicObject;
use lws_certs::{AUTHORITY_CERTIFICATE_FILE, AUTHORITY_KEY_FILE, CERTIFICATE_FILE, KEY_FILE, Pair};
use serde_json::{Map, Value, json};

const NEXT_CERTIFICATE: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";

/// What the Secret holds; absent keys are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// The authority that has signed the serving certificate.
    pub(super) authority: Pair,
    /// The authority that will sign the next one, once it is trusted; usually absent.
    pub(super) next: Pair,
    /// What the webhook serves.
    pub(super) serving: Pair,
}

impl Stored {
    /// The content of `secret`. What is not text is as good as damaged PEM.
    pub(super) fn of(secret: &DynamicObject) -> Self {
        let pair = |certificate: &str, key: &str| Pair {
            certificate_pem: text(secret, certificate),
            private_key_pem: text(secret, key),
        };
        Self {
            authority: pair(AUTHORITY_CERTIFICATE_FILE, AUTHORITY_KEY_FILE),
            next: pair(NEXT_CERTIFICATE, NEXT_KEY),
            serving: pair(CERTIFICATE_FILE, KEY_FILE),
        }
    }

    /// `secret` with this content; other keys stay.
    pub(super) fn put_into(&self, secret: &DynamicObject) -> DynamicObject {
        let mut secret = secret.clone();
        let mut data = match secret.data.get_mut("data").map(Value::take) {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        };
        for (key, text) in [
            (AUTHORITY_CERTIFICATE_FILE, &self.authority.certificate_pem),
            (AUTHORITY_KEY_FILE, &self.authority.private_key_pem),
            (NEXT_CERTIFICATE, &self.next.certificate_pem),
            (NEXT_KEY, &self.next.private_key_pem),
            (CERTIFICATE_FILE, &self.serving.certificate_pem),
            (KEY_FILE, &self.serving.private_key_pem),
        ] {
            if text.is_empty() {
                data.remove(key);
            } else {
                data.insert(key.to_owned(), json!(BASE64_STANDARD.encode(text)));
            }
        }
        if !secret.data.is_object() {
            secret.data = json!({});
        }
        if let Some(fields) = secret.data.as_object_mut() {
            fields.insert("data".to_owned(), Value::Object(data));
        }
        secret
    }
}

fn text(secret: &DynamicObject, key: &str) -> String {
    let value = secret.data.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
    let bytes = BASE64_STANDARD.decode(value.unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(fields: &Value) -> DynamicObject {
        let mut object = json!({"metadata": {"name": "certificate", "labels": {"a": "b"}}});
        for (key, value) in fields.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn pair(name: &str) -> Pair {
        Pair { certificate_pem: format!("{name} crt"), private_key_pem: format!("{name} key") }
    }

    #[test]
    fn content_survives_and_other_fields_stay() {
        let content = Stored { authority: pair("ca"), next: pair("next"), serving: pair("tls") };
        let empty = secret(&json!({"type": "Opaque", "data": {"other": "eA=="}}));
        let full = content.put_into(&empty);
        assert_eq!(Stored::of(&full), content);
        assert_eq!(full.metadata, empty.metadata);
        assert_eq!(full.data["type"], "Opaque");
        let keys: Vec<&String> = full.data["data"].as_object().unwrap().keys().collect();
        let expected =
            ["ca.crt", "ca.key", "next-ca.crt", "next-ca.key", "other", "tls.crt", "tls.key"];
        assert_eq!(keys, expected);

        let without_next = Stored { next: Pair::default(), ..content };
        let rest = without_next.put_into(&full);
        assert_eq!(Stored::of(&rest), without_next);
        assert_eq!(rest.data["data"].get("next-ca.key"), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_there() {
        for fields in [json!({}), json!({"data": null}), json!({"data": {"tls.crt": "%%%"}})] {
            let secret = secret(&fields);
            assert_eq!(Stored::of(&secret), Stored::default(), "{fields}");
            let content = Stored { serving: pair("tls"), ..Stored::default() };
            assert_eq!(Stored::of(&content.put_into(&secret)), content, "{fields}");
        }
    }
}

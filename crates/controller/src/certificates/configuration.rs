//! The entries of a webhook configuration that lead to our Service, and whom they trust.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use lws_certs::bundle::Bundle;
use serde_json::{Value, json};

use super::Settings;

/// Somebody else writes the bundles of a configuration that has one of these.
const INJECTED: [&str; 3] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
];

/// The annotation that hands the bundles of `configuration` to cert-manager, if it has one.
pub(super) fn injected_by(configuration: &DynamicObject) -> Option<&'static str> {
    INJECTED.into_iter().find(|it| configuration.annotations().contains_key(*it))
}

/// Whom our entries of `configuration` trust, one bundle each.
pub(super) fn bundles(configuration: &DynamicObject, settings: &Settings) -> Vec<Bundle> {
    let entries = configuration.data.get("webhooks").and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("clientConfig"))
        .filter(|config| is_ours(config, settings))
        .map(bundle)
        .collect()
}

/// `configuration` with the bundles that `wanted` gives for those of our entries; `None` when they
/// are so already.
pub(super) fn with_bundles(
    configuration: &DynamicObject,
    settings: &Settings,
    wanted: impl Fn(&Bundle) -> Bundle,
) -> Option<DynamicObject> {
    let mut changed = false;
    let mut configuration = configuration.clone();
    let entries = configuration.data.get_mut("webhooks").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        let Some(config) = entry.get_mut("clientConfig") else { continue };
        if !is_ours(config, settings) {
            continue;
        }
        let trusted = bundle(config);
        let wanted = wanted(&trusted);
        if wanted == trusted {
            continue;
        }
        if let Some(config) = config.as_object_mut() {
            let encoded = BASE64_STANDARD.encode(wanted.to_pem());
            config.insert("caBundle".to_owned(), json!(encoded));
            changed = true;
        }
    }
    changed.then_some(configuration)
}

fn is_ours(client_config: &Value, settings: &Settings) -> bool {
    let service = |field: &str| client_config.pointer(field).and_then(Value::as_str);
    service("/service/name") == Some(&settings.service)
        && service("/service/namespace") == Some(&settings.namespace)
}

fn bundle(client_config: &Value) -> Bundle {
    let encoded = client_config.get("caBundle").and_then(Value::as_str).unwrap_or_default();
    let bytes = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    Bundle::from_pem(&String::from_utf8_lossy(&bytes))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use lws_certs::issue::{AUTHORITY_LIFETIME, Authority};

    use super::*;

    fn settings() -> Settings {
        Settings::new("here".to_owned(), "certificate".to_owned(), "webhook".to_owned()).unwrap()
    }

    fn authority() -> Bundle {
        let authority = Authority::generate(Timestamp::now(), AUTHORITY_LIFETIME).unwrap();
        Bundle::from_pem(&authority.pair().certificate_pem)
    }

    fn configuration(webhooks: &Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "c"}, "webhooks": webhooks})).unwrap()
    }

    fn client_config(service: &str, namespace: &str, trusted: &Bundle) -> Value {
        let bundle = BASE64_STANDARD.encode(trusted.to_pem());
        json!({"service": {"name": service, "namespace": namespace}, "caBundle": bundle})
    }

    #[test]
    fn only_entries_of_our_service_are_changed() {
        let [old, new] = [authority(), authority()];
        let entries = |ours: &Bundle| {
            json!([
                {"name": "ours", "clientConfig": client_config("webhook", "here", ours)},
                {"name": "elsewhere", "clientConfig": client_config("webhook", "there", &old)},
                {"name": "other", "clientConfig": client_config("other", "here", &old)},
                {"name": "by URL", "clientConfig": {"url": "https://127.0.0.1"}},
                {"name": "nothing"},
            ])
        };
        let before = configuration(&entries(&old));
        assert_eq!(bundles(&before, &settings()), std::slice::from_ref(&old));
        let both = old.clone().with(&new);
        let after = with_bundles(&before, &settings(), |it| it.clone().with(&new)).unwrap();
        assert_eq!(after, configuration(&entries(&both)));

        let reordered = new.with(&old);
        assert_eq!(with_bundles(&after, &settings(), |_| reordered.clone()), None);
    }

    #[test]
    fn an_entry_without_bundle_gets_one() {
        let service = json!({"name": "webhook", "namespace": "here"});
        let before = configuration(&json!([{"clientConfig": {"service": service}}]));
        assert_eq!(bundles(&before, &settings()), [Bundle::default()]);
        let new = authority();
        let after = with_bundles(&before, &settings(), |_| new.clone()).unwrap();
        assert_eq!(bundles(&after, &settings()), [new]);
        assert_eq!(with_bundles(&before, &settings(), Bundle::clone), None);
    }

    #[test]
    fn configurations_of_cert_manager_are_known() {
        let mut object = configuration(&json!([]));
        assert_eq!(injected_by(&object), None);
        object.annotations_mut().insert(INJECTED[0].to_owned(), "a/b".to_owned());
        assert_eq!(injected_by(&object), Some("cert-manager.io/inject-ca-from"));
    }
}

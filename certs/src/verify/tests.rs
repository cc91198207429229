use std::sync::LazyLock;

use jiff::SignedDuration;

use super::*;
use crate::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};

const NAME: &str = "lws-webhook-service.lws-system.svc";
const DAY: SignedDuration = SignedDuration::from_hours(24);

struct Fixture {
    authority: Authority,
    other: Authority,
    pair: Pair,
}

/// Made once: generating keys takes most of the time of these tests.
static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let [authority, other] =
        [(); 2].map(|()| Authority::generate(now(), AUTHORITY_LIFETIME).unwrap());
    let pair = authority.issue(&[name(NAME)], now(), SERVING_LIFETIME).unwrap();
    Fixture { authority, other, pair }
});

fn now() -> Timestamp {
    "2026-03-04T05:06:07Z".parse().unwrap()
}

fn name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).unwrap()
}

#[test]
fn each_fault_has_its_text() {
    let Fixture { authority, other, pair } = &*FIXTURE;
    let (ours, theirs) = (&authority.pair().certificate_pem, &other.pair().certificate_pem);
    let with_key = |key: &str| Pair { private_key_pem: key.to_owned(), ..pair.clone() };
    let with_certificate = |text: &str| Pair { certificate_pem: text.to_owned(), ..pair.clone() };
    let damaged = pair.certificate_pem.replacen("MII", "!!!", 1);
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (what, pair, authorities, server_name, days, expected) in [
        ("good", pair.clone(), ours.clone(), NAME, 0, ""),
        ("almost expired", pair.clone(), ours.clone(), NAME, 364, ""),
        ("among others", pair.clone(), format!("{theirs}{ours}"), NAME, 0, ""),
        (
            "expired",
            pair.clone(),
            ours.clone(),
            NAME,
            366,
            "certificate of CN=lws-webhook-service.lws-system.svc expired at 2027-03-04T05:06:07Z",
        ),
        (
            "not yet valid",
            pair.clone(),
            ours.clone(),
            NAME,
            -1,
            "certificate of CN=lws-webhook-service.lws-system.svc is not valid before \
             2026-03-04T04:06:07Z",
        ),
        ("wrong name", pair.clone(), ours.clone(), "x.svc", 0, "certificate is not for x.svc"),
        (
            "other authority",
            pair.clone(),
            theirs.clone(),
            NAME,
            0,
            "certificate is not signed by the authority",
        ),
        (
            "other key",
            with_key(&other.pair().private_key_pem),
            ours.clone(),
            NAME,
            0,
            "private key does not belong to the certificate",
        ),
        (
            "no certificate",
            with_certificate(""),
            ours.clone(),
            NAME,
            0,
            "no certificate in PEM form",
        ),
        (
            "damaged certificate",
            with_certificate(&damaged),
            ours.clone(),
            NAME,
            0,
            "certificate is not PEM: ",
        ),
        (
            "no DER",
            with_certificate(not_der),
            ours.clone(),
            NAME,
            0,
            "certificate is not accepted: ",
        ),
        ("no key", with_key(""), ours.clone(), NAME, 0, "private key is not PEM: "),
        (
            "key without content",
            with_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            ours.clone(),
            NAME,
            0,
            "private key cannot be used: ",
        ),
        ("no authority", pair.clone(), String::new(), NAME, 0, "no certificate in PEM form"),
    ] {
        let at = now() + DAY * days;
        let text =
            serving(&pair, &authorities, &[name(server_name)], at).err().map(|it| it.to_string());
        match text {
            None => assert_eq!(expected, "", "{what}"),
            Some(text) => {
                let matches = !expected.is_empty() && text.starts_with(expected);
                assert!(matches, "{what}: {text}");
            }
        }
    }
}

/// A certificate is no better than the authority that signed it.
#[test]
fn expired_authorities_are_not_trusted() {
    let short = Authority::generate(now(), DAY).unwrap();
    let pair = short.issue(&[name(NAME)], now(), SERVING_LIFETIME).unwrap();
    let ours = &short.pair().certificate_pem;
    let names = [name(NAME)];
    serving(&pair, ours, &names, now()).unwrap();
    let error = serving(&pair, ours, &names, now() + DAY * 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "certificate of CN=lws-ca, O=lws expired at 2026-03-05T05:06:07Z"
    );
    let both = format!("{ours}{}", FIXTURE.other.pair().certificate_pem);
    let error = serving(&pair, &both, &names, now() + DAY * 2).unwrap_err();
    assert_eq!(error.to_string(), "certificate is not signed by the authority");
}

#[test]
fn authorities_are_judged_as_such() {
    let Fixture { authority: ours, other, pair } = &*FIXTURE;
    authority(ours.pair(), now()).unwrap();
    let error = authority(ours.pair(), now() + DAY * 3651).unwrap_err();
    assert!(error.to_string().contains(" expired at "), "{error}");
    assert!(matches!(authority(pair, now()), Err(VerifyError::NotAnAuthority { .. })));
    let mixed =
        Pair { private_key_pem: other.pair().private_key_pem.clone(), ..ours.pair().clone() };
    assert!(matches!(authority(&mixed, now()), Err(VerifyError::KeyMismatch)));
}

#[test]
fn the_first_of_several_expiries_counts() {
    let Fixture { authority, pair, .. } = &*FIXTURE;
    let chain = format!("{}{}", authority.pair().certificate_pem, pair.certificate_pem);
    assert_eq!(expiry(&chain).unwrap(), now() + SERVING_LIFETIME);
    assert!(matches!(expiry("text"), Err(VerifyError::NoCertificate)));
}

use rustls_pki_types::ServerName;
use x509_parser::{certificate::X509Certificate, pem::Pem, prelude::GeneralName};

use super::*;

const NAME: &str = "lws-webhook-service.lws-system.svc";

fn now() -> Timestamp {
    "2026-03-04T05:06:07Z".parse().unwrap()
}

fn names(names: &[&'static str]) -> Vec<ServerName<'static>> {
    names.iter().map(|name| ServerName::try_from(*name).unwrap()).collect()
}

fn with_certificate(pem: &str, check: impl FnOnce(&X509Certificate<'_>)) {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next().unwrap().unwrap();
    check(&pem.parse_x509().unwrap());
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().unwrap().unwrap();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
        other => panic!("{other}"),
    };
    extension.value.general_names.iter().map(text).collect()
}

#[test]
fn authorities_have_the_stored_form() {
    let authority = Authority::generate(now(), AUTHORITY_LIFETIME).unwrap();
    let pair = authority.pair();
    assert!(pair.private_key_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    with_certificate(&pair.certificate_pem, |certificate| {
        assert_eq!(certificate.subject().to_string(), "CN=lws-ca, O=lws");
        assert_eq!(certificate.issuer(), certificate.subject());
        assert_eq!(alternative_names(certificate), ["lws-ca"]);
        assert!(certificate.is_ca());
        assert!(certificate.key_usage().unwrap().unwrap().value.key_cert_sign());
        let validity = certificate.validity();
        assert_eq!(validity.not_before.timestamp(), now().as_second() - 3600);
        assert_eq!(validity.not_after.timestamp(), now().as_second() + 10 * 365 * 86_400);
    });
    verify::authority(pair, now()).unwrap();
}

#[test]
fn serving_certificates_are_for_servers_only() {
    let authority = Authority::generate(now(), AUTHORITY_LIFETIME).unwrap();
    let pair = authority.issue(&names(&[NAME, "127.0.0.1"]), now(), SERVING_LIFETIME).unwrap();
    assert!(pair.private_key_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    with_certificate(&pair.certificate_pem, |certificate| {
        assert_eq!(certificate.subject().to_string(), format!("CN={NAME}"));
        assert_eq!(certificate.issuer().to_string(), "CN=lws-ca, O=lws");
        assert_eq!(alternative_names(certificate), [NAME, "[127, 0, 0, 1]"]);
        assert!(!certificate.is_ca());
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        assert_eq!(certificate.validity().not_after.timestamp(), now().as_second() + 365 * 86_400);
    });
    let authorities = &authority.pair().certificate_pem;
    verify::serving(&pair, authorities, &names(&[NAME, "127.0.0.1"]), now()).unwrap();
}

/// A stored authority signs on, and its certificates are accepted by clients that trust it.
#[test]
fn authorities_survive_being_stored() {
    let stored = Authority::generate(now(), AUTHORITY_LIFETIME).unwrap().pair().clone();
    let authority = Authority::from_pair(stored.clone()).unwrap();
    assert_eq!(authority.pair(), &stored);
    let pair = authority.issue(&names(&[NAME]), now(), SERVING_LIFETIME).unwrap();
    verify::serving(&pair, &stored.certificate_pem, &names(&[NAME]), now()).unwrap();
}

/// The existing implementation numbers its authorities 0, which strict readers refuse.
#[test]
fn authorities_with_serial_number_0_are_accepted() {
    let mut params = params(AUTHORITY_NAME, now(), AUTHORITY_LIFETIME).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(0_u64.into());
    let (key, private_key_pem) = generate_key().unwrap();
    let certificate_pem = params.self_signed(&key).unwrap().pem();
    let authority = Authority::from_pair(Pair { certificate_pem, private_key_pem }).unwrap();
    let pair = authority.issue(&names(&[NAME]), now(), SERVING_LIFETIME).unwrap();
    let authorities = &authority.pair().certificate_pem;
    verify::serving(&pair, authorities, &names(&[NAME]), now()).unwrap();
}

/// Keys of other tools: PKCS#8 and SEC 1 as well as PKCS#1.
#[test]
fn keys_of_every_form_sign() {
    let elliptic = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    for (key, label) in
        [(elliptic(), "PRIVATE KEY"), (elliptic(), "EC PRIVATE KEY"), (rsa, "PRIVATE KEY")]
    {
        let mut params = params(AUTHORITY_NAME, now(), AUTHORITY_LIFETIME).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate_pem = params.self_signed(&key).unwrap().pem();
        let pkcs8 = key.serialized_der();
        let der =
            if label == "PRIVATE KEY" { pkcs8.to_vec() } else { without_envelope(pkcs8).unwrap() };
        let private_key_pem = pem::encode(&pem::Pem::new(label, der));
        let authority = Authority::from_pair(Pair { certificate_pem, private_key_pem }).unwrap();
        let pair = authority.issue(&names(&[NAME]), now(), SERVING_LIFETIME).unwrap();
        let authorities = &authority.pair().certificate_pem;
        verify::serving(&pair, authorities, &names(&[NAME]), now()).unwrap();
    }
}

#[test]
fn what_cannot_be_issued_is_named() {
    let authority = Authority::generate(now(), AUTHORITY_LIFETIME).unwrap();
    let error = |result: Result<Pair, IssueError>| result.unwrap_err().to_string();
    assert_eq!(
        error(authority.issue(&[], now(), SERVING_LIFETIME)),
        "issue a certificate: at least one name is needed"
    );
    let lifetime = SignedDuration::MAX;
    let text = error(authority.issue(&names(&[NAME]), now(), lifetime));
    assert!(text.ends_with("from 2026-03-04T05:06:07Z: out of range"), "{text}");
    let serving = authority.issue(&names(&[NAME]), now(), SERVING_LIFETIME).unwrap();
    let Err(error) = Authority::from_pair(serving) else { panic!("a server became an authority") };
    assert_eq!(
        error.to_string(),
        format!("check the authority: certificate of CN={NAME} is not one of an authority")
    );
}

/// The longest name of a Service in a namespace does not fit into a subject.
#[test]
fn long_names_are_alternative_names_only() {
    let authority = Authority::generate(now(), AUTHORITY_LIFETIME).unwrap();
    let name = format!("{}.{}.svc", "s".repeat(63), "n".repeat(63));
    let server_name = ServerName::try_from(name.clone()).unwrap();
    let pair =
        authority.issue(std::slice::from_ref(&server_name), now(), SERVING_LIFETIME).unwrap();
    with_certificate(&pair.certificate_pem, |certificate| {
        assert_eq!(certificate.subject().to_string(), "");
        assert_eq!(alternative_names(certificate), [name]);
    });
    verify::serving(&pair, &authority.pair().certificate_pem, &[server_name], now()).unwrap();
}

#[test]
fn what_signs_itself_can_be_served_with() {
    let name = &names(&["localhost"])[0];
    let pair = self_signed(name, now(), SERVING_LIFETIME).unwrap();
    with_certificate(&pair.certificate_pem, |certificate| {
        assert_eq!(certificate.subject().to_string(), "CN=localhost");
        assert_eq!(certificate.issuer(), certificate.subject());
        assert_eq!(alternative_names(certificate), ["localhost"]);
        assert!(!certificate.is_ca());
    });
    verify::certified_key(&pair).unwrap();
    let other = self_signed(name, now(), SERVING_LIFETIME).unwrap();
    assert!(pair.private_key_pem != other.private_key_pem);
}

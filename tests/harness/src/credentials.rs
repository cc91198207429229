//! Everything a control plane and its users authenticate with: certificates, the service-account key, tokens and kubeconfigs.
//!
//! All of it is made new at each start, except the service-account key, which outlives a restart on a kept directory.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

use crate::{Error, Result};

/// Who may log in with a token from the start, with the groups they belong to.
const USERS: [(&str, &str); 4] = [
    (ADMIN, "system:masters"),
    (SIMULATOR, "system:masters"),
    (CONTROLLER_MANAGER, ""),
    (SCHEDULER, ""),
];

/// The user of [`crate::Cluster::client`] and of the kubeconfig.
pub(crate) const ADMIN: &str = "admin";
/// The user that plays nodes and kubelets.
pub(crate) const SIMULATOR: &str = "simulator";
/// The controller manager's user.
pub(crate) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
/// The scheduler's user.
pub(crate) const SCHEDULER: &str = "system:kube-scheduler";

/// The secrets of one run and the files they are in.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// The certificate that signed the API server's.
    pub(crate) ca_pem: String,
    /// `ca_pem` as a file.
    pub(crate) ca_file: PathBuf,
    /// The API server's certificate, for 127.0.0.1 and localhost.
    pub(crate) certificate_file: PathBuf,
    /// Its key.
    pub(crate) key_file: PathBuf,
    /// The key that signs service-account tokens.
    pub(crate) service_account_key_file: PathBuf,
    /// The key that verifies them.
    pub(crate) service_account_public_key_file: PathBuf,
    /// Tokens and their users, in the API server's format.
    pub(crate) token_file: PathBuf,
    tokens: Vec<(&'static str, String)>,
}

impl Credentials {
    /// Makes them and writes them to `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let (ca_pem, issuer) = authority()?;
        let (certificate_pem, key_pem) = serving_certificate(&issuer)?;
        let tokens: Vec<_> =
            USERS.iter().map(|(user, _)| Ok((*user, random_token()?))).collect::<Result<_>>()?;
        let lines: Vec<_> = USERS
            .iter()
            .zip(&tokens)
            .map(|((user, group), (_, token))| format!("{token},{user},{user},\"{group}\""))
            .collect();

        let credentials = Self {
            ca_file: directory.join("ca.crt"),
            certificate_file: directory.join("apiserver.crt"),
            key_file: directory.join("apiserver.key"),
            service_account_key_file: directory.join("service-account.key"),
            service_account_public_key_file: directory.join("service-account.pub"),
            token_file: directory.join("tokens.csv"),
            ca_pem,
            tokens,
        };
        write_private(&credentials.ca_file, &credentials.ca_pem)?;
        write_private(&credentials.certificate_file, &certificate_pem)?;
        write_private(&credentials.key_file, &key_pem)?;
        write_private(&credentials.token_file, &lines.join("\n"))?;
        if !credentials.service_account_key_file.exists() {
            let key = KeyPair::generate().map_err(certificate_error("service-account key"))?;
            write_private(&credentials.service_account_public_key_file, &key.public_key_pem())?;
            write_private(&credentials.service_account_key_file, &key.serialize_pem())?;
        }
        Ok(credentials)
    }

    /// The kubeconfig of one of the users above.
    pub(crate) fn kubeconfig_of(&self, user: &str, server: &str) -> Value {
        let token =
            self.tokens.iter().find(|(name, _)| *name == user).map(|(_, token)| token.as_str());
        self.kubeconfig(user, token.unwrap_or_default(), server)
    }

    /// The kubeconfig of whoever has `token`.
    pub(crate) fn kubeconfig(&self, user: &str, token: &str, server: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority-data": BASE64_STANDARD.encode(&self.ca_pem)}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        })
    }
}

/// Writes a file that only its owner can read. JSON counts as a kubeconfig: YAML contains it.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    let write = || {
        let mut file = std::fs::File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content.as_bytes())
    };
    write().map_err(Error::file("write", path))
}

fn authority() -> Result<(String, Issuer<'static, KeyPair>)> {
    let failed = || certificate_error("certificate authority");
    let key = KeyPair::generate().map_err(failed())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("test-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(&key).map_err(failed())?.pem();
    Ok((pem, Issuer::new(params, key)))
}

fn serving_certificate(issuer: &Issuer<'_, KeyPair>) -> Result<(String, String)> {
    let failed = || certificate_error("API server's certificate");
    let key = KeyPair::generate().map_err(failed())?;
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
    let mut params = CertificateParams::new(names).map_err(failed())?;
    params.distinguished_name = common_name("kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, issuer).map_err(failed())?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Certificate { what: "token", source: rcgen::Error::RingUnspecified })?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn certificate_error(what: &'static str) -> impl FnOnce(rcgen::Error) -> Error {
    move |source| Error::Certificate { what, source }
}

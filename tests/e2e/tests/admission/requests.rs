//! Requests and answers, to the API server and to the webhook alike.

use anyhow::{Context as _, Result, ensure};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use kube::Client;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    /// The API server's warnings.
    pub(crate) warnings: Vec<String>,
    pub(crate) text: String,
}

impl Answer {
    /// The body.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {:?}", self.text))
    }

    /// The object that the API server has stored.
    pub(crate) fn object(&self) -> Result<Value> {
        ensure!(self.code.is_success(), "{}: {}", self.code, self.message()?);
        self.json()
    }

    /// Why the API server refused.
    pub(crate) fn message(&self) -> Result<String> {
        let status = self.json()?;
        let message = status.get("message").and_then(Value::as_str);
        Ok(message.with_context(|| format!("{} without message", self.code))?.to_owned())
    }
}

/// Sends `request` and reads the whole answer, whatever its status is.
pub(crate) async fn send(client: &Client, request: Request<Vec<u8>>) -> Result<Answer> {
    let what = format!("{} {}", request.method(), request.uri());
    let answer = client.send(request.map(Into::into)).await.with_context(|| what.clone())?;
    let (parts, body) = answer.into_parts();
    let warnings = parts.headers.get_all(header::WARNING).iter();
    let warnings = warnings.map(|it| Ok(warning(it.to_str()?))).collect::<Result<_>>()?;
    let body = body.collect().await.context(what)?.to_bytes();
    Ok(Answer { code: parts.status, warnings, text: String::from_utf8(body.to_vec())? })
}

/// A request with a JSON body.
pub(crate) fn with_json(method: Method, path: &str, body: &Value) -> Result<Request<Vec<u8>>> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    Ok(request.body(serde_json::to_vec(body)?)?)
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Result<Request<Vec<u8>>> {
    Ok(Request::get(path).body(Vec::new())?)
}

/// A client for a server on this machine, whose certificate `authorities` (PEM) have signed. It opens new connections.
pub(crate) fn client(url: &str, authorities: &[&str]) -> Result<Client> {
    let mut config = kube::Config::new(url.parse::<Uri>()?);
    config.default_retry = false;
    let certificates = authorities.iter().map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()));
    let certificates = certificates.map(|der| Ok(der?.to_vec())).collect::<Result<_>>()?;
    config.root_cert = Some(certificates);
    Ok(Client::try_from(config)?)
}

/// The text of a header such as `299 - "text"`.
fn warning(header: &str) -> String {
    let text = header.strip_prefix("299 - \"").and_then(|text| text.strip_suffix('"'));
    text.unwrap_or(header).replace("\\\"", "\"").replace("\\\\", "\\")
}

//! One keep-alive connection: HTTP/1.1 over TLS, as little of it as a webhook's answers need, so that the client takes
//! little from the processors it shares with the webhook.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A request, written out.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Arc<[u8]>,
    body_bytes: usize,
}

impl Request {
    /// The request that the API server makes of a webhook.
    pub(super) fn post(path: &str, body: &str) -> Self {
        let head = format!(
            "POST {path}?timeout=10s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: kube-apiserver-admission\r\n\
             Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\
             Accept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat().into(), body_bytes: body.len() }
    }

    /// The size of the body.
    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}

/// A connection on which one request is made after another.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    /// The head and body of the last answer.
    received: Vec<u8>,
}

/// A TLS client that trusts one authority and speaks HTTP/1.1 only.
pub(super) fn tls(authority_pem: &str) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Self> {
        let tcp = TcpStream::connect(address).await.context("cannot connect to the webhook")?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(tls.clone()).connect(name, tcp).await?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Makes a request and gives the body of the answer.
    pub(super) async fn exchange(&mut self, request: &Request) -> Result<&[u8]> {
        self.stream.write_all(&request.bytes).await?;
        self.stream.flush().await?;
        self.received.clear();
        let body = loop {
            let read = self.stream.read_buf(&mut self.received).await?;
            ensure!(read > 0, "the webhook has closed the connection");
            if let Some(body) = body_range(&self.received)? {
                break body;
            }
        };
        while self.received.len() < body.end {
            let read = self.stream.read_buf(&mut self.received).await?;
            ensure!(read > 0, "the webhook has closed the connection within an answer");
        }
        ensure!(self.received.len() == body.end, "the webhook answers more than it was asked");
        self.received.get(body).context("an answer without a body")
    }
}

/// Where the body of an answer is, once its head is complete.
fn body_range(received: &[u8]) -> Result<Option<Range<usize>>> {
    let Some(end) = received.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(received.get(..end).unwrap_or_default())?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "the webhook answers: {head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>())
    });
    let length = length.context("an answer without a length")??;
    let begin = end + HEAD_END.len();
    Ok(Some(begin..begin + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_follows_the_head() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(body_range(answer).unwrap(), Some(38..40));
        assert_eq!(body_range(&answer[..37]).unwrap(), None);
        for bad in [
            "HTTP/1.1 500 X\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        ] {
            assert!(body_range(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_tells_its_length() {
        let request = Request::post("/x", "{}");
        let text = String::from_utf8(request.bytes.to_vec()).unwrap();
        assert!(text.starts_with("POST /x?timeout=10s HTTP/1.1\r\n"), "{text}");
        assert!(
            text.contains("\r\nContent-Length: 2\r\n") && text.ends_with("\r\n\r\n{}"),
            "{text}"
        );
        assert_eq!(request.body_bytes(), 2);
    }
}

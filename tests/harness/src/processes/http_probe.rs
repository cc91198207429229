//! The smallest HTTP client: one GET, of which only the status is read.

use std::io;
use std::time::Duration;

use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Error, Result};

/// A health answer takes milliseconds; a longer silence is looked at again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where to ask.
#[derive(Debug)]
pub(super) struct Target {
    address: String,
    path: String,
}

impl Target {
    /// Takes `http://host:port/path`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let invalid = |reason: String| Error::Url { url: url.to_owned(), reason };
        let uri: Uri =
            url.parse().map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?;
        match (uri.scheme_str(), uri.host(), uri.port_u16()) {
            (Some("http"), Some(host), Some(port)) => {
                let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
                Ok(Self { address: format!("{host}:{port}"), path })
            }
            _ => Err(invalid("http://host:port/path is expected".to_owned())),
        }
    }

    /// The HTTP status of the answer.
    pub(super) async fn get(&self) -> io::Result<u16> {
        timeout(PATIENCE, self.exchange()).await?
    }

    async fn exchange(&self) -> io::Result<u16> {
        let Self { address, path } = self;
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
            .await?;
        // The answer begins with "HTTP/1.1 200".
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).await?;
        std::str::from_utf8(&status_line)
            .ok()
            .and_then(|line| line.strip_prefix("HTTP/1.")?.split_once(' ')?.1.parse().ok())
            .ok_or_else(|| io::Error::other("the answer is not HTTP"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_http_only() {
        for (url, parsed) in [
            ("http://127.0.0.1:8081/readyz?verbose", Some(("127.0.0.1:8081", "/readyz?verbose"))),
            ("http://127.0.0.1:8081", Some(("127.0.0.1:8081", "/"))),
            ("https://127.0.0.1:8081/", None),
            ("http://127.0.0.1/", None),
            ("8081", None),
        ] {
            let target = Target::parse(url).ok();
            assert_eq!(
                target.as_ref().map(|target| (target.address.as_str(), target.path.as_str())),
                parsed,
                "{url}"
            );
        }
    }
}

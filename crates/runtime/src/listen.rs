//! Listening addresses as the settings write them: `:8443`, `10.0.0.1:8443`, `localhost:0`.

use std::io;

use tokio::net::TcpListener;

/// A listening address that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address:?}")]
pub struct ListenError {
    /// The address as it was given.
    pub address: String,
    /// What the system says.
    pub source: io::Error,
}

/// Where a server listens when its address names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultHost {
    /// All addresses of the machine, IPv6 and IPv4.
    All,
    /// Reachable from this machine (in a cluster: this pod) only.
    Loopback,
}

/// Listens on `address`, `host:port` or `:port`; port 0 takes a free one.
pub async fn listen(address: &str, default_host: DefaultHost) -> Result<TcpListener, ListenError> {
    let bound = match (address.strip_prefix(':'), default_host) {
        (None, _) => TcpListener::bind(address).await,
        (Some(port), DefaultHost::Loopback) => TcpListener::bind(format!("127.0.0.1:{port}")).await,
        (Some(port), DefaultHost::All) => {
            match TcpListener::bind(format!("[::]:{port}")).await {
                // The machine has no IPv6.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(format!("0.0.0.0:{port}")).await
                }
                bound => bound,
            }
        }
    };
    bound.map_err(|source| ListenError { address: address.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_understood() {
        for (address, default_host, loopback) in [
            (":0", DefaultHost::All, false),
            (":0", DefaultHost::Loopback, true),
            ("127.0.0.1:0", DefaultHost::All, true),
            ("localhost:0", DefaultHost::All, true),
        ] {
            let listener = listen(address, default_host).await.unwrap();
            let local = listener.local_addr().unwrap();
            assert_eq!(local.ip().is_loopback(), loopback, "{address} {default_host:?}: {local}");
        }
    }

    #[tokio::test]
    async fn all_addresses_include_ipv4() {
        let listener = listen(":0", DefaultHost::All).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    }

    #[tokio::test]
    async fn bad_addresses_are_named() {
        for address in ["8443", "localhost", ":http-or-so", "", "0"] {
            let error = listen(address, DefaultHost::All).await.unwrap_err();
            assert_eq!(error.to_string(), format!("listen on {address:?}"));
        }
    }
}

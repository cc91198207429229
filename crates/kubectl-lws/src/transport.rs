//! The way of a request to the server: how long it may take, and what is told when no answer comes.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::{Request, Response};
use kube::client::Body;
use kube::{Client, Config};

use crate::error::causes;

/// A server that gives no answer, in the words of kubectl.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreachable {
    /// Nobody listens there.
    #[error(
        "The connection to the server {0} was refused - did you specify the right host or port?"
    )]
    Refused(String),
    /// It may be another server.
    #[error("Unable to connect to the server: tls: failed to verify certificate: {0}")]
    Untrusted(String),
    /// It takes too long.
    #[error("Unable to connect to the server: no answer within {0:?} (--request-timeout)")]
    Silent(Duration),
    /// Anything else.
    #[error("Unable to connect to the server: {0}")]
    Failed(String),
}

/// A client for the server of `config` that gives up a request after `limit`.
pub(crate) fn client(config: Config, limit: Option<Duration>) -> Result<Client, kube::Error> {
    let server = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config)?;
    let answer = move |request| {
        let (client, server) = (client.clone(), server.clone());
        async move {
            let answer = answer(&client, request);
            let answer = match limit {
                Some(limit) => tokio::time::timeout(limit, answer)
                    .await
                    .unwrap_or_else(|_| Err(Unreachable::Silent(limit).into())),
                None => answer.await,
            };
            answer.map_err(|error| told(error, &server))
        }
    };
    Ok(Client::new(tower::service_fn(answer), namespace))
}

/// The whole answer to `request`; of a watch, which goes on while it is read, the beginning.
async fn answer(client: &Client, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    let is_watch = parameters.any(|it| it == "watch=true");
    let answer = client.send(request).await?;
    if is_watch {
        return Ok(answer);
    }
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, Body::from(body.collect_bytes().await?)))
}

/// `error`, as [`Unreachable`] where `server` has given no answer.
fn told(error: kube::Error, server: &str) -> kube::Error {
    let error: &(dyn StdError + 'static) = match &error {
        kube::Error::Service(error) => &**error,
        kube::Error::HyperError(error) => error,
        _ => return error,
    };
    unreachable(error, server).into()
}

fn unreachable(error: &(dyn StdError + 'static), server: &str) -> Unreachable {
    if let Some(known) = error.downcast_ref::<Unreachable>() {
        return known.clone();
    }
    let causes: Vec<_> = causes(error).collect();
    for cause in &causes {
        if let Some(rustls::Error::InvalidCertificate(why)) = cause.downcast_ref() {
            return Unreachable::Untrusted(why.to_string());
        }
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|it| it.kind() == io::ErrorKind::ConnectionRefused) {
            return Unreachable::Refused(server.to_owned());
        }
    }
    // The first is all that there is where it has no cause.
    Unreachable::Failed(causes.last().unwrap_or(&error).to_string())
}

impl From<Unreachable> for kube::Error {
    fn from(why: Unreachable) -> Self {
        Self::Service(Box::new(why))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::error::Error;

    /// What is told when a server is asked for its version within `limit`.
    async fn asked(scheme: &str, server: SocketAddr, limit: Duration) -> String {
        let mut config = Config::new(format!("{scheme}://{server}").parse().unwrap());
        config.accept_invalid_certs = true;
        let client = client(config, Some(limit)).unwrap();
        Error::from(client.apiserver_version().await.unwrap_err()).told()
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        // It takes connections by itself, and nothing is read from them.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let expected =
            "Unable to connect to the server: no answer within 100ms (--request-timeout)";
        for scheme in ["http", "https"] {
            let asked = asked(scheme, server, Duration::from_millis(100));
            let told = tokio::time::timeout(Duration::from_secs(20), asked).await;
            assert_eq!(told.as_deref(), Ok(expected), "{scheme}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_with_the_server() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        drop(listener);
        let expected = format!(
            "The connection to the server {server} was refused - did you specify the right host or port?"
        );
        assert_eq!(asked("https", server, Duration::from_secs(20)).await, expected);
    }

    #[test]
    fn what_has_really_happened_is_told() {
        let untrusted = rustls::Error::from(rustls::CertificateError::UnknownIssuer);
        for (error, expected) in [
            (
                io::Error::new(io::ErrorKind::InvalidData, untrusted),
                "Unable to connect to the server: tls: failed to verify certificate: ",
            ),
            (
                io::Error::other(io::Error::other("no route")),
                "Unable to connect to the server: no route",
            ),
        ] {
            let error = told(kube::Error::Service(error.into()), "server");
            let text = Error::from(error).told();
            assert!(text.starts_with(expected), "{text}");
        }
        let other = told(kube::Error::LinesCodecMaxLineLengthExceeded, "server");
        assert!(matches!(other, kube::Error::LinesCodecMaxLineLengthExceeded), "{other}");
    }
}

//! What can go wrong, in the words of kubectl: what the server refuses is an `Error from server`,
//! anything else an `error`.

use std::error::Error as _;
use std::path::PathBuf;

use kube::config::{InferConfigError, KubeconfigError};
use serde::Serialize;
use serde_json::Value;

use crate::watches;

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There are no usable credentials.
    #[error("kubeconfig {}", .path.as_ref().map_or("cannot be used".into(), |it| it.display().to_string()))]
    Kubeconfig {
        /// The file, where one was named.
        path: Option<PathBuf>,
        /// What is wrong.
        source: Box<KubeconfigError>,
    },
    /// There are no credentials in any of the usual places.
    #[error("no cluster is configured: give --kubeconfig or $KUBECONFIG")]
    NoCluster(#[source] Box<InferConfigError>),
    /// The server does not answer, or refuses.
    #[error("request to the server")]
    Request(#[source] Box<kube::Error>),
    /// A watch has ended for good.
    #[error("watch of the server's objects")]
    Watch(#[source] Box<kube::runtime::watcher::Error>),
    /// An object of the server cannot be read.
    #[error("{what} cannot be read")]
    Object {
        /// Which object.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What is asked for cannot be done.
    #[error("{0}")]
    Refused(String),
    /// It has taken too long.
    #[error("timed out waiting for the condition")]
    TimedOut,
    /// A file cannot be read.
    #[error("read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is no YAML.
    #[error("{} is no YAML", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong.
        source: Box<serde_saphyr::Error>,
    },
    /// The report cannot be written.
    #[error("write the output")]
    Output(#[from] std::io::Error),
    /// Something is no JSON.
    #[error("write {what} as JSON")]
    Json {
        /// What is to be written.
        what: &'static str,
        /// Why it cannot be.
        source: serde_json::Error,
    },
    /// The report is no YAML.
    #[error("write the report as YAML")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Request(Box::new(error))
    }
}

/// `written` as JSON.
pub(crate) fn json(what: &'static str, written: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(written).map_err(|source| Error::Json { what, source })
}

impl Error {
    /// The line for the user.
    pub(crate) fn told(&self) -> String {
        let refused = match self {
            Self::Request(source) => match &**source {
                kube::Error::Api(status) => Some(&**status),
                _ => None,
            },
            Self::Watch(source) => watches::answer(source),
            _ => None,
        };
        if let Some(status) = refused {
            let reason = if status.reason.is_empty() { "Unknown" } else { &status.reason };
            return format!("Error from server ({reason}): {}", status.message);
        }
        format!("error: {}", self.with_causes())
    }

    /// What is wrong and why, without saying that it is an error.
    pub(crate) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut source = match self {
            // It tells all that was tried, one within the other.
            Self::NoCluster(tried) => tried.source(),
            _ => self.source(),
        };
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors repeat the one below them.
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_server_refuses_is_told_as_kubectl_tells_it() {
        let status = Status::failure("leaderworkersets \"s\" not found", "NotFound").with_code(404);
        let error = Error::from(kube::Error::Api(Box::new(status)));
        let expected = "Error from server (NotFound): leaderworkersets \"s\" not found";
        assert_eq!(error.told(), expected);
    }

    #[test]
    fn other_errors_are_told_with_their_causes() {
        let error = Error::Output(std::io::Error::other("disk full"));
        assert_eq!(error.told(), "error: write the output: disk full");
    }

    #[test]
    fn a_report_about_an_error_does_not_repeat_that_it_is_one() {
        let source = serde_json::from_str::<u8>("\"x\"").unwrap_err();
        let error = Error::Object { what: "Pod p".to_owned(), source };
        let text = error.with_causes();
        assert!(text.starts_with("Pod p cannot be read: invalid type: "), "{text}");
        assert_eq!(error.told(), format!("error: {text}"));
    }
}

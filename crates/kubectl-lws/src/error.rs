//! What can go wrong, in the words of kubectl: what the server refuses is an `Error from server`,
//! anything else an `error`.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::path::PathBuf;

use kube::config::{InferConfigError, KubeconfigError};
use kube::core::Status;
use serde::Serialize;
use serde_json::Value;

use crate::transport::Unreachable;
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
        source: io::Error,
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
    Output(#[from] io::Error),
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
            Self::Kubeconfig { source, .. } => {
                if let KubeconfigError::LoadContext(name) = &**source {
                    let why = "context was not found for specified context";
                    return format!("Error in configuration: {why}: {name}");
                }
                None
            }
            _ => None,
        };
        if let Some(status) = refused {
            return refusal(status);
        }
        match causes(self).find_map(|it| it.downcast_ref::<Unreachable>()) {
            Some(unreachable) => unreachable.to_string(),
            None => format!("error: {}", self.with_causes()),
        }
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

/// `error` and what is below it, the last being what has really happened.
pub(crate) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&error: &&'a (dyn StdError + 'static)| {
        // It passes over the error that it wraps.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

/// What the server says when it refuses.
fn refusal(status: &Status) -> String {
    let Status { message, reason, details, .. } = status;
    if status.code == 401 {
        return format!("error: You must be logged in to the server ({message})");
    }
    if !status.is_invalid() {
        let reason = if reason.is_empty() { "Unknown" } else { reason };
        return format!("Error from server ({reason}): {message}");
    }
    let Some(details) = details.as_ref().filter(|it| !it.kind.is_empty() || !it.name.is_empty())
    else {
        return format!("The request is invalid: {message}");
    };
    let what = format!("The {} {:?} is invalid", details.kind, details.name);
    let causes = details.causes.iter().map(|it| match &*it.field {
        "" => it.message.clone(),
        field => format!("{field}: {}", it.message),
    });
    let causes: Vec<_> = causes.collect();
    match &*causes {
        [] => what,
        [cause] => format!("{what}: {cause}"),
        causes => format!("{what}: \n* {}", causes.join("\n* ")),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    #[test]
    fn what_the_server_refuses_is_told_as_kubectl_tells_it() {
        let status = Status::failure("leaderworkersets \"s\" not found", "NotFound").with_code(404);
        let error = Error::from(kube::Error::Api(Box::new(status)));
        let expected = "Error from server (NotFound): leaderworkersets \"s\" not found";
        assert_eq!(error.told(), expected);
        let status = Status::failure("Unauthorized", "Unauthorized").with_code(401);
        let error = Error::from(kube::Error::Api(Box::new(status)));
        assert_eq!(error.told(), "error: You must be logged in to the server (Unauthorized)");
    }

    #[test]
    fn an_invalid_object_is_told_with_its_fields() {
        let cause = |field: &str, message: &str| StatusCause {
            reason: String::new(),
            message: message.to_owned(),
            field: field.to_owned(),
        };
        let told = |causes: &[StatusCause]| {
            let details = StatusDetails {
                name: "foo".to_owned(),
                kind: "LeaderWorkerSet".to_owned(),
                causes: causes.to_vec(),
                group: String::new(),
                uid: String::new(),
                retry_after_seconds: 0,
            };
            let status = Status::failure("all of it", "Invalid").with_code(422);
            Error::from(kube::Error::Api(Box::new(status.with_details(details)))).told()
        };
        let what = "The LeaderWorkerSet \"foo\" is invalid";
        let (replicas, size) = (cause("spec.replicas", "odd"), cause("spec.size", "small"));
        assert_eq!(told(&[]), what);
        assert_eq!(told(std::slice::from_ref(&replicas)), format!("{what}: spec.replicas: odd"));
        let expected = format!("{what}: \n* spec.replicas: odd\n* spec.size: small");
        assert_eq!(told(&[replicas, size]), expected);
        let status = Status::failure("odd", "Invalid").with_code(422);
        let error = Error::from(kube::Error::Api(Box::new(status)));
        assert_eq!(error.told(), "The request is invalid: odd");
    }

    #[test]
    fn an_unknown_context_is_named() {
        let source = Box::new(KubeconfigError::LoadContext("nope".to_owned()));
        let error = Error::Kubeconfig { path: None, source };
        let expected = "Error in configuration: context was not found for specified context: nope";
        assert_eq!(error.told(), expected);
    }

    #[test]
    fn other_errors_are_told_with_their_causes() {
        let error = Error::Output(io::Error::other("disk full"));
        assert_eq!(error.told(), "error: write the output: disk full");
    }

    #[test]
    fn a_report_about_an_error_does_not_repeat_that_it_is_one() {
        let source = serde_json::from_str::<u8>("\"x\"").unwrap_err();
        let error = Error::Object { what: "Pod \"p\"".to_owned(), source };
        let text = error.with_causes();
        assert!(text.starts_with("Pod \"p\" cannot be read: invalid type: "), "{text}");
        assert_eq!(error.told(), format!("error: {text}"));
    }
}

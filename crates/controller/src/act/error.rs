//! How a request fails: what was tried, why it failed, and what that asks for.

use kube::core::Status;
use lws_api_types::keys;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {what}: {cause}")]
pub struct Error {
    /// What was tried, as in permissions: `create`, `patch`, …
    pub verb: &'static str,
    /// On which object: `statefulsets default/x`.
    pub what: String,
    /// Why it failed.
    #[source]
    pub cause: Cause,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The API server refused it or could not be reached.
    #[error("{}", server_message(.0))]
    Server(#[source] kube::Error),
    /// No answer came in time; it may have been carried out.
    #[error("no answer in time")]
    TimedOut,
    /// The name is taken by an object that is not ours.
    #[error(
        "an object of that name exists and is not controlled by this set: it is left as it is, delete or rename it"
    )]
    Foreign,
    /// The object is ours, but somebody has removed the label by which we watch it.
    #[error("it exists without label {}: put the label back, or delete it", keys::labels::NAME)]
    Unlabelled,
    /// The set must not get objects any more.
    #[error("the set is being deleted, or has made way for another one of its name")]
    SetGone,
    /// This process may not write: another one leads, or may by now.
    #[error("not the leader any more")]
    NotLeading,
}

/// The server's own words; `kube::Error` repeats them in debug form.
pub(crate) fn server_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    /// Why it failed, in the words of the server where it answered.
    #[must_use]
    pub fn reason(&self) -> String {
        self.cause.to_string()
    }

    /// Whether the object has changed since it was read: looking again is the cure.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, Cause::SetGone)
            || self.status().is_some_and(|status| status.code == 409)
    }

    /// Whether the API server refused the request, rather than having no time for it, or another
    /// state to apply it to, than was expected.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match &self.cause {
            Cause::Foreign | Cause::Unlabelled => true,
            Cause::SetGone | Cause::TimedOut | Cause::NotLeading => false,
            Cause::Server(_) => {
                let passes = |status: &Status| matches!(status.code, 409 | 429 | 503 | 504);
                self.status().is_some_and(|status| !passes(status))
            }
        }
    }

    /// Whether it was not made at all, because this process does not lead or is about to end.
    #[must_use]
    pub fn is_unmade(&self) -> bool {
        matches!(self.cause, Cause::NotLeading)
    }

    /// Whether permission is missing. Exceeded quotas and admission answer with the same code, but
    /// in other words.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let cannot = |status: &Status| status.code == 403 && status.message.contains(" cannot ");
        self.status().is_some_and(cannot)
    }

    /// Whether a deletion found that the object that was meant is gone, whoever has its name now.
    pub(super) fn is_gone(&self) -> bool {
        self.status().is_some_and(|status| {
            status.code == 404 || status.code == 409 && status.message.contains("UID")
        })
    }

    fn status(&self) -> Option<&Status> {
        match &self.cause {
            Cause::Server(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }
}

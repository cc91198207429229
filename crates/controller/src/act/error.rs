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
    #[error("{0}")]
    Foreign(String),
    /// The object is ours, but somebody has removed or changed the label by which we watch it, which
    /// is to be this.
    #[error(
        "it exists without label {}={_0}: put the label back, or delete it",
        keys::labels::NAME
    )]
    Unlabelled(String),
    /// It was carried out, but for this annotation, which the answer has otherwise or not at all.
    #[error(
        "the API server has not kept annotation {_0}, as an admission policy makes it do: exempt the \
         object from that policy"
    )]
    NotKept(String),
    /// The name was taken by an object that is gone.
    #[error("what was in the way is gone")]
    MadeWay,
    /// The set must not get objects any more.
    #[error("the set is being deleted, or has made way for another one of its name")]
    SetGone,
    /// This process may not write: another one leads, or may by now.
    #[error("not the leader any more")]
    NotLeading,
}

/// What a failed request says about the object that it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: the server had no time, or expected another state than it met.
    Nothing,
    /// The server, or something that it asked, is at fault. It may be another the next time.
    Faulty,
    /// It is refused, and will be as long as nothing else changes.
    Refused,
}

/// The server's own words; `kube::Error` repeats them in debug form.
pub(crate) fn server_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    /// Why it failed, in the words of the server where it answered; the object is named either way.
    #[must_use]
    pub fn reason(&self) -> String {
        let words = self.cause.to_string();
        let name = self.what.rsplit(['/', ' ']).next().unwrap_or_default();
        if words.contains(name) { words } else { format!("{}: {words}", self.what) }
    }

    /// Whether the object has changed since it was read: looking again is the cure.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, Cause::SetGone | Cause::MadeWay)
            || self.status().is_some_and(|status| status.code == 409)
    }

    /// What it says about the object that the request was for.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        match &self.cause {
            Cause::Foreign(_) | Cause::Unlabelled(_) | Cause::NotKept(_) => Meaning::Refused,
            Cause::MadeWay | Cause::SetGone | Cause::TimedOut | Cause::NotLeading => {
                Meaning::Nothing
            }
            Cause::Server(_) => match self.status().map(|status| status.code) {
                None | Some(409 | 429 | 503 | 504) => Meaning::Nothing,
                Some(500..) => Meaning::Faulty,
                Some(_) => Meaning::Refused,
            },
        }
    }

    /// Whether it was not made at all, because this process does not lead or is about to end.
    #[must_use]
    pub fn is_unmade(&self) -> bool {
        matches!(self.cause, Cause::NotLeading)
    }

    /// Whether nobody needs to hear of it: it was not made, or the next one is expected to succeed.
    #[must_use]
    pub fn is_no_news(&self) -> bool {
        matches!(self.cause, Cause::NotLeading | Cause::MadeWay)
    }

    /// Whether no answer came in time.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        matches!(self.cause, Cause::TimedOut)
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

//! The four webhooks, by the path under which the API server calls them, and what each decides.

use crate::pod::{self, Pod, Rejection, Settings};
use crate::review::{Answer, Consent, Operation, Refusal, Request};
use crate::set;

/// A webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Defaults of a `LeaderWorkerSet`.
    MutateSet,
    /// Rules of a `LeaderWorkerSet`.
    ValidateSet,
    /// Identity, placement and environment of a pod.
    MutatePod,
    /// Allows every pod. Configurations of the existing implementation call it.
    ValidatePod,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::MutateSet, Self::ValidateSet, Self::MutatePod, Self::ValidatePod];

    /// The path that webhook configurations name.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::MutateSet => "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset",
            Self::ValidateSet => "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset",
            Self::MutatePod => "/mutate--v1-pod",
            Self::ValidatePod => "/validate--v1-pod",
        }
    }

    /// Judges `request`.
    pub(crate) fn decide(self, request: &Request<'_>, settings: Settings) -> Answer {
        if let Operation::Unknown(operation) = request.operation() {
            return Err(Refusal::bad_request(format!("unknown operation {operation:?}")));
        }
        if let Err(too_complex) = request.check_weight() {
            // Nothing may keep an object from being deleted.
            return if request.is_of_deletion() {
                Ok(Consent::default())
            } else {
                Err(too_complex)
            };
        }
        match self {
            Self::MutateSet => set::mutate(request),
            Self::ValidateSet => set::validate(request),
            Self::MutatePod => mutate_pod(request, settings),
            Self::ValidatePod => Ok(Consent::default()),
        }
    }
}

fn mutate_pod(request: &Request<'_>, settings: Settings) -> Answer {
    if matches!(request.operation(), Operation::Delete | Operation::Connect) {
        return Ok(Consent::default());
    }
    let pod: Pod<'_> = request.object()?;
    let namespace = match &*pod.metadata.namespace {
        "" => &*request.namespace,
        namespace => namespace,
    };
    let patch = pod::mutate(&pod, namespace, settings)?;
    Ok(Consent { patch, ..Consent::default() })
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection.rule() {
            Some(rule) => Self::forbidden(rejection.to_string(), [rule]),
            None => Self::internal(rejection.to_string()),
        }
    }
}

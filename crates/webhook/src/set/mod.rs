//! Admission of sets. The rules are shared with the controller and live in `lws-api-types`; here
//! they meet the protocol.

use lws_api_types::defaults::{defaults, quantities};
use lws_api_types::validation::{Verdict, aggregate, validate_create, validate_update};
use serde_json::Value;

use crate::patch::{PATCH_LIMIT, Patch};
use crate::review::{Answer, Consent, Operation, Refusal, Request};

/// Fills in what the user left out, and puts quantities into a form that the schema takes. Refuses
/// no object that can be decoded, unless it has more of such quantities than a patch has room for.
pub(crate) fn mutate(request: &Request<'_>) -> Answer {
    if matches!(request.operation(), Operation::Delete | Operation::Connect) {
        return Ok(Consent::default());
    }
    let object: Value = request.object()?;
    let mut patch = Patch::default();
    for change in defaults(&object) {
        patch.add(change.path, &change.value).map_err(|it| unwritten(&it))?;
    }
    quantities(&object, |path, text| patch.add(path, text)).map_err(|it| unwritten(&it))?;
    Ok(Consent { patch, ..Consent::default() })
}

/// Only quantities can be as many as that.
fn unwritten(error: &serde_json::Error) -> Refusal {
    if error.is_io() {
        return Refusal::bad_request(format!(
            "the set has so many quantities with a fraction that a patch would take more than \
             {PATCH_LIMIT} bytes: write them as texts, such as \"500m\""
        ));
    }
    Refusal::internal(error.to_string())
}

/// Refuses what breaks a rule, with everything that is wrong in one message.
pub(crate) fn validate(request: &Request<'_>) -> Answer {
    let verdict = match request.operation() {
        Operation::Create => validate_create(&request.object()?),
        Operation::Update => validate_update(&request.object()?, &request.old_object()?),
        Operation::Delete | Operation::Connect | Operation::Unknown(_) => Verdict::default(),
    };
    let Verdict { errors, warnings } = verdict;
    if errors.is_empty() {
        Ok(Consent { warnings, ..Consent::default() })
    } else {
        let rules = errors.iter().map(|violation| violation.rule.name());
        Err(Refusal::forbidden(aggregate(&errors), rules))
    }
}

#[cfg(test)]
mod tests;

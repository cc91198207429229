//! Admission of sets. The rules are shared with the controller and live in `lws-api-types`; here
//! they meet the protocol.

use lws_api_types::defaults::defaults;
use lws_api_types::validation::{Verdict, aggregate, validate_create, validate_update};
use serde_json::Value;

use crate::patch::Patch;
use crate::review::{Answer, Consent, Operation, Refusal, Request};

/// Fills in what the user left out. Never refuses an object that can be decoded.
pub(crate) fn mutate(request: &Request<'_>) -> Answer {
    if matches!(request.operation(), Operation::Delete | Operation::Connect) {
        return Ok(Consent::default());
    }
    let object: Value = request.object()?;
    let mut patch = Patch::default();
    for change in defaults(&object) {
        patch.add(change.path, &change.value).map_err(|it| Refusal::internal(it.to_string()))?;
    }
    Ok(Consent { patch, ..Consent::default() })
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

//! `ControllerRevision`s: the record of a set's content.

use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::labels;
use lws_api_types::names;
use serde_json::{Value, json};

use super::owned_by_set;

/// The revision that records `data` (the byte form of the set's content, whose hash is `hash`)
/// under `key`.
///
/// # Errors
/// When `data` is not JSON.
pub fn revision(
    set: &LeaderWorkerSet,
    key: &str,
    hash: &str,
    number: i64,
    data: &str,
) -> Result<Value, serde_json::Error> {
    let data: Value = serde_json::from_str(data)?;
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": names::revision(set.name(), hash, number),
            "namespace": set.namespace(),
            "labels": {labels::NAME: set.name(), labels::REVISION: key},
            "ownerReferences": owned_by_set(set),
        },
        "revision": number,
        "data": data,
    }))
}

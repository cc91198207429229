//! What is allowed, but unlikely to be meant. Total on any JSON: the stored side of an update is
//! asked too.

use super::formats;
use super::name_room;
use super::view::View;
use crate::keys::annotations::{EXCLUSIVE_TOPOLOGY, SUBGROUP_EXCLUSIVE_TOPOLOGY};
use crate::{keys, names};

/// The length of a warning that the API server passes on whatever the number of warnings.
const MAX_CHARS: usize = 256;

/// What the author of a set should know about it.
pub(super) fn of(view: View<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(name_room::warning(view));
    warnings.extend(shared_name(view));
    warnings.extend(
        [EXCLUSIVE_TOPOLOGY, SUBGROUP_EXCLUSIVE_TOPOLOGY]
            .into_iter()
            .filter_map(|key| invalid_topology(key, view.annotation(key)?)),
    );
    for (pointer, path) in [
        ("/spec/leaderWorkerTemplate/leaderTemplate", "leaderTemplate"),
        ("/spec/leaderWorkerTemplate/workerTemplate", "workerTemplate"),
    ] {
        for field in ["labels", "annotations"] {
            let reserved = view
                .texts(&format!("{pointer}/metadata/{field}"))
                .filter(|(key, _)| key.starts_with(keys::PREFIX));
            warnings.extend(reserved.map(|(key, _)| {
                format!(
                    "spec.leaderWorkerTemplate.{path}.metadata.{field}: {key:?} is reserved and \
                     will be overwritten"
                )
            }));
        }
    }
    for warning in &mut warnings {
        if let Some((end, _)) = warning.char_indices().nth(MAX_CHARS) {
            warning.truncate(end);
        }
    }
    warnings
}

/// A set named `x-0` and group 0 of a set named `x` need objects of the same name.
fn shared_name(view: View<'_>) -> Option<String> {
    let name = view.name();
    let (parent, ordinal) = names::parent_and_ordinal(name)?;
    (!parent.is_empty()).then(|| {
        format!(
            "metadata.name: group {ordinal} of a LeaderWorkerSet {parent} needs objects named \
             {name} too: the two sets cannot share a namespace"
        )
    })
}

/// No node has a label whose key is not a label key. An empty value counts as absent.
fn invalid_topology(key: &str, topology: &str) -> Option<String> {
    let invalid = !topology.is_empty() && !formats::label_key(topology).is_empty();
    invalid.then(|| {
        format!(
            "metadata.annotations.{key}: no node can have a label {topology:?}, which is not a \
             valid label key: pods will not be placed"
        )
    })
}

//! Gang scheduling: the annotation by which Volcano finds the `PodGroup` of a pod.

use lws_api_types::keys::annotations;
use lws_api_types::names;
use lws_api_types::pointer::escape;

use super::identity::Identity;
use super::view::Metadata;
use crate::patch::Patch;

/// Names the `PodGroup` of a pod of set `set`, unless the pod names it already. Labels that are
/// missing are empty segments of the name.
pub(crate) fn write(
    identity: &Identity<'_>,
    set: &str,
    metadata: &Metadata<'_>,
    patch: &mut Patch,
) -> Result<(), serde_json::Error> {
    let group_index = identity.group_index.as_deref().unwrap_or_default();
    let revision = metadata.labels.revision.as_deref().unwrap_or_default();
    let pod_group = names::pod_group(set, group_index, revision);
    if metadata.annotations.pod_group.as_deref() == Some(&pod_group) {
        return Ok(());
    }
    // The annotations exist: the size of the group is one of them.
    let pointer = format!("/metadata/annotations/{}", escape(annotations::POD_GROUP_NAME));
    patch.add(&pointer, &pod_group)
}

//! The admission of a new pod as one patch.

use super::view::Pod;
use super::{Rejection, Settings, exclusive, gang, identity::Identity, tpu::Tpu, variables};
use crate::patch::{PATCH_LIMIT, Patch};

/// Room for the patch of a pod with a few containers, in bytes.
const PATCH_CAPACITY: usize = 2048;

/// What must change in `pod`, which is stored in `namespace`. Nothing in a pod that belongs to no
/// set, nor in one that has been admitted before.
pub(crate) fn mutate(
    pod: &Pod<'_>,
    namespace: &str,
    settings: Settings,
) -> Result<Patch, Rejection> {
    let metadata = &pod.metadata;
    changes(pod, namespace, settings).map_err(|rejection| match rejection {
        Rejection::Patch(error) if error.is_io() => {
            Rejection::PatchTooLong { pod: metadata.called(), limit: PATCH_LIMIT }
        }
        rejection => rejection.of(metadata),
    })
}

fn changes(pod: &Pod<'_>, namespace: &str, settings: Settings) -> Result<Patch, Rejection> {
    let metadata = &pod.metadata;
    let Some(set) = metadata.labels.set.as_deref() else { return Ok(Patch::default()) };
    let identity = Identity::of(pod, set, namespace)?;
    let tpu = Tpu::of(&identity, pod)?;
    let mut patch = Patch::with_capacity(PATCH_CAPACITY);
    if pod.spec.is_none() {
        patch.add("/spec", &serde_json::Map::new())?;
    }
    identity.write(pod, &mut patch)?;
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    exclusive::write(&identity, &metadata.annotations, affinity, &mut patch)?;
    if settings.gang_scheduling {
        gang::write(&identity, set, metadata, &mut patch)?;
    }
    variables::write(&identity, set, namespace, pod, tpu.as_ref(), &mut patch)?;
    Ok(patch)
}

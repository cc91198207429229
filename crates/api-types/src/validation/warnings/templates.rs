//! Fields of a pod template that have no effect.

use super::super::view::View;
use super::{Warnings, quoted};
use crate::keys::{PREFIX, env};

/// Text fields that are set for every pod, and by whom.
const OVERWRITTEN: [(&str, &str, &str); 4] = [
    ("/metadata/name", "metadata.name", "pods are named by their StatefulSet"),
    ("/metadata/namespace", "metadata.namespace", "pods are created in the namespace of the set"),
    ("/spec/hostname", "spec.hostname", "StatefulSets give each pod its name"),
    ("/spec/subdomain", "spec.subdomain", "spec.networkConfig decides it"),
];

/// `template` is at `path`.
pub(super) fn check(template: View<'_>, path: &str, warnings: &mut Warnings) {
    for (pointer, field, reason) in OVERWRITTEN {
        if !template.text(pointer).is_empty() {
            warnings.push(format_args!("{path}.{field}: has no effect: {reason}"));
        }
    }
    for (pointer, field) in
        [("/metadata/labels", "labels"), ("/metadata/annotations", "annotations")]
    {
        let reserved = template.texts(pointer).filter(|(key, _)| key.starts_with(PREFIX));
        for (key, _) in reserved {
            warnings.push(format_args!(
                "{path}.metadata.{field}: {} is reserved and will be overwritten",
                quoted(key)
            ));
        }
    }
    for (pointer, field) in
        [("/spec/containers", "containers"), ("/spec/initContainers", "initContainers")]
    {
        for (index, container) in template.list(pointer).iter().enumerate() {
            let variables = View(container).list("/env").iter().map(|it| View(it).text("/name"));
            for name in variables.filter(|it| is_group_variable(it)) {
                warnings.push(format_args!(
                    "{path}.spec.{field}[{index}].env: {name:?} is reserved and will be \
                     overwritten"
                ));
            }
        }
    }
}

fn is_group_variable(name: &str) -> bool {
    [env::LEADER_ADDRESS, env::GROUP_SIZE, env::WORKER_INDEX].contains(&name)
}

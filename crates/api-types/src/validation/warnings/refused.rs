//! Pod templates and claims that Kubernetes will refuse: the set is stored, and nothing else would
//! say why it stays without pods.

use std::collections::HashSet;

use super::super::formats;
use super::super::view::View;

/// What comes of a `StatefulSet` that is wrong.
const NO_SET: &str = "Kubernetes will refuse the StatefulSets, and no pod will be created";

/// What comes of a claim that is wrong.
const NO_CLAIM: &str = "Kubernetes will refuse the claims, and no pod will be created";

/// `template` is at `path`.
pub(super) fn check_template(template: View<'_>, path: &str, warnings: &mut Vec<String>) {
    let mut warn = |field: &str, problem: &str| {
        warnings.push(format!("{path}.spec.{field}: {problem}: {NO_SET}"));
    };
    let restart_policy = template.text("/spec/restartPolicy");
    if !matches!(restart_policy, "" | "Always") {
        warn("restartPolicy", &format!("{restart_policy} must be Always"));
    }
    if let Some(deadline) = template.get("/spec/activeDeadlineSeconds") {
        warn("activeDeadlineSeconds", &format!("{deadline} must be absent"));
    }
    if template.list("/spec/containers").is_empty() {
        warn("containers", "there must be at least one");
    }
    let mut names = HashSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in template.list(&format!("/spec/{list}")).iter().enumerate() {
            let container = View(container);
            let name = container.text("/name");
            if !formats::dns_1123_label(name).is_empty() {
                warn(&format!("{list}[{index}].name"), &format!("{name:?} is not a DNS label"));
            } else if !names.insert(name) {
                let problem = format!("{name:?} is the name of another container too");
                warn(&format!("{list}[{index}].name"), &problem);
            }
            if container.text("/image").is_empty() {
                warn(&format!("{list}[{index}].image"), "is missing");
            }
        }
    }
}

/// The claims of both `StatefulSet`s.
pub(super) fn check_claims(view: View<'_>, warnings: &mut Vec<String>) {
    let claims = view.list("/spec/leaderWorkerTemplate/volumeClaimTemplates");
    for (index, claim) in claims.iter().map(View).enumerate() {
        let mut warn = |field: &str, problem: &str| {
            let path = format!("spec.leaderWorkerTemplate.volumeClaimTemplates[{index}]");
            warnings.push(format!("{path}.{field}: {problem}: {NO_CLAIM}"));
        };
        let name = claim.text("/metadata/name");
        if !formats::dns_1123_label(name).is_empty() {
            warn("metadata.name", &format!("{name:?} is not a DNS label"));
        }
        if claim.list("/spec/accessModes").is_empty() {
            warn("spec.accessModes", "there must be at least one");
        }
        if claim.get("/spec/resources/requests/storage").is_none() {
            warn("spec.resources.requests.storage", "is missing");
        }
    }
}

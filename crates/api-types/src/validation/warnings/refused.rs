//! Pod templates and claims that Kubernetes will refuse: the set is stored, and nothing else would
//! say why it stays without pods.

use std::collections::HashSet;
use std::fmt::Arguments;

use super::super::formats;
use super::super::view::View;
use super::{Warnings, excerpt, quoted, resources};
use crate::keys::PREFIX;

/// What comes of a claim that is wrong.
const NO_CLAIM: &str = "Kubernetes will refuse the claims, and no pod will be created";

/// A pod template, where it is, and whom to tell what is wrong with it.
pub(super) struct Judged<'a> {
    template: View<'a>,
    path: &'static str,
    warnings: &'a mut Warnings,
}

/// `template` is at `path`.
pub(super) fn check_template(template: View<'_>, path: &'static str, warnings: &mut Warnings) {
    let mut judged = Judged { template, path, warnings };
    judged.check_metadata();
    judged.check_spec();
    judged.check_containers();
}

impl Judged<'_> {
    /// Tells that the `StatefulSet` is refused for what is at `field`.
    pub(super) fn warn(&mut self, field: Arguments<'_>, problem: Arguments<'_>) {
        let path = self.path;
        self.warnings.push(format_args!(
            "{path}.{field}: {problem}: Kubernetes will refuse the StatefulSets, and no pod will be \
             created"
        ));
    }

    /// Keys of this system are replaced, and warned of as such.
    fn check_metadata(&mut self) {
        let template = self.template;
        let is_users = |(key, _): &(&str, &str)| !key.starts_with(PREFIX);
        self.check_labels("metadata.labels", template.texts("/metadata/labels").filter(is_users));
        for (key, _) in template.texts("/metadata/annotations").filter(is_users) {
            if !formats::annotation_key(key).is_empty() {
                self.warn(
                    format_args!("metadata.annotations"),
                    format_args!("{} is not a valid annotation key", quoted(key)),
                );
            }
        }
    }

    /// The `labels` at `field`, or what selects by labels.
    fn check_labels<'l>(&mut self, field: &str, labels: impl Iterator<Item = (&'l str, &'l str)>) {
        for (key, value) in labels {
            if !formats::label_key(key).is_empty() {
                self.warn(
                    format_args!("{field}"),
                    format_args!("{} is not a valid label key", quoted(key)),
                );
            } else if !formats::label_value(value).is_empty() {
                self.warn(
                    format_args!("{field}[{}]", excerpt(key)),
                    format_args!("{} is not a valid label value", quoted(value)),
                );
            }
        }
    }

    fn check_spec(&mut self) {
        let template = self.template;
        let restart_policy = template.text("/spec/restartPolicy");
        if !matches!(restart_policy, "" | "Always") {
            self.warn(
                format_args!("spec.restartPolicy"),
                format_args!("{} must be Always", excerpt(restart_policy)),
            );
        }
        if let Some(deadline) = template.get("/spec/activeDeadlineSeconds") {
            self.warn(
                format_args!("spec.activeDeadlineSeconds"),
                format_args!("{deadline} must be absent"),
            );
        }
        self.check_labels("spec.nodeSelector", template.texts("/spec/nodeSelector"));
        if template.list("/spec/containers").is_empty() {
            self.warn(format_args!("spec.containers"), format_args!("there must be at least one"));
        }
    }

    fn check_containers(&mut self) {
        let template = self.template;
        let mut names = HashSet::new();
        for list in ["initContainers", "containers"] {
            for (index, container) in template.list(&format!("/spec/{list}")).iter().enumerate() {
                let container = View(container);
                let field = format_args!("spec.{list}[{index}]");
                let name = container.text("/name");
                let at = format_args!("{field}.name");
                if !formats::dns_1123_label(name).is_empty() {
                    self.warn(at, format_args!("{} is not a DNS label", quoted(name)));
                } else if !names.insert(name) {
                    self.warn(at, format_args!("{name:?} is the name of another container too"));
                }
                if container.text("/image").is_empty() {
                    self.warn(format_args!("{field}.image"), format_args!("is missing"));
                }
                resources::check(container, format_args!("{field}.resources"), self);
            }
        }
    }
}

/// The claims of both `StatefulSet`s.
pub(super) fn check_claims(view: View<'_>, warnings: &mut Warnings) {
    let claims = view.list("/spec/leaderWorkerTemplate/volumeClaimTemplates");
    for (index, claim) in claims.iter().map(View).enumerate() {
        let mut warn = |field: &str, problem: Arguments<'_>| {
            let path = format_args!("spec.leaderWorkerTemplate.volumeClaimTemplates[{index}]");
            warnings.push(format_args!("{path}.{field}: {problem}: {NO_CLAIM}"));
        };
        let name = claim.text("/metadata/name");
        if !formats::dns_1123_label(name).is_empty() {
            warn("metadata.name", format_args!("{} is not a DNS label", quoted(name)));
        }
        if claim.list("/spec/accessModes").is_empty() {
            warn("spec.accessModes", format_args!("there must be at least one"));
        }
        if claim.get("/spec/resources/requests/storage").is_none() {
            warn("spec.resources.requests.storage", format_args!("is missing"));
        }
    }
}

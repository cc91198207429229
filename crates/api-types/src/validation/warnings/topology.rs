//! Exclusive placement that does nothing, or keeps pods from being placed.

use super::super::formats;
use super::super::view::View;
use super::{Template, WORKER_TEMPLATE, Warnings, division, quoted};
use crate::keys::annotations::{EXCLUSIVE_TOPOLOGY, SUBGROUP_EXCLUSIVE_TOPOLOGY};
use crate::keys::labels::{GROUP_KEY, SUBGROUP_KEY};
use crate::placement::{self, AffinityTerm};

/// Exclusive placement of groups, or of subgroups.
struct Level {
    /// The annotation that asks for it.
    key: &'static str,
    /// The label that tells the pods of one from those of another.
    label: &'static str,
    /// The template of the pods that it is about.
    template: Template,
    /// How many domains the set needs.
    domains: i64,
}

pub(super) fn check(view: View<'_>, warnings: &mut Warnings) {
    let leader = Template::of_leaders(view);
    let subgroups = subgroups(view);
    let groups = Level {
        key: EXCLUSIVE_TOPOLOGY,
        label: GROUP_KEY,
        template: leader,
        domains: view.replicas(),
    };
    groups.check(view, warnings);
    let subgroup = Level {
        key: SUBGROUP_EXCLUSIVE_TOPOLOGY,
        label: SUBGROUP_KEY,
        // Without workers the subgroups are made of leaders.
        template: if view.size() > 1 { WORKER_TEMPLATE } else { leader },
        domains: view.replicas().saturating_mul(subgroups),
    };
    subgroup.check(view, warnings);
    warnings.extend(overwritten_selector(view, leader));
    warnings.extend(contradiction(view, subgroups));
}

impl Level {
    fn check(&self, view: View<'_>, warnings: &mut Warnings) {
        let Self { key, label, template, domains } = *self;
        let Some(topology) = view.annotation(key) else { return };
        let (pod, path) = (template.of(view), template.path);
        let quoted = quoted(topology);
        if topology.is_empty() {
            warnings
                .push(format_args!("metadata.annotations.{key}: is empty, which has no effect"));
        } else if !formats::label_key(topology).is_empty() {
            warnings.push(format_args!(
                "metadata.annotations.{key}: no node can have a label {quoted}, which is not a \
                 valid label key: pods will not be placed"
            ));
        } else if has_terms(pod, topology, label) {
            warnings.push(format_args!(
                "metadata.annotations.{key}: has no effect: {path}.spec.affinity has terms of its \
                 own over {quoted}"
            ));
        } else if domains > 1 && selects(pod, topology) {
            warnings.push(format_args!(
                "{path}.spec.nodeSelector: binds the set to one {quoted}, but {key} needs \
                 {domains} of them"
            ));
        }
    }
}

/// Workers are bound to the domain of their leader.
fn overwritten_selector(view: View<'_>, leader: Template) -> Option<String> {
    let topology = view.annotation(EXCLUSIVE_TOPOLOGY)?;
    let own = leader.path != WORKER_TEMPLATE.path && selects(WORKER_TEMPLATE.of(view), topology);
    own.then(|| {
        format!(
            "{}.spec.nodeSelector: {} will be overwritten: workers follow their leader",
            WORKER_TEMPLATE.path,
            quoted(topology)
        )
    })
}

/// A group is in one domain, and each of its subgroups wants one to itself.
fn contradiction(view: View<'_>, subgroups: i64) -> Option<String> {
    let topology = view.annotation(EXCLUSIVE_TOPOLOGY).filter(|topology| !topology.is_empty())?;
    let same = view.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY) == Some(topology);
    (same && subgroups > 1).then(|| {
        format!(
            "metadata.annotations.{SUBGROUP_EXCLUSIVE_TOPOLOGY}: is the topology of the group too, \
             which has one {}: only one of its {subgroups} subgroups will be placed",
            quoted(topology)
        )
    })
}

/// How many subgroups a group has; 0 without a division.
fn subgroups(view: View<'_>) -> i64 {
    let count = || {
        let division = division(view)?;
        // Without the leader the first one may be 1.
        let first = division.index(0).or_else(|| division.index(1))?;
        let last = division.index(division.size.checked_sub(1)?)?;
        Some(i64::from(last) - i64::from(first) + 1)
    };
    count().unwrap_or(0)
}

fn selects(template: View<'_>, topology: &str) -> bool {
    template.texts("/spec/nodeSelector").any(|(key, _)| key == topology)
}

/// Whether admission will find both terms in the pods and add none.
fn has_terms(template: View<'_>, topology: &str, label: &str) -> bool {
    let terms = ["podAffinity", "podAntiAffinity"].map(|kind| {
        let list = format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution");
        template.list(&list).iter().map(|term| Term(View(term)))
    });
    placement::is_exclusive(terms, topology, label)
}

/// A required term in a template.
struct Term<'a>(View<'a>);

impl AffinityTerm for Term<'_> {
    fn topology(&self) -> &str {
        self.0.text("/topologyKey")
    }

    fn selected(&self) -> Option<impl Iterator<Item = &str>> {
        self.0.get("/labelSelector")?;
        let labels = self.0.texts("/labelSelector/matchLabels").map(|(key, _)| key);
        let expressions = self.0.list("/labelSelector/matchExpressions").iter();
        Some(labels.chain(expressions.map(|it| View(it).text("/key"))))
    }
}

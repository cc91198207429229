//! Exclusive placement: required affinity to the pods of the own group (or subgroup) and required
//! anti-affinity to all others, over a topology key that the user names.

use lws_api_types::keys::labels;
use lws_api_types::placement;
use serde::Serialize;

use super::identity::Identity;
use super::view::{Affinity, Annotations, PodAffinity};
use crate::patch::Patch;

/// One topology domain for the pods whose label `key` has this `value`, and for no other pods
/// that have the label.
struct Exclusive<'p> {
    key: &'static str,
    value: &'p str,
    topology: &'p str,
}

/// Adds the terms that a pod must have and `affinity` (`spec.affinity`) does not hold yet.
///
/// A leader gets the terms of its group, a member of a subgroup those of its subgroup. Other
/// workers need none: they follow their leader by node selector.
pub(crate) fn write(
    identity: &Identity<'_>,
    annotations: &Annotations<'_>,
    affinity: Option<&Affinity<'_>>,
    patch: &mut Patch,
) -> Result<(), serde_json::Error> {
    let group = identity.group_key.as_deref();
    let subgroup = identity.subgroup.as_ref().map(|subgroup| subgroup.key.as_str());
    let missing: Vec<_> = [
        (labels::GROUP_KEY, group, &annotations.exclusive_topology),
        (labels::SUBGROUP_KEY, subgroup, &annotations.subgroup_exclusive_topology),
    ]
    .into_iter()
    .filter_map(|(key, value, topology)| {
        let topology = topology.as_deref().filter(|topology| !topology.is_empty())?;
        Some(Exclusive { key, value: value?, topology })
    })
    .filter(|exclusive| !affinity.is_some_and(|affinity| exclusive.is_in(affinity)))
    .collect();
    if missing.is_empty() { Ok(()) } else { add(&missing, affinity, patch) }
}

/// Appends the terms to both lists; a parent that does not exist is added with all it must hold.
fn add(
    missing: &[Exclusive<'_>],
    affinity: Option<&Affinity<'_>>,
    patch: &mut Patch,
) -> Result<(), serde_json::Error> {
    let attract: Vec<_> = missing.iter().map(Exclusive::affinity_term).collect();
    let repel: Vec<_> = missing.iter().map(Exclusive::anti_affinity_term).collect();
    let Some(affinity) = affinity else {
        let new = NewAffinity {
            pod_affinity: NewPodAffinity { required: &attract },
            pod_anti_affinity: NewPodAffinity { required: &repel },
        };
        return patch.add("/spec/affinity", &new);
    };
    append(&attract, affinity.pod_affinity.as_ref(), "/spec/affinity/podAffinity", patch)?;
    append(&repel, affinity.pod_anti_affinity.as_ref(), "/spec/affinity/podAntiAffinity", patch)
}

fn append(
    terms: &[Term<'_>],
    present: Option<&PodAffinity<'_>>,
    pointer: &str,
    patch: &mut Patch,
) -> Result<(), serde_json::Error> {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let Some(present) = present else {
        return patch.add(pointer, &NewPodAffinity { required: terms });
    };
    if present.required.is_none() {
        return patch.add(&format!("{pointer}/{REQUIRED}"), terms);
    }
    let end = format!("{pointer}/{REQUIRED}/-");
    terms.iter().try_for_each(|term| patch.add(&end, term))
}

impl<'p> Exclusive<'p> {
    /// Whether `affinity` holds both terms already.
    fn is_in(&self, affinity: &Affinity<'_>) -> bool {
        let terms = [&affinity.pod_affinity, &affinity.pod_anti_affinity]
            .map(|list| list.iter().flat_map(|list| &list.required).flatten());
        placement::is_exclusive(terms, self.topology, self.key)
    }

    fn affinity_term(&self) -> Term<'p> {
        self.term(vec![self.requirement("In", Some([self.value]))])
    }

    fn anti_affinity_term(&self) -> Term<'p> {
        self.term(vec![
            self.requirement("Exists", None),
            self.requirement("NotIn", Some([self.value])),
        ])
    }

    fn term(&self, match_expressions: Vec<Requirement<'p>>) -> Term<'p> {
        Term { label_selector: Selector { match_expressions }, topology_key: self.topology }
    }

    fn requirement(&self, operator: &'static str, values: Option<[&'p str; 1]>) -> Requirement<'p> {
        Requirement { key: self.key, operator, values }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewAffinity<'a> {
    pod_affinity: NewPodAffinity<'a>,
    pod_anti_affinity: NewPodAffinity<'a>,
}

#[derive(Serialize)]
struct NewPodAffinity<'a> {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: &'a [Term<'a>],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Term<'a> {
    label_selector: Selector<'a>,
    topology_key: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector<'a> {
    match_expressions: Vec<Requirement<'a>>,
}

#[derive(Serialize)]
struct Requirement<'a> {
    key: &'static str,
    operator: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<[&'a str; 1]>,
}

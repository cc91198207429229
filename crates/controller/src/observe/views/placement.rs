//! Placement: which topology domains the pods of a group have for themselves.

use lws_api_types::keys::annotations;

/// Node label keys of the domains that pods share with no other group. Part of what a revision key
/// stands for, but not of the content that its revision records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// One group a domain: annotation `exclusive-topology`.
    pub group: Option<String>,
    /// One subgroup a domain: annotation `subgroup-exclusive-topology`.
    pub subgroup: Option<String>,
}

impl Placement {
    /// From the two annotations, in this order. An empty one counts as absent.
    #[must_use]
    pub fn new(group: Option<&str>, subgroup: Option<&str>) -> Self {
        let owned = |value: Option<&str>| value.filter(|it| !it.is_empty()).map(str::to_owned);
        Self { group: owned(group), subgroup: owned(subgroup) }
    }

    /// The labels of the topologies that there are to be domains of, each with the annotation of the
    /// set that names it.
    pub fn topologies(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let wanted = [
            (annotations::EXCLUSIVE_TOPOLOGY, &self.group),
            (annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY, &self.subgroup),
        ];
        wanted.into_iter().filter_map(|(annotation, label)| Some((annotation, label.as_deref()?)))
    }
}

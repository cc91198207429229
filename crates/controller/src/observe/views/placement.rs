//! Placement: which topology domains the pods of a group have for themselves.

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
}

//! When exclusive placement counts as applied: the same for a pod that is admitted and for the
//! template that it is made from.

/// A required term of pod affinity or anti-affinity, in whatever form it was read.
pub trait AffinityTerm {
    /// The node label whose values are the domains.
    fn topology(&self) -> &str;

    /// Keys of the labels by which it selects pods; `None` when it has no selector.
    fn selected(&self) -> Option<impl Iterator<Item = &str>>;

    /// Whether the term counts as one of exclusive placement over `topology` by `label`. The value
    /// does not matter. Nor must there be a selector, although Kubernetes selects nothing without
    /// one: any term over the topology counts in the existing implementation, and pods that rely on
    /// it stay as they are. One that selects by other labels is about something else.
    fn is_exclusive(&self, topology: &str, label: &str) -> bool {
        self.topology() == topology
            && self.selected().is_none_or(|mut keys| keys.any(|key| key == label))
    }
}

/// Whether the terms of affinity and of anti-affinity both hold one of exclusive placement over
/// `topology` by `label`: admission adds none then.
pub fn is_exclusive<T: AffinityTerm>(
    lists: [impl IntoIterator<Item = T>; 2],
    topology: &str,
    label: &str,
) -> bool {
    lists.into_iter().all(|terms| terms.into_iter().any(|term| term.is_exclusive(topology, label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topology, and the selected keys.
    #[derive(Clone, Copy)]
    struct Term(&'static str, Option<&'static [&'static str]>);

    impl AffinityTerm for Term {
        fn topology(&self) -> &str {
            self.0
        }

        fn selected(&self) -> Option<impl Iterator<Item = &str>> {
            self.1.map(|keys| keys.iter().copied())
        }
    }

    #[test]
    fn both_lists_must_hold_a_term_about_the_label_or_without_selector() {
        let own = Term("rack", Some(&["other", "key"]));
        let bare = Term("rack", None);
        let of_others = Term("rack", Some(&["other"]));
        let elsewhere = Term("host", Some(&["key"]));
        for (near, far, expected) in [
            (vec![own], vec![own], true),
            (vec![of_others, own], vec![elsewhere, bare], true),
            (vec![own], vec![], false),
            (vec![], vec![own], false),
            (vec![own], vec![of_others], false),
            (vec![elsewhere], vec![own], false),
            (vec![Term("rack", Some(&[]))], vec![own], false),
        ] {
            let (count, is) = (near.len(), is_exclusive([near, far], "rack", "key"));
            assert_eq!(is, expected, "{count} terms of affinity");
        }
    }
}

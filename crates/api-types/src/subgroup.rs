//! Division of a group into subgroups: which pods belong together, by their ordinal.

use std::num::NonZeroU32;
use std::ops::Range;

use crate::set::SubGroupPolicyType;

/// How the pods of a group (ordinal 0, the leader, to `size` − 1) are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Pods of the group, leader included.
    pub size: u32,
    /// Pods of a subgroup.
    pub subgroup_size: NonZeroU32,
    /// Whether the leader belongs to subgroup 0.
    pub policy: SubGroupPolicyType,
}

impl Division {
    /// Index of the subgroup of pod `ordinal`; `None` for a leader that belongs to none.
    ///
    /// Where the workers alone can be divided evenly and the whole group cannot, a leader that
    /// belongs to subgroup 0 is its extra member. The policy does not change the index of a
    /// worker.
    #[must_use]
    pub fn index(self, ordinal: u32) -> Option<u32> {
        match (ordinal, self.policy) {
            (0, SubGroupPolicyType::LeaderExcluded) => None,
            (0, SubGroupPolicyType::LeaderWorker) => Some(0),
            (worker, _) if self.counts_workers_only() => Some((worker - 1) / self.subgroup_size),
            (worker, _) => Some(worker / self.subgroup_size),
        }
    }

    /// Ordinals of the subgroup of pod `ordinal`, itself included; they follow each other. A
    /// leader that belongs to no subgroup is alone. Empty when `ordinal` is not below `size` and
    /// none of its subgroup is.
    #[must_use]
    pub fn members(self, ordinal: u32) -> Range<u32> {
        let Some(index) = self.index(ordinal) else { return 0..1 };
        let size = self.subgroup_size.get();
        let first_counted = u32::from(self.counts_workers_only());
        let start = index.saturating_mul(size).saturating_add(first_counted);
        let end = start.saturating_add(size).min(self.size);
        let leader_included = self.policy == SubGroupPolicyType::LeaderWorker;
        match index {
            0 if leader_included => 0..end,
            _ => start.max(1)..end,
        }
    }

    /// Whether blocks are counted from the first worker instead of from the leader.
    fn counts_workers_only(self) -> bool {
        self.size.saturating_sub(1) % self.subgroup_size == 0 && self.size % self.subgroup_size != 0
    }
}

#[cfg(test)]
mod tests {
    use SubGroupPolicyType::{LeaderExcluded, LeaderWorker};
    use proptest::prelude::*;

    use super::*;

    fn division(size: u32, subgroup_size: u32, policy: SubGroupPolicyType) -> Division {
        Division { size, subgroup_size: NonZeroU32::new(subgroup_size).unwrap(), policy }
    }

    #[test]
    fn indexes_follow_the_published_table() {
        for (size, subgroup, policy, expected) in [
            (4, 2, LeaderWorker, vec![Some(0), Some(0), Some(1), Some(1)]),
            (5, 2, LeaderWorker, vec![Some(0), Some(0), Some(0), Some(1), Some(1)]),
            (5, 2, LeaderExcluded, vec![None, Some(0), Some(0), Some(1), Some(1)]),
            (5, 4, LeaderWorker, vec![Some(0); 5]),
            (3, 1, LeaderWorker, vec![Some(0), Some(1), Some(2)]),
            (3, 1, LeaderExcluded, vec![None, Some(1), Some(2)]),
            (4, 4, LeaderWorker, vec![Some(0); 4]),
        ] {
            let it = division(size, subgroup, policy);
            let indexes: Vec<_> = (0..size).map(|ordinal| it.index(ordinal)).collect();
            assert_eq!(indexes, expected, "{it:?}");
        }
    }

    #[test]
    fn members_are_blocks() {
        for (size, subgroup, policy, expected) in [
            (4, 2, LeaderWorker, vec![0..2, 2..4]),
            (5, 2, LeaderWorker, vec![0..3, 3..5]),
            (5, 2, LeaderExcluded, vec![0..1, 1..3, 3..5]),
            (3, 1, LeaderExcluded, vec![0..1, 1..2, 2..3]),
            (11, 5, LeaderWorker, vec![0..6, 6..11]),
        ] {
            let it = division(size, subgroup, policy);
            let mut blocks: Vec<_> = (0..size).map(|ordinal| it.members(ordinal)).collect();
            blocks.dedup();
            assert_eq!(blocks, expected, "{it:?}");
        }
    }

    proptest! {
        /// For any numbers: members are exactly the pods with the same index.
        #[test]
        fn members_share_the_index(size in 1_u32..70, subgroup in 1_u32..70, excluded: bool) {
            let policy = if excluded { LeaderExcluded } else { LeaderWorker };
            let it = division(size, subgroup, policy);
            for ordinal in 0..size {
                let same: Vec<_> = (0..size).filter(|o| it.index(*o) == it.index(ordinal)).collect();
                prop_assert_eq!(it.members(ordinal).collect::<Vec<_>>(), same);
            }
        }

        #[test]
        fn extreme_numbers_are_survived(size: u32, subgroup in 1_u32.., ordinal: u32) {
            let it = division(size, subgroup, LeaderWorker);
            prop_assert!(it.members(ordinal).end <= size.max(1));
        }
    }
}

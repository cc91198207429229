//! Which groups of a set are replaced at a time: as many as may be unavailable, the last ones first, and the next one as soon
//! as one of them is ready.

use std::collections::HashSet;

/// The groups of a set that are being replaced.
#[derive(Debug)]
pub(super) struct Window {
    /// How many may be open.
    at_once: usize,
    /// How many wait: those of the lowest numbers.
    waiting: usize,
    open: HashSet<usize>,
}

impl Window {
    /// A set of so many groups of which so many may be unavailable. None is being replaced yet.
    pub(super) fn new(groups: usize, at_once: usize) -> Self {
        Self { at_once, waiting: groups, open: HashSet::new() }
    }

    /// Groups to replace now, which are open from then on.
    pub(super) fn open(&mut self) -> Vec<usize> {
        let more = self.at_once.saturating_sub(self.open.len()).min(self.waiting);
        let opened = self.waiting - more..self.waiting;
        self.waiting = opened.start;
        self.open.extend(opened.clone());
        opened.rev().collect()
    }

    /// This group was replaced.
    pub(super) fn close(&mut self, group: usize) {
        self.open.remove(&group);
    }

    /// How many groups were not replaced yet.
    pub(super) fn left(&self) -> usize {
        self.open.len() + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_follows_as_soon_as_one_is_ready() {
        let mut window = Window::new(4, 2);
        for (closed, opened, left) in
            [(None, vec![3, 2], 4), (None, vec![], 4), (Some(2), vec![1], 3), (Some(2), vec![], 3)]
        {
            if let Some(group) = closed {
                window.close(group);
            }
            assert_eq!((window.open(), window.left()), (opened, left), "{closed:?}");
        }
        window.close(3);
        window.close(1);
        assert_eq!((window.open(), window.left()), (vec![0], 1));
        window.close(0);
        assert_eq!((window.open(), window.left()), (Vec::new(), 0));
    }

    #[test]
    fn there_may_be_fewer_groups_than_may_be_unavailable() {
        assert_eq!(Window::new(2, 10).open(), [1, 0]);
    }
}

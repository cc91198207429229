//! The picture of a rollout: what each change of the cluster's objects makes of it, and when it is a new stage.

use std::collections::BTreeMap;

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The leader `StatefulSet` is this now.
    Leader(LeaderSet),
    /// The pod of this name is this now.
    Pod(String, Pod),
    /// The pod of this name is gone.
    PodGone(String),
    /// The set's status is this now.
    Status(Status),
}

/// The leader `StatefulSet`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderSet {
    /// Revision key of its template.
    pub(crate) revision: String,
    pub(crate) partition: usize,
    pub(crate) replicas: usize,
}

/// A pod of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) group: usize,
    /// Revision key it was made from.
    pub(crate) revision: String,
    /// It is ready and not being deleted.
    pub(crate) ready: bool,
}

/// The status of the set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The generation of the set that it is about.
    pub(crate) generation: i64,
    pub(crate) available: bool,
}

/// A group in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// No such group is wanted.
    Empty,
    /// Held back on an earlier revision.
    Old,
    /// Free to go to the current revision, and not yet ready there.
    Updating,
    /// All its pods are ready and on the current revision.
    New,
}

/// A stage of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What made it different from the stage before.
    pub(crate) event: String,
    pub(crate) partition: usize,
    pub(crate) replicas: usize,
    /// One for each group that may exist during the rollout.
    pub(crate) cells: Vec<Cell>,
}

/// Everything that is known of a set.
#[derive(Debug)]
pub(crate) struct Board {
    size: usize,
    groups: usize,
    leader: LeaderSet,
    pods: BTreeMap<String, Pod>,
    status: Status,
    shown: Option<(LeaderSet, Vec<Cell>)>,
}

impl Board {
    /// The board of a set with `size` pods a group, which has at most `groups` groups during a rollout.
    pub(crate) fn new(size: usize, groups: usize) -> Self {
        let (leader, status) = Default::default();
        Self { size, groups, leader, pods: BTreeMap::new(), status, shown: None }
    }

    /// Takes note of a change.
    pub(crate) fn learn(&mut self, change: Change) {
        match change {
            Change::Leader(leader) => self.leader = leader,
            Change::Pod(name, pod) => _ = self.pods.insert(name, pod),
            Change::PodGone(name) => _ = self.pods.remove(&name),
            Change::Status(status) => self.status = status,
        }
    }

    /// The present stage, unless it is the one that was given last.
    pub(crate) fn new_stage(&mut self) -> Option<Row> {
        let cells: Vec<Cell> = (0..self.groups).map(|group| self.cell(group)).collect();
        let event = match &self.shown {
            None => "before".to_owned(),
            Some((leader, shown)) if *leader == self.leader && *shown == cells => return None,
            Some((leader, shown)) if *leader == self.leader => readiness(shown, &cells),
            Some((leader, _)) => decision(leader, &self.leader),
        };
        self.shown = Some((self.leader.clone(), cells.clone()));
        let LeaderSet { partition, replicas, .. } = self.leader;
        Some(Row { event, partition, replicas, cells })
    }

    /// The set is available, and its status is about `generation` or a later one.
    pub(crate) fn available_at(&self, generation: i64) -> bool {
        self.status.available && self.status.generation >= generation
    }

    fn cell(&self, group: usize) -> Cell {
        let LeaderSet { revision, partition, replicas } = &self.leader;
        if group >= *replicas {
            return Cell::Empty;
        }
        let pods = self.pods.values().filter(|pod| pod.group == group);
        let updated = pods.clone().filter(|pod| pod.revision == *revision);
        if updated.clone().filter(|pod| pod.ready).count() >= self.size {
            return Cell::New;
        }
        let exists = updated.clone().next().is_some();
        let all_updated = exists && updated.count() == pods.count();
        if group >= *partition || all_updated { Cell::Updating } else { Cell::Old }
    }
}

/// What the controller has decided, as a change of the leader `StatefulSet`.
fn decision(before: &LeaderSet, now: &LeaderSet) -> String {
    let mut parts = Vec::new();
    if before.revision != now.revision {
        parts.push("new revision".to_owned());
    } else if now.partition < before.partition {
        let released = now.partition..before.partition.min(before.replicas);
        if !released.is_empty() {
            parts.push(format!("{} released", groups(released)));
        }
    } else if now.partition > before.partition {
        parts.push("partition raised".to_owned());
    }
    if now.replicas > before.replicas {
        parts.push(format!("{} added", groups(before.replicas..now.replicas)));
    } else if now.replicas < before.replicas {
        parts.push(format!("{} removed", groups(now.replicas..before.replicas)));
    }
    if parts.is_empty() {
        parts.push("partition lowered".to_owned());
    }
    parts.join(", ")
}

/// What has become of the groups while the leader `StatefulSet` stayed as it was.
fn readiness(before: &[Cell], now: &[Cell]) -> String {
    let changed = before.iter().zip(now).enumerate().filter(|(_, (before, now))| before != now);
    let texts = changed.map(|(group, (_, now))| match now {
        Cell::New => format!("group {group} ready"),
        Cell::Updating | Cell::Old | Cell::Empty => format!("group {group} not ready"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn groups(range: std::ops::Range<usize>) -> String {
    let last = range.end - 1;
    if range.start == last {
        format!("group {last}")
    } else {
        format!("groups {} to {last}", range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(revision: &str, partition: usize, replicas: usize) -> Change {
        Change::Leader(LeaderSet { revision: revision.to_owned(), partition, replicas })
    }

    /// The pods of a group of two, all alike.
    fn group(group: usize, revision: &str, ready: bool) -> Vec<Change> {
        let pod = Pod { group, revision: revision.to_owned(), ready };
        [format!("s-{group}"), format!("s-{group}-1")]
            .map(|name| Change::Pod(name, pod.clone()))
            .into()
    }

    fn gone(group: usize) -> Vec<Change> {
        [format!("s-{group}"), format!("s-{group}-1")].map(Change::PodGone).into()
    }

    /// `partition replicas cells | event`, with one letter a cell.
    fn text(row: &Row) -> String {
        let letter = |cell: &Cell| match cell {
            Cell::Empty => '.',
            Cell::Old => 'o',
            Cell::Updating => 'u',
            Cell::New => 'n',
        };
        let cells: String = row.cells.iter().map(letter).collect();
        format!("{} {} {cells} | {}", row.partition, row.replicas, row.event)
    }

    /// A board of four groups and two surge groups, all on revision `a`.
    fn settled() -> Board {
        let mut board = Board::new(2, 6);
        board.learn(leader("a", 0, 4));
        (0..4).flat_map(|index| group(index, "a", true)).for_each(|change| board.learn(change));
        board
    }

    fn stages(board: &mut Board, changes: impl IntoIterator<Item = Change>) -> Vec<String> {
        let stage = |change| {
            board.learn(change);
            board.new_stage().map(|row| text(&row))
        };
        changes.into_iter().filter_map(stage).collect()
    }

    #[test]
    fn a_rollout_with_surge_is_told_stage_by_stage() {
        let mut board = settled();
        assert_eq!(board.new_stage().map(|row| text(&row)).unwrap(), "0 4 nnnn.. | before");
        let mut changes = vec![leader("b", 4, 6), leader("b", 2, 6)];
        // The leader of an outdated group is taken down, and comes back with its workers.
        for index in [2, 3] {
            changes.extend(group(index, "a", false));
            changes.extend(gone(index));
        }
        for index in [4, 5, 2, 3] {
            changes.extend(group(index, "b", false));
        }
        changes.extend(group(4, "b", true));
        changes.extend(group(5, "b", true));
        changes.push(leader("b", 0, 6));
        for index in [0, 1] {
            changes.extend(gone(index));
            changes.extend(group(index, "b", false));
        }
        changes.extend(group(3, "b", true));
        changes.extend(group(2, "b", true));
        changes.push(leader("b", 0, 4));
        changes.extend(gone(5));
        changes.extend(gone(4));
        changes.extend(group(1, "b", true));
        changes.extend(group(0, "b", true));
        let expected = [
            "4 6 oooouu | new revision, groups 4 to 5 added",
            "2 6 oouuuu | groups 2 to 3 released",
            "2 6 oouunu | group 4 ready",
            "2 6 oouunn | group 5 ready",
            "0 6 uuuunn | groups 0 to 1 released",
            "0 6 uuunnn | group 3 ready",
            "0 6 uunnnn | group 2 ready",
            "0 4 uunn.. | groups 4 to 5 removed",
            "0 4 unnn.. | group 1 ready",
            "0 4 nnnn.. | group 0 ready",
        ];
        assert_eq!(stages(&mut board, changes), expected);
    }

    #[test]
    fn a_group_is_new_once_all_its_pods_are_ready_and_current() {
        let mut board = settled();
        board.new_stage();
        let old = Pod { group: 3, revision: "a".to_owned(), ready: true };
        let new = Pod { revision: "b".to_owned(), ..old.clone() };
        let changes = [
            leader("b", 3, 4),
            Change::Pod("s-3".to_owned(), new.clone()),
            Change::Pod("s-3-1".to_owned(), Pod { ready: false, ..new.clone() }),
            Change::Pod("s-3-1".to_owned(), new),
            Change::Pod("s-3-1".to_owned(), old),
        ];
        let expected = [
            "3 4 ooou.. | new revision",
            "3 4 ooon.. | group 3 ready",
            "3 4 ooou.. | group 3 not ready",
        ];
        assert_eq!(stages(&mut board, changes), expected);
    }

    #[test]
    fn a_group_that_was_made_current_before_its_turn_is_not_old() {
        let mut board = settled();
        board.new_stage();
        let mut changes = vec![leader("b", 4, 4)];
        changes.extend(group(1, "b", false));
        let expected = ["4 4 oooo.. | new revision", "4 4 ouoo.. | group 1 not ready"];
        assert_eq!(stages(&mut board, changes), expected);
    }

    #[test]
    fn decisions_are_worded() {
        let set = |revision: &str, partition, replicas| LeaderSet {
            revision: revision.to_owned(),
            partition,
            replicas,
        };
        for (before, now, expected) in [
            (set("a", 0, 4), set("b", 4, 4), "new revision"),
            (set("b", 4, 5), set("b", 3, 5), "group 3 released"),
            (set("b", 4, 5), set("b", 0, 4), "groups 0 to 3 released, group 4 removed"),
            (set("b", 2, 4), set("b", 2, 6), "groups 4 to 5 added"),
            (set("b", 2, 4), set("b", 3, 4), "partition raised"),
            (set("b", 6, 4), set("b", 4, 4), "partition lowered"),
        ] {
            assert_eq!(decision(&before, &now), expected);
        }
    }

    #[test]
    fn availability_of_an_earlier_generation_does_not_count() {
        let mut board = settled();
        for (generation, available, expected) in
            [(1, true, false), (2, false, false), (2, true, true), (3, true, true)]
        {
            board.learn(Change::Status(Status { generation, available }));
            assert_eq!(board.available_at(2), expected, "{generation} {available}");
        }
    }
}

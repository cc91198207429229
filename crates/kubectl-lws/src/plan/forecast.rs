//! How a rollout goes if nothing fails, stage by stage: the arithmetic is the controller's.

use lws_api_types::set::RollingUpdate;
use lws_controller::plan::rollout::{
    GroupState, Leader, LeaderSet, Reported, Step, leaders_to_replace, step,
};
use serde::Serialize;

/// `StatefulSet` revisions of leaders.
const OLD: &str = "old";
const NEW: &str = "new";

/// The event of a stage before which nothing has happened but the stage before.
const NEXT: &str = "next step";

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Group {
    /// It does not exist.
    Absent,
    /// It is ready and at an old revision.
    Old,
    /// It is at an old revision, and down.
    OldDown,
    /// It is ready and at the new revision.
    New,
    /// It is at the new revision, and starting.
    NewDown,
}

impl Group {
    fn state(self) -> GroupState {
        GroupState {
            ready: matches!(self, Self::Old | Self::New),
            updated: matches!(self, Self::New | Self::NewDown),
        }
    }

    fn of(state: GroupState) -> Self {
        match (state.updated, state.ready) {
            (false, true) => Self::Old,
            (false, false) => Self::OldDown,
            (true, true) => Self::New,
            (true, false) => Self::NewDown,
        }
    }
}

/// One stage: what the controller sees, and what it then wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stage {
    /// What has happened since the stage before.
    pub(crate) event: String,
    /// Partition of the leader `StatefulSet` from now on.
    pub(crate) partition: i64,
    /// Its replicas from now on, surge included.
    pub(crate) replicas: i64,
    /// The groups as they are seen, by index.
    pub(crate) groups: Vec<Group>,
}

/// A rollout that is about to begin or to go on.
#[derive(Clone, Debug)]
pub(super) struct Rollout {
    /// The groups at each index of the leader `StatefulSet`; `None` where there is none.
    pub(super) groups: Vec<Option<GroupState>>,
    /// The leader `StatefulSet` as it is.
    pub(super) leader_set: LeaderSet,
    /// How groups are to be replaced.
    pub(super) strategy: RollingUpdate,
    /// Groups that are wanted.
    pub(super) replicas: i64,
    /// Whether the revision has not been applied to the leader `StatefulSet` yet.
    pub(super) changed: bool,
}

/// The stages until nothing changes any more. Groups that start become ready together; groups at an
/// old revision that are down stay so until they are replaced.
pub(super) fn stages(rollout: Rollout) -> Vec<Stage> {
    let Rollout { groups, leader_set: mut current, strategy, replicas, mut changed } = rollout;
    let mut groups: Vec<Group> =
        groups.into_iter().map(|it| it.map_or(Group::Absent, Group::of)).collect();
    let mut stages = Vec::new();
    let mut event = "applied".to_owned();
    loop {
        let seen: Vec<_> = groups.iter().map(|it| it.state()).collect();
        let next = step(&seen, &strategy, replicas, Some(&current), changed);
        let before = Step { partition: current.partition, replicas: current.replicas };
        let is_same = next == before && !changed;
        // That a group is on its way shows in the stage in which it is ready.
        if event != NEXT || !is_same {
            stages.push(Stage {
                event,
                partition: next.partition,
                replicas: next.replicas,
                groups: groups.clone(),
            });
        }
        current = LeaderSet {
            partition: next.partition,
            replicas: next.replicas,
            annotated_replicas: Some(replicas),
        };
        changed = false;
        groups.resize(usize::try_from(next.replicas).unwrap_or(0), Group::Absent);
        let begins = begin(&mut groups, &current, &strategy, replicas);
        event = if begins || !is_same {
            NEXT.to_owned()
        } else {
            let ready = finish(&mut groups);
            if ready.is_empty() {
                return stages;
            }
            format!("{} ready", ranges(&ready))
        };
    }
}

/// Creates and replaces groups as far as that is permitted; tells whether any.
fn begin(
    groups: &mut [Group],
    current: &LeaderSet,
    strategy: &RollingUpdate,
    replicas: i64,
) -> bool {
    let existing = (0..).zip(groups.iter()).filter(|(_, it)| **it != Group::Absent);
    let leaders: Vec<_> = existing
        .map(|(index, it)| Leader {
            index,
            ready: it.state().ready,
            terminating: false,
            revision: Some(if it.state().updated { NEW } else { OLD }),
        })
        .collect();
    let reported = Reported { generation: 1, observed_generation: 1, update_revision: NEW };
    let replaced = leaders_to_replace(&leaders, &reported, current, strategy, replicas);
    let mut any = false;
    for (index, group) in (0..).zip(groups.iter_mut()) {
        if *group == Group::Absent || replaced.contains(&index) {
            *group = Group::NewDown;
            any = true;
        }
    }
    any
}

/// Lets all that starts become ready; gives the indexes.
fn finish(groups: &mut [Group]) -> Vec<i64> {
    let starting = (0..).zip(groups.iter_mut()).filter(|(_, it)| **it == Group::NewDown);
    let finished = starting.map(|(index, it)| {
        *it = Group::New;
        index
    });
    finished.collect()
}

/// Groups that are to be replaced and are not in the end: those that are down use up the budget.
pub(super) fn left_behind(stages: &[Stage], floor: i64) -> Vec<i64> {
    let groups = stages.last().map_or(&[][..], |it| it.groups.as_slice());
    let indexed = (0..).zip(groups);
    let old = indexed.filter(|(index, it)| *index >= floor && !it.state().updated);
    old.map(|(index, _)| index).collect()
}

/// Indexes of groups in words: `groups 0, 2 to 4`.
pub(super) fn ranges(indexes: &[i64]) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let run = |(first, last): &(i64, i64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} to {last}"),
    };
    let runs: Vec<_> = runs.iter().map(run).collect();
    let noun = if indexes.len() == 1 { "group" } else { "groups" };
    format!("{noun} {}", runs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY_OLD: Option<GroupState> = Some(GroupState { ready: true, updated: false });

    fn rollout(replicas: i64, max_unavailable: i64, max_surge: i64, partition: i64) -> Rollout {
        Rollout {
            groups: vec![READY_OLD; usize::try_from(replicas).unwrap()],
            leader_set: LeaderSet { replicas, partition: 0, annotated_replicas: Some(replicas) },
            strategy: RollingUpdate { partition, max_unavailable, max_surge },
            replicas,
            changed: true,
        }
    }

    fn told(rollout: Rollout) -> Vec<String> {
        let letter = |it: &Group| match it {
            Group::Absent => '.',
            Group::Old => 'o',
            Group::OldDown => 'd',
            Group::New => 'n',
            Group::NewDown => 'u',
        };
        let line = |it: &Stage| {
            let groups: String = it.groups.iter().map(letter).collect();
            format!("p{} r{} {groups} {}", it.partition, it.replicas, it.event)
        };
        stages(rollout).iter().map(line).collect()
    }

    #[test]
    fn one_group_at_a_time() {
        let expected = [
            "p3 r3 ooo applied",
            "p2 r3 ooo next step",
            "p1 r3 oon group 2 ready",
            "p0 r3 onn group 1 ready",
            "p0 r3 nnn group 0 ready",
        ];
        assert_eq!(told(rollout(3, 1, 0, 0)), expected);
    }

    #[test]
    fn with_surge_and_two_at_a_time() {
        let expected = [
            "p4 r6 oooo applied",
            "p2 r6 oooouu next step",
            "p0 r4 oonnnn groups 2 to 5 ready",
            "p0 r4 nnnn groups 0, 1 ready",
        ];
        assert_eq!(told(rollout(4, 2, 2, 0)), expected);
    }

    #[test]
    fn a_partition_holds_it() {
        let expected = ["p3 r3 ooo applied", "p2 r3 ooo next step", "p2 r3 oon group 2 ready"];
        assert_eq!(told(rollout(3, 1, 0, 2)), expected);
    }

    #[test]
    fn a_rollout_ends_with_all_groups_new() {
        for (replicas, unavailable, surge) in
            [(1, 1, 0), (1, 0, 1), (5, 3, 2), (50, 7, 3), (0, 1, 0)]
        {
            let end = stages(rollout(replicas, unavailable, surge, 0)).pop().unwrap();
            assert_eq!((end.partition, end.replicas), (0, replicas));
            assert!(end.groups.iter().all(|it| *it == Group::New), "{end:?}");
        }
    }

    #[test]
    fn a_group_that_is_down_can_hold_a_rollout() {
        let mut down = rollout(2, 1, 0, 0);
        down.groups[0] = Some(GroupState { ready: false, updated: false });
        let ends = stages(down);
        assert_eq!(ends.len(), 1);
        assert_eq!(left_behind(&ends, 0), [0, 1]);
        assert_eq!(left_behind(&ends, 1), [1]);
        assert_eq!(left_behind(&stages(rollout(2, 1, 0, 0)), 0), [0; 0]);
    }

    #[test]
    fn indexes_are_told_in_ranges() {
        for (indexes, expected) in [
            (&[3][..], "group 3"),
            (&[0, 1], "groups 0, 1"),
            (&[0, 2, 3, 4, 7], "groups 0, 2 to 4, 7"),
        ] {
            assert_eq!(ranges(indexes), expected);
        }
    }
}

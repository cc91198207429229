//! A rollout does not go back: for one content the partition only goes down, unless the user raises it. Nor does it go
//! further than the user lets it: groups below the partition of the set stay.

use std::collections::BTreeMap;
use std::time::Duration;

use super::departures::{Departure, Reason};
use crate::history::{Change, History, Kind, Object, State, Timeline, Violation};

/// Fails where the partition of a leader `StatefulSet` goes up although neither its content nor the set asks for that,
/// where it goes below the one of the set, and where a group below that one goes for a rollout alone.
pub(super) fn check(history: &History, departures: &[Departure]) -> Vec<Violation> {
    let mut asked = Asked { history, partitions: BTreeMap::new() };
    let mut broken = Vec::new();
    history.replay(|state, change| broken.extend(asked.look(state, change)));
    broken.extend(departures.iter().filter_map(|it| asked.judge(it)));
    broken
}

/// What users have asked for.
struct Asked<'a> {
    history: &'a History,
    /// The partition, by set.
    partitions: BTreeMap<String, Timeline<i64>>,
}

impl Asked<'_> {
    /// What a decision that shows between these moments may have gone by.
    fn within(&self, set: &str, [from, to]: [Duration; 2]) -> impl Iterator<Item = i64> {
        let since = self.history.blindness.since(from, &[Kind::Set]);
        self.partitions.get(set).into_iter().flat_map(move |it| it.within([since, to])).copied()
    }

    fn look(&mut self, state: &State, change: &Change) -> Option<Violation> {
        let (at, object) = (change.at, change.object.as_deref()?);
        if let Some(set) = object.as_set() {
            let partition = set.spec.rolling_update().partition;
            self.partitions.entry(change.name.clone()).or_default().push(at, partition);
        }
        let (_, partition) = object.as_stateful_set().filter(|_| object.set() == change.name)?;
        let before = state.get(Kind::StatefulSet, &change.name).filter(|it| it.uid == object.uid);
        let former = before.and_then(Object::as_stateful_set).map(|(_, partition)| partition);
        if former == Some(partition) {
            return None;
        }
        let name = &change.name;
        let asked: Vec<_> = self.within(name, [at, at]).collect();
        let goes_back = before.is_some_and(|it| it.key() == object.key())
            && former.is_some_and(|it| partition > it)
            && asked.iter().max().is_none_or(|it| i64::from(partition) > *it);
        if goes_back {
            let former = former.unwrap_or_default();
            let what = format!("partition of {name} went back from {former} to {partition}");
            return Some(Violation::new(at, what));
        }
        let lowest = *asked.iter().min()?;
        (i64::from(partition) < lowest).then(|| {
            let what = format!("partition of {name} is {partition}, and the set asks for {lowest}");
            Violation::new(at, what)
        })
    }

    fn judge(&self, departure: &Departure) -> Option<Violation> {
        let Departure { at, leader, released, reasons, .. } = departure;
        let index = i64::from(leader.group()?);
        let lowest = self.within(leader.set(), [*released.min(at), *at]).min()?;
        let is_rollout = reasons.len() == 1 && reasons.contains(&Reason::Outdated);
        (is_rollout && index < lowest).then(|| {
            let what =
                format!("the rollout took group {} down, below partition {lowest}", leader.name);
            Violation::new(*at, what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::made_up::MadeUp;
    use crate::invariants::departures::departures;

    fn broken(it: &MadeUp) -> Vec<String> {
        let departures = departures(&it.history);
        check(&it.history, &departures).into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn it_goes_up_with_another_content_alone() {
        let mut it = MadeUp::new(3, 1);
        for (key, partition) in [("b", 3), ("b", 2), ("a", 3), ("a", 1)] {
            it.leader_set(key, 3, partition);
        }
        assert_eq!(broken(&it), [] as [&str; 0]);
        it.leader_set("a", 3, 2);
        assert_eq!(broken(&it), ["partition of s went back from 1 to 2"]);
    }

    #[test]
    fn or_when_the_user_raises_it() {
        let mut it = MadeUp::new(3, 1);
        it.spec(3, 1, 2);
        it.leader_set("a", 3, 2);
        assert_eq!(broken(&it), [] as [&str; 0]);
        it.leader_set("a", 3, 3);
        assert_eq!(broken(&it).len(), 1);
    }

    /// A rollout to `b` of three groups, of which those below 2 have to stay.
    fn partial_rollout() -> MadeUp {
        let mut it = MadeUp::new(3, 1);
        it.spec(3, 1, 2);
        it.wait(60);
        it.leader_set("b", 3, 2);
        it.ends(2, "a", 1);
        it.group(2, "b", 2);
        it
    }

    #[test]
    fn groups_below_it_stay() {
        let mut it = partial_rollout();
        assert_eq!(broken(&it), [] as [&str; 0]);
        it.ends(1, "a", 1);
        assert_eq!(broken(&it), ["the rollout took group s-1 down, below partition 2"]);
    }

    #[test]
    fn unless_they_fail_or_the_user_lowers_it() {
        let mut it = partial_rollout();
        it.worker(1, "a", 1, 1);
        it.ends(1, "a", 1);
        it.spec(3, 1, 0);
        it.leader_set("b", 3, 0);
        it.ends(0, "a", 1);
        assert_eq!(broken(&it), [] as [&str; 0]);
    }

    #[test]
    fn the_one_of_the_set_is_the_lowest() {
        let mut it = partial_rollout();
        it.leader_set("b", 3, 1);
        assert_eq!(broken(&it), ["partition of s is 1, and the set asks for 2"]);
    }
}

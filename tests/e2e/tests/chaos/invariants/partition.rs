//! A rollout does not go back: for one content the partition only goes down, unless the user raises it.

use std::collections::BTreeMap;

use crate::history::{History, Kind, Timeline, Violation};

/// Fails where the partition of a leader `StatefulSet` goes up although neither its content nor the set asks for that.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut asked: BTreeMap<String, Timeline<i64>> = BTreeMap::new();
    let mut broken = Vec::new();
    history.replay(|state, change| {
        let Some(object) = &change.object else { return };
        if let Some(set) = object.as_set() {
            let partition = set.spec.rolling_update().partition;
            asked.entry(change.name.clone()).or_default().push(change.at, partition);
        }
        let before = state.get(Kind::StatefulSet, &change.name);
        let before = before.filter(|it| it.uid == object.uid && it.key() == object.key());
        let steps =
            before.and_then(|it| Some((it.as_stateful_set()?.1, object.as_stateful_set()?.1)));
        let Some((former, partition)) = steps.filter(|(former, now)| now > former) else { return };
        let since = history.blindness.since(change.at);
        let asked = asked.get(object.set()).into_iter().flat_map(|it| it.since(since)).max();
        if asked.is_none_or(|it| i64::from(partition) > *it) {
            let what =
                format!("partition of {} went back from {former} to {partition}", change.name);
            broken.push(Violation::new(change.at, what));
        }
    });
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::made_up::MadeUp;

    fn broken(it: &MadeUp) -> Vec<String> {
        check(&it.history).into_iter().map(|it| it.what).collect()
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
}

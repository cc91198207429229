//! All pods of a group are of one revision.

use std::collections::BTreeMap;

use crate::history::{Change, History, Kind, Object, State, Violation};

/// Fails where workers are of another revision than the leader they were made for, and where pods of two revisions are
/// ready in one group.
///
/// Where a leader is deleted in the background, as users and the `StatefulSet` controller do, its workers may be there,
/// and ready, until they are told to end. Nothing of ours is late as long as their `StatefulSet` is going, somebody else
/// has deleted the leader, or something is wrong with the controllers or the API server.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let all = history.all();
    let mut broken = Vec::new();
    history.replay(|state, change| {
        let Some(object) = &change.object else { return };
        let owner = all.get(object.owner_uid());
        let is_of_group =
            matches!(change.kind, Kind::StatefulSet | Kind::Pod) && !object.is_leader();
        if let Some(owner) = owner.filter(|it| is_of_group && it.key() != object.key()) {
            let what = format!(
                "{} is of revision {}, and {}, which it belongs to, of {}",
                object.name,
                object.key(),
                owner.name,
                owner.key()
            );
            // The leader StatefulSet belongs to the set, which has no revision.
            if !owner.key().is_empty() {
                broken.push(Violation::new(change.at, what));
            }
        }
        broken.extend(mixed(history, &all, state, change, object));
    });
    broken
}

fn mixed(
    history: &History,
    all: &BTreeMap<&str, &Object>,
    state: &State,
    change: &Change,
    pod: &Object,
) -> Option<Violation> {
    if change.kind != Kind::Pod || !pod.is_ready() {
        return None;
    }
    let is_other =
        |it: &&Object| it.is_ready() && it.group() == pod.group() && it.key() != pod.key();
    let is_left_behind = |it: &Object| {
        let leader = all.get(it.owner_uid()).and_then(|it| all.get(it.owner_uid()));
        let is_there = leader.is_some_and(|it| state.all(Kind::Pod).any(|pod| pod.uid == it.uid));
        let worker_set = state.all(Kind::StatefulSet).find(|set| set.uid == it.owner_uid());
        let is_told = worker_set.is_none_or(|it| it.deleting);
        let is_late = history.blindness.covers(change.at);
        let is_harmed = leader.is_some_and(|it| history.is_harmed(it));
        !it.is_leader() && !is_there && (is_told || is_late || is_harmed)
    };
    if is_left_behind(pod) {
        return None;
    }
    let is_mixed = |it: &&Object| is_other(it) && !is_left_behind(it);
    let other = state.of_set(Kind::Pod, pod.set()).find(is_mixed)?;
    let what = format!(
        "{} of revision {} is ready beside {} of {}",
        pod.name,
        pod.key(),
        other.name,
        other.key()
    );
    Some(Violation::new(change.at, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Hidden;
    use crate::history::made_up::MadeUp;

    fn broken(it: &MadeUp) -> Vec<String> {
        check(&it.history).into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn workers_are_of_the_revision_of_their_leader() {
        let mut it = MadeUp::new(2, 1);
        assert_eq!(broken(&it), [] as [&str; 0]);
        it.leader(1, "a", 2, true);
        it.worker_set(1, "b", 2);
        assert_eq!(broken(&it), ["s-1 is of revision b, and s-1, which it belongs to, of a"]);
    }

    #[test]
    fn pods_of_two_revisions_are_not_ready_in_one_group() {
        type Excuse = fn(&mut MadeUp);
        let excuses: [(Excuse, bool); 3] = [
            (|_| {}, false),
            (|it| it.history.deleted.extend(["leader-1-1".to_owned()]), true),
            (|it| it.history.blindness.push([it.now(), it.now()], Hidden::Nothing), true),
        ];
        for (excuse, is_excused) in excuses {
            let mut it = MadeUp::new(2, 1);
            excuse(&mut it);
            it.gone("s-1");
            it.leader(1, "b", 2, true);
            // Those of a StatefulSet that is gone have been told.
            it.gone_stateful_set("s-1");
            it.leader(1, "b", 2, true);
            let expected = ["s-1 of revision b is ready beside s-1-1 of a"];
            assert_eq!(broken(&it), if is_excused { &[][..] } else { &expected });
        }
    }

    #[test]
    fn nothing_excuses_workers_of_a_leader_that_is_there() {
        let mut it = MadeUp::new(2, 1);
        it.history.blindness.push([it.now(), it.now()], Hidden::Nothing);
        it.worker(1, "b", 1, 0);
        let expected = "s-1-1 of revision b is ready beside s-1 of a".to_owned();
        assert!(broken(&it).contains(&expected), "{:?}", broken(&it));
    }
}

//! Every object has one owner for life, and nothing is created twice for one owner.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Change, History, Kind, State, Violation};

/// Fails where an object changes hands, where workers are made for anything else than the leader of their name, and
/// where one owner gets two of what it needs one of.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let all = history.all();
    let mut places: BTreeMap<(Kind, String, String), BTreeSet<String>> = BTreeMap::new();
    let mut broken = Vec::new();
    history.replay(|state, change| {
        let Some(object) = &change.object else { return };
        let at = change.at;
        let mut fail = |what: String| broken.push(Violation::new(at, what));
        if let Some(before) = before(state, change) {
            let (former, owner) = (before.owner_uid(), object.owner_uid());
            if !former.is_empty() && !owner.is_empty() && former != owner {
                fail(format!("{} of {former} now belongs to {owner}", object.name));
            }
            return;
        }
        let Some(owner) = &object.owner else { return };
        let is_worker_set = change.kind == Kind::StatefulSet && owner.kind == "Pod";
        let leader = all.get(&*owner.uid).filter(|it| it.is_leader() && it.set() == object.set());
        if is_worker_set && leader.is_none_or(|it| it.name != object.name) {
            fail(format!(
                "workers {} were made for {}, which is no leader of that name",
                object.name, owner.uid
            ));
        }
        // Revisions and pods come again: one that is gone back to, one that takes the place of another.
        if matches!(change.kind, Kind::StatefulSet | Kind::Service) {
            let place = (change.kind, owner.uid.clone(), object.name.clone());
            let uids = places.entry(place).or_default();
            uids.insert(object.uid.clone());
            if uids.len() > 1 {
                fail(format!(
                    "{:?} {} was created twice for {} {}",
                    change.kind, object.name, owner.kind, owner.uid
                ));
            }
        }
        if change.kind == Kind::Revision && owner.kind == "LeaderWorkerSet" {
            let same = |it: &&crate::history::Object| {
                it.owner_uid() == owner.uid && it.key() == object.key()
            };
            if let Some(other) = state.all(Kind::Revision).find(same) {
                fail(format!("{} is the same revision as {}", object.name, other.name));
            }
        }
    });
    broken
}

/// The same object before the change.
fn before<'a>(state: &'a State, change: &Change) -> Option<&'a crate::history::Object> {
    let object = change.object.as_ref()?;
    state.get(change.kind, &change.name).filter(|it| it.uid == object.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::made_up::MadeUp;

    fn broken(it: &MadeUp) -> Vec<String> {
        check(&it.history).into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn nothing_changes_hands() {
        let mut it = MadeUp::new(1, 1);
        assert_eq!(broken(&it), [] as [&str; 0]);
        it.worker_set(0, "a", 1);
        it.last().owner.as_mut().unwrap().uid = "other".to_owned();
        assert_eq!(broken(&it), ["s-0 of leader-0-1 now belongs to other"]);
    }

    #[test]
    fn workers_are_made_for_the_leader_of_their_name_alone() {
        let mut it = MadeUp::new(1, 1);
        it.worker_set(7, "a", 1);
        let expected = "workers s-7 were made for leader-7-1, which is no leader of that name";
        assert_eq!(broken(&it), [expected]);
    }

    #[test]
    fn nothing_is_created_twice() {
        let mut it = MadeUp::new(1, 1);
        it.worker_set(0, "a", 1);
        it.last().uid = "another".to_owned();
        assert_eq!(broken(&it), ["StatefulSet s-0 was created twice for Pod leader-0-1"]);
    }

    #[test]
    fn a_revision_is_there_once() {
        let mut it = MadeUp::new(1, 1);
        it.revision("a", "None");
        it.history.changes.last_mut().unwrap().name = "s-a-2".to_owned();
        it.last().uid = "another".to_owned();
        assert_eq!(broken(&it), ["s-a-1 is the same revision as s-a-1"]);
    }
}

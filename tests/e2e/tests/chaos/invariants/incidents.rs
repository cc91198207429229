//! Every failure of a pod recreates its group, where the policy says so, and nothing else takes a group down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lws_api_types::keys::annotations;
use lws_api_types::set::RestartPolicy;

use super::departures::{Departure, Reason};
use crate::history::{Change, History, Kind, Object, State, Violation};

/// How many characters of a UID are on record.
const RECORDED: usize = 8;

/// A failure of a pod.
#[derive(Debug, Clone)]
pub(super) struct Incident {
    at: Duration,
    what: String,
    /// Whether it can be seen as long as the group lives: restarts are in the pods, and a recorded member is missing.
    lasts: bool,
}

/// The failures that groups have had, by the UID of their leader.
#[derive(Debug, Default)]
pub(super) struct Incidents(BTreeMap<String, Vec<Incident>>);

impl Incidents {
    /// Those of the group of this leader.
    pub(super) fn of(&self, leader: &str) -> &[Incident] {
        self.0.get(leader).map_or(&[], Vec::as_slice)
    }

    /// Takes note of the failure that a change is, if it is one.
    pub(super) fn look(&mut self, state: &State, change: &Change) {
        if change.kind != Kind::Pod {
            return;
        }
        let before = state.get(Kind::Pod, &change.name);
        let Some(pod) = change.object.as_deref().or(before) else { return };
        let Some(leader) = state.leader_of(pod).filter(|it| !it.deleting) else {
            return;
        };
        let restarted = before.map_or(0, Object::restarts) < pod.restarts();
        let goes = change.object.as_ref().is_none_or(|it| it.deleting);
        let fails = before.is_some_and(|it| !it.deleting) && goes && !pod.is_leader();
        let what = match (restarted, fails) {
            (true, _) => "a container restarted",
            (false, true) => "was deleted",
            (false, false) => return,
        };
        let record = state.get(Kind::StatefulSet, leader.set());
        let record = record.and_then(|it| it.annotations.get(annotations::MEMBERS));
        let mark: String = pod.uid.chars().take(RECORDED).collect();
        let incident = Incident {
            at: change.at,
            what: format!("{}: {what}", pod.name),
            lasts: restarted || record.is_some_and(|it| it.contains(&mark)),
        };
        self.0.entry(leader.uid.clone()).or_default().push(incident);
    }
}

/// The policy of each revision, by set and key.
pub(super) fn policies(history: &History) -> BTreeMap<(String, String), RestartPolicy> {
    let revisions = history.changes.iter().filter_map(|it| it.object.as_deref());
    let policy = |it: &Object| Some(((it.set().to_owned(), it.key().to_owned()), it.policy()?));
    revisions.filter_map(policy).collect()
}

/// Groups that had to be recreated and still are there.
pub(super) fn lost(history: &History) -> Vec<Violation> {
    let mut incidents = Incidents::default();
    history.replay(|state, change| incidents.look(state, change));
    let policies = policies(history);
    let end = history.end();
    let recreates = |leader: &&Object| {
        let policy = policies.get(&(leader.set().to_owned(), leader.key().to_owned()));
        policy.is_some_and(|it| *it != RestartPolicy::None)
    };
    let leaders: Vec<_> =
        end.all(Kind::Pod).filter(|it| it.is_leader()).filter(recreates).collect();
    let mut lost = Vec::new();
    for leader in leaders {
        // Nobody can know of a member that was not on record yet and went while nobody looked.
        let must = |it: &&Incident| it.lasts || !history.blindness.covers(it.at);
        for incident in incidents.of(&leader.uid).iter().filter(must) {
            let what = format!("{}, but group {} was not recreated", incident.what, leader.name);
            lost.push(Violation::new(incident.at, what));
        }
    }
    lost
}

/// Groups that went without a reason.
pub(super) fn needless(departures: &[Departure]) -> Vec<Violation> {
    let none: BTreeSet<Reason> = BTreeSet::new();
    let needless = departures.iter().filter(|it| it.reasons == none);
    needless
        .map(|it| {
            let what =
                format!("group {} ({}) went without a reason", it.leader.name, it.leader.uid);
            Violation::new(it.at, what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::history::Hidden;
    use crate::history::made_up::MadeUp;
    use crate::invariants::departures::departures;

    fn lost_in(it: &MadeUp) -> Vec<String> {
        lost(&it.history).into_iter().map(|it| it.what).collect()
    }

    fn needless_in(it: &MadeUp) -> Vec<String> {
        needless(&departures(&it.history)).into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn a_failure_recreates_its_group_once() {
        let mut it = MadeUp::new(2, 1);
        it.worker(0, "a", 1, 1);
        assert_eq!(lost_in(&it), ["s-0-1: a container restarted, but group s-0 was not recreated"]);
        it.ends(0, "a", 1);
        it.group(0, "a", 2);
        assert_eq!(lost_in(&it), [] as [&str; 0]);
        assert_eq!(needless_in(&it), [] as [&str; 0]);
        it.ends(0, "a", 2);
        assert_eq!(needless_in(&it), ["group s-0 (leader-0-2) went without a reason"]);
    }

    #[test]
    fn a_member_that_vanishes_is_a_failure() {
        let mut it = MadeUp::new(1, 1);
        it.gone("s-0-1");
        it.worker(0, "a", 1, 0);
        assert_eq!(lost_in(&it), ["s-0-1: was deleted, but group s-0 was not recreated"]);
    }

    #[test]
    fn one_that_was_not_on_record_while_nobody_looked_is_not() {
        let mut it = MadeUp::new(1, 1);
        it.history.blindness.push([it.now(), it.now()], Hidden::Nothing);
        it.gone("s-0-1");
        assert_eq!(lost_in(&it).len(), 1, "it is on record");
        let sets = it.history.changes.iter_mut().filter(|it| it.kind == Kind::StatefulSet);
        sets.filter_map(|it| it.object.as_mut())
            .map(Arc::make_mut)
            .for_each(|it| it.annotations.clear());
        assert_eq!(lost_in(&it), [] as [&str; 0]);
    }

    #[test]
    fn without_a_policy_a_failure_recreates_nothing() {
        let mut it = MadeUp::new(1, 1);
        it.revision("a", "None");
        it.worker(0, "a", 1, 1);
        assert_eq!(lost_in(&it), [] as [&str; 0]);
        it.ends(0, "a", 1);
        assert_eq!(needless_in(&it).len(), 1);
    }

    #[test]
    fn groups_go_for_what_others_do_for_a_rollout_and_for_a_scale_down() {
        let mut it = MadeUp::new(4, 1);
        it.history.deleted.insert("leader-3-1".to_owned());
        it.ends(3, "a", 1);
        it.leader_set("a", 2, 0);
        it.ends(2, "a", 1);
        it.leader_set("b", 2, 1);
        it.ends(1, "a", 1);
        it.evicted_leader(0, "a", 1);
        it.ends(0, "a", 1);
        assert_eq!(needless_in(&it), [] as [&str; 0]);
        assert_eq!(departures(&it.history).len(), 4);
    }
}

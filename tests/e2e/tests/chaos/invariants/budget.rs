//! A rollout takes a ready group down only while `replicas − maxUnavailable` others stay ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::departures::{Departure, Reason};
use crate::history::{Change, History, Kind, State, Timeline, Violation};

/// A group that went for a rollout alone, while others had to stay.
#[derive(Debug, Clone)]
pub(super) struct Takedown {
    at: Duration,
    set: String,
    leader: String,
    /// How many others were ready.
    others: i64,
    /// How many had to be.
    required: i64,
}

impl Takedown {
    /// The set of the group.
    pub(super) fn set(&self) -> &str {
        &self.set
    }

    /// Whether not one more could have gone.
    pub(super) const fn is_last(&self) -> bool {
        self.others <= self.required
    }
}

/// Fails where too few others stayed.
pub(super) fn check(takedowns: &[Takedown]) -> Vec<Violation> {
    let is_broken = |it: &&Takedown| it.others < it.required;
    let violation = |it: &Takedown| {
        let Takedown { leader, others, required, .. } = it;
        let what = format!(
            "the rollout took group {leader} down while {others} others were ready of {required} that must be"
        );
        Violation::new(it.at, what)
    };
    takedowns.iter().filter(is_broken).map(violation).collect()
}

/// The groups that went for a rollout alone and can be judged.
///
/// That is done by what the controller could know: a group that failed only moments before counts as ready, and
/// settings that were changed then as they were. Its own doing it always knows.
pub(super) fn takedowns(history: &History, departures: &[Departure]) -> Vec<Takedown> {
    let mut budget = Budget::of(history, departures);
    let mut takedowns = Vec::new();
    history.replay(|state, change| takedowns.extend(budget.look(state, change)));
    takedowns
}

struct Budget<'a> {
    history: &'a History,
    departures: &'a [Departure],
    /// How many groups have to be ready, by set.
    required: BTreeMap<String, Timeline<i64>>,
    /// How many groups are wanted, surge aside, by set.
    replicas: BTreeMap<String, Timeline<i64>>,
    /// When groups were ready last that are not any more, by the name of their leader.
    lost: BTreeMap<String, Duration>,
}

impl<'a> Budget<'a> {
    fn of(history: &'a History, departures: &'a [Departure]) -> Self {
        let (required, replicas, lost) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { history, departures, required, replicas, lost }
    }

    fn look(&mut self, state: &State, change: &Change) -> Option<Takedown> {
        if let Some(set) = change.object.as_ref().and_then(|it| it.as_set()) {
            let replicas = i64::from(set.spec.replicas());
            let required = replicas - set.spec.rolling_update().max_unavailable;
            self.replicas.entry(change.name.clone()).or_default().push(change.at, replicas);
            self.required.entry(change.name.clone()).or_default().push(change.at, required);
        }
        if change.kind != Kind::Pod {
            return None;
        }
        let mut after = state.clone();
        after.apply(change);
        let object = change.object.as_deref().or_else(|| state.get(Kind::Pod, &change.name))?;
        let goes = change.object.as_ref().is_none_or(|it| it.deleting);
        let begins_to_go = goes && !before_goes(state, change);
        let departure =
            self.departures.iter().find(|it| begins_to_go && it.leader.uid == object.uid);
        let is_rollout =
            departure.is_some_and(|it| it.reasons == BTreeSet::from([Reason::Outdated]));
        let takedown = departure.filter(|_| is_rollout).and_then(|it| self.judge(&after, it));
        let is_ours = departure.is_some_and(Departure::is_by_controller);
        self.note(state, &after, object.set(), change.at, is_ours);
        if is_ours {
            self.lost.remove(&change.name);
        }
        takedown
    }

    /// Takes note of the groups that were ready before and are not any more, unless the controller took them down.
    fn note(&mut self, before: &State, after: &State, set: &str, at: Duration, is_ours: bool) {
        let ready = |state: &State| -> BTreeSet<String> {
            state.leaders(set).filter(|it| state.is_ready(it)).map(|it| it.name.clone()).collect()
        };
        let (before, after) = (ready(before), ready(after));
        for name in &after {
            self.lost.remove(name);
        }
        if !is_ours {
            self.lost.extend(before.difference(&after).map(|name| (name.clone(), at)));
        }
    }

    fn judge(&self, after: &State, departure: &Departure) -> Option<Takedown> {
        let Departure { at, leader, .. } = departure;
        let since = |kinds| self.history.blindness.since(departure.released.min(*at), kinds);
        let readiness_since = since(&[Kind::Pod, Kind::StatefulSet]);
        if departure.ready_since.is_none_or(|it| it >= readiness_since) {
            return None;
        }
        let settings_since = since(&[Kind::Set]);
        let set = leader.set();
        // A second template replaces surge groups at once: docs/rollouts.md.
        let is_surge = |wanted: &i64| leader.group().is_some_and(|it| i64::from(it) >= *wanted);
        if self.replicas.get(set)?.since(settings_since).any(is_surge) {
            return None;
        }
        let ready = after.leaders(set).filter(|it| after.is_ready(it)).count();
        let prefix = format!("{set}-");
        let failed = self.lost.iter().filter(|(name, lost)| {
            name.starts_with(&prefix) && **name != leader.name && **lost >= readiness_since
        });
        let others = i64::try_from(ready + failed.count()).unwrap_or(i64::MAX);
        let required = self.required.get(set)?.since(settings_since).min().copied()?;
        // Where none has to stay nothing can be broken.
        let (set, leader) = (set.to_owned(), leader.name.clone());
        (required > 0).then_some(Takedown { at: *at, set, leader, others, required })
    }
}

/// Whether the pod was going before this change.
fn before_goes(state: &State, change: &Change) -> bool {
    state.get(Kind::Pod, &change.name).is_none_or(|it| it.deleting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Hidden;
    use crate::history::made_up::MadeUp;
    use crate::invariants::departures::departures;

    /// A rollout that has been released up to group 1 of three, with one that may be down.
    fn rollout() -> MadeUp {
        let mut it = MadeUp::new(3, 1);
        it.leader_set("b", 3, 1);
        it
    }

    fn judged(it: &MadeUp) -> Vec<Takedown> {
        takedowns(&it.history, &departures(&it.history))
    }

    fn broken(it: &MadeUp) -> Vec<String> {
        check(&judged(it)).into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn one_after_the_other_is_within_the_budget() {
        let mut it = rollout();
        it.ends(2, "a", 1);
        it.group(2, "b", 2);
        it.ends(1, "a", 1);
        assert_eq!(broken(&it), [] as [&str; 0]);
        assert_eq!(judged(&it).iter().map(Takedown::is_last).collect::<Vec<_>>(), [true, true]);
    }

    #[test]
    fn what_can_break_nothing_is_not_judged() {
        let mut it = MadeUp::new(3, 3);
        it.leader_set("b", 3, 0);
        it.ends(2, "a", 1);
        assert_eq!(judged(&it).len(), 0, "all may be down");
        let mut it = rollout();
        it.history.deleted.insert("leader-2-1".to_owned());
        it.ends(2, "a", 1);
        assert_eq!(judged(&it).len(), 0, "somebody else has deleted it");
    }

    #[test]
    fn a_fault_excuses_only_what_it_hides() {
        for (hidden, count) in [
            (Hidden::Of(Kind::Pod), 0),
            (Hidden::Everything, 0),
            (Hidden::Of(Kind::Set), 1),
            (Hidden::Nothing, 1),
        ] {
            let mut it = MadeUp::new(3, 1);
            let began = it.now();
            it.history.deleted.insert("leader-0-1".to_owned());
            it.leader(0, "a", 1, false);
            it.wait(60);
            it.leader_set("b", 3, 1);
            it.leader(2, "a", 1, false);
            it.history.blindness.push([began, it.now()], hidden);
            assert_eq!(broken(&it).len(), count, "{hidden:?}");
        }
    }

    #[test]
    fn two_at_once_are_not() {
        let mut it = rollout();
        it.ends(2, "a", 1);
        it.ends(1, "a", 1);
        let expected =
            "the rollout took group s-1 down while 1 others were ready of 2 that must be";
        assert_eq!(broken(&it), [expected]);
    }

    #[test]
    fn a_group_that_has_long_been_down_uses_up_the_budget_and_one_that_has_just_failed_does_not() {
        for (wait, count) in [(0, 0), (60, 1)] {
            let mut it = MadeUp::new(3, 1);
            it.history.deleted.insert("leader-0-1".to_owned());
            it.leader(0, "a", 1, false);
            it.wait(wait);
            it.leader_set("b", 3, 1);
            it.leader(2, "a", 1, false);
            assert_eq!(broken(&it).len(), count, "{wait} s");
        }
    }

    #[test]
    fn a_group_that_the_controller_has_recreated_itself_uses_up_the_budget() {
        let mut it = rollout();
        it.worker(0, "a", 1, 1);
        it.leader(0, "a", 1, false);
        it.leader(2, "a", 1, false);
        assert_eq!(broken(&it).len(), 1);
    }

    #[test]
    fn what_was_changed_a_moment_ago_need_not_be_known() {
        for (wait, count) in [(0, 0), (60, 1)] {
            let mut it = MadeUp::new(3, 2);
            it.spec(3, 1, 0);
            it.wait(wait);
            it.leader_set("b", 3, 0);
            it.leader(2, "a", 1, false);
            it.leader(1, "a", 1, false);
            assert_eq!(broken(&it).len(), count, "{wait} s");
        }
    }
}

//! How the groups of a set stand, for metrics.

use lws_api_types::LeaderWorkerSet;

use super::Scope;
use super::group::{Group, Groups};
use crate::observe::views::{PodView, TroubleKind};

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All its pods are ready.
    Ready,
    /// It has pods that are starting, or run and are not ready.
    Starting,
    /// It has a pod for which the scheduler finds no node.
    Pending,
    /// It has a pod whose node is lost, whose image cannot be pulled, or whose container cannot be
    /// started or ends again and again.
    Failing,
    /// It has failed, and is recreated now or later.
    Recreating,
    /// It is being deleted.
    Terminating,
    /// It has no leader pod.
    Missing,
}

impl State {
    /// All that there are.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Starting,
        Self::Pending,
        Self::Failing,
        Self::Recreating,
        Self::Terminating,
        Self::Missing,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Pending => "pending",
            Self::Failing => "failing",
            Self::Recreating => "recreating",
            Self::Terminating => "terminating",
            Self::Missing => "missing",
        }
    }
}

/// How many groups stand in each way, in the order of [`State::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Groups in each state.
    pub states: [usize; State::ALL.len()],
}

impl Standing {
    /// No group of a set is there: it has no leader `StatefulSet`.
    pub(super) fn missing(set: &LeaderWorkerSet) -> Self {
        let mut standing = Self::default();
        standing.count(State::Missing, usize::try_from(set.spec.replicas()).unwrap_or(0));
        standing
    }

    /// `wanted` groups are to exist, and those of which `has_failed` is true have. Without
    /// `has_troubles` nothing is in the way of any pod.
    pub(super) fn of(
        scope: &Scope<'_>,
        groups: &Groups<'_>,
        wanted: i64,
        has_failed: impl Fn(i64) -> bool,
        has_troubles: bool,
    ) -> Self {
        let mut standing = Self::default();
        for group in &groups.all {
            let has_failed = has_failed(group.index);
            let lost = || lost(group).filter(|_| group.index < wanted);
            let state = has_troubles
                .then(lost)
                .flatten()
                .or_else(|| plain_state(group, has_failed))
                .or_else(|| if has_troubles { trouble(scope, group) } else { None });
            standing.count(state.unwrap_or(State::Starting), 1);
        }
        let missing = usize::try_from(wanted).unwrap_or(0).saturating_sub(groups.all.len());
        standing.count(State::Missing, missing);
        standing
    }

    fn count(&mut self, state: State, groups: usize) {
        let counts = State::ALL.iter().zip(&mut self.states);
        for (_, count) in counts.filter(|(it, _)| **it == state) {
            *count += groups;
        }
    }
}

/// How a group stands, unless that depends on what is in the way of its pods.
fn plain_state(group: &Group<'_>, has_failed: bool) -> Option<State> {
    if group.leader.identity.is_terminating() {
        Some(State::Terminating)
    } else if has_failed {
        Some(State::Recreating)
    } else {
        group.ready.then_some(State::Ready)
    }
}

/// That a node of its pods was given up: it is in the way for minutes, or for ever, whatever else is to
/// become of the group.
fn lost(group: &Group<'_>) -> Option<State> {
    let is_lost = !group.ready && group.pods().any(PodView::has_lost_node);
    is_lost.then_some(State::Failing)
}

/// What is in the way of its pods.
fn trouble(scope: &Scope<'_>, group: &Group<'_>) -> Option<State> {
    group
        .pods()
        .filter_map(|it| it.trouble_at(scope.context.now))
        .map(|it| match it.kind() {
            TroubleKind::Unscheduled => State::Pending,
            TroubleKind::Image | TroubleKind::Crash | TroubleKind::Container => State::Failing,
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_counted_by_their_state() {
        let mut standing = Standing::default();
        standing.count(State::Ready, 1);
        standing.count(State::Missing, 3);
        standing.count(State::Ready, 1);
        assert_eq!(standing.states, [2, 0, 0, 0, 0, 0, 3]);
    }
}

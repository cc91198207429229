//! `StatefulSet`s that stay short of pods. Their controller may not create them (a quota,
//! admission, no service account) and says so in events about the `StatefulSet` alone, where nobody
//! looks who looks at the set.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::Scope;
use super::group::Groups;
use super::history::since;
use super::task::{EventDraft, Plan, Target};
use crate::observe::views::StatefulSetView;

/// How long a `StatefulSet` is short of pods until it is asked why. Pods that are merely being
/// created are there in less.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much longer for each other one that is short: their controller works through them a few at a
/// time, and the server reads all events of the namespace for an answer.
const FOR_EACH_OTHER: Duration = Duration::from_millis(100);
/// How often it is asked while it stays short: the reason may be another one by then.
const AGAIN: Duration = Duration::from_secs(30);

/// What is known of the `StatefulSet`s of a set that are short of pods, by UID.
pub type Shortages = BTreeMap<String, Shortage>;

/// What is known of a `StatefulSet` that is short of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Since when it is seen to be.
    pub since: Timestamp,
    /// When it was last asked why.
    pub asked: Option<Timestamp>,
    /// What was found then.
    pub reason: Option<String>,
}

/// Adds what is known of pods that cannot be created. Of several `StatefulSet`s the one that has
/// been short for longest speaks for all: mostly they have one cause.
pub(super) fn look(
    plan: &mut Plan,
    scope: &Scope<'_>,
    leader_set: &StatefulSetView,
    groups: &Groups<'_>,
) {
    let now = scope.context.now;
    let worker_sets = groups.all.iter().filter_map(|it| it.worker_set.map(AsRef::as_ref));
    let mut longest: Option<(&StatefulSetView, Shortage)> = None;
    for short in std::iter::once(leader_set).chain(worker_sets).filter(|it| is_short(it)) {
        let begins = Shortage { since: now, asked: None, reason: None };
        let known = scope.context.shortages.get(short.identity.uid()).cloned().unwrap_or(begins);
        plan.shortages.insert(short.identity.uid().to_owned(), known.clone());
        if longest.as_ref().is_none_or(|(_, it)| known.since < it.since) {
            longest = Some((short, known));
        }
    }
    let Some((short, known)) = longest else { return };
    let rest = match known.asked {
        None => patience(plan.shortages.len()).saturating_sub(since(known.since, now)),
        Some(asked) => AGAIN.saturating_sub(since(asked, now)),
    };
    if !plan.waits(rest) {
        plan.unexplained = Some(Target::of(short));
    }
    if let Some(reason) = known.reason {
        plan.events.push(EventDraft::warning("FailedCreate", "Create", reason));
    }
}

/// How long the first of so many is short until it is asked why; never longer than [`AGAIN`].
fn patience(short: usize) -> Duration {
    let others = u32::try_from(short.saturating_sub(1)).unwrap_or(u32::MAX);
    PATIENCE.saturating_add(FOR_EACH_OTHER.saturating_mul(others)).min(AGAIN)
}

/// Whether it lacks pods although its controller knows how many it is to have.
fn is_short(it: &StatefulSetView) -> bool {
    !it.identity.is_terminating()
        && it
            .identity
            .meta
            .generation
            .is_some_and(|generation| it.observed_generation >= generation)
        && it.status_replicas < it.replicas
}

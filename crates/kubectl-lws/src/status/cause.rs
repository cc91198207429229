//! Why a set is not available: the best cause that is found.

use super::group::{GroupReport, State};
use crate::snapshot::Snapshot;

/// The cause in one line; `None` when there is nothing to tell.
pub(super) fn of(
    snapshot: &Snapshot,
    available: bool,
    key: &str,
    groups: &[GroupReport],
) -> Option<String> {
    let set = &snapshot.set;
    if set.metadata.deletion_timestamp.is_some() {
        return Some("the set is being deleted".to_owned());
    }
    if let Some(failure) = snapshot.failure() {
        return Some(format!("{}: {}", failure.reason, failure.message));
    }
    if available {
        return None;
    }
    let unready = groups.iter().filter(|it| it.state != State::Ready);
    let worst = unready.min_by_key(|it| (it.state, it.cause.is_none(), it.index));
    if let Some(faulty) = worst.filter(|it| it.state.is_fault()) {
        return Some(of_group(faulty, groups));
    }
    let observed = set.status.as_ref().and_then(|it| it.observed_generation);
    if observed != set.metadata.generation {
        return Some(match observed {
            None => "the controller has not looked at the set yet".to_owned(),
            Some(_) => "the controller has not acted on the last change yet".to_owned(),
        });
    }
    let causes = [rollout(key, groups), worst.map(|it| of_group(it, groups))];
    let causes: Vec<_> = causes.into_iter().flatten().collect();
    (!causes.is_empty()).then(|| causes.join("; "))
}

/// How far a rollout is; `None` when no group is at an old revision.
fn rollout(key: &str, groups: &[GroupReport]) -> Option<String> {
    let total = groups.iter().filter(|it| !it.surge).count();
    let done = groups.iter().filter(|it| !it.surge && it.updated).count();
    let is_old = |it: &GroupReport| it.revision.as_ref().is_some_and(|it| it != key);
    (done < total && groups.iter().any(is_old))
        .then(|| format!("revision {key} is rolled out, {done} of {total} groups are at it"))
}

/// What is in the way of a group, and how many there are like it.
fn of_group(group: &GroupReport, groups: &[GroupReport]) -> String {
    let GroupReport { index, state, cause, .. } = group;
    let alike = groups.iter().filter(|it| it.state == *state && it.index != *index).count();
    let phrase = state.phrase();
    let others = match alike {
        0 => String::new(),
        1 => format!(" (and 1 more group {phrase})"),
        alike => format!(" (and {alike} more groups {phrase})"),
    };
    let cause = cause.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
    format!("group {index} is {phrase}{cause}{others}")
}

//! Which content a set is at: the revision its leader `StatefulSet` carries, whether the user has
//! changed the content since, and which revision records the change.
//!
//! How groups are placed (two annotations of the set) changes their pods too, so it is updated like
//! content, although revisions do not record it. A revision key stands for content *and* placement;
//! the placement of a key is read from what carries it ([`placement_of`]). So the keys of sets
//! whose placement never changes are those of their content alone, as other programs compute them.

use std::collections::BTreeSet;

use lws_api_types::LeaderWorkerSet;
use lws_api_types::revision::key as key_of;
use serde_json::Value;

use super::task::{Action, EventDraft, ObjectRef, Orphaned, Plan, Related, Target, Task};
use super::{Scope, build, ownership};
use crate::observe::entry::Objects;
use crate::observe::views::{Placement, PodView, RevisionView, StatefulSetView};

/// What is to be done about revisions before anything else.
#[derive(Debug)]
pub enum Decision<'a> {
    /// The live content is recorded.
    Current(Current<'a>),
    /// A revision of the live content has to be recorded first.
    Create {
        /// Revision key that objects will carry.
        key: String,
        /// Hash of the content, part of the object's name.
        hash: String,
        /// Number of the revision, above all others.
        number: i64,
        /// Byte form of the content.
        data: String,
        /// Why.
        cause: Cause,
    },
    /// A revision of the live content exists, but another has a higher number.
    Raise {
        /// The revision of the live content.
        revision: &'a RevisionView,
        /// Its new number.
        number: i64,
    },
}

/// The revision of the live content.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// The revision.
    pub revision: &'a RevisionView,
    /// Whether the leader `StatefulSet` is still at another revision.
    pub changed: bool,
}

/// Why a revision is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The set is new.
    New,
    /// The leader `StatefulSet` carries a key that no revision has.
    Missing,
    /// The user changed the content.
    Changed,
}

/// Decides from the live set, the byte form of its content ([`lws_api_types::revision::encode`]),
/// its leader `StatefulSet` (`None` when there is none), and all revisions and `pods` that carry
/// the set's name label.
///
/// A revision with equal content is used again rather than recorded once more, so that a failing
/// apply leaves one revision however often it is repeated; unless its key stands for another
/// placement.
#[must_use]
pub fn decide<'a>(
    set: &LeaderWorkerSet,
    content: &str,
    leader_set: Option<&StatefulSetView>,
    revisions: &[&'a RevisionView],
    pods: &Objects<PodView>,
) -> Decision<'a> {
    let is_kept = |it: &&RevisionView| is_own(set, it) && !it.identity.is_terminating();
    let own: Vec<_> = revisions.iter().copied().filter(is_kept).collect();
    let key = leader_set.and_then(|it| it.revision.as_deref()).filter(|key| !key.is_empty());
    let recorded = key.and_then(|key| newest(own.iter().copied().filter(|it| it.key == key)));

    let wanted = build::placement(set);
    let is_placed = leader_set.is_some_and(|it| it.placement == wanted);
    let placement = |key: &str| placement_of(key, leader_set, pods);
    let fits = |key: &str| placement(key).is_none_or(|it| *it == wanted);

    let cause = match (recorded, key) {
        (Some(revision), _) if is_placed && revision.records(content, &set.spec) => {
            return Decision::Current(Current { revision, changed: false });
        }
        (Some(_), _) => Cause::Changed,
        (None, Some(_)) => Cause::Missing,
        (None, None) => Cause::New,
    };
    let highest = revisions.iter().map(|it| it.number).max().unwrap_or(0);
    // Anybody may have made a revision with the highest number there is: two of them then share it.
    let next = highest.saturating_add(1);
    if cause != Cause::Missing {
        let is_equal = |it: &&RevisionView| fits(&it.key) && it.records(content, &set.spec);
        let equal = own.iter().copied().filter(is_equal);
        // The one that groups have is worth most: they need not be replaced.
        if let Some(revision) = equal.max_by_key(|it| (placement(&it.key).is_some(), it.number)) {
            return if revision.number < highest {
                Decision::Raise { revision, number: next }
            } else {
                Decision::Current(Current { revision, changed: cause == Cause::Changed })
            };
        }
    }
    let (hash, number) = (key_of(content), next);
    let key = match (cause, key) {
        (Cause::Missing, Some(key)) => key.to_owned(),
        _ if fits(&hash) => hash.clone(),
        _ => placed_key(content, &wanted, number),
    };
    Decision::Create { key, hash, number, data: content.to_owned(), cause }
}

/// A key for `data` where the plain one stands for another placement. The number keeps it apart
/// from every key there has been.
fn placed_key(data: &str, placement: &Placement, number: i64) -> String {
    let Placement { group, subgroup } = placement;
    let [group, subgroup] = [group, subgroup].map(|it| it.as_deref().unwrap_or_default());
    key_of(&format!("{data}\n{group}\n{subgroup}\n{number}"))
}

/// The placement that a revision key stands for: the one of the leader `StatefulSet` or else of a
/// leader pod that carries it. `None` when nothing does: then it may stand for any.
#[must_use]
pub fn placement_of<'a>(
    key: &str,
    leader_set: Option<&'a StatefulSetView>,
    pods: &'a Objects<PodView>,
) -> Option<&'a Placement> {
    let carries = |revision: &Option<String>| revision.as_deref() == Some(key);
    let leader_set = leader_set.filter(|it| carries(&it.revision)).map(|it| &it.placement);
    leader_set.or_else(|| {
        let leader = pods.values().find(|it| it.is_leader() && carries(&it.revision))?;
        Some(&leader.placement)
    })
}

/// The current revision; `None` when it has to be recorded first, which is added to the plan.
pub(super) fn ensure<'a>(
    plan: &mut Plan,
    set: &LeaderWorkerSet,
    content: &str,
    leader_set: Option<&StatefulSetView>,
    revisions: &[&'a RevisionView],
    pods: &Objects<PodView>,
) -> Option<Current<'a>> {
    match decide(set, content, leader_set, revisions, pods) {
        Decision::Current(current) => return Some(current),
        Decision::Raise { revision, number } => {
            let target = Target::of(revision);
            let failed = format!("Failed to update revision {}", target.name);
            let task = Task::new(Action::RaiseRevision { target, number });
            plan.tasks.push(task.or_warned(EventDraft::warning("FailedUpdate", "Update", failed)));
        }
        Decision::Create { key, hash, number, data, cause } => {
            plan.revision.clone_from(&key);
            match build::revision(set, &key, &hash, number, &data) {
                Ok(object) => plan.tasks.push(creation(object, &key, cause)),
                Err(error) => tracing::error!(%error, "encoded revision data is no JSON"),
            }
        }
    }
    None
}

/// Adds the deletion of revisions that nothing refers to any more, but for as many of the newest as
/// the set wants to keep. A duplicate of the current one goes once the update is complete.
pub(super) fn truncate(
    plan: &mut Plan,
    scope: &Scope<'_>,
    leader_set: &StatefulSetView,
    update_complete: bool,
) {
    let Scope { set, entry, current, revisions, .. } = *scope;
    // The current one stays.
    if revisions.len() <= 1 {
        return;
    }
    let pods = entry.pods.values().filter_map(|it| it.revision.as_deref());
    let stateful_sets = entry.stateful_sets.values().filter_map(|it| it.revision.as_deref());
    let used: BTreeSet<&str> = pods.chain(stateful_sets).chain([current.key.as_str()]).collect();
    // While the StatefulSet has two revisions it may create a pod at its former one, which is the
    // oldest of ours.
    let rolling = leader_set.current_revision != leader_set.update_revision;
    let own = || revisions.iter().filter(|it| is_own(set, it));
    let oldest = own().map(|it| it.number).min().filter(|_| rolling);
    let is_ours = |it: &&&RevisionView| {
        it.identity.is_controlled_by(set.uid()) && !it.identity.is_terminating()
    };
    let is_unused =
        |it: &&&RevisionView| !used.contains(it.key.as_str()) && oldest != Some(it.number);
    let mut superseded: Vec<_> = own().filter(is_ours).filter(is_unused).collect();
    // The newest are what a user may go back to.
    superseded.sort_unstable_by_key(|it| std::cmp::Reverse(it.number));
    let superseded = superseded.into_iter().skip(set.revision_history_limit());
    let is_duplicate =
        |it: &&&RevisionView| it.key == current.key && it.identity.uid() != current.identity.uid();
    let duplicates = own().filter(is_ours).filter(is_duplicate).filter(|_| update_complete);
    let superseded = superseded.chain(duplicates);
    plan.tasks.extend(superseded.map(|it| deletion(Target::of(*it))));
}

fn deletion(revision: Target) -> Task {
    let failed = format!("Failed to delete revision {}", revision.name);
    let failed = EventDraft::warning("FailedDelete", "Delete", failed);
    Task::new(Action::DeleteRevision(revision)).or_warned(failed)
}

/// The requests that make ours what an orphaning deletion of the former set has left.
pub(super) fn adoptions<'a>(
    set: &'a LeaderWorkerSet,
    revisions: &'a [&'a RevisionView],
) -> impl Iterator<Item = Task> {
    let is_orphan =
        |it: &&&RevisionView| it.identity.owner.is_none() && !it.identity.is_terminating();
    let orphans = revisions.iter().filter(is_orphan);
    orphans.map(|it| ownership::adoption(set, Orphaned::Revision, &it.identity))
}

/// A reference to a revision, for events.
pub(super) fn reference(revision: &RevisionView) -> Related {
    let Target { name, uid } = Target::of(revision);
    Related::Object(ObjectRef { api_version: "apps/v1", kind: "ControllerRevision", name, uid })
}

fn creation(object: Value, key: &str, cause: Cause) -> Task {
    let created = match cause {
        Cause::New => {
            format!("Creating revision with key {key} for a newly created LeaderWorkerSet")
        }
        Cause::Missing => {
            format!("Creating missing revision with key {key} for existing LeaderWorkerSet")
        }
        Cause::Changed => format!("Creating revision with key {key} for updated LWS"),
    };
    let failed = format!("Failed to create revision with key {key}");
    Task::new(Action::CreateRevision(object))
        .told(EventDraft::normal("CreatingRevision", "Create", created).about(Related::Answer))
        .or_warned(EventDraft::warning("FailedCreate", "Create", failed))
}

/// Whether a revision belongs to the set: it is controlled by it, or by nobody (an orphaning
/// deletion of the former set leaves such revisions for its successor).
fn is_own(set: &LeaderWorkerSet, revision: &RevisionView) -> bool {
    revision.identity.owner.as_ref().is_none_or(|owner| owner.uid == set.uid())
}

/// The revision among `own` that carries `key`; the newest when several do.
#[must_use]
pub fn with_key<'a>(
    set: &LeaderWorkerSet,
    revisions: &[&'a RevisionView],
    key: &str,
) -> Option<&'a RevisionView> {
    newest(revisions.iter().copied().filter(|it| it.key == key && is_own(set, it)))
}

fn newest<'a>(revisions: impl Iterator<Item = &'a RevisionView>) -> Option<&'a RevisionView> {
    revisions.max_by_key(|it| it.number)
}

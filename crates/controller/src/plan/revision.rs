//! Which content a set is at: the revision its leader `StatefulSet` carries, whether the user has
//! changed the content since, and which revision records the change.

use lws_api_types::LeaderWorkerSet;
use lws_api_types::revision::{encode, key as hash, same_content};

use crate::observe::views::{RevisionView, StatefulSetView};

/// What is to be done about revisions before anything else.
#[derive(Debug)]
pub enum Decision<'a> {
    /// The current revision is recorded.
    Current {
        /// The revision of the live content.
        revision: &'a RevisionView,
        /// Whether the leader `StatefulSet` is still at another revision.
        changed: bool,
    },
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

/// Decides from the live set, its leader `StatefulSet` (`None` when there is none) and all
/// revisions that carry the set's name label.
///
/// A revision with equal content is used again rather than recorded once more, so that a failing
/// apply leaves one revision however often it is repeated.
#[must_use]
pub fn decide<'a>(
    set: &LeaderWorkerSet,
    leader_set: Option<&StatefulSetView>,
    revisions: &[&'a RevisionView],
) -> Decision<'a> {
    let own: Vec<_> = revisions.iter().copied().filter(|it| is_own(set, it)).collect();
    let data = encode(&set.spec);
    let key = leader_set.and_then(|it| it.revision.as_deref()).filter(|key| !key.is_empty());
    let recorded = key.and_then(|key| newest(own.iter().copied().filter(|it| it.key == key)));

    let cause = match (recorded, key) {
        (Some(revision), _) if same_content(&revision.data, &data, &set.spec) => {
            return Decision::Current { revision, changed: false };
        }
        (Some(_), _) => Cause::Changed,
        (None, Some(_)) => Cause::Missing,
        (None, None) => Cause::New,
    };
    let highest = revisions.iter().map(|it| it.number).max().unwrap_or(0);
    if cause != Cause::Missing {
        let equal = own.iter().copied().filter(|it| same_content(&it.data, &data, &set.spec));
        if let Some(revision) = newest(equal) {
            return if revision.number < highest {
                Decision::Raise { revision, number: highest + 1 }
            } else {
                Decision::Current { revision, changed: cause == Cause::Changed }
            };
        }
    }
    let hash = hash(&data);
    let key = match (cause, key) {
        (Cause::Missing, Some(key)) => key.to_owned(),
        _ => hash.clone(),
    };
    Decision::Create { key, hash, number: highest + 1, data, cause }
}

/// Whether a revision belongs to the set: it is controlled by it, or by nobody (an orphaning
/// deletion of the former set leaves such revisions for its successor).
#[must_use]
pub fn is_own(set: &LeaderWorkerSet, revision: &RevisionView) -> bool {
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

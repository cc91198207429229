//! Which revisions are stored, and which groups are at each.

use jiff::Timestamp;
use lws_controller::observe::views::RevisionView;
use serde::Serialize;

use crate::output::{Paint, Table, Tone, age};
use crate::snapshot::Snapshot;

/// A stored revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored {
    /// Its number: the highest is the newest.
    pub(crate) revision: i64,
    /// Its key, which objects carry.
    pub(crate) key: String,
    /// Name of the `ControllerRevision`.
    pub(crate) name: String,
    /// When it was recorded.
    pub(crate) created: Option<Timestamp>,
    /// Whether it is the present content of the set.
    pub(crate) current: bool,
    /// Indexes of the groups whose leader is at it.
    pub(crate) groups: Vec<i64>,
}

/// The stored revisions of the set, the oldest first.
pub(super) fn stored(snapshot: &Snapshot) -> Vec<&RevisionView> {
    let set = snapshot.set.uid();
    let mut revisions = snapshot.revisions();
    // StatefulSets have revisions too, with the labels of their pods.
    revisions.retain(|it| it.identity.owner.as_ref().is_none_or(|owner| owner.uid == set));
    revisions.sort_by_key(|it| it.number);
    revisions
}

/// The stored revisions of the set, the oldest first.
pub(super) fn report(snapshot: &Snapshot) -> Vec<Stored> {
    let key = snapshot.key();
    let groups = snapshot.leader_set().map(|it| snapshot.groups(it, &key).all).unwrap_or_default();
    let at = |key: &str| {
        let at = groups.iter().filter(|it| it.leader.revision.as_deref() == Some(key));
        let mut at: Vec<_> = at.map(|it| it.index).collect();
        at.sort_unstable();
        at
    };
    let revision = |it: &RevisionView| Stored {
        revision: it.number,
        key: it.key.clone(),
        name: it.identity.name().to_owned(),
        created: it.identity.created(),
        current: it.key == key,
        groups: at(&it.key),
    };
    stored(snapshot).into_iter().map(revision).collect()
}

/// The revisions as text.
pub(super) fn text(revisions: &Vec<Stored>, now: Timestamp, paint: Paint) -> String {
    let mut table = Table::new(&["REVISION", "KEY", "AGE", "GROUPS", "STATE"]);
    for it in revisions {
        let plain = |text: String| (text, Tone::Plain);
        let groups: Vec<_> = it.groups.iter().map(ToString::to_string).collect();
        let current = if it.current { ("current", Tone::Good) } else { ("old", Tone::Plain) };
        table.row([
            plain(it.revision.to_string()),
            plain(it.key.clone()),
            plain(it.created.map(|it| age(it, now)).unwrap_or_default()),
            plain(groups.join(",")),
            (current.0.to_owned(), current.1),
        ]);
    }
    table.text(paint)
}

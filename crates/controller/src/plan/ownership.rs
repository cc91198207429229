//! Whose an object is that has the name we need. Identity is the UID: an object of the same name
//! that belongs to somebody else, or to a former set or leader, is never taken for ours.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use lws_api_types::LeaderWorkerSet;

use super::build;
use super::task::{Action, EventDraft, Orphaned, Plan, Target, Task};
use crate::observe::views::{Identity, Owner, PodView, View};

/// How long to wait before looking again at an object that is about to be garbage collected. Its
/// deletion is observed too; this only covers a missed one.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Who holds a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// No object has it.
    Nobody,
    /// Our object.
    Us,
    /// An object that is being deleted, or whose owner was the former set or leader pod of the
    /// same name: it goes by itself.
    Going,
    /// An object that carries the set's label and that nobody controls, as an orphaning deletion
    /// of the former owner leaves it.
    Orphan,
    /// Somebody else's object.
    Other,
}

/// Who is to control an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Controller<'a> {
    /// The set with this UID.
    Set(&'a str),
    /// This leader pod.
    Leader(&'a PodView),
}

impl Controller<'_> {
    fn uid(&self) -> &str {
        match self {
            Self::Set(uid) => uid,
            Self::Leader(leader) => leader.identity.uid(),
        }
    }

    /// Whether `owner` of the object `name` is the former set or leader pod that was in the same
    /// place. A set gives its objects its own name.
    fn follows(&self, owner: &Owner, name: &str) -> bool {
        match self {
            Self::Set(_) => owner.kind == "LeaderWorkerSet" && owner.name == name,
            Self::Leader(leader) => owner.kind == "Pod" && owner.name == leader.identity.name(),
        }
    }
}

/// Who holds the name of `object`, to be controlled by `controller`. Only objects that carry the
/// set's label are known here; any other shows when the server refuses to create ours.
pub(super) fn holder<V: View>(object: Option<&Arc<V>>, controller: Controller<'_>) -> Holder {
    let Some(object) = object else { return Holder::Nobody };
    let identity = object.identity();
    if identity.is_terminating() {
        return Holder::Going;
    }
    match &identity.owner {
        Some(owner) if owner.uid == controller.uid() => Holder::Us,
        Some(owner) if controller.follows(owner, identity.name()) => Holder::Going,
        Some(_) => Holder::Other,
        None => Holder::Orphan,
    }
}

/// Whether nothing is to be done about an object of group or set, called `what`, because it is
/// there or `found` holds its name; tells of a holder who will not go.
pub(super) fn is_held<V: View + Resource<DynamicType = ()>>(
    plan: &mut Plan,
    found: Option<&Arc<V>>,
    controller: Controller<'_>,
    what: &str,
) -> bool {
    match holder(found, controller) {
        Holder::Nobody => return false,
        Holder::Us => {}
        Holder::Going => plan.recheck_after(PATIENCE),
        Holder::Orphan | Holder::Other => plan.events.extend(found.map(|it| foreign(what, &**it))),
    }
    true
}

/// The request that makes an orphan ours. Without it the object would stay when the set goes.
pub(super) fn adoption(set: &LeaderWorkerSet, kind: Orphaned, orphan: &Identity) -> Task {
    let name = orphan.name();
    let target = Target { name: name.to_owned(), uid: orphan.uid().to_owned() };
    let note = format!("Failed to adopt {kind} {name}");
    Task::new(Action::Adopt { kind, target, owners: build::owned_by_set(set) })
        .or_warned(EventDraft::warning("FailedUpdate", "Update", note))
}

/// The event that tells of an object in the way.
fn foreign<V: View + Resource<DynamicType = ()>>(what: &str, object: &V) -> EventDraft {
    let note =
        format!("Failed to create {what} {}: {}", object.identity().name(), in_the_way(object));
    EventDraft::warning("FailedCreate", "Create", note)
}

/// What is in the way, whose it is, and what to do.
pub(crate) fn in_the_way<V: View + Resource<DynamicType = ()>>(object: &V) -> String {
    let (kind, name) = (V::kind(&()).to_lowercase(), object.identity().name());
    let Some(owner) = &object.identity().owner else {
        return format!(
            "{kind} {name} exists and is controlled by nobody: it is left as it is; remove that {kind} \
             if nobody needs it, as an orphaning deletion may have left it, or create this set under \
             another name"
        );
    };
    let set = object.set_name().filter(|_| owner.kind == "Pod");
    let set = set.map(|it| format!(" of set {it}")).unwrap_or_default();
    format!(
        "{kind} {name} exists and is controlled by {} {}{set}: it is left as it is; create this set \
         under another name, or remove that {kind}",
        owner.kind, owner.name
    )
}

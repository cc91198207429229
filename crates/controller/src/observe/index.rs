//! Everything that is known of each set, kept current by watch events and by the answers to our
//! own writes.
//!
//! Both sources may arrive in either order. The rules that keep them consistent:
//! - an object replaces a stored one only when its resource version is not older;
//! - a deletion removes only the UID it names;
//! - the answer to a write is ignored when the watch has already passed its version without the
//!   object being there: it has been deleted since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lws_api_types::names;
use lws_api_types::set::RestartPolicy;
use serde_json::Value;

use super::views::{
    Owner, PodGroupView, PodView, RevisionView, ServiceView, SetView, StatefulSetView, View,
};

/// Namespace and name of a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetKey {
    /// Namespace of the set.
    pub namespace: Arc<str>,
    /// Name of the set.
    pub name: Arc<str>,
}

impl SetKey {
    /// The key of a set.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for SetKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// Objects of one kind that belong to one set, by name.
pub type Objects<V> = BTreeMap<String, Arc<V>>;

/// A worker pod that is gone although its leader was not going. Kept until the group has been recreated, so that a loss is noticed even when a pod of the same name
/// is already back.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The pod as it was last seen.
    pub pod: Arc<PodView>,
}

/// Everything that is known of one set.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The set itself, under its own name; empty when it does not exist (its former objects may).
    pub sets: Objects<SetView>,
    /// Leader and worker `StatefulSet`s.
    pub stateful_sets: Objects<StatefulSetView>,
    /// Leader and worker pods.
    pub pods: Objects<PodView>,
    /// Headless Services.
    pub services: Objects<ServiceView>,
    /// Revisions.
    pub revisions: Objects<RevisionView>,
    /// `PodGroup`s of groups that are scheduled together.
    pub pod_groups: Objects<PodGroupView>,
    /// Worker pods that vanished from living groups.
    pub losses: Vec<Loss>,
    /// UIDs of leaders whose worker `StatefulSet` or `PodGroup` disappeared. The leader may have
    /// changed or gone as well: streams of different kinds are not in step. It is read anew before
    /// its group is completed.
    doubted: BTreeSet<String>,
    /// Worker `StatefulSet`s that disappeared, and the leaders they belonged to, by UID. Pods that they
    /// leave still are members of the group.
    former_sets: BTreeMap<String, String>,
    /// UIDs of leaders that had no node yet when a pod of the former group of their name went.
    outlasting: BTreeSet<String>,
    /// UIDs of recorded members that were looked for and are gone.
    gone: BTreeSet<String>,
    last_apply: Option<LastApply>,
}

/// The last server-side apply that succeeded.
#[derive(Clone, Debug)]
struct LastApply {
    spec: Value,
    uid: String,
    generation: Option<i64>,
}

impl Entry {
    /// The set itself.
    #[must_use]
    pub fn set(&self) -> Option<&Arc<SetView>> {
        self.sets.values().next()
    }

    /// The leader of the group that `worker` belongs to by ownership: worker pod → worker
    /// `StatefulSet` → leader pod, or directly worker pod → leader pod, each checked by UID.
    #[must_use]
    pub fn leader_of(&self, worker: &PodView) -> Option<&Arc<PodView>> {
        let Owner { kind, name, uid, .. } = worker.identity.owner.as_ref()?;
        let (name, uid) = if kind == "StatefulSet" {
            let found = self.stateful_sets.get(name).filter(|it| it.identity.uid() == uid);
            match found {
                Some(found) => found.identity.owner.as_ref().map(|it| (&it.name, &it.uid))?,
                // It was named like its leader.
                None => (name, self.former_sets.get(uid)?),
            }
        } else {
            (name, uid)
        };
        self.pods.get(name).filter(|leader| leader.identity.uid() == uid)
    }

    /// Whether the spec of `desired` was the last that was applied to `live`, whose spec has not
    /// changed since. Where the server stores something else than what it was given, this keeps
    /// the same apply from being repeated for ever.
    #[must_use]
    pub fn was_spec_applied(&self, desired: &Value, live: &StatefulSetView) -> bool {
        self.last_apply.as_ref().is_some_and(|last| {
            last.uid == live.identity.uid()
                && last.generation == live.identity.meta.generation
                && desired.get("spec") == Some(&last.spec)
        })
    }

    /// Whether the leader with this UID may be out of date.
    #[must_use]
    pub fn is_doubted(&self, leader_uid: &str) -> bool {
        self.doubted.contains(leader_uid)
    }

    /// Whether the leader with this UID was waiting for a node while a pod of the former group of
    /// its name was there, which is gone.
    #[must_use]
    pub fn has_outlasted(&self, leader_uid: &str) -> bool {
        self.outlasting.contains(leader_uid)
    }

    /// Whether the worker with this UID is known to be gone, however long ago.
    #[must_use]
    pub fn is_gone(&self, worker_uid: &str) -> bool {
        self.gone.contains(worker_uid)
            || self.losses.iter().any(|loss| loss.pod.identity.uid() == worker_uid)
    }

    fn note_doubt<V: View>(&mut self, gone: &Arc<V>) {
        let Some(owner) = gone.identity().owner.as_ref().filter(|it| it.kind == "Pod") else {
            return;
        };
        if self.pods.get(&owner.name).is_some_and(|it| it.identity.uid() == owner.uid) {
            self.doubted.insert(owner.uid.clone());
        }
    }

    fn note_former_set(&mut self, gone: &Arc<StatefulSetView>) {
        self.note_doubt(gone);
        let owner = gone.identity.owner.as_ref().filter(|it| it.kind == "Pod");
        let former = owner.map(|it| (gone.identity.uid().to_owned(), it.uid.clone()));
        self.former_sets.extend(former);
    }

    fn is_empty(&self) -> bool {
        self.sets.is_empty()
            && self.stateful_sets.is_empty()
            && self.pods.is_empty()
            && self.services.is_empty()
            && self.revisions.is_empty()
            && self.pod_groups.is_empty()
    }

    /// Drops what was noted of groups that are gone or going.
    fn prune(&mut self) {
        let Self { doubted, former_sets, outlasting, gone, pods, stateful_sets, .. } = self;
        let is_there = |uid: &String| pods.values().any(|pod| pod.identity.uid() == uid);
        doubted.retain(is_there);
        outlasting.retain(is_there);
        former_sets.retain(|_, leader| is_there(leader));
        let records = || stateful_sets.values().filter_map(|it| it.members.as_deref());
        gone.retain(|uid| records().any(|it| it.contains(uid.as_str())));
        let mut losses = std::mem::take(&mut self.losses);
        if self.keeps_failing_pods() {
            losses.clear();
        }
        self.losses = losses
            .into_iter()
            .filter(|loss| {
                self.leader_of(&loss.pod).is_some_and(|leader| !leader.identity.is_terminating())
            })
            .collect();
    }

    /// Whether a failing pod leaves its group alone, so that nothing is made of it later either.
    fn keeps_failing_pods(&self) -> bool {
        let set = self.set().and_then(|view| view.set.as_ref().ok());
        set.is_some_and(|set| {
            set.spec.leader_worker_template.restart_policy() == RestartPolicy::None
        })
    }

    fn note_loss(&mut self, pod: &Arc<PodView>) {
        let alive = |leader: &Arc<PodView>| !leader.identity.is_terminating();
        if pod.is_leader() {
            return;
        }
        if self.leader_of(pod).is_some_and(alive) {
            self.losses.push(Loss { pod: pod.clone() });
            return;
        }
        let successor = names::parent_and_ordinal(pod.identity.name())
            .and_then(|(leader, _)| self.pods.get(leader))
            .filter(|it| it.node.is_none() && it.is_leader());
        self.outlasting.extend(successor.map(|it| it.identity.uid().to_owned()));
    }
}

/// A kind of object that the index stores.
pub trait Indexed: View {
    /// The objects of this kind in `entry`.
    fn objects(entry: &mut Entry) -> &mut Objects<Self>;
    /// What is known of this kind across sets.
    fn kind(kinds: &mut Kinds) -> &mut KindState;
    /// Called after `gone` has left `entry`.
    fn removed(_entry: &mut Entry, _gone: &Arc<Self>) {}
}

/// What is known of one kind across sets.
#[derive(Debug, Default)]
pub struct KindState {
    /// The highest resource version that the watch has delivered.
    watched: u64,
    /// Which set each object is filed under, by namespace and name.
    homes: HashMap<(Arc<str>, String), SetKey>,
    /// During a relist: the objects that are known to exist.
    listed: Option<HashSet<(Arc<str>, String)>>,
}

/// [`KindState`] of every kind.
#[derive(Debug, Default)]
pub struct Kinds {
    sets: KindState,
    stateful_sets: KindState,
    pods: KindState,
    services: KindState,
    revisions: KindState,
    pod_groups: KindState,
}

macro_rules! indexed {
    ($view:ty, $field:ident $(, $removed:expr)?) => {
        impl Indexed for $view {
            fn objects(entry: &mut Entry) -> &mut Objects<Self> {
                &mut entry.$field
            }
            fn kind(kinds: &mut Kinds) -> &mut KindState {
                &mut kinds.$field
            }
            $(fn removed(entry: &mut Entry, gone: &Arc<Self>) {
                let removed: fn(&mut Entry, &Arc<Self>) = $removed;
                removed(entry, gone);
            })?
        }
    };
}

indexed!(SetView, sets);
indexed!(StatefulSetView, stateful_sets, Entry::note_former_set);
indexed!(PodView, pods, Entry::note_loss);
indexed!(ServiceView, services);
indexed!(RevisionView, revisions);
indexed!(PodGroupView, pod_groups, Entry::note_doubt);

/// What is known of every set.
#[derive(Debug, Default)]
pub struct Index {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<SetKey, Arc<Mutex<Entry>>>,
    kinds: Kinds,
}

impl Index {
    /// Takes in an object from a watch stream; gives the sets that are concerned. Nobody is by what
    /// the answer to a write of ours has shown already.
    pub fn observed<V: Indexed>(&self, object: V) -> Vec<SetKey> {
        let mut inner = self.lock();
        let version = object.identity().version();
        let place = place(&object);
        let state = V::kind(&mut inner.kinds);
        state.watched = state.watched.max(version);
        if let Some(listed) = &mut state.listed {
            listed.insert(place);
        }
        if inner.knows(&object) { Vec::new() } else { inner.store(object) }
    }

    /// Takes in the answer to a write of ours; gives whether it was news.
    pub fn written<V: Indexed>(&self, object: V) -> bool {
        let mut inner = self.lock();
        let place = place(&object);
        let state = V::kind(&mut inner.kinds);
        let known = state.homes.contains_key(&place);
        if !known && object.identity().version() <= state.watched {
            return false;
        }
        if let Some(listed) = &mut state.listed {
            listed.insert(place);
        }
        !inner.store(object).is_empty()
    }

    /// Takes in a deletion; gives the set that is concerned.
    pub fn deleted<V: Indexed>(&self, object: &V) -> Option<SetKey> {
        let mut inner = self.lock();
        let state = V::kind(&mut inner.kinds);
        state.watched = state.watched.max(object.identity().version());
        inner.remove::<V>(&place(object), Some(object.identity().uid()))
    }

    /// Takes in the answer to an apply of `desired`.
    pub fn applied(&self, desired: &Value, answer: StatefulSetView) {
        let set = answer.set_name().map(|name| SetKey::new(answer.identity.namespace(), name));
        let last_apply = LastApply {
            spec: desired.get("spec").cloned().unwrap_or_default(),
            uid: answer.identity.uid().to_owned(),
            generation: answer.identity.meta.generation,
        };
        self.written(answer);
        if let Some(entry) = set.and_then(|key| self.entry(&key)) {
            lock(&entry).last_apply = Some(last_apply);
        }
    }

    /// Takes in what was found when the pod `name` with `uid` was read anew; `None` when there is
    /// none of that name.
    pub fn confirmed(&self, key: &SetKey, name: &str, uid: &str, found: Option<PodView>) {
        // One that has lost its label has left its group.
        let is_there =
            found.as_ref().is_some_and(|it| it.identity.uid() == uid && it.set.is_some());
        match found {
            Some(pod) => {
                self.written(pod);
            }
            None => self.forget::<PodView>(&key.namespace, name, uid),
        }
        if let Some(entry) = self.entry(key) {
            let mut entry = lock(&entry);
            entry.doubted.remove(uid);
            if !is_there {
                entry.gone.insert(uid.to_owned());
            }
        }
    }

    /// Takes note that the server says the object with `uid` is gone.
    pub fn forget<V: Indexed>(&self, namespace: &str, name: &str, uid: &str) {
        self.lock().remove::<V>(&(namespace.into(), name.to_owned()), Some(uid));
    }

    /// Begins a relist of a kind: what [`Self::observed`] does not name until
    /// [`Self::relist_done`] no longer exists.
    pub fn relist_started<V: Indexed>(&self) {
        V::kind(&mut self.lock().kinds).listed = Some(HashSet::new());
    }

    /// Ends a relist; gives the sets that lost objects.
    pub fn relist_done<V: Indexed>(&self) -> Vec<SetKey> {
        let mut inner = self.lock();
        let state = V::kind(&mut inner.kinds);
        let Some(listed) = state.listed.take() else { return Vec::new() };
        let gone: Vec<_> =
            state.homes.keys().filter(|place| !listed.contains(*place)).cloned().collect();
        gone.into_iter().filter_map(|place| inner.remove::<V>(&place, None)).collect()
    }

    /// The sets of which anything is known.
    #[must_use]
    pub fn sets(&self) -> Vec<SetKey> {
        self.lock().entries.keys().cloned().collect()
    }

    /// The entry of a set; `None` when nothing is known of it. Lock it briefly and never across an
    /// await.
    #[must_use]
    pub fn entry(&self, key: &SetKey) -> Option<Arc<Mutex<Entry>>> {
        self.lock().entries.get(key).cloned()
    }

    /// Calls `read` with the entry of a set after dropping what no longer matters in it.
    pub fn read<T>(&self, key: &SetKey, read: impl FnOnce(&Entry) -> T) -> Option<T> {
        let entry = self.entry(key)?;
        let mut entry = lock(&entry);
        entry.prune();
        Some(read(&entry))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

/// A mutex is poisoned when a thread panicked while it held it. The data are plain values that
/// are whole after every statement, so they are used on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Place = (Arc<str>, String);

fn place<V: View>(object: &V) -> Place {
    let identity = object.identity();
    (identity.namespace().into(), identity.name().to_owned())
}

impl Inner {
    /// Whether this very version of `object` is stored.
    fn knows<V: Indexed>(&mut self, object: &V) -> bool {
        let place = place(object);
        let identity = object.identity();
        let home = V::kind(&mut self.kinds).homes.get(&place);
        let Some(entry) = home.and_then(|key| self.entries.get(key)) else { return false };
        let mut entry = lock(entry);
        V::objects(&mut entry).get(&place.1).is_some_and(|it| {
            it.identity().uid() == identity.uid()
                && it.identity().version() == identity.version()
                && identity.version() > 0
        })
    }

    /// Files `object` under its set unless a newer version is there; gives the sets concerned.
    fn store<V: Indexed>(&mut self, object: V) -> Vec<SetKey> {
        let place = place(&object);
        let mut concerned = Vec::new();
        let Some(key) = object.set_name().map(|name| SetKey::new(&place.0, name)) else {
            concerned.extend(self.remove::<V>(&place, None));
            return concerned;
        };
        let home = V::kind(&mut self.kinds).homes.get(&place).cloned();
        if home.is_some_and(|home| home != key) {
            concerned.extend(self.remove::<V>(&place, None));
        }
        let entry = self.entries.entry(key.clone()).or_default().clone();
        let mut entry = lock(&entry);
        let stored = V::objects(&mut entry).get(&place.1);
        if stored.is_some_and(|it| it.identity().version() > object.identity().version()) {
            return concerned;
        }
        let replaced = stored.filter(|it| it.identity().uid() != object.identity().uid()).cloned();
        V::objects(&mut entry).insert(place.1.clone(), Arc::new(object));
        if let Some(replaced) = replaced {
            V::removed(&mut entry, &replaced);
        }
        V::kind(&mut self.kinds).homes.insert(place, key.clone());
        concerned.push(key);
        concerned
    }

    /// Removes what is filed at `place` when it has `uid` (whatever it is when `uid` is `None`).
    fn remove<V: Indexed>(&mut self, place: &Place, uid: Option<&str>) -> Option<SetKey> {
        let key = V::kind(&mut self.kinds).homes.get(place)?.clone();
        let shared = self.entries.get(&key)?.clone();
        let mut entry = lock(&shared);
        let stored = V::objects(&mut entry).get(&place.1)?;
        if uid.is_some_and(|uid| stored.identity().uid() != uid) {
            return None;
        }
        let gone = V::objects(&mut entry).remove(&place.1)?;
        V::removed(&mut entry, &gone);
        V::kind(&mut self.kinds).homes.remove(place);
        if entry.is_empty() {
            self.entries.remove(&key);
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, uid: &str, version: u64, owner: Option<(&str, &str, &str)>) -> PodView {
        let owners = owner.map(|(kind, name, uid)| {
            json!([{"kind": kind, "name": name, "uid": uid, "controller": true}])
        });
        let worker = if name.matches('-').count() == 1 { "0" } else { "1" };
        serde_json::from_value(json!({"metadata": {
            "name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string(),
            "labels": {
                "leaderworkerset.sigs.k8s.io/name": "s",
                "leaderworkerset.sigs.k8s.io/worker-index": worker,
            },
            "ownerReferences": owners.unwrap_or_else(|| json!([])),
        }}))
        .unwrap()
    }

    fn stateful_set(name: &str, uid: &str, owner: (&str, &str, &str)) -> StatefulSetView {
        let (kind, owner_name, owner_uid) = owner;
        serde_json::from_value(json!({"metadata": {
            "name": name, "namespace": "n", "uid": uid, "resourceVersion": "1",
            "labels": {"leaderworkerset.sigs.k8s.io/name": "s"},
            "ownerReferences": [{"kind": kind, "name": owner_name, "uid": owner_uid, "controller": true}],
        }}))
        .unwrap()
    }

    fn key() -> SetKey {
        SetKey::new("n", "s")
    }

    fn uid_of(index: &Index, pod: &str) -> Option<String> {
        index.read(&key(), |it| it.pods.get(pod).map(|it| it.identity.uid().to_owned())).flatten()
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let index = Index::default();
        assert_eq!(index.observed(pod("s-0", "b", 20, None)), [key()]);
        assert!(index.observed(pod("s-0", "a", 10, None)).is_empty());
        assert_eq!(uid_of(&index, "s-0").as_deref(), Some("b"));
    }

    #[test]
    fn a_late_deletion_of_the_former_pod_leaves_its_successor() {
        let index = Index::default();
        index.observed(pod("s-0", "b", 20, None));
        assert_eq!(index.deleted(&pod("s-0", "a", 15, None)), None);
        assert_eq!(uid_of(&index, "s-0").as_deref(), Some("b"));
        assert_eq!(index.deleted(&pod("s-0", "b", 21, None)), Some(key()));
        assert!(index.entry(&key()).is_none(), "an empty entry is dropped");
    }

    #[test]
    fn the_answer_to_a_write_does_not_bring_back_what_was_deleted_meanwhile() {
        let index = Index::default();
        index.observed(pod("s-1", "other", 30, None));
        assert!(!index.written(pod("s-0", "a", 25, None)), "the watch is past 25 without it");
        assert!(index.written(pod("s-0", "a", 31, None)));
        assert!(index.written(pod("s-1", "other", 30, None)), "a known object is refreshed");
    }

    #[test]
    fn the_watch_repeats_an_answer_without_concerning_anybody() {
        let index = Index::default();
        index.written(pod("s-0", "a", 10, None));
        assert!(index.observed(pod("s-0", "a", 10, None)).is_empty());
        assert_eq!(index.observed(pod("s-0", "a", 11, None)), [key()]);
        assert_eq!(index.observed(pod("s-0", "b", 12, None)), [key()]);
    }

    #[test]
    fn a_relist_removes_what_it_does_not_name_but_not_what_was_written_meanwhile() {
        let index = Index::default();
        index.observed(pod("s-0", "a", 1, None));
        index.observed(pod("s-1", "b", 2, None));
        index.relist_started::<PodView>();
        index.observed(pod("s-0", "a", 1, None));
        index.written(pod("s-2", "c", 9, None));
        assert_eq!(index.relist_done::<PodView>(), [key()]);
        let names = index.read(&key(), |it| it.pods.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names.unwrap(), ["s-0", "s-2"]);
    }

    #[test]
    fn a_worker_that_vanishes_from_a_living_group_is_a_loss_until_the_leader_goes() {
        let index = Index::default();
        let worker = |uid, version| pod("s-0-1", uid, version, Some(("StatefulSet", "s-0", "w")));
        index.observed(pod("s-0", "l", 1, Some(("StatefulSet", "s", "ls"))));
        index.observed(stateful_set("s-0", "w", ("Pod", "s-0", "l")));
        index.observed(worker("x", 2));
        // Replaced under the same name before anyone looked.
        index.observed(worker("y", 3));
        let losses = |index: &Index| index.read(&key(), |it| it.losses.len()).unwrap();
        assert_eq!(losses(&index), 1);
        let mut leader = pod("s-0", "l", 4, Some(("StatefulSet", "s", "ls")));
        leader.identity.meta.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            ));
        index.observed(leader);
        assert_eq!(losses(&index), 0);
        index.deleted(&worker("y", 5));
        assert_eq!(losses(&index), 0, "workers of a group that is going are no losses");
    }

    #[test]
    fn a_recorded_worker_is_gone_when_it_is_not_found_as_the_same_pod_of_its_set() {
        let owner = Some(("StatefulSet", "s-0", "w"));
        let mut unlabelled = pod("s-0-1", "x", 9, owner);
        unlabelled.set = None;
        for (found, gone) in [
            (None, true),
            (Some(pod("s-0-1", "y", 9, owner)), true),
            (Some(unlabelled), true),
            (Some(pod("s-0-1", "x", 9, owner)), false),
        ] {
            let index = Index::default();
            let mut worker_set = stateful_set("s-0", "w", ("Pod", "s-0", "l"));
            worker_set.members = Some("1:x".into());
            index.observed(worker_set);
            index.confirmed(&key(), "s-0-1", "x", found.clone());
            let is_gone = || index.read(&key(), |it| it.is_gone("x")).unwrap();
            assert_eq!(is_gone(), gone, "{found:?}");
            // With the record goes what was found about it.
            let mut worker_set = stateful_set("s-0", "v", ("Pod", "s-0", "k"));
            worker_set.identity.meta.resource_version = Some("10".into());
            index.observed(worker_set);
            assert!(!is_gone());
        }
    }

    #[test]
    fn an_object_that_changes_its_set_leaves_the_former_one() {
        let index = Index::default();
        index.observed(pod("s-0", "a", 1, None));
        let mut moved = pod("s-0", "a", 2, None);
        moved.set = Some("t".into());
        assert_eq!(index.observed(moved), [key(), SetKey::new("n", "t")]);
        assert!(index.entry(&key()).is_none());
    }
}

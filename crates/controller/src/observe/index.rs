//! Everything that is known of each set, kept current by watch events and by the answers to our
//! own writes.
//!
//! Both sources may arrive in either order. The rules that keep them consistent:
//! - an object replaces a stored one only when its resource version is not older;
//! - a deletion removes only the UID it names;
//! - the answer to a write is ignored when the watch has already passed its version without the
//!   object being there: it has been deleted since.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::entry::{Entry, LastApply, Objects};
use super::views::{
    PodGroupView, PodView, RevisionView, ServiceView, SetView, StatefulSetView, View,
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

/// Whom an observation concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    /// The sets.
    pub sets: Vec<SetKey>,
    /// Whether nothing is to be done at once: they may wait for more of its kind.
    pub may_wait: bool,
}

impl Concerned {
    fn add(&mut self, key: SetKey, may_wait: bool) {
        self.may_wait = may_wait && (self.may_wait || self.sets.is_empty());
        self.sets.push(key);
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
    /// Whether an object in `entry` is on its way out with what it belongs to, as was to be
    /// expected.
    fn leaves(_entry: &Entry, _object: &Self) -> bool {
        false
    }
}

/// How much is kept of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Plural name of the kind.
    pub resource: &'static str,
    /// How many objects.
    pub objects: usize,
    /// What they take in memory, in bytes and about.
    pub bytes: usize,
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
    ($view:ty, $field:ident $(, removed: $removed:expr)? $(, leaves: $leaves:expr)?) => {
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
            $(fn leaves(entry: &Entry, object: &Self) -> bool {
                let leaves: fn(&Entry, &Self) -> bool = $leaves;
                leaves(entry, object)
            })?
        }
    };
}

indexed!(SetView, sets, removed: Entry::set_removed);
indexed!(StatefulSetView, stateful_sets, removed: Entry::stateful_set_removed);
indexed!(PodView, pods, removed: Entry::pod_removed, leaves: Entry::is_leaving);
indexed!(ServiceView, services);
indexed!(RevisionView, revisions);
indexed!(PodGroupView, pod_groups, removed: Entry::pod_group_removed);

/// What is known of every set.
#[derive(Debug, Default)]
pub struct Index {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<SetKey, Arc<Mutex<Entry>>>,
    kinds: Kinds,
    /// Whether a pod of a worker `StatefulSet` was ever there.
    shows_workers: bool,
}

impl Index {
    /// Takes in an object from a watch stream; gives whom it concerns. Nobody is concerned by what
    /// the answer to a write of ours has shown already, nor by a change of nothing that is kept.
    pub fn observed<V: Indexed>(&self, object: V) -> Concerned {
        let mut inner = self.lock();
        let version = object.identity().version();
        let place = place(&object);
        let state = V::kind(&mut inner.kinds);
        state.watched = state.watched.max(version);
        if let Some(listed) = &mut state.listed {
            listed.insert(place);
        }
        if inner.knows(&object) { Concerned::default() } else { inner.store(object) }
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
        !inner.store(object).sets.is_empty()
    }

    /// Takes in a deletion; gives whom it concerns.
    pub fn deleted<V: Indexed>(&self, object: &V) -> Concerned {
        let mut inner = self.lock();
        let state = V::kind(&mut inner.kinds);
        state.watched = state.watched.max(object.identity().version());
        inner.remove::<V>(&place(object), Some(object.identity().uid()))
    }

    /// Takes in the answer to an apply of `desired`.
    pub fn applied(&self, desired: &Value, answer: StatefulSetView) {
        let set = answer.set_name().map(|name| SetKey::new(answer.identity.namespace(), name));
        let last_apply = LastApply::of(desired, &answer);
        self.written(answer);
        if let Some(entry) = set.and_then(|key| self.entry(&key)) {
            lock(&entry).set_last_apply(last_apply);
        }
    }

    /// Takes in what was found when the pod `name` with `uid`, or one that begins with it, was read
    /// anew; `None` when there is none of that name.
    pub fn confirmed(&self, key: &SetKey, name: &str, uid: &str, found: Option<PodView>) {
        // One without the label of the set has left its group.
        let is_it = |it: &PodView| {
            it.identity.uid().starts_with(uid) && it.set.as_deref() == Some(&*key.name)
        };
        let is_there = found.as_ref().is_some_and(is_it);
        match found {
            Some(pod) => {
                self.written(pod);
            }
            None => self.forget::<PodView>(&key.namespace, name, uid),
        }
        if let Some(entry) = self.entry(key) {
            lock(&entry).confirmed(name, uid, is_there);
        }
    }

    /// Takes in the set as it was read anew.
    pub fn set_confirmed(&self, found: SetView) {
        let identity = &found.identity;
        let key = SetKey::new(identity.namespace(), identity.name());
        let uid = identity.uid().to_owned();
        self.written(found);
        if let Some(entry) = self.entry(&key) {
            lock(&entry).set_confirmed(&uid);
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
    pub fn relist_done<V: Indexed>(&self) -> Concerned {
        let mut inner = self.lock();
        let state = V::kind(&mut inner.kinds);
        let Some(listed) = state.listed.take() else { return Concerned::default() };
        let gone: Vec<_> =
            state.homes.keys().filter(|place| !listed.contains(*place)).cloned().collect();
        let sets = gone.into_iter().filter_map(|place| inner.take::<V>(&place, None));
        Concerned { sets: sets.map(|(key, _)| key).collect(), may_wait: false }
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

    /// How much of each kind is kept. Looks at every object, which is for whoever asks and not for
    /// every event.
    #[must_use]
    pub fn kept(&self) -> [Kept; 6] {
        let mut inner = self.lock();
        [
            inner.kept::<SetView>("leaderworkersets"),
            inner.kept::<StatefulSetView>("statefulsets"),
            inner.kept::<PodView>("pods"),
            inner.kept::<ServiceView>("services"),
            inner.kept::<RevisionView>("controllerrevisions"),
            inner.kept::<PodGroupView>("podgroups"),
        ]
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
    fn kept<V: Indexed>(&mut self, resource: &'static str) -> Kept {
        let of_set = |entry: &Arc<Mutex<Entry>>| -> usize {
            V::objects(&mut lock(entry)).values().map(|it| it.bytes()).sum()
        };
        let bytes = self.entries.values().map(of_set).sum();
        Kept { resource, objects: V::kind(&mut self.kinds).homes.len(), bytes }
    }

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

    /// Files `object` under its set unless a newer version is there; gives whom it concerns.
    fn store<V: Indexed>(&mut self, object: V) -> Concerned {
        let place = place(&object);
        let Some(key) = object.set_name().map(|name| SetKey::new(&place.0, name)) else {
            return self.remove::<V>(&place, None);
        };
        let home = V::kind(&mut self.kinds).homes.get(&place).cloned();
        let mut concerned = if home.is_some_and(|home| home != key) {
            self.remove::<V>(&place, None)
        } else {
            Concerned::default()
        };
        let entry = self.entries.entry(key.clone()).or_default().clone();
        let mut entry = lock(&entry);
        self.shows_workers |= object.is_of_worker_set();
        if self.shows_workers {
            entry.show_workers();
        }
        let before = V::objects(&mut entry).get(&place.1).cloned();
        if before.as_ref().is_some_and(|it| it.identity().version() > object.identity().version()) {
            return concerned;
        }
        if before.as_deref() != Some(&object) {
            let may_wait = object.may_wait(before.as_deref()) || V::leaves(&entry, &object);
            concerned.add(key.clone(), may_wait);
        }
        let replaced = before.filter(|it| it.identity().uid() != object.identity().uid());
        V::objects(&mut entry).insert(place.1.clone(), Arc::new(object));
        if let Some(replaced) = replaced {
            V::removed(&mut entry, &replaced);
        }
        V::kind(&mut self.kinds).homes.insert(place, key);
        concerned
    }

    /// Removes what is filed at `place` when it has `uid` (whatever it is when `uid` is `None`);
    /// gives whom that concerns.
    fn remove<V: Indexed>(&mut self, place: &Place, uid: Option<&str>) -> Concerned {
        let mut concerned = Concerned::default();
        if let Some((key, leaves)) = self.take::<V>(place, uid) {
            concerned.add(key, leaves);
        }
        concerned
    }

    /// Takes out what is filed at `place`; gives its set, and whether that was to be expected.
    fn take<V: Indexed>(&mut self, place: &Place, uid: Option<&str>) -> Option<(SetKey, bool)> {
        let key = V::kind(&mut self.kinds).homes.get(place)?.clone();
        let shared = self.entries.get(&key)?.clone();
        let mut entry = lock(&shared);
        let stored = V::objects(&mut entry).get(&place.1)?;
        if uid.is_some_and(|uid| stored.identity().uid() != uid) {
            return None;
        }
        let gone = V::objects(&mut entry).remove(&place.1)?;
        let leaves = V::leaves(&entry, &gone);
        V::removed(&mut entry, &gone);
        V::kind(&mut self.kinds).homes.remove(place);
        if entry.is_empty() {
            self.entries.remove(&key);
        }
        Some((key, leaves))
    }
}

#[cfg(test)]
mod tests;

//! What is remembered of sets from one plan to the next, because the API does not tell it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;

use crate::observe::index::SetKey;
use crate::plan::shortage::Shortage;

/// Facts about sets: those of each set that has any, by what they are about.
#[derive(Debug)]
pub struct Kept<K, V> {
    sets: Mutex<HashMap<SetKey, Arc<BTreeMap<K, V>>>>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { sets: Mutex::default() }
    }
}

impl<K: Ord, V> Kept<K, V> {
    /// Those of a set.
    #[must_use]
    pub fn of(&self, key: &SetKey) -> Arc<BTreeMap<K, V>> {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    /// These are the present ones of a set.
    pub fn replace(&self, key: &SetKey, present: BTreeMap<K, V>) {
        let mut sets = self.lock();
        if present.is_empty() {
            sets.remove(key);
        } else {
            sets.insert(key.clone(), Arc::new(present));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SetKey, Arc<BTreeMap<K, V>>>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept<String, Shortage> {
    /// It was asked why the `StatefulSet` with `uid` lacks pods, and this was found.
    pub fn explained(&self, key: &SetKey, uid: &str, reason: Option<String>, now: Timestamp) {
        let mut sets = self.lock();
        if let Some(shortage) = sets.get_mut(key).and_then(|it| Arc::make_mut(it).get_mut(uid)) {
            shortage.asked = Some(now);
            shortage.reason = reason;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::shortage::Shortages;

    #[test]
    fn a_shortage_is_remembered_until_it_is_over() {
        let (known, key) = (Kept::default(), SetKey::new("n", "s"));
        let begins = Shortage { since: Timestamp::UNIX_EPOCH, asked: None, reason: None };
        let present = Shortages::from([("u".to_owned(), begins)]);
        known.replace(&key, present.clone());
        assert_eq!(*known.of(&key), present);
        assert_eq!(*known.of(&SetKey::new("n", "t")), Shortages::new());
        known.explained(&key, "u", Some("quota".to_owned()), Timestamp::UNIX_EPOCH);
        assert_eq!(known.of(&key)["u"].reason.as_deref(), Some("quota"));
        known.replace(&key, Shortages::new());
        known.explained(&key, "u", Some("quota".to_owned()), Timestamp::UNIX_EPOCH);
        assert!(known.lock().is_empty());
    }
}

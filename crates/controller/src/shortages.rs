//! What is remembered of `StatefulSet`s that are short of pods, from one look at a set to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;

use crate::observe::index::SetKey;
use crate::plan::shortage::Shortages;

/// The shortages of each set that has any.
#[derive(Debug, Default)]
pub struct KnownShortages {
    sets: Mutex<HashMap<SetKey, Arc<Shortages>>>,
}

impl KnownShortages {
    /// Those of a set.
    #[must_use]
    pub fn of(&self, key: &SetKey) -> Arc<Shortages> {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    /// These are the present ones of a set.
    pub fn replace(&self, key: &SetKey, present: Shortages) {
        let mut sets = self.lock();
        if present.is_empty() {
            sets.remove(key);
        } else {
            sets.insert(key.clone(), Arc::new(present));
        }
    }

    /// It was asked why the `StatefulSet` with `uid` lacks pods, and this was found.
    pub fn explained(&self, key: &SetKey, uid: &str, reason: Option<String>, now: Timestamp) {
        let mut sets = self.lock();
        if let Some(shortage) = sets.get_mut(key).and_then(|it| Arc::make_mut(it).get_mut(uid)) {
            shortage.asked = Some(now);
            shortage.reason = reason;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SetKey, Arc<Shortages>>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::shortage::Shortage;

    #[test]
    fn a_shortage_is_remembered_until_it_is_over() {
        let (known, key) = (KnownShortages::default(), SetKey::new("n", "s"));
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

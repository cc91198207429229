//! What happened in a run: every change of every object, in the order in which it was stored, and what was done to
//! cause it.
//!
//! | module | owns |
//! |---|---|
//! | `object` | what is known of an object |
//! | `state` | all objects at one moment |
//! | `timeline` | what something was like, and when |
//! | `blindness` | when the controller could not know what happens |

mod blindness;
#[cfg(test)]
pub(crate) mod made_up;
mod object;
mod state;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use blindness::{Blindness, Hidden};
pub(crate) use object::{Kind, Object};
pub(crate) use state::State;
pub(crate) use timeline::Timeline;

/// A change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Since the run began.
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// `None` when it is gone.
    pub(crate) object: Option<Arc<Object>>,
}

/// What happened in a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) changes: Vec<Change>,
    /// UIDs of pods that somebody else has deleted.
    pub(crate) deleted: BTreeSet<String>,
    pub(crate) blindness: Blindness,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// When.
    pub(crate) at: Duration,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(at: Duration, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

impl History {
    /// Calls `look` with each change and all objects as they were before it.
    pub(crate) fn replay(&self, mut look: impl FnMut(&State, &Change)) {
        let mut state = State::default();
        for change in &self.changes {
            look(&state, change);
            state.apply(change);
        }
    }

    /// Whether somebody else has deleted this pod: a user, or Kubernetes because of its node.
    pub(crate) fn is_harmed(&self, pod: &Object) -> bool {
        self.deleted.contains(&pod.uid) || pod.is_evicted()
    }

    /// The objects after the last change.
    pub(crate) fn end(&self) -> State {
        let mut state = State::default();
        self.changes.iter().for_each(|change| state.apply(change));
        state
    }

    /// Every object that there ever was, by UID, as it was last.
    pub(crate) fn all(&self) -> BTreeMap<&str, &Object> {
        self.changes.iter().filter_map(|it| it.object.as_deref()).map(|it| (&*it.uid, it)).collect()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "at {:.2} s: {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:8.2}  {:?} {}", self.at.as_secs_f64(), self.kind, self.name)?;
        match &self.object {
            Some(object) => write!(out, "  {object}"),
            None => out.write_str("  gone"),
        }
    }
}

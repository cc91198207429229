//! Permission to write, asked before every write.

use std::fmt;
use std::sync::Arc;

/// Whether this process may write now. Asked anew before every write, so that a process which was
/// stopped and woke up as a former leader writes nothing.
#[derive(Clone)]
pub struct Guard(Arc<dyn Fn() -> bool + Send + Sync>);

impl Guard {
    /// A guard that asks `is_valid`.
    pub fn new(is_valid: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_valid))
    }

    /// Whether this process may write now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Guard({})", self.is_valid())
    }
}

//! Saying how an object differs from what is expected.

use std::fmt::Debug;

/// What differs from what is expected, one line each.
#[derive(Debug, Default)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Adds a line unless `seen` equals `expected`.
    #[expect(clippy::needless_pass_by_value, reason = "callers compute what they compare")]
    pub fn same<T: Debug + PartialEq>(&mut self, what: &str, seen: T, expected: T) {
        if seen != expected {
            self.0.push(format!("{what}: expected {expected:?}, seen {seen:?}"));
        }
    }

    /// The lines as an error, if there are any.
    pub fn into_result(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.0.is_empty(), "{}", self.0.join("; "));
        Ok(())
    }
}

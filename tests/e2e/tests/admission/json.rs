//! Changes of JSON documents.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A JSON pointer, and the value that shall be there.
pub(crate) type Change = (&'static str, Value);

/// `document` with the changes; null removes what is there. The parents must exist.
pub(crate) fn with(mut document: Value, changes: &[Change]) -> Result<Value> {
    for (pointer, value) in changes {
        put(&mut document, pointer, value.clone())?;
    }
    Ok(document)
}

/// Puts `value` at `pointer`, or removes what is there if it is null. The parent must be an object.
pub(crate) fn put(document: &mut Value, pointer: &str, value: Value) -> Result<()> {
    let (parent, key) = pointer.rsplit_once('/').context("a JSON pointer begins with a slash")?;
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut);
    let parent = parent.with_context(|| format!("no object holds {pointer}"))?;
    let key = key.replace("~1", "/").replace("~0", "~");
    if value.is_null() {
        parent.remove(&key);
    } else {
        parent.insert(key, value);
    }
    Ok(())
}

/// Fails with the differences between `found` and `expected`, if there are any.
pub(crate) fn ensure_equal(found: &Value, expected: &Value) -> Result<()> {
    let differences = json_patch::diff(expected, found);
    anyhow::ensure!(differences.is_empty(), "from expected to found: {differences}");
    Ok(())
}

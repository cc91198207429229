//! JSON Patch (RFC 6902) as the list of changes that were decided, written as they are added.

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// What a patch may take as JSON, in bytes: no API server takes a larger object from its clients.
pub(crate) const PATCH_LIMIT: usize = 3 * 1024 * 1024;

/// A JSON Patch. Serialised as base64, the form in which an admission response carries it.
#[derive(Clone, Default)]
pub struct Patch {
    /// The whole document, or nothing as long as there is no operation.
    json: Vec<u8>,
    count: u32,
}

#[derive(Serialize)]
struct Operation<'a, V: ?Sized> {
    op: &'static str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a V>,
}

impl Patch {
    /// A patch with room for `bytes` of JSON.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { json: Vec::with_capacity(bytes), count: 0 }
    }

    /// Gives the field at JSON pointer `path` this value, whether it had one or not; inserts into
    /// a list. The parent must exist.
    ///
    /// Fails when `value` cannot be written as JSON, and with an error of I/O when the patch is too
    /// long.
    pub fn add<V: Serialize + ?Sized>(
        &mut self,
        path: &str,
        value: &V,
    ) -> Result<(), serde_json::Error> {
        self.push(&Operation { op: "add", path, value: Some(value) })
    }

    /// Removes what is at JSON pointer `path`, which must exist.
    pub fn remove(&mut self, path: &str) -> Result<(), serde_json::Error> {
        self.push(&Operation::<()> { op: "remove", path, value: None })
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of operations.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The patch as a JSON document.
    #[must_use]
    pub fn as_json(&self) -> &[u8] {
        if self.json.is_empty() { b"[]" } else { &self.json }
    }

    /// Bytes of the serialised form.
    pub(crate) fn encoded_len(&self) -> usize {
        self.as_json().len().div_ceil(3) * 4 + 2
    }

    fn push<V: Serialize + ?Sized>(
        &mut self,
        operation: &Operation<'_, V>,
    ) -> Result<(), serde_json::Error> {
        match self.json.last_mut() {
            Some(end) => *end = b',',
            None => self.json.push(b'['),
        }
        serde_json::to_writer(Bounded(&mut self.json), operation)?;
        self.json.push(b']');
        self.count += 1;
        Ok(())
    }
}

/// Appends as long as there is less than [`PATCH_LIMIT`].
struct Bounded<'a>(&'a mut Vec<u8>);

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PATCH_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Serialize for Patch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.encoded_len());
        text.push('"');
        STANDARD.encode_string(self.as_json(), &mut text);
        text.push('"');
        // Base64 has nothing to escape, and looking for it took a fifth of the time of a long
        // patch.
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_json()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn operations_are_written_in_order() {
        let mut patch = Patch::default();
        assert_eq!(patch.as_json(), b"[]");
        assert!(patch.is_empty());
        patch.add("/metadata/labels/a~1b", "quote \" and \u{1}").unwrap();
        patch.add("/spec/list/-", &json!({"k": [1]})).unwrap();
        patch.remove("/spec/list/0").unwrap();
        assert_eq!(patch.count(), 3);
        assert_eq!(
            serde_json::from_slice::<Value>(patch.as_json()).unwrap(),
            json!([
                {"op": "add", "path": "/metadata/labels/a~1b", "value": "quote \" and \u{1}"},
                {"op": "add", "path": "/spec/list/-", "value": {"k": [1]}},
                {"op": "remove", "path": "/spec/list/0"},
            ])
        );
        assert_eq!(
            serde_json::to_value(Patch::default()).unwrap(),
            json!("W10="),
            "base64 of the document"
        );
    }

    #[test]
    fn patches_end_somewhere() {
        let mut patch = Patch::default();
        let value = "x".repeat(PATCH_LIMIT / 2);
        patch.add("/a", &value).unwrap();
        assert!(patch.add("/b", &value).unwrap_err().is_io());
    }
}

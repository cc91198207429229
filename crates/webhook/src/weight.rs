//! What the values of a JSON document take in memory once they are decoded. A few bytes of text can
//! become hundreds: `{"":0}` is a node of a tree.

/// A list or an object that is not empty, with room for its first entries.
const CONTAINER: usize = 640;

/// A further entry, in memory that grows by doubling.
const ENTRY: usize = 128;

/// A string, besides its bytes.
const STRING: usize = 32;

/// The bytes that a tree of all values in `json` takes, estimated from above. `json` need not be
/// valid: what follows the first fault is not decoded.
pub(crate) fn weight(json: &[u8]) -> usize {
    let mut weight = json.len();
    let mut bytes = json.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).peekable();
    while let Some(byte) = bytes.next() {
        weight += match byte {
            b'{' | b'[' if !matches!(bytes.peek(), Some(b'}' | b']')) => CONTAINER,
            b',' => ENTRY,
            b'"' => {
                skip_string(&mut bytes);
                STRING
            }
            _ => 0,
        };
    }
    weight
}

/// Reads on behind the end of a string that has begun.
fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_text_is_not() {
        for (json, expected) in [
            ("", 0),
            ("12345", 0),
            (r#""a,b[{\"c,""#, STRING),
            (r#""\\",1"#, STRING + ENTRY),
            ("[ ]", 0),
            ("{\n}", 0),
            ("[1, 2, 3]", CONTAINER + 2 * ENTRY),
            (r#"{"a": {}, "b": [[]]}"#, 2 * CONTAINER + ENTRY + 2 * STRING),
            (r#"["unfinished"#, CONTAINER + STRING),
        ] {
            assert_eq!(weight(json.as_bytes()), expected + json.len(), "{json}");
        }
    }
}

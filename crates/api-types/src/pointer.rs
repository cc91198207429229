//! JSON pointers (RFC 6901).

use std::borrow::Cow;

/// A key as one segment of a JSON pointer.
#[must_use]
pub fn escape(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) {
        Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_escaped() {
        for (key, segment) in [("a", "a"), ("a/b", "a~1b"), ("~/", "~0~1"), ("~1", "~01")] {
            assert_eq!(escape(key), segment);
        }
    }
}

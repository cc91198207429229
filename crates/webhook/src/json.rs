//! Decoding of just the fields that are read, borrowed from the request body.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Deref;

use serde::Deserialize;

/// Bytes of an error's text.
const TEXT_LIMIT: usize = 1024;

/// A JSON string, borrowed unless it contains escapes.
///
/// `Option<Cow<str>>` would always copy: serde borrows only a field that is itself a `Cow`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Why a document could not be decoded: the path of the field, where it has one, and what is wrong
/// with it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DecodeError(String);

/// Decodes `json`. The path of a wrong field is looked for only after decoding has failed.
pub(crate) fn decode<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(json).map_err(|error| {
        let error = shortened(&error);
        let mut again = serde_json::Deserializer::from_slice(json);
        let located = serde_path_to_error::deserialize::<_, T>(&mut again).err();
        DecodeError(located.map_or(error, |located| shortened(&located)))
    })
}

/// The text of an error, which may quote what was sent: a string of any length, and several times
/// that when its characters are escaped.
fn shortened(error: &dyn fmt::Display) -> String {
    let mut text = Shortened(String::new());
    // Ends early with an error: the text is complete then.
    let _ = write!(text, "{error}");
    text.0
}

/// At most so many bytes of `text`.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

struct Shortened(String);

impl fmt::Write for Shortened {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = TEXT_LIMIT.saturating_sub(self.0.len());
        if piece.len() <= room {
            self.0.push_str(piece);
            return Ok(());
        }
        self.0.push_str(cut(piece, room));
        self.0.push('…');
        Err(fmt::Error)
    }
}

/// Declares a struct of some fields of a JSON object, each with its key, which may be a constant.
///
/// The other fields of the object are skipped, a field that is absent or null has the default of
/// its type, and anything but an object is an error. (With serde's derive, a list would do too.)
macro_rules! object {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident<$lifetime:lifetime> {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $type:ty = $key:pat,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        $visibility struct $name<$lifetime> {
            $($(#[$field_attribute])* $field_visibility $field: $type,)*
        }

        impl<'de: $lifetime, $lifetime> serde::Deserialize<'de> for $name<$lifetime> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name<'de>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<$crate::json::Text<'de>>()? {
                            match &*key {
                                $($key => {
                                    object.$field = map.next_value::<Option<_>>()?.unwrap_or_default();
                                })*
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_map(Visitor)
            }
        }
    };
}

pub(crate) use object;

#[cfg(test)]
mod tests {
    use super::*;

    object! {
        struct Document<'a> {
            list: Option<Vec<Text<'a>>> = "list",
            number: u8 = "number",
        }
    }

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        let document: Document<'_> = decode(br#"{"list": ["plain", "a\nb"], "more": {}}"#).unwrap();
        let list = document.list.unwrap();
        assert!(matches!(list[0].0, Cow::Borrowed("plain")));
        assert!(matches!(&list[1].0, Cow::Owned(text) if text == "a\nb"));
        assert_eq!(document.number, 0);
    }

    #[test]
    fn errors_are_short() {
        let json = format!(r#"{{"list": "{}"}}"#, "\u{7f}".repeat(100_000));
        let error = decode::<Document<'_>>(json.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(r#"list: invalid type: string "\u{7f}\u{7f}"#), "{error}");
        assert!(error.len() <= TEXT_LIMIT + "…".len(), "{}", error.len());
    }

    #[test]
    fn errors_name_the_field() {
        for (json, expected) in [
            (r#"{"list": ["a", 5]}"#, "list[1]: invalid type: integer `5`, expected a string"),
            (r#"{"list": {}}"#, "list: invalid type: map, expected a sequence"),
            (r"[[], 5]", "invalid type: sequence, expected an object"),
            (r#"{"number": null, "list"#, "EOF while parsing"),
            (r#"{"list": null} trailing"#, "trailing characters"),
            ("", "EOF while parsing a value"),
        ] {
            let error = decode::<Document<'_>>(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }
}

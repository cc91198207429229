//! Values as Go's typed structs hold and encode them, driven by a table of the types: unknown
//! fields are dropped, structs that are no pointers are written even when empty, quantities and
//! times get their canonical form.
//!
//! A value of the wrong type counts as absent. The API server has validated the object, and Go
//! could not have read it at all. Numbers are not checked against the width of their type.

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::go_json::{number_text, write_list, write_map, write_number, write_string, write_value};
use crate::quantity;

/// A Go type.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// An integer of any width.
    Number,
    Text,
    /// `resource.Quantity`
    Quantity,
    /// `intstr.IntOrString`
    IntOrString,
    /// `metav1.Time`
    Time,
    /// Untyped JSON.
    Json,
    /// A struct.
    Object(Fields),
    /// A slice.
    List(&'static Kind),
    /// A map from strings.
    Map(&'static Kind),
}

/// The fields of a struct, sorted by name.
pub(super) type Fields = &'static [Field];

/// A field of a struct.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    written: Written,
}

/// When a field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Even when absent, as the zero of its type.
    Always,
    /// When it is not the zero of its type.
    Set,
    /// When it is there, zero or not: an optional pointer.
    Present,
    /// Even when absent, as null: a pointer that is not optional.
    Nullable,
}

pub(super) const fn always(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, written: Written::Always }
}

pub(super) const fn set(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, written: Written::Set }
}

pub(super) const fn present(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, written: Written::Present }
}

pub(super) const fn nullable(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, written: Written::Nullable }
}

/// Writes the struct that `object` decodes to; the empty struct when it is absent.
pub(super) fn write_object(out: &mut String, fields: Fields, object: Option<&Map<String, Value>>) {
    let mut separator = "{\"";
    for Field { name, kind, written } in fields {
        let value = object.and_then(|it| it.get(*name)).filter(|it| kind.accepts(it));
        let is_written = match written {
            Written::Always | Written::Nullable => true,
            Written::Present => value.is_some(),
            Written::Set => value.is_some_and(|it| !is_empty(it)),
        };
        if !is_written {
            continue;
        }
        out.push_str(separator);
        separator = ",\"";
        out.push_str(name);
        out.push_str("\":");
        match value {
            None if *written == Written::Nullable => out.push_str("null"),
            _ => kind.write(out, value),
        }
    }
    out.push_str(if separator == "{\"" { "{}" } else { "}" });
}

/// Whether a value of the right type is what Go leaves out as empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

impl Kind {
    /// Whether `value` decodes to something other than the zero that stands for absence.
    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::Quantity | Self::IntOrString => value.is_string() || value.is_number(),
            Self::Time => time_text(value).is_some(),
            Self::Json => !value.is_null(),
            Self::Object(_) | Self::Map(_) => value.is_object(),
            Self::List(_) => value.is_array(),
        }
    }

    /// Writes `value`, or the zero of the type when it is absent or of another type.
    pub(super) fn write(self, out: &mut String, value: Option<&Value>) {
        match (self, value) {
            (Self::Bool, Some(Value::Bool(true))) => out.push_str("true"),
            (Self::Bool, _) => out.push_str("false"),
            (Self::Text | Self::IntOrString, Some(Value::String(text))) => write_string(out, text),
            (Self::Text, _) => out.push_str("\"\""),
            (Self::Number | Self::IntOrString, Some(Value::Number(it))) => write_number(out, it),
            (Self::Number | Self::IntOrString, _) => out.push('0'),
            (Self::Quantity, it) => write_string(out, &quantity_text(it)),
            (Self::Object(fields), it) => write_object(out, fields, it.and_then(Value::as_object)),
            (Self::List(element), Some(Value::Array(list))) => {
                write_list(out, list, |out, it| element.write(out, Some(it)));
            }
            (Self::Map(member), Some(Value::Object(map))) => {
                write_map(out, map, |out, it| member.write(out, Some(it)));
            }
            (Self::Json, Some(it)) => write_value(out, it),
            (Self::Time, it) => match it.and_then(time_text) {
                Some(text) => write_string(out, &text),
                None => out.push_str("null"),
            },
            (Self::List(_) | Self::Map(_) | Self::Json, _) => out.push_str("null"),
        }
    }
}

/// The canonical text of a quantity; what is none stays as it is written, so that a change of it
/// is seen.
fn quantity_text(value: Option<&Value>) -> Cow<'_, str> {
    let text = match value {
        Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
        Some(Value::Number(number)) => Cow::Owned(number_text(number)),
        _ => Cow::Borrowed("0"),
    };
    quantity::canonical(&text).map_or(text, Cow::Owned)
}

/// The text of a time in UTC and whole seconds; `None` for what is no time, and for the first
/// second of the year 1, Go's zero.
fn time_text(value: &Value) -> Option<String> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    let text = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    (text != "0001-01-01T00:00:00Z").then_some(text)
}

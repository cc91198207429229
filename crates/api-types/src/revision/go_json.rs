//! The text that Go's `encoding/json` gives to strings, numbers and untyped values.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// Writes a JSON string. Besides what JSON demands, Go escapes what HTML and JavaScript read
/// otherwise.
pub(super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some((plain, tail)) = rest.find(is_escaped).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(plain);
        let mut chars = tail.chars();
        if let Some(escaped) = chars.next() {
            write_escape(out, escaped);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn is_escaped(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

fn write_escape(out: &mut String, character: char) {
    match character {
        '"' | '\\' => out.extend(['\\', character]),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a String does not fail.
        _ => _ = write!(out, "\\u{:04x}", u32::from(character)),
    }
}

/// Writes a number as Go does after it has been a 64-bit float, where integers beyond 2^53 lose
/// their last digits.
pub(super) fn write_number(out: &mut String, number: &Number) {
    // Only numbers of arbitrary precision, which are not in use, may be no float.
    let float = number.as_f64().unwrap_or_default();
    let magnitude = float.abs();
    // Writing to a String does not fail.
    _ = if magnitude < 1e21 && (magnitude >= 1e-6 || magnitude == 0.0) {
        write!(out, "{float}")
    } else if magnitude < 1.0 {
        write!(out, "{float:e}")
    } else {
        out.write_str(&format!("{float:e}").replace('e', "e+"))
    };
}

/// The text that the API server gives to a number: 64-bit integers are exact, all others are
/// floats.
pub(crate) fn number_text(number: &Number) -> String {
    if number.is_i64() {
        return number.to_string();
    }
    let mut text = String::new();
    write_number(&mut text, number);
    text
}

/// Writes an object whose keys are sorted bytewise, each member by `write_member`.
pub(super) fn write_map(
    out: &mut String,
    map: &Map<String, Value>,
    mut write_member: impl FnMut(&mut String, &Value),
) {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (position, (key, value)) in members.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_member(out, value);
    }
    out.push('}');
}

/// Writes an array, each element by `write_element`.
pub(super) fn write_list(
    out: &mut String,
    list: &[Value],
    mut write_element: impl FnMut(&mut String, &Value),
) {
    out.push('[');
    for (position, value) in list.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_element(out, value);
    }
    out.push(']');
}

/// Writes a value of unknown type.
pub(super) fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(list) => write_list(out, list, write_value),
        Value::Object(map) => write_map(out, map, write_value),
    }
}

//! Rejections of a field, in the words that Kubernetes' own validation uses.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// Why one field is rejected. Displays as Kubernetes prints field errors, for example
/// `spec.replicas: Invalid value: -1: replicas must be equal or greater than 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    path: Cow<'static, str>,
    fault: Fault,
    detail: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Required,
    Invalid(Value),
    Unsupported(Value),
    TooLong,
}

impl FieldError {
    /// The field must have a value. `detail` may be empty.
    #[must_use]
    pub fn required(
        path: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { path: path.into(), fault: Fault::Required, detail: detail.into() }
    }

    /// The field must not have this value.
    #[must_use]
    pub fn invalid(
        path: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { path: path.into(), fault: Fault::Invalid(value.into()), detail: detail.into() }
    }

    /// The field must have one of the `supported` values.
    #[must_use]
    pub fn unsupported(
        path: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
        supported: &[&str],
    ) -> Self {
        let quoted: Vec<_> = supported.iter().map(|it| format!("\"{it}\"")).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        Self { path: path.into(), fault: Fault::Unsupported(value.into()), detail: detail.into() }
    }

    /// The field must not be longer than `limit` bytes; its value is not printed.
    pub(super) fn too_long(path: impl Into<Cow<'static, str>>, limit: usize) -> Self {
        let detail = format!("may not be more than {limit} bytes");
        Self { path: path.into(), fault: Fault::TooLong, detail: detail.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.fault {
            Fault::Required => write!(f, "Required value")?,
            Fault::Invalid(value) => write!(f, "Invalid value: {value}")?,
            Fault::Unsupported(value) => write!(f, "Unsupported value: {value}")?,
            Fault::TooLong => write!(f, "Too long")?,
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl std::error::Error for FieldError {}

/// All errors as one message: one error stands alone, several are `[e1, e2]` without duplicates.
/// Empty when there are none.
#[must_use]
pub fn aggregate<E: fmt::Display>(errors: &[E]) -> String {
    let mut texts = Vec::with_capacity(errors.len());
    for text in errors.iter().map(ToString::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let joined = texts.join(", ");
    if texts.len() > 1 { format!("[{joined}]") } else { joined }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_read_as_those_of_kubernetes() {
        for (error, text) in [
            (FieldError::required("a.b", ""), "a.b: Required value"),
            (FieldError::required("a.b", "why"), "a.b: Required value: why"),
            (FieldError::invalid("a", -1, "why"), "a: Invalid value: -1: why"),
            (FieldError::invalid("a", "x\"y", "why"), r#"a: Invalid value: "x\"y": why"#),
            (FieldError::invalid("a", Value::Null, "why"), "a: Invalid value: null: why"),
            (FieldError::invalid("a", json!([{"b": 1}]), "w"), r#"a: Invalid value: [{"b":1}]: w"#),
            (
                FieldError::unsupported("a", "x", &["A", "B"]),
                r#"a: Unsupported value: "x": supported values: "A", "B""#,
            ),
            (FieldError::too_long("a", 256), "a: Too long: may not be more than 256 bytes"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn several_errors_are_listed_once_each() {
        let [one, two] = ["1", "2"].map(|detail| FieldError::required("a", detail));
        assert_eq!(aggregate::<FieldError>(&[]), "");
        assert_eq!(aggregate(std::slice::from_ref(&one)), "a: Required value: 1");
        assert_eq!(aggregate(&[one.clone(), one.clone()]), "a: Required value: 1");
        assert_eq!(
            aggregate(&[two.clone(), one.clone(), two]),
            "[a: Required value: 2, a: Required value: 1]"
        );
    }
}

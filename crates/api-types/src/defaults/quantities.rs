//! Quantities that are written as numbers. The schema takes texts and integers; of `cpu: 0.5` it
//! takes what it means, `500m`.

use serde_json::Value;

use crate::quantity;
use crate::revision::{go_json, visit_quantities};

/// The largest integer of which the API server knows that it is one when it holds it as a float.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Gives `change` the JSON pointer and the canonical text of each quantity in the templates of a
/// set that is a number which the schema refuses. What stands for no quantity is left to it. Ends
/// with the first error.
pub fn quantities<E>(
    set: &Value,
    mut change: impl FnMut(&str, &str) -> Result<(), E>,
) -> Result<(), E> {
    visit_quantities(set, |pointer, value| match text(value) {
        Some(text) => change(pointer, &text),
        None => Ok(()),
    })
}

/// The canonical text of a number that is no integer, nor looks like one once it has been a float.
fn text(value: &Value) -> Option<String> {
    let Value::Number(number) = value else { return None };
    let float = number.as_f64()?;
    if float.fract() == 0.0 && float.abs() <= MAX_SAFE_INTEGER {
        return None;
    }
    quantity::canonical(&go_json::number_text(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::quantity::Quantity;

    #[test]
    fn numbers_become_texts_where_the_schema_refuses_them() {
        for (value, expected) in [
            ("0.5", Some("500m")),
            ("1.5", Some("1500m")),
            ("-0.25", Some("-250m")),
            ("5e-1", Some("500m")),
            ("1e-30", Some("1e-9")),
            ("1e20", Some("100E")),
            ("1e+300", Some("1e+300")),
            // The API server sends floats without a fraction as integers.
            ("10000000000000000", Some("10P")),
            ("18446744073709551615", Some("18446744073709552k")),
            ("0", None),
            ("4", None),
            ("-4", None),
            ("4.0", None),
            ("1e3", None),
            ("9007199254740991", None),
            ("\"0.5\"", None),
            ("\"nonsense\"", None),
            ("null", None),
            ("true", None),
            ("[0.5]", None),
            ("{\"a\":0.5}", None),
        ] {
            let value = serde_json::from_str(value).unwrap();
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn only_the_numbers_are_changed() {
        let set = json!({"spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {
            "containers": [{"resources": {
                "limits": {"cpu": 0.5, "memory": "1024Mi", "example.com/a": 2},
                "requests": {"example.com/b": 2.5, "cpu": "0.5"},
            }}],
            "terminationGracePeriodSeconds": 0.5,
        }}}}});
        let mut changes = Vec::new();
        let end: Result<(), ()> = quantities(&set, |pointer, text| {
            changes.push((pointer.to_owned(), text.to_owned()));
            Ok(())
        });
        assert_eq!(end, Ok(()));
        let resources = "/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0/resources";
        assert_eq!(
            changes,
            [
                (format!("{resources}/limits/cpu"), "500m".to_owned()),
                (format!("{resources}/requests/example.com~1b"), "2500m".to_owned()),
            ]
        );
    }

    proptest! {
        #[test]
        fn texts_stand_for_the_number_and_stay(float in any::<f64>().prop_filter("JSON", |it| it.is_finite())) {
            let number = json!(float);
            if let Some(canonical) = text(&number) {
                let amount = |it: &Value| Quantity::from_json(it).map(|it| it.in_exponent_format().to_string());
                prop_assert_eq!(amount(&json!(canonical)), amount(&number));
                prop_assert_eq!(text(&json!(canonical)), None);
            }
        }
    }
}

//! `maxUnavailable` and `maxSurge`: a number of groups, or a percentage of `spec.replicas`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How a percentage that is not a whole number of groups is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero: `maxUnavailable`.
    Down,
    /// Away from zero: `maxSurge`.
    Up,
}

/// `value` as a number of groups, where a percentage is relative to `total`.
///
/// `None` when a string is not digits followed by `%`, or the number does not fit 64 bits.
/// 64-bit arithmetic throughout: `total` may exceed what admission allows, because writes to the
/// scale subresource do not pass it.
#[must_use]
pub fn scaled(value: &IntOrString, total: i64, rounding: Rounding) -> Option<i64> {
    match value {
        IntOrString::Int(number) => Some(i64::from(*number)),
        IntOrString::String(text) => {
            let product = percent(text)?.checked_mul(total)?;
            Some(match rounding {
                Rounding::Down => product.div_euclid(100),
                Rounding::Up => product.checked_add(99)?.div_euclid(100),
            })
        }
    }
}

/// The number in front of `%`; `None` when `text` is not digits followed by `%`.
#[must_use]
pub fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_scale_and_round() {
        for (text, total, down, up) in [
            ("25%", 2, 0, 1),
            ("50%", 2, 1, 1),
            ("25%", 0, 0, 0),
            ("100%", 7, 7, 7),
            ("1%", 1_000_000, 10_000, 10_000),
            ("0%", 5, 0, 0),
        ] {
            let value = IntOrString::String(text.into());
            assert_eq!(scaled(&value, total, Rounding::Down), Some(down), "{text} of {total}");
            assert_eq!(scaled(&value, total, Rounding::Up), Some(up), "{text} of {total}");
        }
        assert_eq!(scaled(&IntOrString::Int(-1), 4, Rounding::Up), Some(-1));
    }

    #[test]
    fn what_is_no_percentage_has_no_value() {
        for text in ["", "%", "5", "+5%", "-5%", "5 %", "1.5%", "99999999999999999999%"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }
}

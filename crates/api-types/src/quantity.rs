//! Resource quantities: the syntax, the arithmetic and the canonical form of the Kubernetes Go
//! type `resource.Quantity`, digit for digit.
//!
//! The Go type has numbers of any length; here a quantity that needs more than 38 digits, zeros at the end
//! of a decimal one aside, is none.

use std::fmt;

use serde_json::Value;

use crate::revision::go_json;

/// Power of ten of the smallest amount; what is finer is rounded away from zero.
const NANO: i64 = -9;

/// The most that a binary quantity amounts to when it is parsed; a larger one is cut.
const BINARY_MAX: u128 = i64::MAX.unsigned_abs() as u128;

/// The canonical text of a quantity, as the Go type encodes what it decoded from `text`: `0.5` is
/// `500m`, `1024Mi` is `1Gi`. `None` when `text` is no quantity.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let literal = Literal::split(text)?;
    if literal.is_kept() {
        return Some(text.to_owned());
    }
    Some(literal.quantity()?.to_string())
}

/// An amount of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    mantissa: i128,
    /// Power of ten, not below [`NANO`].
    exponent: i64,
    format: Format,
}

/// How a quantity was written, and is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `5M`
    Decimal,
    /// `5e6`
    Exponent,
    /// `5Mi`
    Binary,
}

impl Quantity {
    /// The quantity that `text` stands for; `None` when it stands for none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Literal::split(text)?.quantity()
    }

    /// The quantity of a JSON string or number; `None` when the value stands for none.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&go_json::number_text(number)),
            _ => None,
        }
    }

    /// The sum, in the format of `self`, or of `other` when `self` is zero. `None` when it needs
    /// too many digits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.mantissa == 0 {
            return Some(other);
        }
        if other.mantissa == 0 {
            return Some(self);
        }
        let exponent = self.exponent.min(other.exponent);
        let mantissa = self.mantissa_at(exponent)?.checked_add(other.mantissa_at(exponent)?)?;
        Some(Self { mantissa, exponent, format: self.format })
    }

    /// The quantity `times` times. `None` when it needs too many digits.
    #[must_use]
    pub fn checked_mul(self, times: i64) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_mul(times.into())?, ..self })
    }

    /// The larger one, as it is; `self` of equal ones. `None` when comparing needs too many digits.
    #[must_use]
    pub fn checked_max(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let is_less = self.mantissa_at(exponent)? < other.mantissa_at(exponent)?;
        Some(if is_less { other } else { self })
    }

    /// The same amount in exponent format, in which equal amounts have equal texts.
    #[must_use]
    pub fn in_exponent_format(self) -> Self {
        Self { format: Format::Exponent, ..self }
    }

    /// The mantissa of the same amount with a power of ten that is not higher.
    fn mantissa_at(self, exponent: i64) -> Option<i128> {
        if self.mantissa == 0 {
            return Some(0);
        }
        let zeros = u32::try_from(self.exponent - exponent).ok()?;
        self.mantissa.checked_mul(10_i128.checked_pow(zeros)?)
    }

    /// The amount as an integer; `None` when it is none.
    pub(crate) fn integer(self) -> Option<i128> {
        if self.exponent >= 0 {
            return self.mantissa_at(0);
        }
        let one = 10_i128.checked_pow(u32::try_from(-self.exponent).ok()?)?;
        (self.mantissa % one == 0).then_some(self.mantissa / one)
    }
}

impl fmt::Display for Quantity {
    /// Writes the canonical form: no fraction, and the largest suffix that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mantissa == 0 {
            return f.write_str("0");
        }
        // Small or broken binary amounts are written in decimal.
        if self.format == Format::Binary
            && let Some(integer) = self.integer().filter(|it| it.unsigned_abs() >= 1024)
        {
            let (amount, power) = without_factors(integer, 1024);
            return write!(f, "{amount}{}", binary_suffix(power));
        }
        let (amount, zeros) = without_factors(self.mantissa, 10);
        let exponent = self.exponent + zeros;
        // Suffixes stand for powers of a thousand.
        let beyond = exponent.rem_euclid(3);
        let padding = match beyond {
            0 => "",
            1 => "0",
            _ => "00",
        };
        write!(f, "{amount}{padding}")?;
        match (self.format, exponent - beyond) {
            (_, 0) => Ok(()),
            (Format::Exponent, exponent) => write!(f, "e{exponent}"),
            (_, exponent) => f.write_str(decimal_suffix(exponent)),
        }
    }
}

/// `number` divided by `factor` as often as it is a multiple, and how often that is.
fn without_factors(mut number: i128, factor: i128) -> (i128, i64) {
    let mut times = 0;
    while number != 0 && number % factor == 0 {
        number /= factor;
        times += 1;
    }
    (number, times)
}

/// The suffix of a power of ten. The Go type writes none for powers that have no suffix.
fn decimal_suffix(exponent: i64) -> &'static str {
    match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    }
}

/// The suffix of a power of 1024; none for powers that have no suffix.
fn binary_suffix(power: i64) -> &'static str {
    match power {
        1 => "Ki",
        2 => "Mi",
        3 => "Gi",
        4 => "Ti",
        5 => "Pi",
        6 => "Ei",
        _ => "",
    }
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of ten, and whether it was written as an exponent.
    Ten { exponent: i32, format: Format },
    /// A power of 1024.
    Kibi(u32),
}

impl Scale {
    fn of(suffix: &str) -> Option<Self> {
        if let Some(power) = (1..=6).find(|power| binary_suffix((*power).into()) == suffix) {
            return Some(Self::Kibi(power));
        }
        let exponents = (-9..=18).step_by(3);
        if let Some(exponent) = exponents.clone().find(|it| decimal_suffix((*it).into()) == suffix)
        {
            return Some(Self::Ten { exponent, format: Format::Decimal });
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        Some(Self::Ten { exponent, format: Format::Exponent })
    }
}

/// The parts of a quantity as it is written.
struct Literal<'a> {
    negative: bool,
    /// Digits in front of the point, without leading zeros.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    scale: Scale,
}

impl<'a> Literal<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (digits, rest) = split_digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        if digits.is_empty() && fraction.is_empty() {
            return None;
        }
        Some(Self {
            negative: text.starts_with('-'),
            whole: digits.trim_start_matches('0'),
            fraction,
            scale: Scale::of(suffix)?,
        })
    }

    /// Whether the Go type keeps the text instead of writing the quantity anew. Its test is a
    /// shortcut that takes some texts for canonical which are not, such as `+5Mi` and `1.500`.
    fn is_kept(&self) -> bool {
        let digits = self.whole.len() + self.fraction.len();
        match self.scale {
            Scale::Ten { exponent, .. } => {
                let exponent = self.exponent(exponent);
                let all_digits = || self.whole.bytes().chain(self.fraction.bytes());
                digits <= 18
                    && exponent >= NANO
                    && exponent % 3 == 0
                    && !self.whole.is_empty()
                    && !(digits >= 3 && all_digits().skip(digits - 3).all(|digit| digit == b'0'))
            }
            Scale::Kibi(power) => {
                let whole: Option<u64> = self.whole.parse().ok();
                self.fraction.is_empty()
                    && digits + 3 * power as usize <= 14
                    && whole.is_some_and(|whole| whole % 8 != 0)
            }
        }
    }

    fn quantity(&self) -> Option<Quantity> {
        let digits = || self.whole.bytes().chain(self.fraction.bytes());
        let (amount, exponent, format) = match self.scale {
            Scale::Ten { exponent, format } => {
                // So that canonical texts, which may end in zeros, have no more digits to hold.
                let zeros = digits().rev().take_while(|it| *it == b'0').count();
                let significant = self.whole.len() + self.fraction.len() - zeros;
                let exponent = self.exponent(exponent) + i64::try_from(zeros).ok()?;
                let (amount, exponent) = rounded_up(number(digits().take(significant))?, exponent);
                (amount, exponent, format)
            }
            Scale::Kibi(power) => {
                let amount = number(digits())?.checked_mul(1024_u128.checked_pow(power)?)?;
                let (amount, exponent) = rounded_up(amount, self.exponent(0));
                let one = 10_u128.checked_pow(u32::try_from(-exponent).ok()?)?;
                match amount / one {
                    0 => (amount, exponent, Format::Decimal),
                    integer if integer >= BINARY_MAX => (BINARY_MAX, 0, Format::Binary),
                    _ => (amount, exponent, Format::Binary),
                }
            }
        };
        let amount = i128::try_from(amount).ok()?;
        let mantissa = if self.negative { -amount } else { amount };
        Some(Quantity { mantissa, exponent, format })
    }

    /// Power of ten of the last digit, given that of the suffix.
    fn exponent(&self, suffix: i32) -> i64 {
        i64::from(suffix) - i64::try_from(self.fraction.len()).unwrap_or(i64::MAX)
    }
}

/// The number that decimal digits stand for; `None` when it is too large.
fn number(mut digits: impl Iterator<Item = u8>) -> Option<u128> {
    digits.try_fold(0_u128, |number, digit| {
        number.checked_mul(10)?.checked_add((digit - b'0').into())
    })
}

/// `amount × 10^exponent` with no power of ten below [`NANO`].
fn rounded_up(amount: u128, exponent: i64) -> (u128, i64) {
    let excess = NANO - exponent;
    if excess <= 0 {
        return (amount, exponent);
    }
    // A power of ten out of range exceeds any amount.
    let divisor = u32::try_from(excess).ok().and_then(|it| 10_u128.checked_pow(it));
    (amount.div_ceil(divisor.unwrap_or(u128::MAX)), NANO)
}

/// The leading digits of `text`, and the rest.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_texts_are_those_of_the_go_type() {
        let vectors = include_str!("../testdata/quantities.tsv");
        let mut count = 0;
        for line in vectors.lines() {
            let (text, expected) = line.split_once('\t').unwrap();
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
            count += 1;
        }
        assert!(count > 2000, "{count}");
    }

    #[test]
    fn sums_are_those_of_the_go_type() {
        for line in include_str!("../testdata/quantity-sums.tsv").lines() {
            let [first, second, times, expected] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let sum = Quantity::parse(first)
                .and_then(|it| it.checked_mul(times.parse().unwrap()))
                .and_then(|it| it.checked_add(Quantity::parse(second)?));
            assert_eq!(sum.unwrap().to_string(), expected, "{first} × {times} + {second}");
        }
    }

    #[test]
    fn what_is_no_quantity_has_no_canonical_text() {
        for text in [
            "",
            "+",
            ".",
            "-.",
            "Ki",
            "k",
            "1 Gi",
            "1e",
            "1e1.5",
            "1e99999999999",
            "1KI",
            "1i",
            "0x1",
            "--1",
            "1..5",
            "1.5.",
            "½",
            "1é",
            "NaN",
            "1_000",
            "1mm",
            "1234567890123456789012345678901234567891",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn zeros_at_the_end_need_no_room() {
        let written = format!("{}00e-9", "9".repeat(37));
        assert_eq!(canonical(&format!("{}e-7", "9".repeat(37))), Some(written.clone()));
        assert_eq!(canonical(&written), Some(written.clone()));
        let many = format!("1{}", "0".repeat(60));
        assert_eq!(Quantity::parse(&many).unwrap().in_exponent_format().to_string(), "1e60");
    }

    #[test]
    fn json_numbers_are_quantities() {
        for (value, expected) in [
            (json!(4), Some("4")),
            (json!(0.5), Some("500m")),
            (json!(1e20), Some("100E")),
            (json!(-2.5), Some("-2500m")),
            (json!("1024Mi"), Some("1Gi")),
            (json!(null), None),
            (json!(true), None),
        ] {
            let text = Quantity::from_json(&value).map(|it| it.to_string());
            assert_eq!(text.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn sums_out_of_range_are_none() {
        let most = Quantity::parse("99999999999999999999999999999999999999").unwrap();
        assert_eq!(most.checked_mul(2), None);
        assert_eq!(most.checked_add(Quantity::parse("1m").unwrap()), None);
    }

    #[test]
    fn the_larger_one_is_kept_as_it_was_written() {
        for (first, second, expected) in [
            ("1", "1500m", Some("1500m")),
            ("2", "1500m", Some("2")),
            ("1Gi", "1000M", Some("1Gi")),
            ("1G", "1Gi", Some("1Gi")),
            ("1000m", "1", Some("1")),
            ("-1", "0", Some("0")),
            ("0e99", "1", Some("1")),
            ("99999999999999999999999999999999999999", "1m", None),
        ] {
            let [first, second] = [first, second].map(|it| Quantity::parse(it).unwrap());
            let larger = first.checked_max(second).map(|it| it.to_string());
            assert_eq!(larger.as_deref(), expected, "{first} and {second}");
        }
    }

    proptest! {
        #[test]
        fn canonical_texts_stay(
            text in r"[+-]?([0-9]{1,20}(\.[0-9]{0,12})?|\.[0-9]{1,12})([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?",
        ) {
            if let Some(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once), Some(once.clone()), "{}", text);
            }
        }

        #[test]
        fn any_text_is_taken(text in "\\PC{0,20}") {
            let _ = canonical(&text);
        }
    }
}

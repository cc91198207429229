//! Resource quantities, against what they amount to.
//!
//! The model reads what a quantity says with integers of any length and does not write any. All amounts are
//! in nano, the finest that there is.

use lws_api_types::quantity::{Quantity, canonical};
use num_bigint::{BigInt, Sign};

/// Digits that every quantity may have; those with more may be none.
const DIGITS: usize = 19;

/// Suffixes of powers of 1024, from the first.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Suffixes of powers of 1000, from the third part on.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The largest exponent that the model computes with.
const LARGEST_EXPONENT: u32 = 300;

/// Amounts with so many digits can be added, multiplied and compared; what has more may be too long.
const COMPUTED_DIGITS: u32 = 37;

/// Two lines, each a quantity or none.
pub fn quantity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(2, '\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    for text in [first, second] {
        verify(text);
    }
    if let (Some(first), Some(second)) = (Quantity::parse(first), Quantity::parse(second)) {
        verify_arithmetic(first, second);
    }
}

/// The canonical text is a short one of the same amount and stays as it is.
fn verify(text: &str) {
    let (canonical, parsed) = (canonical(text), Quantity::parse(text));
    assert_eq!(canonical.is_some(), parsed.is_some(), "{text:?}");
    let said = Said::of(text);
    let Some(canonical) = canonical else {
        let known = said.is_some_and(|it| it.digits <= DIGITS && it.exponent <= 0);
        assert!(!known, "{text:?} is a quantity");
        return;
    };
    let said = said.unwrap_or_else(|| panic!("{text:?} is no quantity, and {canonical:?} is not"));
    let written = Said::of(&canonical).unwrap_or_else(|| panic!("{text:?} as {canonical:?}"));
    if said.binary.is_some() && written.binary.is_none() {
        // Without a suffix it is read as a decimal one, as in Go, and written anew: `2.9296875Ki`, `3000`, `3k`.
        verify(&canonical);
    } else {
        let again = lws_api_types::quantity::canonical(&canonical);
        assert_eq!(again.as_ref(), Some(&canonical), "{text:?}");
        assert!(canonical == text || written.is_short(), "{text:?} as {canonical:?}");
    }
    let Some(amount) = said.amount().filter(|_| said.is_computed()) else { return };
    assert_eq!(parsed.and_then(exact).as_ref(), Some(&amount), "{text:?}");
    // Decimal quantities beyond the largest suffix lose it, as they do in Go.
    let is_beyond = amount.magnitude() >= BigInt::from(10).pow(9 + 21).magnitude();
    if said.is_exponent || !is_beyond {
        let kept = written.amount();
        assert_eq!(kept, Some(amount), "{text:?} as {canonical:?}");
    }
}

/// Sums, multiples and the larger one amount to what they should.
fn verify_arithmetic(first: Quantity, second: Quantity) {
    let (Some(one), Some(other)) = (exact(first), exact(second)) else { return };
    let most = BigInt::from(10).pow(COMPUTED_DIGITS);
    let must_be = [&one, &other].into_iter().all(|it| it.magnitude() < most.magnitude());
    let is = |computed: Option<Quantity>, expected: &BigInt| match computed {
        Some(quantity) => {
            assert_eq!(exact(quantity).as_ref(), Some(expected), "{first} and {second}");
        }
        None => assert!(!must_be, "{first} and {second}: {expected}"),
    };
    is(first.checked_add(second), &(&one + &other));
    is(second.checked_add(first), &(&one + &other));
    is(first.checked_max(second), (&one).max(&other));
    for times in [0, 1, -3] {
        is(first.checked_mul(times), &(&one * times));
    }
}

/// What a quantity amounts to: in exponent format nothing is lost.
fn exact(quantity: Quantity) -> Option<BigInt> {
    Said::of(&quantity.in_exponent_format().to_string())?.amount()
}

/// What a text says.
struct Said {
    negative: bool,
    /// All digits as one number.
    number: BigInt,
    digits: usize,
    /// The power of ten of the last digit.
    exponent: i64,
    /// The power of 1024 of a binary quantity.
    binary: Option<u32>,
    /// Whether it is written as a power of ten.
    is_exponent: bool,
    /// Whether it is written without a point.
    is_whole: bool,
}

impl Said {
    /// `None` when it is no quantity: a sign, digits with at most one point among them, a suffix.
    fn of(text: &str) -> Option<Self> {
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let is_suffix = |it: char| !it.is_ascii_digit() && it != '.';
        let end = unsigned.find(is_suffix).unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{part}");
        if digits.is_empty() || part.contains('.') {
            return None;
        }
        let place = |suffixes: &[&str]| suffixes.iter().position(|it| *it == suffix);
        let (mut exponent, mut binary, mut is_exponent) = (0, None, false);
        if let Some(place) = place(&BINARY) {
            binary = Some(u32::try_from(place + 1).ok()?);
        } else if let Some(place) = place(&DECIMAL) {
            exponent = 3 * i64::try_from(place).ok()? - 9;
        } else {
            exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?.into();
            is_exponent = true;
        }
        Some(Self {
            negative,
            number: digits.parse().ok()?,
            digits: digits.trim_start_matches('0').len(),
            exponent: exponent - i64::try_from(part.len()).ok()?,
            binary,
            is_exponent,
            is_whole: !number.contains('.'),
        })
    }

    /// Whether the model can compute with it however it is written.
    fn is_computed(&self) -> bool {
        let zeros = u32::try_from(self.exponent.max(0)).unwrap_or(u32::MAX);
        let digits = u32::try_from(self.digits).unwrap_or(u32::MAX);
        // Amounts are in nano.
        digits.saturating_add(zeros).saturating_add(9) <= LARGEST_EXPONENT
    }

    /// Whether it has no fraction, and the largest suffix that loses nothing.
    fn is_short(&self) -> bool {
        let (step, is_largest) = match self.binary {
            Some(power) => (1024, power == 6),
            None => (1000, !self.is_exponent && self.exponent == 18),
        };
        let is_multiple = (&self.number % BigInt::from(step)).sign() == Sign::NoSign;
        let is_zero = self.number.sign() == Sign::NoSign;
        self.is_whole && (is_zero || is_largest || !is_multiple)
    }

    /// The amount in nano; what is finer is rounded away from zero, and what a binary one has beyond
    /// 64 bits is cut. `None` when it is too much for this model.
    fn amount(&self) -> Option<BigInt> {
        let factor = BigInt::from(1024).pow(self.binary.unwrap_or_default());
        let exponent = self.exponent + 9;
        let ten = |exponent: i64| {
            let exponent = u32::try_from(exponent).ok().filter(|it| *it <= LARGEST_EXPONENT)?;
            Some(BigInt::from(10).pow(exponent))
        };
        let mut amount = &self.number * factor;
        if amount.sign() == Sign::NoSign {
            return Some(amount);
        }
        if exponent >= 0 {
            amount *= ten(exponent)?;
        } else {
            let divisor = ten(-exponent)?;
            amount = (amount + &divisor - 1_u32) / divisor;
        }
        if self.binary.is_some() {
            amount = amount.min(BigInt::from(i64::MAX) * 1_000_000_000_u32);
        }
        Some(if self.negative { -amount } else { amount })
    }
}

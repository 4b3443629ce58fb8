//! From a unit that a sender uses to the canonical one.

/// A unit in which values of a metric are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedUnit {
    /// As senders write it, compared byte by byte.
    pub name: Box<str>,
    /// The way to the canonical unit.
    pub conversion: Conversion,
}

/// How a value becomes canonical.
///
/// Built from whole numbers where the ratio is one (`/ 60`, not `* 0.016…`), so that a conversion rounds as rarely as
/// it can: a division once, and is left as it is. Of a product, what binary fractions leave behind is rounded off at the
/// fifteenth digit, so that an spo2 of 0.58 is 58.0 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Conversion {
    /// It is the canonical unit, by this or another name: the value stays as it is.
    Same,
    /// `value * times / over`
    Scaled {
        /// Numerator.
        times: f64,
        /// Denominator, not 0.
        over: f64,
    },
    /// `(value - minus) * times / over + plus`
    Linear {
        /// Taken off first.
        minus: f64,
        /// Numerator.
        times: f64,
        /// Denominator, not 0.
        over: f64,
        /// Added last.
        plus: f64,
    },
}

impl Conversion {
    /// `value * factor`
    pub const fn times(factor: f64) -> Self {
        Self::Scaled { times: factor, over: 1.0 }
    }

    /// `value / divisor`
    pub const fn over(divisor: f64) -> Self {
        Self::Scaled { times: 1.0, over: divisor }
    }

    /// `value * factor + offset`, as the configuration says it. A factor that is the nearest f64 to 1/n for a whole n
    /// divides by n, which rounds once instead of twice.
    #[expect(clippy::float_cmp, reason = "exact equality is what is asked")]
    pub fn linear(factor: f64, offset: f64) -> Self {
        let divisor = factor.recip().round();
        let is_whole_part = divisor.is_finite() && divisor != 0.0 && divisor.recip() == factor;
        let (times, over) = if is_whole_part { (1.0, divisor) } else { (factor, 1.0) };
        match (factor == 1.0, offset == 0.0) {
            (true, true) => Self::Same,
            (_, true) => Self::Scaled { times, over },
            (_, false) => Self::Linear { minus: 0.0, times, over, plus: offset },
        }
    }

    /// The value in the canonical unit.
    #[inline]
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::Same => value,
            Self::Scaled { times: 1.0, over } => value / over,
            Self::Scaled { times, over } => fifteen_digits(value * times / over),
            Self::Linear { minus, times, over, plus } => (value - minus) * times / over + plus,
        }
    }
}

/// Rounds to fifteen significant digits, the most that every decimal number keeps through an f64.
#[expect(clippy::cast_possible_truncation, reason = "the logarithm of an f64 lies within ±324")]
fn fifteen_digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits_after_point = 14 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits_after_point.abs());
    let rounded =
        if digits_after_point >= 0 { (value * scale).round() / scale } else { (value / scale).round() * scale };
    if rounded.is_finite() { rounded } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "exact equality is what is promised")]
    fn converted_values_are_what_a_person_would_write() {
        let fahrenheit = Conversion::Linear { minus: 32.0, times: 5.0, over: 9.0, plus: 0.0 };
        assert_eq!(fahrenheit.apply(98.6), 37.0);
        for percent in 30..=100 {
            let percent = f64::from(percent);
            assert_eq!(Conversion::times(100.0).apply(percent / 100.0), percent);
        }
        assert_eq!(Conversion::over(3.0).apply(1.0), 1.0 / 3.0);
        for extreme in [0.0, -0.0, f64::MIN_POSITIVE, 1e-300, 1e300, f64::MAX, f64::INFINITY] {
            let back = Conversion::times(1.0).apply(extreme);
            assert!(back == extreme || (back / extreme - 1.0).abs() < 1e-14, "{extreme} became {back}");
        }
    }
}

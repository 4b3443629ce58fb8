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
/// it can: once for a ratio with one whole side, else twice or three times.
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
            Self::Scaled { times, over } => value * times / over,
            Self::Linear { minus, times, over, plus } => (value - minus) * times / over + plus,
        }
    }
}

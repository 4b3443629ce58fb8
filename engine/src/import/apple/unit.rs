//! Values as the file writes them, into canonical units.

use super::kind::Kind;
use crate::catalogue::Conversion;

/// Why a value is not taken.
pub(crate) const UNKNOWN_UNIT: &str = "values in a unit that is not known for them";
/// Why a value is not taken.
pub(crate) const NO_NUMBER: &str = "values that are no numbers";

/// The thermochemical calorie: 1 kcal is 4,184 J exactly.
pub(crate) fn energy(unit: &str) -> Option<Conversion> {
    match unit {
        "kcal" | "Cal" => Some(Conversion::Same),
        "kJ" => Some(Conversion::Scaled { times: 1_000.0, over: 4_184.0 }),
        "J" => Some(Conversion::over(4_184.0)),
        "cal" => Some(Conversion::over(1_000.0)),
        _ => None,
    }
}

/// From a thermometer's scale to °C.
pub(crate) fn temperature(unit: &str) -> Option<Conversion> {
    match unit {
        "degC" | "°C" | "C" => Some(Conversion::Same),
        "degF" | "°F" | "F" => Some(Conversion::Linear { minus: 32.0, times: 5.0, over: 9.0, plus: 0.0 }),
        "K" => Some(Conversion::Linear { minus: 273.15, times: 1.0, over: 1.0, plus: 0.0 }),
        _ => None,
    }
}

/// A rate a minute.
pub(crate) fn rate(unit: &str) -> Option<Conversion> {
    matches!(unit, "count/min" | "bpm" | "/min" | "beats/min" | "breaths/min").then_some(Conversion::Same)
}

/// A finite number.
pub(crate) fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

impl Kind {
    /// A record's value in the canonical unit, or why there is none.
    #[inline]
    pub(super) fn value(self, value: &str, unit: &str) -> Result<f64, &'static str> {
        let conversion = match self {
            Self::HeartRate | Self::RespiratoryRate => rate(unit),
            // A fraction, whatever its unit says: Apple writes `unit="%" value="0.97"`.
            Self::OxygenSaturation => Some(Conversion::times(100.0)),
            Self::BodyTemperature => temperature(unit),
            Self::Variability => match unit {
                "ms" => Some(Conversion::Same),
                "s" => Some(Conversion::times(1_000.0)),
                _ => None,
            },
            Self::Steps => (unit == "count").then_some(Conversion::Same),
            Self::ActiveEnergy | Self::BasalEnergy => energy(unit),
            Self::Sleep | Self::Left(_) => None,
        };
        let conversion = conversion.ok_or(UNKNOWN_UNIT)?;
        number(value).map(|number| conversion.apply(number)).ok_or(NO_NUMBER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_becomes_the_canonical_one() {
        for (kind, value, unit, expected) in [
            (Kind::HeartRate, "62", "count/min", 62.0),
            (Kind::OxygenSaturation, "0.57", "%", 57.0),
            (Kind::OxygenSaturation, "0.97", "anything", 97.0),
            (Kind::BodyTemperature, "98.6", "degF", 37.0),
            (Kind::BodyTemperature, "36.6", "degC", 36.6),
            (Kind::Variability, "45.9626", "ms", 45.9626),
            (Kind::Steps, "17", "count", 17.0),
            (Kind::ActiveEnergy, "4.184", "kJ", 1.0),
            (Kind::ActiveEnergy, "0.25", "kcal", 0.25),
            (Kind::BasalEnergy, "0.25", "Cal", 0.25),
            (Kind::BasalEnergy, "250", "cal", 0.25),
            (Kind::BasalEnergy, "1.046e3", "J", 0.25),
        ] {
            assert_eq!(kind.value(value, unit), Ok(expected), "{kind:?} {value} {unit}");
        }
        let kelvin = Kind::BodyTemperature.value("310.15", "K").unwrap();
        assert!((kelvin - 37.0).abs() < 1e-9);
    }

    #[test]
    fn an_unknown_unit_and_no_number_have_their_reasons() {
        assert_eq!(Kind::HeartRate.value("62", "Hz"), Err(UNKNOWN_UNIT));
        assert_eq!(Kind::Steps.value("62", ""), Err(UNKNOWN_UNIT));
        for value in ["", "x", "1,5", "NaN", "inf", "-infinity", "1e999", "0x10"] {
            assert_eq!(Kind::HeartRate.value(value, "count/min"), Err(NO_NUMBER), "{value}");
        }
    }
}

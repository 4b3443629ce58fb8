//! Metrics of the operator's own, from the configuration file.
//!
//! ```toml
//! [[metrics]]
//! key = "blood_glucose"
//! unit = "mg/dL"
//! description = "Glucose in the blood"
//! min = 10
//! max = 1000
//! units = [{ unit = "mmol/L", factor = 18.0156 }]
//! loinc = ["2339-0"]
//! ucum = "mg/dL"
//! ```

use serde::{Deserialize, Serialize};

use super::Metric;
use super::unit::{AcceptedUnit, Conversion};
use crate::error::{Error, Result};

/// Longest unit, description or UCUM code, bytes.
const TEXT_BYTES_MAX: usize = 256;
/// Most units and most LOINC codes of one metric.
const LIST_MAX: usize = 64;
/// Largest magnitude of a bound or an offset: whole numbers below are exact with room to spare.
const MAGNITUDE_MAX: f64 = 1e15;
/// Smallest and largest magnitude of a factor.
const FACTOR_RANGE: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

/// One metric of the operator's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnMetric {
    /// `[a-z0-9_]`, 1 to 64 characters, not one that is there already.
    pub key: String,
    /// The canonical unit, in which values are stored and answered.
    pub unit: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Least plausible value, canonical.
    pub min: f64,
    /// Greatest plausible value, canonical.
    pub max: f64,
    /// Units that are accepted too.
    #[serde(default)]
    pub units: Vec<OwnUnit>,
    /// LOINC codes, the most fitting first.
    #[serde(default)]
    pub loinc: Vec<String>,
    /// The canonical unit in UCUM.
    #[serde(default)]
    pub ucum: Option<String>,
    /// Whether whole values are written without `.0`.
    #[serde(default)]
    pub count: bool,
}

/// A unit that is accepted beside the canonical one: `canonical = value * factor + offset`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnUnit {
    /// As senders write it.
    pub unit: String,
    /// 1 by default.
    #[serde(default = "one")]
    pub factor: f64,
    /// 0 by default.
    #[serde(default)]
    pub offset: f64,
}

fn one() -> f64 {
    1.0
}

impl OwnMetric {
    /// Checks everything but whether the key is free.
    ///
    /// # Errors
    /// [`Error::Catalogue`] names the key and what is wrong with it.
    pub(super) fn checked(self) -> Result<Metric> {
        match self.fault() {
            Some(what) => Err(Error::Catalogue { key: self.key, what }),
            None => Ok(self.into_metric()),
        }
    }

    fn fault(&self) -> Option<String> {
        let key = self.key.as_bytes();
        if key.is_empty() || key.len() > storage::point::METRIC_KEY_BYTES_MAX {
            return Some("the key must have 1 to 64 characters".into());
        }
        if !key.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            return Some("the key may hold only `a` to `z`, `0` to `9` and `_`".into());
        }
        for (name, bound) in [("min", self.min), ("max", self.max)] {
            // Written so that NaN is refused too.
            if !(-MAGNITUDE_MAX..=MAGNITUDE_MAX).contains(&bound) {
                return Some(format!("`{name}` must be a number between -1e15 and 1e15"));
            }
        }
        if self.min >= self.max {
            return Some(format!("`min` ({}) must be less than `max` ({})", self.min, self.max));
        }
        if self.description.len() > TEXT_BYTES_MAX || self.description.contains(char::is_control) {
            return Some("`description` may have at most 256 bytes and no control characters".into());
        }
        if let Some(ucum) = &self.ucum
            && !is_name(ucum)
        {
            return Some("`ucum` must have 1 to 256 bytes and no control characters".into());
        }
        if let Some(code) = self.loinc.iter().find(|code| !is_loinc(code)) {
            return Some(format!("`{code}` is no LOINC code (digits, `-`, and the check digit that belongs to them)"));
        }
        if self.loinc.len() > LIST_MAX {
            return Some("`loinc` may hold at most 64 codes".into());
        }
        self.unit_fault()
    }

    fn unit_fault(&self) -> Option<String> {
        if !is_name(&self.unit) {
            return Some("`unit` must have 1 to 256 bytes and no control characters".into());
        }
        if self.units.len() > LIST_MAX {
            return Some("`units` may hold at most 64 units".into());
        }
        let mut seen = vec![self.unit.as_str()];
        for OwnUnit { unit, factor, offset } in &self.units {
            if !is_name(unit) {
                return Some("a unit in `units` must have 1 to 256 bytes and no control characters".into());
            }
            if seen.contains(&unit.as_str()) {
                return Some(format!("the unit `{unit}` is there twice"));
            }
            if !FACTOR_RANGE.contains(&factor.abs()) {
                return Some(format!("`factor` of `{unit}` must have a magnitude between 1e-9 and 1e9"));
            }
            if !(-MAGNITUDE_MAX..=MAGNITUDE_MAX).contains(offset) {
                return Some(format!("`offset` of `{unit}` must be a number between -1e15 and 1e15"));
            }
            seen.push(unit);
        }
        None
    }

    fn into_metric(self) -> Metric {
        let canonical = AcceptedUnit { name: self.unit.as_str().into(), conversion: Conversion::Same };
        let others = self.units.into_iter().map(|OwnUnit { unit, factor, offset }| AcceptedUnit {
            name: unit.into(),
            conversion: Conversion::linear(factor, offset),
        });
        Metric {
            key: self.key.into(),
            unit: self.unit.into(),
            description: self.description.into(),
            min: self.min,
            max: self.max,
            units: std::iter::once(canonical).chain(others).collect(),
            loinc: self.loinc.into_iter().map(Into::into).collect(),
            ucum: self.ucum.map(Into::into),
            is_count: self.count,
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)
}

/// Whether a code is digits, a dash, and their check digit (mod 10, as LOINC's users' guide, appendix C, says).
pub(super) fn is_loinc(code: &str) -> bool {
    let Some((digits, [check @ b'0'..=b'9'])) = code.split_once('-').map(|(d, c)| (d.as_bytes(), c.as_bytes())) else {
        return false;
    };
    if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let sum: u32 = (digits.iter().rev().enumerate())
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        })
        .sum();
    (10 - sum % 10) % 10 == u32::from(check - b'0')
}

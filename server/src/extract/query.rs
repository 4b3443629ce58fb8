//! Query parameters, read strictly: unknown ones, doubled ones and malformed ones are located faults.

use std::ops::RangeInclusive;

use engine::{Fault, FaultKind, Loc};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::ApiError;

/// The parameters of one request. Faults are collected; [`Query::finish`] answers them all at once.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(&'static str, String)>,
    faults: Vec<Fault>,
}

impl Query {
    /// Reads `raw` (what stands behind the `?`), which may name each parameter of `known` once.
    ///
    /// # Errors
    /// 422 for a parameter that is not of `known`.
    pub fn parse(raw: Option<&str>, known: &[&'static str]) -> Result<Self, ApiError> {
        let mut query = Self { pairs: Vec::new(), faults: Vec::new() };
        for (name, value) in url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(ApiError::unknown_parameter(&name, known));
            };
            if query.pairs.iter().any(|(given, _)| given == name) {
                query.refuse(name, "given twice");
            } else {
                query.pairs.push((name, value.into_owned()));
            }
        }
        Ok(query)
    }

    /// The window of an operation that knows no other parameter than `days`.
    ///
    /// # Errors
    /// 422 with every fault.
    pub fn days(raw: Option<&str>, bounds: RangeInclusive<u32>, default: u32) -> Result<Days, ApiError> {
        let mut query = Self::parse(raw, &["days"])?;
        let days = query.integer("days", bounds).unwrap_or(default);
        query.finish()?;
        Ok(Days(days))
    }

    /// A parameter as it was sent.
    pub fn text(&self, name: &'static str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there.
    pub fn has(&self, name: &'static str) -> bool {
        self.text(name).is_some()
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, name: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let text = self.text(name)?;
        // Digits alone: `parse` would let `+30` in.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(number) if digits && bounds.contains(&number) => Some(number),
            _ => {
                let msg = format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
                self.refuse(name, msg);
                None
            }
        }
    }

    /// A moment in RFC 3339, as microseconds since 1970 UTC.
    pub fn moment_us(&mut self, name: &'static str) -> Option<i64> {
        let text = self.text(name)?;
        // A bare `+` of an offset arrives as a space.
        let moment = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339).ok();
        let moment_us = moment.and_then(|moment| i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).ok());
        if moment_us.is_none() {
            self.refuse(name, "must be a time as in RFC 3339, such as 2026-06-01T00:00:00Z");
        }
        moment_us
    }

    /// Notes a fault of a parameter.
    pub fn refuse(&mut self, name: &'static str, msg: impl Into<std::borrow::Cow<'static, str>>) {
        self.fault(name, msg, FaultKind::Value);
    }

    /// Notes that a parameter is missing.
    pub fn miss(&mut self, name: &'static str) {
        self.fault(name, "field required", FaultKind::Missing);
    }

    /// Answers the faults, if any were noted.
    ///
    /// # Errors
    /// 422 with every fault.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::validation(&self.faults)) }
    }

    fn fault(&mut self, name: &'static str, msg: impl Into<std::borrow::Cow<'static, str>>, kind: FaultKind) {
        self.faults.push(Fault { loc: vec![Loc::Key("query"), Loc::Key(name)], msg: msg.into(), kind });
    }
}

/// A window of so many days up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(pub u32);

impl Days {
    /// Its length.
    pub fn us(self) -> i64 {
        i64::from(self.0) * engine::time::DAY_US
    }

    /// Its first moment.
    pub fn since_us(self, now_us: i64) -> i64 {
        now_us.saturating_sub(self.us())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Query {
        Query::parse(Some(raw), &["days", "start"]).unwrap()
    }

    #[test]
    fn numbers_are_digits_within_bounds() {
        assert_eq!(parse("days=30").integer("days", 1..=90), Some(30));
        assert_eq!(parse("").integer("days", 1..=90), None);
        for wrong in ["0", "91", "-1", "%2B3", "3.0", "", "99999999999", "x"] {
            let mut query = parse(&format!("days={wrong}"));
            assert_eq!(query.integer("days", 1..=90), None, "{wrong}");
            assert!(query.finish().is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_carry_any_offset_even_with_a_bare_plus() {
        assert_eq!(parse("start=1970-01-01T00:00:01Z").moment_us("start"), Some(1_000_000));
        assert_eq!(parse("start=1970-01-01T01:00:00.5+01:00").moment_us("start"), Some(500_000));
        assert_eq!(parse("start=1970-01-01T01:00:00%2B01:00").moment_us("start"), Some(0));
        for wrong in ["1970-01-01", "1970-01-01T00:00:00", "yesterday", "1970-13-01T00:00:00Z"] {
            let mut query = parse(&format!("start={wrong}"));
            assert_eq!(query.moment_us("start"), None, "{wrong}");
            assert!(query.finish().is_err());
        }
    }

    #[test]
    fn unknown_and_doubled_parameters_are_refused() {
        assert_eq!(Query::parse(Some("dyas=3"), &["days"]).unwrap_err().status(), 422);
        assert!(parse("days=3&days=4").finish().is_err());
        assert!(parse("days=3").finish().is_ok());
    }
}
